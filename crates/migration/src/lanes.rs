//! The pages that wait at the source, in three lanes.
