//! The two servers of a migration, each with its machine, its driver and what it makes of frames:
//! one by itself with a peer that says what it likes, and both, whose clocks and connection do
//! what they like.

use super::guests::{any_offer, any_span};
use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use lazycopy_guest::{PageContents, Registers, reference_run};
use lazycopy_migration::{
    Cause, DestinationRecovery, Notice, Outcome, PageCounts, PageMap, PageMessage, RecoveryAnswer,
    Reply, Residency, ResidencyList, SourceRecovery, Verdict,
};
use lazycopy_protocol::control::PeerEnd;
use lazycopy_protocol::frame::{PeerCodec, PeerFrame};
use lazycopy_protocol::lists::{encode_disk, encode_map, encode_residency};
use lazycopy_protocol::pace::Pace;
use lazycopy_protocol::page::encode_page;
use lazycopy_protocol::peer::{ContextFrame, Offer, PeerMessage};
use lazycopy_protocol::plane::{
    BatchHeader, BatchKind, Encoding, PageEntry, checksum, content_hash,
};
use lazycopy_server::fuzzing::LoneSide;
use lazycopy_units::{Duration, Instant, PAGE_BYTES, PageNumber};
use std::sync::Arc;
use tokio_util::codec::{Decoder, Encoder};

/// Longer than what has come over a short link may still be under way.
const LONG: Duration = Duration::from_secs(30);

/// Turns in which that passes.
const TURNS_IN_LONG: u32 = 16;

/// Turns that a migration may take to its end.
const MOST_TURNS: u32 = 400;

/// So long is such a turn.
const TURN: Duration = Duration::from_millis(50);

/// A destination, told anything by the source.
pub fn destination(data: &[u8]) {
    let _ = hostile_source(&mut Unstructured::new(data));
}

/// A source, told anything by the destination.
pub fn source(data: &[u8]) {
    let _ = hostile_destination(&mut Unstructured::new(data));
}

/// Both sides, over a connection that delays and may break.
pub fn sides(data: &[u8]) {
    let _ = whole_migration(&mut Unstructured::new(data));
}

fn hostile_source(u: &mut Unstructured<'_>) -> Result<()> {
    let unlimited = u.ratio(1, 3)?;
    let offer = any_offer(u, unlimited, true)?;
    let Ok(mut side) = LoneSide::destination(&offer) else { return Ok(()) };
    let mut batches = 0;
    let mut said = Said::default();
    while !u.is_empty() {
        match u.int_in_range(0..=9)? {
            0..=2 => drop(side.go_on_to(side.now().saturating_add(any_span(u, false)?))),
            3 if u.ratio(1, 4)? => side.lose("it was cut".to_owned()),
            5 if !side.is_connected() => {
                let answered = side.answer().map(|frames| frames.into_iter().for_each(check_pass));
                let word = source_word(u)?;
                if answered.is_some() && side.regain(word.into_iter().map(pass).collect()).is_ok() {
                    said.may_repeat();
                }
            }
            6 if u.ratio(1, 16)? => side.give_up(),
            7 if u.ratio(1, 32)? => side.peer_ended(any_end(u)?),
            4 if u.ratio(1, 4)? => {
                let length = u.int_in_range(0..=64)?;
                hear_bytes(&mut side, u.bytes(length.min(u.len()))?);
            }
            _ => {
                if let Some(frame) = source_frame(u, &offer, side.now(), &mut batches)? {
                    side.hear(frame);
                }
            }
        }
        said.check(&mut side);
    }
    side.lose("the source is gone".to_owned());
    wait_out(&mut side);
    side.give_up();
    let done = wait_out(&mut side);
    said.check(&mut side);
    let report = side.destination_report().unwrap_or_default();
    let known = report.completed_at.is_some() || report.lost.is_some() || side.is_over();
    let waited = done && offer.link.latency() < TURN;
    assert!(known || !waited, "a destination without a source came to no end: {report:?}");
    Ok(())
}

/// Time goes on until everything that has come is due. Whether it was done: a guest that runs may
/// have more to do than there are turns.
fn wait_out(side: &mut LoneSide) -> bool {
    let at = side.now().saturating_add(LONG);
    (0..TURNS_IN_LONG).any(|_| side.is_over() || side.go_on_to(at))
}

