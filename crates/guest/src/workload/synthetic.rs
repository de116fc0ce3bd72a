//! Workloads that read page numbers in a fixed order.

use super::random::WriteMix;
use super::{Access, BATCH, Workload, WorkloadError};
use crate::spec::GuestSpec;
use lazycopy_units::{Duration, PageNumber};

/// A queue of page numbers, read in order, wrapping.
pub(crate) struct Cycle {
    queue: Vec<PageNumber>,
    next: usize,
    think: Duration,
    writes: WriteMix,
}

impl Cycle {
    pub(crate) fn new(spec: &GuestSpec, queue: Vec<PageNumber>, position: u64) -> Self {
        let next = (position % queue.len() as u64) as usize;
        let writes = WriteMix::new(spec, position);
        Cycle { queue, next, think: spec.think_time, writes }
    }
}

impl Workload for Cycle {
    fn fill(&mut self, batch: &mut Vec<Access>) -> Result<(), WorkloadError> {
        let (think, end) = (self.think, (self.next + BATCH).min(self.queue.len()));
        let writes = &mut self.writes;
        batch.extend(self.queue[self.next..end].iter().map(|page| Access {
            think,
            page: *page,
            write: writes.next_write(),
        }));
        self.next = if end == self.queue.len() { 0 } else { end };
        Ok(())
    }
}

/// Page after page in the order of their numbers, wrapping.
pub(crate) struct Sequential {
    next: u32,
    pages: u32,
    think: Duration,
    writes: WriteMix,
}

impl Sequential {
    pub(crate) fn new(spec: &GuestSpec, position: u64) -> Self {
        Sequential {
            next: (position % u64::from(spec.pages)) as u32,
            pages: spec.pages,
            think: spec.think_time,
            writes: WriteMix::new(spec, position),
        }
    }
}

impl Workload for Sequential {
    fn fill(&mut self, batch: &mut Vec<Access>) -> Result<(), WorkloadError> {
        let (think, end) = (self.think, self.pages.min(self.next.saturating_add(BATCH as u32)));
        let writes = &mut self.writes;
        batch.extend((self.next..end).map(|page| Access {
            think,
            page: PageNumber(page),
            write: writes.next_write(),
        }));
        self.next = if end == self.pages { 0 } else { end };
        Ok(())
    }
}
