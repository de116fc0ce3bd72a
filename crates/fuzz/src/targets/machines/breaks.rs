//! What fails between the two machines, and how their drivers go on: as the module `recovery` of
//! `lazycopy-migration` says, at any moment that it allows.

use super::{Coming, Pair, Said};
use arbitrary::{Result, Unstructured};
use lazycopy_guest::Memory;
use lazycopy_migration::{
    Cause, Destination, DestinationInput, DestinationRecovery, LinkMessage, Notice, PageCounts,
    PageMap, PageMessage, Reclaim, RecoveryAnswer, Reply, Side, SourceInput, SourceRecovery,
};
use lazycopy_units::PageNumber;
use std::collections::BTreeSet;

/// What becomes of memory that is given up: no page is like that.
const GIVEN_UP: u8 = 0xa5;

/// How the link is, and who is there.
pub(super) struct Breaks {
    /// What is said gets to the other side.
    pub(super) wire_is_whole: bool,
    pub(super) source_sees_link: bool,
    pub(super) destination_sees_link: bool,
    pub(super) source_is_dead: bool,
    pub(super) destination_is_dead: bool,
    /// Whose process is dead, and says what it likes all the same.
    pub(super) liar: Option<Side>,
    /// One side has waited for the other no longer.
    pub(super) somebody_gave_up: bool,
    pub(super) is_reclaimed: bool,
    /// The destination was told that its source is no more.
    destination_is_told: bool,
    /// Pages that the destination has taken and not acknowledged.
    taken: Vec<(PageNumber, u32)>,
    /// Pages that were sent after the hand-over.
    sent: BTreeSet<PageNumber>,
    gave_up_memory: bool,
}

impl Default for Breaks {
    fn default() -> Self {
        Breaks {
            wire_is_whole: true,
            source_sees_link: true,
            destination_sees_link: true,
            source_is_dead: false,
            destination_is_dead: false,
            liar: None,
            somebody_gave_up: false,
            is_reclaimed: false,
            destination_is_told: false,
            taken: Vec::new(),
            sent: BTreeSet::new(),
            gave_up_memory: false,
        }
    }
}

impl Breaks {
    /// Nothing but the link has failed.
    pub(super) fn link_alone_broke(&self) -> bool {
        !self.source_is_dead && !self.destination_is_dead && !self.somebody_gave_up
    }

    pub(super) fn note_sent(&mut self, coming: &Coming) {
        if let Coming::Message(LinkMessage::Page(message), _) = coming
            && message.cause != Cause::Round
        {
            self.sent.extend(message.pages());
        }
    }
}

fn reason() -> String {
    "it broke".to_owned()
}

fn any_map(u: &mut Unstructured<'_>) -> Result<PageMap> {
    let words = (0..u.int_in_range(0..=3)?).map(|_| u.arbitrary());
    Ok(PageMap::from_words(words.collect::<Result<_>>()?))
}

fn any_answer(u: &mut Unstructured<'_>) -> Result<RecoveryAnswer> {
    Ok(match u.int_in_range(0..=7)? {
        0 => RecoveryAnswer::ThrownAway { reason: reason() },
        1 => RecoveryAnswer::Lost { reason: reason() },
        2 => RecoveryAnswer::Unknown,
        _ => RecoveryAnswer::Goes(DestinationRecovery {
            context_came: u.arbitrary()?,
            resumed: u.arbitrary()?,
            complete: u.ratio(1, 8)?,
            accesses: u.arbitrary()?,
            counts: PageCounts {
                round: u.arbitrary()?,
                background: u.arbitrary()?,
                forward: u.arbitrary()?,
                demand: u.arbitrary()?,
            },
            arrived: any_map(u)?,
        }),
    })
}

impl Pair {
    /// Whether somebody has something to mend.
    pub(super) fn is_broken(&self) -> bool {
        let Breaks { wire_is_whole, source_sees_link, destination_sees_link, .. } = self.breaks;
        !(wire_is_whole && source_sees_link && destination_sees_link) || self.breaks.liar.is_some()
    }

    /// Something breaks.
    pub(super) fn fail(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let side = *u.choose(&[Side::Source, Side::Destination])?;
        match u.int_in_range(0..=7)? {
            0 | 1 => self.break_wire(),
            2 | 3 => self.source_notices(),
            4 | 5 => self.destination_notices(),
            6 => self.die(side),
            _ => {
                self.die(side);
                self.breaks.liar = self.breaks.liar.or(Some(side));
            }
        }
        Ok(())
    }