/// What a destination has said.
#[derive(Default)]
struct Said {
    complete: bool,
    thrown_away: bool,
    /// On a new connection it may be said again.
    may_throw_again: bool,
}

impl Said {
    /// There is a new connection.
    fn may_repeat(&mut self) {
        self.complete = false;
        self.may_throw_again = true;
    }

    fn check(&mut self, side: &mut LoneSide) {
        while let Some(frame) = side.next_frame() {
            match pass(frame) {
                PeerFrame::Message(PeerMessage::Reply { reply: Reply::Complete, .. }) => {
                    assert!(!std::mem::replace(&mut self.complete, true), "complete twice");
                }
                PeerFrame::Message(PeerMessage::Reply {
                    reply: Reply::ThrownAway { .. }, ..
                }) => {
                    let again = std::mem::replace(&mut self.thrown_away, true);
                    let may = std::mem::take(&mut self.may_throw_again);
                    assert!(!again || may, "thrown away twice");
                }
                _ => {}
            }
        }
        let report = side.destination_report().unwrap_or_default();
        let resumed = report.resumed_at.is_some();
        assert!(!(resumed && self.thrown_away), "a guest was resumed and thrown away");
        assert!(!(report.lost.is_some() && side.guest().is_some()), "a lost guest is here");
        assert!(report.completed_at.is_none() || resumed, "complete before the resume");
    }
}

/// A frame over the wire.
fn pass(frame: PeerFrame) -> PeerFrame {
    let mut bytes = BytesMut::new();
    PeerCodec::new().encode(frame, &mut bytes).expect("a side's frame can be sent");
    let came = PeerCodec::new().decode_eof(&mut bytes).expect("a side's frame can be read");
    came.expect("it is whole")
}

fn check_pass(frame: PeerFrame) {
    assert_eq!(pass(frame.clone()), frame);
}

/// The page map of a guest of so many pages, or of another one.
fn any_map(u: &mut Unstructured<'_>) -> Result<PeerFrame> {
    let words: Result<Vec<u64>> = (0..u.int_in_range(0..=2)?).map(|_| u.arbitrary()).collect();
    let mut words = words?;
    if u.ratio(7, 8)? {
        words.truncate(1);
        words.iter_mut().for_each(|word| *word &= 0xff);
    }
    Ok(PeerFrame::Map(encode_map(&PageMap::from_words(words))))
}

/// What a source may say first on a new connection, or may not.
fn source_word(u: &mut Unstructured<'_>) -> Result<Vec<PeerFrame>> {
    let word = match u.int_in_range(0..=7)? {
        0 => any_message(u)?,
        _ => PeerMessage::GoesOn(Box::new(SourceRecovery {
            head_start_done: u.arbitrary()?,
            on_disk: PageMap::default(),
        })),
    };
    Ok(vec![any_map(u)?, PeerFrame::Message(word)])
}

/// What a destination may answer, or may not.
fn destination_word(u: &mut Unstructured<'_>) -> Result<Vec<PeerFrame>> {
    let reason = "a reason".to_owned();
    let answer = match u.int_in_range(0..=9)? {
        0 => RecoveryAnswer::ThrownAway { reason },
        1 => RecoveryAnswer::Lost { reason },
        2 => RecoveryAnswer::Unknown,
        3 => return Ok(vec![PeerFrame::Message(any_message(u)?)]),
        _ => RecoveryAnswer::Goes(DestinationRecovery {
            context_came: u.arbitrary()?,
            resumed: u.arbitrary()?,
            complete: u.ratio(1, 8)?,
            accesses: any_count(u, 10)?,
            counts: PageCounts {
                round: any_count(u, 0)?,
                background: any_count(u, 2)?,
                forward: any_count(u, 1)?,
                demand: any_count(u, 1)?,
            },
            arrived: PageMap::default(),
        }),
    };
    Ok(vec![any_map(u)?, PeerFrame::Message(PeerMessage::Recovery(Box::new(answer)))])
}

/// What the manager may say of the other side.
fn any_end(u: &mut Unstructured<'_>) -> Result<PeerEnd> {
    let reason = "a reason".to_owned();
    Ok(match u.int_in_range(0..=3)? {
        0 => PeerEnd::Dead,
        1 => PeerEnd::ThrownAway { reason },
        2 => PeerEnd::Withdrawn { reason },
        _ => PeerEnd::Lost { reason },
    })
}

