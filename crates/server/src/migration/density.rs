//! How full a large memory is, by ranges of page numbers, at a cost that does not grow with it.

use lazycopy_guest::Memory;
use lazycopy_migration::{Cause, PageMessage};
use lazycopy_protocol::control::{DENSITY_BUCKETS, MemoryDensity};
use lazycopy_units::PageNumber;
use std::ops::Range;

/// Pages of a range that are looked at: a guest is not held up longer because it is large.
const SAMPLE: u32 = 64;

/// Pages that have arrived, by range and cause.
pub(crate) struct Arrivals {
    pages: u32,
    counts: Box<[[u32; CAUSES]; DENSITY_BUCKETS]>,
}

const CAUSES: usize = 4;

impl Arrivals {
    /// None yet, of a guest with so many pages.
    pub(crate) fn new(pages: u32) -> Self {
        Arrivals { pages: pages.max(1), counts: Box::new([[0; CAUSES]; DENSITY_BUCKETS]) }
    }

    /// Pages have arrived.
    pub(crate) fn note(&mut self, message: &PageMessage) {
        let (mut first, end) = (message.page.0, message.page.0 + message.count);
        while first < end {
            let bucket = u64::from(first) * DENSITY_BUCKETS as u64 / u64::from(self.pages);
            let Some(counts) = self.counts.get_mut(bucket as usize) else { return };
            let here = range(bucket as usize, self.pages).end.min(end) - first;
            counts[place(message.cause)] += here;
            first += here;
        }
    }

    /// The shares of the pages that have arrived with that cause; a page that came twice counts
    /// twice, but no share is above 1.
    fn shares(&self, cause: Cause) -> Vec<f32> {
        let share = |(bucket, counts): (usize, &[u32; CAUSES])| {
            let pages = range(bucket, self.pages).len().max(1);
            (counts[place(cause)] as f32 / pages as f32).min(1.0)
        };
        self.counts.iter().enumerate().map(share).collect()
    }
}

fn place(cause: Cause) -> usize {
    match cause {
        Cause::Round => 0,
        Cause::Background => 1,
        Cause::Forward => 2,
        Cause::Demand => 3,
    }
}

/// The pages of a range.
fn range(bucket: usize, pages: u32) -> Range<u32> {
    let begin =
        |bucket: usize| (bucket as u64 * u64::from(pages)).div_ceil(DENSITY_BUCKETS as u64) as u32;
    begin(bucket)..begin(bucket + 1)
}

/// How full that memory of a guest with so many pages is, and, at a destination, what has arrived.
pub(crate) fn density(memory: &Memory, pages: u32, arrivals: Option<&Arrivals>) -> MemoryDensity {
    let resident = |bucket| {
        let pages = range(bucket, pages);
        let step = (pages.len() as u32).div_ceil(SAMPLE).max(1);
        let looked_at = pages.clone().step_by(step as usize);
        let (mut seen, mut found) = (0_u16, 0_u16);
        for page in looked_at {
            seen += 1;
            found += u16::from(memory.contains(PageNumber(page)));
        }
        f32::from(found) / f32::from(seen.max(1))
    };
    let shares = |cause| arrivals.map_or_else(Vec::new, |arrivals| arrivals.shares(cause));
    MemoryDensity {
        resident: (0..DENSITY_BUCKETS).map(resident).collect(),
        round: shares(Cause::Round),
        background: shares(Cause::Background),
        forward: shares(Cause::Forward),
        demand: shares(Cause::Demand),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_in_the_range_that_counts_it() {
        for pages in [1, 255, 256, 1_000, 65_537] {
            let mut arrivals = Arrivals::new(pages);
            for first in (0..pages).step_by(100) {
                let (page, count) = (PageNumber(first), (pages - first).min(100));
                let cause = Cause::Forward;
                arrivals.note(&PageMessage { page, count, stamp: None, dirty: false, cause });
            }
            for bucket in 0..DENSITY_BUCKETS {
                let counted = arrivals.counts[bucket][place(Cause::Forward)];
                assert_eq!(counted as usize, range(bucket, pages).len(), "{bucket} of {pages}");
            }
            assert!(arrivals.shares(Cause::Demand).iter().all(|share| *share == 0.0));
        }
    }

    #[test]
    fn a_memory_is_dense_where_its_pages_are() {
        let mut memory = Memory::new(100_000, 50_000);
        for page in 0..50_000 {
            memory.install_most_recent(PageNumber(page), 1, false);
        }
        let density = density(&memory, 100_000, None);
        let (first, second) = density.resident.split_at(DENSITY_BUCKETS / 2);
        assert!(first.iter().all(|share| *share == 1.0));
        assert!(second.iter().all(|share| *share == 0.0));
        assert!(density.demand.is_empty());
    }
}
