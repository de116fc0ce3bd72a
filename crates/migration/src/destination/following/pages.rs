//! What becomes of pages that come while the migration lasts.

use super::{Answered, Effect, Following};
use crate::event::{EventKind, Fate, FaultEnd};
use crate::message::{Cause, PageMessage};
use crate::parameters::MigrationParameters;
use crate::report::DestinationReport;
use lazycopy_units::{Instant, PageNumber};

impl Following {
    /// Pages came over the link while the migration lasts.
    pub(in super::super) fn pages_arrived(
        &mut self,
        now: Instant,
        mut message: PageMessage,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        loop {
            let count = self.with_one_fate(&message);
            if count == message.count {
                return self.alike_arrived(now, message, parameters, report);
            }
            let first = message.split_off_first(count);
            self.alike_arrived(now, first, parameters, report);
        }
    }

    /// How many of these pages, one after another, have the same fate as the first.
    fn with_one_fate(&self, message: &PageMessage) -> u32 {
        let PageMessage { page: first, count, cause, .. } = *message;
        if count == 1 || cause != Cause::Background {
            return 1;
        }
        // Each takes a frame, as long as there are any.
        let memory = self.guest.memory();
        let room = (memory.frames() - memory.resident()).max(1);
        let alike = self.arrivals.alike(first, count.min(room));
        // A page that is waited for is a case of its own.
        let awaited = [self.request, self.fault.map(|fault| fault.page)].into_iter().flatten();
        let before = awaited.filter_map(|page| page.0.checked_sub(first.0)).min();
        before.map_or(alike, |before| alike.min(before.max(1)))
    }

    /// Pages came that have one fate.
    fn alike_arrived(
        &mut self,
        now: Instant,
        message: PageMessage,
        parameters: &MigrationParameters,
        report: &mut DestinationReport,
    ) {
        let PageMessage { page, count, dirty, cause, .. } = message;
        self.arrivals.arrived(page, count);
        if self.request == Some(page) {
            self.request = None;
        }
        let ends_fault =
            self.fault.is_some_and(|fault| fault.page == page && fault.answered.is_none());
        let fate = if self.arrivals.was_held(page) {
            report.duplicate += u64::from(count);
            Fate::Duplicate
        } else if ends_fault {
            Fate::EndedFault
        } else if cause != Cause::Background || !self.guest.memory().is_full() {
            Fate::Installed
        } else if dirty {
            report.written_back += u64::from(count);
            Fate::WrittenBack
        } else {
            report.discarded += u64::from(count);
            Fate::Discarded
        };
        let arrived = EventKind::PageArrived { page, cause, fate };
        self.effects.push(Effect::Event(now, arrived, count));
        match fate {
            Fate::EndedFault => {
                self.arrivals.hold(page, 1);
                report.forward_touched += u64::from(cause == Cause::Forward);
                let stamp = self.stamp_of(&message, page);
                let answered = Answered { by: FaultEnd::Remote, stamp, dirty };
                self.answer_fault(now, answered, parameters, report);
            }
            Fate::Installed => self.install(&message),
            Fate::WrittenBack => {
                for page in message.pages() {
                    self.guest.write_back(page, self.stamp_of(&message, page));
                }
            }
            Fate::Discarded | Fate::Duplicate | Fate::Late => {}
        }
    }

    /// The stamp of a page that came, and is not in memory.
    fn stamp_of(&self, message: &PageMessage, page: PageNumber) -> u64 {
        let in_place = || self.guest.memory().stamp_in_place(page);
        message.stamp.or_else(in_place).expect("a page comes with its stamp or its bytes")
    }

    fn install(&mut self, message: &PageMessage) {
        let PageMessage { page, count, stamp, dirty, cause } = *message;
        self.arrivals.hold(page, count);
        let watched = !self.arrivals.was_touched(page);
        match (cause, stamp) {
            (Cause::Background, None) => {
                self.guest.memory_mut().install_in_place(page, count, dirty, watched);
                return;
            }
            (Cause::Background, Some(stamp)) => {
                self.guest.memory_mut().install_least_recent(page, stamp, dirty);
            }
            _ => {
                let stamp = self.stamp_of(message, page);
                let victim = self.guest.install_most_recent(page, stamp, dirty);
                self.evicted(victim);
            }
        }
        if cause == Cause::Forward {
            self.arrivals.await_forward_touch(page);
        }
        if watched {
            self.guest.memory_mut().watch_touch(page);
        }
    }
}