/// Bytes as one payload.
fn hear_bytes(side: &mut LoneSide, payload: &[u8]) {
    let mut bytes = BytesMut::from(&(payload.len() as u32).to_be_bytes()[..]);
    bytes.extend_from_slice(payload);
    match PeerCodec::new().decode_eof(&mut bytes) {
        Ok(Some(frame)) => side.hear(frame),
        Ok(None) => {}
        Err(error) => side.lose(error.to_string()),
    }
}

fn any_page(u: &mut Unstructured<'_>, pages: u32) -> Result<PageNumber> {
    Ok(PageNumber(if u.ratio(1, 32)? { u.arbitrary()? } else { u.int_in_range(0..=pages - 1)? }))
}

/// An instant that a message may name: soon, long ago, or never.
fn any_instant(u: &mut Unstructured<'_>, now: Instant) -> Result<Instant> {
    Ok(match u.int_in_range(0..=15)? {
        0 => Instant::from_nanos(u.arbitrary()?),
        1 => Instant::MAX,
        2 => Instant::ZERO,
        _ => now.saturating_add(Duration::from_nanos(u.int_in_range(0..=5_000_000)?)),
    })
}

fn any_count(u: &mut Unstructured<'_>, usual: u64) -> Result<u64> {
    if u.ratio(1, 8)? { u.arbitrary() } else { Ok(usual) }
}

fn source_frame(
    u: &mut Unstructured<'_>,
    offer: &Offer,
    now: Instant,
    batches: &mut u64,
) -> Result<Option<PeerFrame>> {
    let pages = offer.spec.pages;
    Ok(Some(match u.int_in_range(0..=11)? {
        0 => {
            let entries: Result<ResidencyList> = (0..u.int_in_range(0..=8)?)
                .map(|_| {
                    let page = u.int_in_range(0..=pages - 1)?;
                    let (dirty, current) = (u.arbitrary()?, u.arbitrary()?);
                    Ok(Residency { page: PageNumber(page), dirty, current })
                })
                .collect();
            match encode_residency(&entries?, 0) {
                Some((part, _)) => PeerFrame::Residency(part),
                None => return Ok(None),
            }
        }
        1 => {
            let written: Result<Vec<_>> = (0..u.int_in_range(1..=4)?)
                .map(|_| Ok((any_page(u, pages)?, u.arbitrary()?)))
                .collect();
            match encode_disk(&written?).next() {
                Some(part) => PeerFrame::Disk(part),
                None => return Ok(None),
            }
        }
        2 | 3 => PeerFrame::Message(PeerMessage::Context(Box::new(ContextFrame {
            deliver_at: any_instant(u, now)?,
            registers: Registers {
                accesses: any_count(u, offer.position)?,
                digest: u.arbitrary()?,
                misses: any_count(u, offer.position)?,
            },
            bytes: any_count(u, 4_112)?,
        }))),
        4 | 5 => {
            let notice = match u.int_in_range(0..=2)? {
                0 => Notice::HeadStart,
                1 => Notice::NotResident { page: any_page(u, pages)? },
                _ => Notice::Dropped { page: any_page(u, pages)? },
            };
            PeerFrame::Message(PeerMessage::Notice { deliver_at: any_instant(u, now)?, notice })
        }
        6 => PeerFrame::Message(any_message(u)?),
        _ if offer.link.is_unlimited() => batch(u, offer, batches)?,
        _ => {
            let at = any_instant(u, now)?;
            PeerFrame::Page(page(u, offer, at)?)
        }
    }))
}

const CAUSES: [Cause; 4] = [Cause::Round, Cause::Background, Cause::Forward, Cause::Demand];

fn page(u: &mut Unstructured<'_>, offer: &Offer, at: Instant) -> Result<Bytes> {
    let message = PageMessage {
        page: any_page(u, offer.spec.pages)?,
        count: 1,
        stamp: Some(u.arbitrary()?),
        dirty: u.arbitrary()?,
        cause: *u.choose(&CAUSES)?,
    };
    let mut bytes = BytesMut::new();
    encode_page(&PageContents::of(&offer.spec), &message, at, &mut bytes);
    Ok(bytes.freeze())
}

