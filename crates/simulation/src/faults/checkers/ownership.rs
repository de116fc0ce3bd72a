//! Whose the guest is.

use super::{Book, Checker, Sight};
use crate::faults::hosts::Hosts;
use lazycopy_guest::Guest;
use lazycopy_migration::EventKind;

/// At most one context of the guest counts at any instant.
pub(super) struct SingleOwner;

impl Checker for SingleOwner {
    fn name(&self) -> &'static str {
        "single-owner"
    }

    fn sentence(&self) -> &'static str {
        "at most one context of the guest counts at any instant"
    }

    fn see(&mut self, sight: &Sight<'_>, _: &Book, hosts: &Hosts) -> Result<(), String> {
        let Sight::Step = sight else { return Ok(()) };
        let machines = (&hosts.source.machine, &hosts.destination.machine);
        let (Some(source), Some(destination)) = machines else { return Ok(()) };
        let at_source = source.guest().is_some_and(Guest::is_running);
        let at_destination = destination.guest().is_some_and(Guest::is_running);
        if at_source && at_destination {
            return Err("the guest runs at the source and at the destination".to_owned());
        }
        Ok(())
    }
}

/// After the hand-over the source runs the guest again only if it never ran at the destination and
/// never will: by the destination's word that it threw the guest away, or by an operator's.
pub(super) struct NotTakenBack;

impl Checker for NotTakenBack {
    fn name(&self) -> &'static str {
        "not-taken-back"
    }

    fn sentence(&self) -> &'static str {
        "after the hand-over the source runs the guest again only by a word, and only if it never \
         ran at the destination and never will"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, hosts: &Hosts) -> Result<(), String> {
        let Sight::Event(event) = sight else { return Ok(()) };
        match event.kind {
            EventKind::Returned { .. } if book.is_handed_over => {
                let thrown_away =
                    book.destination(hosts).is_some_and(|it| it.thrown_away.is_some());
                if book.is_resumed {
                    return Err("the guest had run at the destination".to_owned());
                }
                if !thrown_away && !book.is_reclaimed {
                    return Err("nobody had said so".to_owned());
                }
                Ok(())
            }
            EventKind::Resumed { .. } if book.is_returned => {
                Err("the source had the guest back when the destination resumed it".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// A failure before the hand-over leaves the guest running at the source.
pub(super) struct StaysBefore;

impl Checker for StaysBefore {
    fn name(&self) -> &'static str {
        "stays-before-hand-over"
    }

    fn sentence(&self) -> &'static str {
        "a failure before the hand-over leaves the guest running at the source, if that lives"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, hosts: &Hosts) -> Result<(), String> {
        let Sight::End(_) = sight else { return Ok(()) };
        let Some(source) = &hosts.source.machine else { return Ok(()) };
        let runs = source.guest().is_some_and(Guest::is_running);
        if !book.is_handed_over && !runs {
            return Err("the guest was not handed over, and does not run at the source".to_owned());
        }
        Ok(())
    }
}

/// The source frees the guest only when the destination has all of it.
pub(super) struct FreedWhenComplete;

impl Checker for FreedWhenComplete {
    fn name(&self) -> &'static str {
        "freed-when-complete"
    }

    fn sentence(&self) -> &'static str {
        "the source frees the guest only when the destination has all of it"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, hosts: &Hosts) -> Result<(), String> {
        let Sight::Event(event) = sight else { return Ok(()) };
        let complete = book.destination(hosts).is_some_and(|it| it.completed_at.is_some());
        match event.kind {
            EventKind::Released if !complete => {
                Err("the source freed the guest while the destination missed some of it".to_owned())
            }
            _ => Ok(()),
        }
    }
}