    /// One of those that are left does what it may.
    pub(super) fn go_on_after_a_break(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match (u.int_in_range(0..=9)?, self.breaks.liar) {
            (0, _) => self.source_notices(),
            (1, _) => self.destination_notices(),
            (2, _) => self.break_wire(),
            (3, _) => self.reclaim(),
            (4, _) if u.ratio(1, 4)? => self.source_gives_up(),
            (5, _) if u.ratio(1, 4)? => self.destination_gives_up(),
            (6 | 7, Some(Side::Source)) => self.lie_to_destination(u)?,
            (6.., Some(Side::Destination)) => self.lie_to_source(u)?,
            _ => self.ask(),
        }
        Ok(())
    }

    /// What is on its way is lost, and nobody knows.
    pub(super) fn break_wire(&mut self) {
        self.disturbed = true;
        self.breaks.wire_is_whole = false;
        (self.control, self.bulk, self.to_source) = Default::default();
    }

    fn source_notices(&mut self) {
        if self.breaks.source_is_dead || self.source_ended {
            return;
        }
        self.break_wire();
        self.breaks.source_sees_link = false;
        self.transmitting.clear();
        self.tell_source(SourceInput::LinkLost { reason: reason() });
    }

    fn destination_notices(&mut self) {
        if self.breaks.destination_is_dead {
            return;
        }
        self.break_wire();
        self.breaks.destination_sees_link = false;
        self.breaks.taken.clear();
        self.tell_destination(DestinationInput::LinkLost { reason: reason() });
    }

    fn die(&mut self, side: Side) {
        self.break_wire();
        match side {
            Side::Source => {
                self.breaks.source_is_dead = true;
                self.breaks.source_sees_link = false;
                self.source_ended = true;
                self.transmitting.clear();
            }
            Side::Destination => {
                self.breaks.destination_is_dead = true;
                self.breaks.destination_sees_link = false;
                self.destination_ended = true;
            }
        }
    }

    /// The source makes a new connection, and asks the destination what it has; or says that it has
    /// the guest.
    fn ask(&mut self) {
        let returned = self.source.report().returned.clone();
        let is_paused = self.source.is_paused() && !self.breaks.source_sees_link;
        if self.breaks.source_is_dead || returned.is_none() && !is_paused {
            return;
        }
        self.destination_notices();
        if let Some((_, reason)) = returned {
            return self.tell_destination(DestinationInput::Withdrawn { reason });
        }
        self.break_wire();
        self.breaks.wire_is_whole = true;
        let answer = match self.breaks.destination_is_dead {
            true => RecoveryAnswer::Unknown,
            false => self.destination.answer_recovery(),
        };
        self.say_to_source(Said::Answer(answer));
    }

    /// The destination's first word is at the source.
    pub(super) fn hear_answer(&mut self, answer: RecoveryAnswer) {
        if self.source_ended || !self.source.is_paused() {
            return self.break_wire();
        }
        if let RecoveryAnswer::Goes(recovery) = &answer
            && recovery.resumed
        {
            let pages = self.breaks.sent.iter().filter(|page| recovery.arrived.contains(**page));
            let taken: Vec<_> = pages.map(|page| (*page, 1)).collect();
            self.give_up_memory(&taken);
        }
        self.breaks.source_sees_link = true;
        self.tell_source(SourceInput::Recovered(answer));
        if self.source.is_paused() {
            self.breaks.source_sees_link = false;
            self.break_wire();
        }
    }

    fn source_gives_up(&mut self) {
        if !self.source_ended && self.source.is_paused() {
            self.breaks.somebody_gave_up = true;
            self.tell_source(SourceInput::DestinationLost { reason: reason() });
            assert!(self.source_ended, "a source that has given up is not at its end");
        }
    }

    fn destination_gives_up(&mut self) {
        if !self.breaks.destination_is_dead && self.destination.is_paused() {
            self.breaks.somebody_gave_up = true;
            let is_dead = self.breaks.source_is_dead;
            self.tell_destination(DestinationInput::SourceLost { reason: reason(), is_dead });
        }
    }

    /// An operator's word. The source goes on if and only if it has said that it may.
    fn reclaim(&mut self) {
        if self.source_ended {
            return;
        }
        let handed_over = self.source.has_handed_over();
        let is_safe = matches!(self.source.reclaim(), Reclaim::Safe(_));
        assert!(!is_safe || handed_over && self.source.is_paused());
        let keeps_all = !self.breaks.gave_up_memory || self.breaks.liar.is_some();
        assert!(!is_safe || keeps_all, "a guest of which memory was given up may be taken back");
        if is_safe && self.breaks.gave_up_memory {
            // The driver refuses it, too.
            return;
        }
        self.breaks.is_reclaimed |= is_safe;
        self.tell_source(SourceInput::Reclaimed { reason: reason() });
        assert_eq!(self.source.report().returned.is_some(), is_safe);
    }