/// A batch of a page or two, as the page plane has them, mostly right.
fn batch(u: &mut Unstructured<'_>, offer: &Offer, batches: &mut u64) -> Result<PeerFrame> {
    const PAGE: usize = PAGE_BYTES as usize;
    let contents = PageContents::of(&offer.spec);
    let (mut entries, mut bodies, mut count) = (Vec::new(), Vec::new(), 0);
    for _ in 0..u.int_in_range(1..=3)? {
        let page = any_page(u, offer.spec.pages)?;
        let mut content = [0; PAGE];
        let encoding = *u.choose(&[Encoding::Whole, Encoding::Zero, Encoding::Kept])?;
        if encoding != Encoding::Zero {
            contents.fill(page, u.arbitrary()?, &mut content);
            bodies.extend_from_slice(&content);
        }
        let entry = PageEntry {
            page,
            encoding,
            body_bytes: if encoding == Encoding::Zero { 0 } else { PAGE as u16 },
            cause: *u.choose(&CAUSES)?,
            dirty: u.arbitrary()?,
            checksum: checksum(page, content_hash(&content)),
        };
        entries.extend_from_slice(&entry.encode());
        count += 1;
    }
    let header = BatchHeader {
        kind: BatchKind::Pages,
        pages: count,
        body_bytes: bodies.len() as u32,
        number: *batches,
    };
    *batches += 1;
    Ok(PeerFrame::Batch([&header.encode()[..], &entries, &bodies].concat().into()))
}

/// A message that has nothing to do with pages.
fn any_message(u: &mut Unstructured<'_>) -> Result<PeerMessage> {
    let text = || "a reason".to_owned();
    Ok(match u.int_in_range(0..=9)? {
        0 => PeerMessage::Released,
        1 => PeerMessage::Withdrawn {
            verdict: Verdict { outcome: Outcome::Cancelled, reason: text() },
        },
        2 => PeerMessage::Accept,
        3 => PeerMessage::Refuse { reason: text() },
        4 => PeerMessage::Ping { number: u.arbitrary()? },
        5 => PeerMessage::Acknowledged { connection: u.arbitrary()?, batches: u.arbitrary()? },
        6 => PeerMessage::Begin {
            zero_clock_ns: u.arbitrary()?,
            uncertainty_ns: u.arbitrary()?,
            pace: Pace::default(),
        },
        7 => PeerMessage::AreYouThere,
        8 => PeerMessage::Here,
        _ => PeerMessage::Reply { deliver_at: Instant::ZERO, reply: Reply::Complete },
    })
}

fn hostile_destination(u: &mut Unstructured<'_>) -> Result<()> {
    let offer = any_offer(u, false, true)?;
    let Ok(mut side) = LoneSide::source(&offer) else { return Ok(()) };
    let pages = offer.spec.pages;
    // Somebody said that the guest never ran at the destination.
    let mut thrown_away = false;
    while !u.is_empty() {
        match u.int_in_range(0..=9)? {
            0..=3 => drop(side.go_on_to(side.now().saturating_add(any_span(u, false)?))),
            4 if u.ratio(1, 8)? => side.lose("it was cut".to_owned()),
            4 if u.ratio(1, 4)? => side.cancel(),
            6 | 7 if side.is_paused() && !side.is_connected() => {
                let frames: Vec<_> = destination_word(u)?.into_iter().map(pass).collect();
                thrown_away |= frames.iter().any(throws_away) && side.regain(frames).is_ok();
            }
            8 if u.ratio(1, 16)? => side.give_up(),
            8 if u.ratio(1, 16)? => thrown_away |= side.reclaim().is_ok(),
            9 if u.ratio(1, 32)? => {
                let end = any_end(u)?;
                thrown_away |= matches!(end, PeerEnd::ThrownAway { .. });
                side.peer_ended(end);
            }
            5 if u.ratio(1, 4)? => {
                let message = any_message(u)?;
                side.hear(PeerFrame::Message(message));
            }
            _ => {
                let reply = match u.int_in_range(0..=15)? {
                    0 => Reply::Complete,
                    1 => Reply::ThrownAway { reason: "it cannot be opened".to_owned() },
                    2..=4 => Reply::Overwritten { page: any_page(u, pages)? },
                    5..=7 => Reply::Progress { accesses: any_count(u, 10)? },
                    _ => Reply::Request { page: any_page(u, pages)? },
                };
                thrown_away |= matches!(reply, Reply::ThrownAway { .. });
                let deliver_at = any_instant(u, side.now())?;
                side.hear(PeerFrame::Message(PeerMessage::Reply { deliver_at, reply }));
            }
        }
        check_source(&mut side, thrown_away);
    }
    side.lose("the destination is gone".to_owned());
    wait_out(&mut side);
    side.give_up();
    if side.is_paused() {
        side.reclaim().expect("nothing else is waited for");
        thrown_away = true;
    }
    let done = wait_out(&mut side);
    check_source(&mut side, thrown_away);
    let waited = done && offer.link.latency() < TURN;
    let report = side.source_report();
    assert!(side.is_over() || !waited, "a source without a destination came to no end: {report:?}");
    Ok(())
}

