//! The destination when the link breaks, and when there is one again.

use super::plane::DestinationPlane;
use super::{DestinationSide, DestinationSideInput};
use crate::connection::BulkStream;
use crate::migration::{Broken, Word};
use lazycopy_guest::Disk;
use lazycopy_migration::{DestinationInput, Outcome, ResidencyList, Verdict};
use lazycopy_protocol::control::PeerEnd;
use std::time::Duration;

impl DestinationSide {
    /// The connections are gone. The guest goes on with what is here, and the source may come back,
    /// unless it said what it must not or is dead.
    pub(super) fn break_off(&mut self, broken: Broken) -> Option<DestinationSideInput> {
        self.frames.clear();
        if self.source_is_done {
            return None;
        }
        self.link_is_broken = true;
        let (reason, is_final) = match broken {
            Broken::Link(reason) => (reason, self.source_is_dead),
            Broken::Wrong(reason) => (reason, true),
        };
        let reason = format!("the source was lost: {reason}");
        self.lost = Some(reason.clone());
        Some(match is_final {
            false => self.nothing_comes(DestinationInput::LinkLost { reason }),
            true => {
                let is_dead = self.source_is_dead;
                self.source_is_gone(DestinationInput::SourceLost { reason, is_dead })
            }
        })
    }

    pub(super) fn give_source_up(&mut self, after: Duration) -> DestinationSideInput {
        let why = self.lost.as_deref().unwrap_or("the source was lost");
        let reason = format!("{why}; it did not come back within {after:?}");
        self.lost = Some(reason.clone());
        self.source_is_gone(DestinationInput::SourceLost { reason, is_dead: false })
    }

    /// There is a link again, and the source has said how it goes on.
    pub(super) fn regain_link(
        &mut self,
        bulk: Vec<BulkStream>,
        word: Word,
    ) -> Result<Option<DestinationSideInput>, String> {
        let word = match word {
            Word::GoesOn(word) => word,
            Word::Released if self.destination.report().completed_at.is_some() => {
                self.source_is_done = true;
                return Ok(None);
            }
            Word::Withdrawn(verdict) => {
                let reason = verdict.reason.clone();
                self.withdrawn = Some(verdict);
                return Ok(Some(self.source_is_gone(DestinationInput::Withdrawn { reason })));
            }
            Word::Released => {
                return Err("the source released a guest of which something is missing".to_owned());
            }
            Word::Answer(_) => {
                return Err("a destination wanted to go on with a destination".to_owned());
            }
        };
        if let Some(parameters) = &self.parameters {
            let plane = DestinationPlane::new(&self.spec, parameters, bulk);
            self.plane = Some(Box::new(plane.map_err(|error| error.to_string())?));
        }
        self.forget_part_of_context();
        self.frames.clear();
        self.link_is_broken = false;
        self.undelivered += 1;
        Ok(Some(DestinationSideInput::Machine(DestinationInput::Recovered(word))))
    }

    /// A source cannot take back a guest that runs here, whatever it says: it is lost, since it has
    /// said its last word.
    pub(super) fn unless_it_runs_here(&self, input: DestinationInput) -> DestinationInput {
        match input {
            DestinationInput::Withdrawn { reason }
                if self.destination.report().resumed_at.is_some() =>
            {
                let reason = format!("the source wanted back a guest that runs here: {reason}");
                DestinationInput::SourceLost { reason, is_dead: false }
            }
            other => other,
        }
    }

    /// What came of a context that did not come as a whole comes again.
    fn forget_part_of_context(&mut self) {
        self.context_came = self.destination.is_past_context();
        self.residency = ResidencyList::default();
        self.disk = Disk::new(self.spec.seed);
        self.written_back = 0;
    }

    /// The manager knows that the source has ended.
    pub(super) fn source_ended(
        &mut self,
        how: PeerEnd,
        is_connected: bool,
    ) -> Option<DestinationSideInput> {
        if self.source_is_done {
            return None;
        }
        match how {
            PeerEnd::Dead => {
                self.source_is_dead = true;
                // What it sent before it died may still be on its way, and the end comes after it.
                if is_connected {
                    return None;
                }
                let reason = "the source was lost: its process is dead".to_owned();
                self.lost = Some(reason.clone());
                Some(self.source_is_gone(DestinationInput::SourceLost { reason, is_dead: true }))
            }
            PeerEnd::Withdrawn { reason } if self.destination.report().resumed_at.is_none() => {
                self.withdrawn = Some(Verdict { outcome: Outcome::Failed, reason: reason.clone() });
                Some(self.source_is_gone(DestinationInput::Withdrawn { reason }))
            }
            // What it had of the guest is gone: no more comes.
            PeerEnd::Lost { reason } | PeerEnd::Withdrawn { reason } => {
                let reason = format!("the source was lost: {reason}");
                self.lost = Some(reason.clone());
                Some(self.source_is_gone(DestinationInput::SourceLost { reason, is_dead: false }))
            }
            PeerEnd::ThrownAway { .. } => None,
        }
    }
}