    /// A page, or a word, of a source that is none.
    fn lie_to_destination(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        self.destination_notices();
        let word = SourceRecovery { head_start_done: u.arbitrary()?, on_disk: any_map(u)? };
        self.tell_destination(DestinationInput::Recovered(Box::new(word)));
        for _ in 0..u.int_in_range(0..=3)? {
            let page = PageNumber(u.int_in_range(0..=self.pages() - 1)?);
            let notice = match u.int_in_range(0..=2)? {
                0 => Notice::HeadStart,
                1 => Notice::NotResident { page },
                _ => Notice::Dropped { page },
            };
            self.tell_destination(DestinationInput::Received(notice));
        }
        self.destination_notices();
        Ok(())
    }

    /// A destination that is none answers, and goes on so.
    fn lie_to_source(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let answer = any_answer(u)?;
        if self.source_ended || !self.source.is_paused() || self.denies_what_it_has_taken(&answer) {
            return Ok(());
        }
        self.break_wire();
        self.breaks.wire_is_whole = true;
        self.hear_answer(answer);
        for _ in 0..u.int_in_range(0..=3)? {
            let page = PageNumber(u.int_in_range(0..=self.pages() - 1)?);
            let reply = match u.int_in_range(0..=3)? {
                0 => Reply::Request { page },
                1 => Reply::Overwritten { page },
                2 => Reply::Progress { accesses: u.arbitrary()? },
                _ => Reply::Complete,
            };
            self.say_to_source(Said::Reply(reply));
        }
        Ok(())
    }

    /// What the driver of a source refuses.
    fn denies_what_it_has_taken(&self, answer: &RecoveryAnswer) -> bool {
        let denies = match answer {
            RecoveryAnswer::ThrownAway { .. } => true,
            RecoveryAnswer::Goes(recovery) => !recovery.resumed && !recovery.complete,
            RecoveryAnswer::Lost { .. } | RecoveryAnswer::Unknown => false,
        };
        denies && self.breaks.gave_up_memory
    }

    fn destination_knows_its_end(&self) -> bool {
        let report = self.destination.report();
        report.completed_at.is_some() || report.lost.is_some() || report.thrown_away.is_some()
    }

    fn pages(&self) -> u32 {
        self.spec.pages
    }

    /// The destination acknowledges what it has taken, but only once the guest runs there.
    pub(super) fn acknowledge(&mut self, pages: Option<PageMessage>) {
        if !self.in_pages {
            return;
        }
        let taken = pages.filter(|page| page.cause != Cause::Round);
        self.breaks.taken.extend(taken.map(|message| (message.page, message.count)));
        if Destination::may_acknowledge(&self.destination) && !self.breaks.taken.is_empty() {
            let taken = std::mem::take(&mut self.breaks.taken);
            self.say_to_source(Said::Taken(taken));
        }
    }

    /// The source gives up what is acknowledged.
    pub(super) fn give_up_memory(&mut self, taken: &[(PageNumber, u32)]) {
        let memory = self.source.handed_over_memory().and_then(Memory::bytes_mut);
        let Some(memory) = memory else { return };
        for (first, count) in taken {
            self.breaks.gave_up_memory = true;
            memory.run_mut(*first, *count).fill(GIVEN_UP);
        }
    }

    /// Nothing fails any more: whoever is left finds the other one, or hears what became of it.
    pub(super) fn mend(&mut self) {
        if !self.is_broken() || self.is_over() {
            return;
        }
        let answer_is_on_its_way = matches!(self.to_source.front(), Some(Said::Answer(_)));
        let word_is_on_its_way = matches!(self.control.front(), Some(Coming::GoesOn(_)));
        if answer_is_on_its_way || word_is_on_its_way {
            return;
        }
        if !self.source_ended {
            self.source_notices();
            self.ask();
            if self.breaks.destination_is_dead {
                self.deliver_reply();
                self.reclaim();
                // What a liar has made of it may be neither.
                self.source_gives_up();
            }
        } else if self.source.report().returned.is_some() && !self.breaks.source_is_dead {
            self.ask();
        } else if !self.breaks.destination_is_told && !self.destination_knows_its_end() {
            self.destination_notices();
            self.breaks.destination_is_told = true;
            self.destination_gives_up();
        }
    }
}