fn throws_away(frame: &PeerFrame) -> bool {
    let PeerFrame::Message(PeerMessage::Recovery(answer)) = frame else { return false };
    matches!(**answer, RecoveryAnswer::ThrownAway { .. })
}

/// The guest is the source's until the hand-over, and after it only by the destination's word, or
/// an operator's.
fn check_source(side: &mut LoneSide, thrown_away: bool) {
    while let Some(frame) = side.next_frame() {
        pass(frame);
    }
    let report = side.source_report().unwrap_or_default();
    let has_guest = side.guest().is_some();
    match (report.handover_at, &report.returned) {
        (None, _) => assert!(has_guest, "a guest is gone that was not handed over: {report:?}"),
        (Some(_), None) => assert!(!has_guest, "a guest is here that was handed over"),
        (Some(_), Some(_)) => assert!(thrown_away && has_guest, "a guest returned by itself"),
    }
}

/// The two sides and their connection.
struct Both {
    source: LoneSide,
    destination: LoneSide,
    parted: bool,
}

impl Both {
    fn pass_to_destination(&mut self, most: u32) {
        for _ in 0..most {
            let Some(frame) = self.source.next_frame() else { return self.say_farewell() };
            if self.source.is_connected() {
                self.destination.hear(pass(frame));
            }
        }
    }

    /// Everything has been said.
    fn say_farewell(&mut self) {
        if self.source.is_over() && self.source.is_connected() && !self.parted {
            self.parted = true;
            let farewell = self.source.farewell().expect("it is a source");
            self.destination.hear(pass(farewell));
        }
    }

    fn pass_to_source(&mut self, most: u32) {
        for _ in 0..most {
            let Some(frame) = self.destination.next_frame() else { break };
            if self.destination.is_connected() {
                self.source.hear(pass(frame));
            }
        }
    }

    /// A connection has two ends: whichever side closes it, both lose it.
    fn break_together(&mut self) {
        if !self.destination.is_connected() && !self.parted {
            self.source.lose("it was closed".to_owned());
        }
        if !self.source.is_connected() {
            self.destination.lose("it was closed".to_owned());
        }
    }

    fn cut(&mut self) {
        self.source.lose("it was cut".to_owned());
        self.destination.lose("it was cut".to_owned());
    }

    /// The source comes back on a new connection, if it is paused or has its last word to say.
    fn come_back(&mut self) {
        if self.source.is_connected() || !self.source.is_over() && !self.source.is_paused() {
            return;
        }
        let Some(answer) = self.destination.answer() else { return };
        if !self.source.is_over() {
            let answer = answer.into_iter().map(pass).collect();
            self.source.regain(answer).expect("a destination's answer is right");
            if self.source.is_connected() && !self.source.is_over() {
                let word = [self.source.next_frame(), self.source.next_frame()];
                let word = word.into_iter().flatten().map(pass).collect();
                return self.destination.regain(word).expect("a source's word is right");
            }
        }
        if self.source.is_over() {
            let farewell = self.source.farewell().map(pass).into_iter().collect();
            self.parted = true;
            self.destination.regain(farewell).expect("a farewell is right");
        }
    }

    /// Nothing fails any more. What nobody else can decide, an operator does.
    fn mend(&mut self) {
        self.come_back();
        if self.source.is_paused() && self.destination.is_over() && !self.source.is_connected() {
            self.source.reclaim().expect("nothing else is waited for");
        }
        if self.source.is_over() && self.source.verdict().outcome == Outcome::Lost {
            self.destination.give_up();
        }
    }

