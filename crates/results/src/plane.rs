//! What the page plane of a run did, where no link was modelled.

use lazycopy_units::PAGE_BYTES;
use serde::{Deserialize, Serialize};

/// What went over the sockets of a run whose link was unlimited, and how they were set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaneRecord {
    /// Bytes that were written to the sockets for pages, headers included.
    pub bytes_sent: u64,
    /// Pages that were sent as zero: without a body.
    pub pages_zero: u64,
    /// Pages that were sent as equal to one that the destination has: without a body.
    pub pages_same: u64,
    /// Pages whose body was compressed.
    pub pages_compressed: u64,
    /// What compression alone gave: 4,096 bytes for each page that was sent with a body, divided
    /// by the bytes of the bodies on the wire; null of nothing.
    pub compression_ratio: Option<f64>,
    /// Bulk connections, besides the one for what is urgent.
    pub connections: u8,
    /// The congestion control of the sockets, as the system told it.
    pub congestion: String,
    /// Whether each page carried a checksum that the destination checked.
    pub checksums: bool,
}

impl PlaneRecord {
    /// The compression ratio of so many pages sent, of which some had no body (zero, or the same
    /// as one there), and whose bodies took so many bytes on the wire; `None` of no bodies.
    pub fn ratio(pages: u64, without_body: u64, body_bytes: u64) -> Option<f64> {
        let with_body = pages.saturating_sub(without_body);
        (body_bytes > 0).then(|| with_body as f64 * PAGE_BYTES as f64 / body_bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_counts_pages_with_a_body_alone_and_is_nothing_of_nothing() {
        assert_eq!(PlaneRecord::ratio(4, 0, 4 * 4_096), Some(1.0));
        assert_eq!(PlaneRecord::ratio(6, 2, 4_096), Some(4.0));
        assert_eq!(PlaneRecord::ratio(4, 4, 0), None);
        assert_eq!(PlaneRecord::ratio(0, 0, 0), None);
    }
}
