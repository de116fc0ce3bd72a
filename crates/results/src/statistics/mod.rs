//! Means, paired differences, and how far they can be trusted.
//!
//! All schemes see the same seeds (common random numbers), so everything that is compared is
//! compared in pairs, seed by seed. A pair of series is judged by Student's t test of its mean
//! difference; Wilcoxon's signed-rank test stands beside it for those who doubt that means are
//! normal. Where many pairs are judged at once, [`holm`] keeps the chance that any of them is
//! called different without being so below the level.
//!
//! Tests of unpaired samples are deliberately absent: they would throw the pairing away.

mod difference;
mod holm;
mod paired;
mod quantiles;
mod signed_rank;
mod summary;

pub use difference::{Difference, Standing};
pub use holm::holm;
pub use paired::Paired;
pub(crate) use paired::ratio;
pub use quantiles::Quantiles;
pub use summary::Summary;

/// The level of every test: a p-value below it, corrected where many are judged, counts as a
/// difference. The confidence intervals are those of 1 less this.
pub const SIGNIFICANCE: f64 = 0.05;