    fn check(&self) {
        let resumed = self.destination.destination_report().unwrap_or_default().resumed_at;
        assert!(
            self.source.guest().is_none() || resumed.is_none(),
            "the guest is at the source and runs at the destination"
        );
    }

    fn turn(&mut self, by: Duration) {
        let at = self.source.now().max(self.destination.now()).saturating_add(by);
        self.source.go_on_to(at);
        self.pass_to_destination(u32::MAX);
        self.destination.go_on_to(at);
        self.pass_to_source(u32::MAX);
        self.break_together();
        self.check();
    }
}

fn whole_migration(u: &mut Unstructured<'_>) -> Result<()> {
    let offer = any_offer(u, false, false)?;
    let (source, destination) = (LoneSide::source(&offer), LoneSide::destination(&offer));
    let (Ok(source), Ok(destination)) = (source, destination) else { return Ok(()) };
    let mut both = Both { source, destination, parted: false };
    let (mut disturbed, mut given_up) = (false, false);
    while !u.is_empty() {
        let span = Duration::from_nanos(u.int_in_range(0..=10_000_000)?);
        match u.int_in_range(0..=7)? {
            0 => drop(both.source.go_on_to(both.source.now().saturating_add(span))),
            1 => drop(both.destination.go_on_to(both.destination.now().saturating_add(span))),
            2 => both.pass_to_destination(u.int_in_range(1..=8)?),
            3 => both.pass_to_source(u.int_in_range(1..=8)?),
            4 if u.ratio(1, 16)? => {
                both.cut();
                disturbed = true;
            }
            5 if u.ratio(1, 16)? => {
                both.source.cancel();
                disturbed = true;
            }
            6 if !both.source.is_connected() && u.ratio(1, 2)? => both.come_back(),
            7 if both.source.is_paused() && u.ratio(1, 8)? => {
                given_up = true;
                match u.int_in_range(0..=2)? {
                    0 => both.source.give_up(),
                    1 => both.destination.give_up(),
                    _ => drop(both.source.reclaim()),
                }
            }
            _ => both.turn(span),
        }
        both.break_together();
        both.check();
    }
    for _ in 0..MOST_TURNS {
        if both.source.is_over() && both.destination.is_over() {
            break;
        }
        both.turn(TURN);
        both.mend();
    }
    ends_well(&both, &offer, disturbed, given_up);
    Ok(())
}

/// What must hold of a migration that has come to its end.
fn ends_well(both: &Both, offer: &Offer, disturbed: bool, given_up: bool) {
    let source = both.source.source_report().unwrap_or_default();
    let destination = both.destination.destination_report().unwrap_or_default();
    assert!(both.source.is_over(), "the source came to no end: {source:?}");
    let stays = source.handover_at.is_none() || source.returned.is_some();
    assert_eq!(both.source.guest().is_some(), stays, "{source:?}");
    assert!(both.destination.is_over(), "the destination came to no end: {destination:?}");
    if stays {
        let never = source.never_converges_in.is_some();
        assert!(disturbed || never, "an undisturbed migration failed: {source:?}");
        assert_eq!(destination.resumed_at, None);
        return;
    }
    if !given_up {
        // A link that breaks after the hand-over costs time and nothing else.
        assert_eq!(both.source.verdict().outcome, Outcome::Completed, "{source:?}");
        assert!(destination.completed_at.is_some(), "{destination:?}");
    }
    if destination.lost.is_some() {
        return;
    }
    if !disturbed {
        assert_eq!(source.sent, destination.arrived);
    }
    let Some(ended) = destination.ended_registers else {
        assert!(disturbed, "an undisturbed guest never came: {destination:?}");
        assert_ne!(both.source.verdict().outcome, Outcome::Completed);
        return;
    };
    let spec = Arc::new(offer.spec.clone());
    let reference = reference_run(&spec, Duration::ZERO, 0, ended.accesses);
    let reference = reference.expect("it has no recording");
    assert_eq!(
        (ended.digest, destination.ended_pages_digest),
        (reference.registers.digest, Some(reference.pages_digest)),
        "the guest is not what it would have been"
    );
}
