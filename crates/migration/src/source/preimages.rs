//! The pre-image rule: what is sent is the page as it was when the guest was suspended, or as it
//! was loaded from the disk since, never with the forward context's own writes.

use crate::message::{Context, PageMessage};
use crate::page_set::PageSet;
use lazycopy_guest::{Guest, Memory, Victim};
use lazycopy_units::PageNumber;
use std::collections::BTreeMap;

/// Knows every page as it was at the suspension.
///
/// A page that was clean then is on the disk, which the context keeps as it was then (the forward
/// context writes to a copy of its own). A dirty page is in source memory until the forward
/// context writes to it or evicts it; from then on its stamp is kept here.
#[derive(Clone, Debug)]
pub(super) struct Preimages {
    on_residency_list: PageSet,
    dirty: PageSet,
    kept: BTreeMap<PageNumber, u64>,
}

impl Preimages {
    /// For a guest whose context was just taken; asks its memory to tell first writes.
    pub(super) fn new(guest: &mut Guest, context: &Context) -> Self {
        let pages = guest.spec().pages;
        let (mut on_residency_list, mut dirty) = (PageSet::new(pages), PageSet::new(pages));
        for entry in &context.residency {
            on_residency_list.insert(entry.page);
            if entry.dirty {
                dirty.insert(entry.page);
                guest.memory_mut().watch_write(entry.page);
            }
        }
        Preimages { on_residency_list, dirty, kept: BTreeMap::new() }
    }

    pub(super) fn is_on_residency_list(&self, page: PageNumber) -> bool {
        self.on_residency_list.contains(page)
    }

    pub(super) fn is_dirty(&self, page: PageNumber) -> bool {
        self.dirty.contains(page)
    }

    /// Keeps what the forward context has overwritten since the last call.
    pub(super) fn keep_first_writes(&mut self, memory: &mut Memory) {
        self.kept.extend(memory.take_first_writes());
    }

    /// Keeps a page that leaves memory, where nothing else has it.
    pub(super) fn keep_victim(&mut self, victim: &Victim) {
        if victim.write_watched {
            self.kept.insert(victim.page, victim.stamp);
        }
    }

    /// The stamp of `page` at the suspension.
    pub(super) fn stamp(&self, page: PageNumber, memory: &Memory, context: &Context) -> u64 {
        if !self.dirty.contains(page) {
            return context.disk.stamp(page);
        }
        let kept = self.kept.get(&page).copied();
        kept.or_else(|| memory.stamp(page)).expect("a dirty page is in memory or kept")
    }

    /// The message that sends `page`.
    pub(super) fn message(
        &self,
        page: PageNumber,
        cause: crate::Cause,
        memory: &Memory,
        context: &Context,
    ) -> PageMessage {
        let stamp = self.stamp(page, memory, context);
        PageMessage { page, stamp, dirty: self.is_dirty(page), cause }
    }

    /// Takes the guest back to what it was at the suspension: the forward context never was.
    pub(super) fn rewind(&self, guest: &mut Guest, context: &Context) {
        let stamps: Vec<u64> = context
            .residency
            .iter()
            .map(|entry| self.stamp(entry.page, guest.memory(), context))
            .collect();
        guest.rewind(context.registers, context.disk.clone());
        for (entry, stamp) in context.residency.iter().zip(stamps) {
            guest.memory_mut().install_most_recent(entry.page, stamp, entry.dirty);
        }
    }
}
