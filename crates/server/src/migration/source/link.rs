//! The source when the link breaks, and when there is one again.

use super::{SourceSide, Way};
use crate::connection::BulkStream;
use crate::migration::{Broken, Word};
use crate::plane::Writer;
use lazycopy_migration::{Reclaim, RecoveryAnswer, SourceInput};
use lazycopy_protocol::control::PeerEnd;
use std::io;
use std::time::Duration;

/// Why a guest goes on at the source that an operator has taken back.
const RECLAIMED: &str = "taken back by an operator: it never ran at the destination";

impl SourceSide {
    /// The connections are gone. After the hand-over that is a pause, unless the destination said
    /// what it must not; the machine knows.
    pub(super) fn break_off(&mut self, broken: Broken) -> Option<SourceInput> {
        if self.ended {
            return None;
        }
        self.drop_what_waits();
        let handed_over = self.source.has_handed_over();
        let (reason, is_final) = match broken {
            Broken::Link(reason) if handed_over => (format!("the link broke: {reason}"), false),
            Broken::Link(reason) => (format!("the destination was lost: {reason}"), false),
            Broken::Wrong(reason) => (format!("the destination was lost: {reason}"), true),
        };
        self.lost = Some(reason.clone());
        Some(match is_final {
            false => SourceInput::LinkLost { reason },
            true => SourceInput::DestinationLost { reason },
        })
    }

    /// What was on its way is dropped: for the machine it was sent, and the destination's page map
    /// will say that it was not.
    fn drop_what_waits(&mut self) {
        self.frames.clear();
        if let Way::Plane(plane) = &mut self.way {
            plane.break_off();
        }
    }

    pub(super) fn give_destination_up(&mut self, after: Duration) -> SourceInput {
        let why = self.lost.as_deref().unwrap_or_default();
        let reason =
            format!("the destination was lost: {why}; it was not found again within {after:?}");
        self.lost = Some(reason.clone());
        SourceInput::DestinationLost { reason }
    }

    /// There is a link again, and the destination has said what it has.
    pub(super) fn regain_link(
        &mut self,
        bulk: Vec<BulkStream>,
        word: Word,
    ) -> Result<SourceInput, String> {
        let Word::Answer(answer) = word else {
            return Err("a source wanted to go on with a source".to_owned());
        };
        self.check_answer(&answer)?;
        self.frames.clear();
        if let (RecoveryAnswer::Goes(recovery), Way::Plane(plane)) = (&answer, &mut self.way) {
            let writers: io::Result<Vec<Writer>> = bulk.into_iter().map(Writer::new).collect();
            let writers = writers.map_err(|error| error.to_string())?;
            plane.regain(writers, recovery, &mut self.source);
        }
        if let RecoveryAnswer::Lost { reason } = &answer {
            self.lost = Some(format!("the destination lost the guest: {reason}"));
        }
        Ok(SourceInput::Recovered(answer))
    }

    /// A destination that has acknowledged pages cannot say that the guest never ran there.
    fn check_answer(&self, answer: &RecoveryAnswer) -> Result<(), String> {
        let denies = match answer {
            RecoveryAnswer::ThrownAway { .. } => true,
            RecoveryAnswer::Goes(recovery) => !recovery.resumed && !recovery.complete,
            RecoveryAnswer::Lost { .. } | RecoveryAnswer::Unknown => false,
        };
        match denies && self.has_given_up_memory() {
            true => Err("the destination denies what it has acknowledged".to_owned()),
            false => Ok(()),
        }
    }

    fn has_given_up_memory(&self) -> bool {
        matches!(&self.way, Way::Plane(plane) if plane.has_given_up_memory())
    }

    /// Whether the guest may be taken back by an operator's word, and why.
    pub(super) fn may_reclaim(&self) -> Result<&'static str, &'static str> {
        match self.source.reclaim() {
            Reclaim::Safe(_) if self.has_given_up_memory() => {
                Err("a part of its memory has been given up")
            }
            Reclaim::Safe(why) => Ok(why),
            Reclaim::Refused(why) => Err(why),
        }
    }

    /// An operator wants the guest back.
    pub(super) fn take_back(&mut self) -> Result<SourceInput, String> {
        match self.may_reclaim() {
            Ok(_) => Ok(SourceInput::Reclaimed { reason: RECLAIMED.to_owned() }),
            Err(why) => Err(format!("the guest cannot be taken back: {why}")),
        }
    }

    /// The manager knows that the destination has ended.
    pub(super) fn destination_ended(&mut self, how: PeerEnd) -> Option<SourceInput> {
        if self.ended {
            return None;
        }
        if !self.source.has_handed_over() {
            return self.break_off(Broken::Link("it has ended, says the manager".to_owned()));
        }
        let answer = match how {
            PeerEnd::Dead => {
                self.lost = Some("the destination was lost: its process is dead".to_owned());
                RecoveryAnswer::Unknown
            }
            PeerEnd::ThrownAway { reason } => RecoveryAnswer::ThrownAway { reason },
            PeerEnd::Lost { reason } => {
                self.lost = Some(format!("the destination lost the guest: {reason}"));
                RecoveryAnswer::Lost { reason }
            }
            PeerEnd::Withdrawn { .. } => return None,
        };
        if self.check_answer(&answer).is_err() {
            return None;
        }
        self.drop_what_waits();
        Some(SourceInput::Recovered(answer))
    }
}
