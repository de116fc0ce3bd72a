//! What becomes of each page.

use super::{Book, Checker, Sight};
use crate::faults::hosts::Hosts;
use lazycopy_migration::{Event, EventKind, Fate, LinkMessage, Source};
use lazycopy_units::PageNumber;
use std::collections::BTreeSet;

/// After the hand-over a page is sent as it was at the suspension, or as the disk had it then.
pub(super) struct PreImages;

impl Checker for PreImages {
    fn name(&self) -> &'static str {
        "pre-images"
    }

    fn sentence(&self) -> &'static str {
        "after the hand-over a page is sent as it was at the suspension, never with the forward \
         context's own writes"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, hosts: &Hosts) -> Result<(), String> {
        let Sight::Sends(LinkMessage::Page(message)) = sight else { return Ok(()) };
        let memory = hosts.source.machine.as_ref().and_then(Source::memory);
        for page in message.pages() {
            let sent = message.stamp.or_else(|| memory?.stamp_in_place(page));
            let was = book.stamps.get(page.index()).copied();
            if was.is_some() && sent != was {
                return Err(format!("page {page} was sent as {sent:x?}, it was {was:x?}"));
            }
        }
        Ok(())
    }
}

/// After the hand-over a page crosses the link once, but for those that were lost in flight.
#[derive(Default)]
pub(super) struct SentOnce {
    sent: BTreeSet<PageNumber>,
}

impl Checker for SentOnce {
    fn name(&self) -> &'static str {
        "sent-once"
    }

    fn sentence(&self) -> &'static str {
        "after the hand-over a page crosses the link once, but for those lost in flight"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Hosts) -> Result<(), String> {
        match sight {
            Sight::Sends(LinkMessage::Context(_)) => {
                let current = book.listed.iter().filter(|(_, (_, current))| *current);
                self.sent.extend(current.map(|(page, _)| *page));
            }
            Sight::Event(Event { kind: EventKind::PageLost { page }, .. }) => {
                self.sent.remove(page);
            }
            Sight::Event(Event { kind: EventKind::PageSent { page, .. }, .. })
                if book.is_handed_over && !self.sent.insert(*page) =>
            {
                return Err(format!("page {page} crossed the link twice"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A page that was held at the destination is never installed from the link again.
#[derive(Default)]
pub(super) struct HeldOnce {
    context_came: bool,
    held: BTreeSet<PageNumber>,
}

impl Checker for HeldOnce {
    fn name(&self) -> &'static str {
        "held-once"
    }

    fn sentence(&self) -> &'static str {
        "a page that the destination has held is never installed from the link again: its copy may \
         be stale"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Hosts) -> Result<(), String> {
        let Sight::Event(event) = sight else { return Ok(()) };
        match &event.kind {
            EventKind::ContextArrived => {
                self.context_came = true;
                let current = book.listed.iter().filter(|(_, (_, current))| *current);
                self.held.extend(current.map(|(page, _)| *page));
            }
            EventKind::PageArrived { page, fate: Fate::Installed | Fate::EndedFault, .. }
                if self.context_came && !self.held.insert(*page) =>
            {
                return Err(format!("page {page} was held before, and was installed again"));
            }
            EventKind::FaultEnded { page, .. } | EventKind::Overwritten { page } => {
                self.held.insert(*page);
            }
            _ => {}
        }
        Ok(())
    }
}

/// When the destination calls itself complete, each page of the residency list has come, is on the
/// disk as it was, or was overwritten.
#[derive(Default)]
pub(super) struct NothingMissing {
    here: BTreeSet<PageNumber>,
    on_disk: BTreeSet<PageNumber>,
}

impl Checker for NothingMissing {
    fn name(&self) -> &'static str {
        "nothing-missing"
    }

    fn sentence(&self) -> &'static str {
        "a destination that is complete has each page of the residency list, or the disk has it as \
         it was"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Hosts) -> Result<(), String> {
        let Sight::Event(event) = sight else { return Ok(()) };
        match &event.kind {
            EventKind::PageArrived { page, .. } | EventKind::Overwritten { page } => {
                self.here.insert(*page);
            }
            EventKind::PageNotResident { page } => {
                self.on_disk.insert(*page);
            }
            EventKind::Completed => {
                for (page, (dirty, _)) in &book.listed {
                    let on_disk = self.on_disk.contains(page) && !dirty;
                    if !self.here.contains(page) && !on_disk {
                        let kind = if *dirty { "dirty" } else { "clean" };
                        return Err(format!("page {page}, {kind} at the suspension, is missing"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
