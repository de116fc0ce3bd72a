//! The pre-image rule: what is sent is the page as it was when the guest was suspended, or as it
//! was loaded from the disk since, never with the forward context's own writes.

use crate::message::{Cause, Context, PageMessage};
use crate::page_set::PageSet;
use lazycopy_guest::Guest;
use lazycopy_units::PageNumber;

/// Knows every page as it was at the suspension.
///
/// The forward context leaves the stamps of the pages that it writes to as they are, and evicts
/// to a disk of its own: so its memory, and else its disk, hold each page as it was.
#[derive(Clone, Debug)]
pub(super) struct Preimages {
    on_residency_list: PageSet,
    dirty: PageSet,
}

impl Preimages {
    /// For a guest of so many pages whose context was just taken.
    pub(super) fn new(pages: u32, context: &Context) -> Self {
        let (mut on_residency_list, mut dirty) = (PageSet::new(pages), PageSet::new(pages));
        for entry in context.residency.iter() {
            on_residency_list.insert(entry.page);
            if entry.dirty {
                dirty.insert(entry.page);
            }
        }
        Preimages { on_residency_list, dirty }
    }

    pub(super) fn is_on_residency_list(&self, page: PageNumber) -> bool {
        self.on_residency_list.contains(page)
    }

    /// Whether `page` was dirty at the suspension.
    pub(super) fn is_dirty(&self, page: PageNumber) -> bool {
        self.dirty.contains(page)
    }

    /// The message that sends `page`, and of the `count` pages from it on those of which the same
    /// can be said.
    pub(super) fn message(
        &self,
        page: PageNumber,
        count: u32,
        cause: Cause,
        forward: &Guest,
    ) -> PageMessage {
        let memory = forward.memory();
        let in_place = memory.bytes().is_some() && memory.contains(page);
        let (count, stamp) = if in_place {
            (self.dirty.alike(page, memory.alike(page, count)), None)
        } else {
            (1, Some(forward.stamp(page)))
        };
        PageMessage { page, count, stamp, dirty: self.is_dirty(page), cause }
    }

    /// Takes the guest back to what it was at the suspension: the forward context never was.
    pub(super) fn rewind(&self, guest: &mut Guest, context: &Context) {
        let stamps: Vec<u64> =
            context.residency.iter().map(|entry| guest.stamp(entry.page)).collect();
        guest.rewind(context.registers, context.disk.clone());
        for (entry, stamp) in context.residency.iter().zip(stamps) {
            guest.memory_mut().install_most_recent(entry.page, stamp, entry.dirty);
        }
    }
}
