//! Messages on the link: when each was sent, when it arrived, and how busy that kept the link.

use super::lines::{Lines, Track};
use lazycopy_migration::{Cause, Fate, Side};
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES, PageNumber};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::io;

/// The span over which the link's use is counted: a tenth of a second from the beginning of time
/// on, as for `bandwidth_peak`.
const WINDOW_NANOS: u64 = 100_000_000;

/// The most of such spans that one message takes: hours. What a broken log gives one more is cut.
const MOST_WINDOWS: u64 = 100_000;

const NANOS_PER_SEC: f64 = 1e9;

/// The name of a lane.
pub(super) fn lane(cause: Cause) -> &'static str {
    match cause {
        Cause::Round => "round",
        Cause::Background => "background",
        Cause::Forward => "forward",
        Cause::Demand => "demand",
    }
}

fn track(cause: Cause) -> Track {
    match cause {
        Cause::Round => Track::Round,
        Cause::Background => Track::Background,
        Cause::Forward => Track::ForwardLane,
        Cause::Demand => Track::Demand,
    }
}

/// A page on its way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    page: PageNumber,
    cause: Cause,
    begins: Instant,
    /// When the next message began: its transmission was over then.
    next: Option<Instant>,
}

/// The context on its way.
#[derive(Clone, Copy, Debug)]
struct Context {
    begins: Instant,
    ends: Option<Instant>,
    bytes: u64,
}

/// The link. What it holds are the messages that have not arrived.
#[derive(Debug)]
pub(super) struct Link {
    latency: Duration,
    /// By the order in which they were sent.
    sent: BTreeMap<u64, Sent>,
    /// Where the messages with a page are.
    of_page: BTreeMap<PageNumber, VecDeque<u64>>,
    messages: u64,
    context: Option<Context>,
    meter: Meter,
}

impl Link {
    pub fn new(latency: Duration) -> Self {
        Link {
            latency,
            sent: BTreeMap::new(),
            of_page: BTreeMap::new(),
            messages: 0,
            context: None,
            meter: Meter::default(),
        }
    }

    /// A transmission begins: the one before is over.
    fn begins(&mut self, at: Instant) {
        if let Some(before) = self.sent.get_mut(&self.messages) {
            before.next = Some(at);
        }
        self.messages += 1;
    }

    pub fn sent(&mut self, at: Instant, page: PageNumber, cause: Cause) {
        self.begins(at);
        self.sent.insert(self.messages, Sent { page, cause, begins: at, next: None });
        self.of_page.entry(page).or_default().push_back(self.messages);
    }

    pub fn context(&mut self, at: Instant, bytes: u64) {
        self.begins(at);
        self.context = Some(Context { begins: at, ends: None, bytes });
    }

    pub fn context_sent(&mut self, at: Instant) {
        if let Some(context) = &mut self.context {
            context.ends = Some(at);
        }
    }

    pub fn context_arrived<W: io::Write>(
        &mut self,
        lines: &mut Lines<W>,
        at: Instant,
    ) -> io::Result<()> {
        let Some(context) = self.context.take() else { return Ok(()) };
        self.context_over(lines, context, at)?;
        let args = json!({ "bytes": context.bytes });
        lines.slice(Track::Arrivals, (at, at), "context", args)?;
        lines.flow((Track::Context, context.begins), (Track::Arrivals, at))
    }

    fn context_over<W: io::Write>(
        &mut self,
        lines: &mut Lines<W>,
        Context { begins, ends, bytes }: Context,
        now: Instant,
    ) -> io::Result<()> {
        let span = (begins, ends.unwrap_or(now));
        lines.slice(Track::Context, span, "context", json!({ "bytes": bytes }))?;
        self.meter.record(span, bytes);
        self.flush(lines)
    }

    pub fn arrived<W: io::Write>(
        &mut self,
        lines: &mut Lines<W>,
        at: Instant,
        page: PageNumber,
        cause: Cause,
        fate: Fate,
    ) -> io::Result<()> {
        let sent = self.of_page.get_mut(&page).and_then(VecDeque::pop_front);
        if self.of_page.get(&page).is_some_and(VecDeque::is_empty) {
            self.of_page.remove(&page);
        }
        let sent = sent.and_then(|number| self.sent.remove(&number));
        if let Some(sent) = sent {
            let ends = at.saturating_sub(self.latency);
            self.transmitted(lines, sent, ends)?;
        }
        let name = format!("{} Page{page}", lane(cause));
        let args = json!({ "page": page, "cause": cause, "fate": fate });
        lines.slice(Track::Arrivals, (at, at), &name, args)?;
        match sent {
            Some(sent) => {
                lines.flow((track(sent.cause), sent.begins), (Track::Arrivals, at))?;
                self.flush(lines)
            }
            None => Ok(()),
        }
    }

    fn transmitted<W: io::Write>(
        &mut self,
        lines: &mut Lines<W>,
        sent: Sent,
        ends: Instant,
    ) -> io::Result<()> {
        let ends = sent.next.map_or(ends, |next| next.min(ends)).max(sent.begins);
        let name = format!("{} Page{}", lane(sent.cause), sent.page);
        let args = json!({ "page": sent.page, "cause": sent.cause });
        lines.slice(track(sent.cause), (sent.begins, ends), &name, args)?;
        self.meter.record((sent.begins, ends), PAGE_MESSAGE_BYTES);
        Ok(())
    }

    /// Tells the use of the link as far as all its messages are known.
    fn flush<W: io::Write>(&mut self, lines: &mut Lines<W>) -> io::Result<()> {
        let context = self.context.map(|context| context.begins);
        let page = self.sent.first_key_value().map(|(_, sent)| sent.begins);
        let open = context.into_iter().chain(page).min();
        self.meter.tell(lines, open)
    }

    /// What never arrived was on the link at most to the end.
    pub fn finish<W: io::Write>(&mut self, lines: &mut Lines<W>, ends: Instant) -> io::Result<()> {
        if let Some(context) = self.context.take() {
            self.context_over(lines, context, ends)?;
        }
        while let Some((_, sent)) = self.sent.pop_first() {
            self.transmitted(lines, sent, sent.next.unwrap_or(sent.begins))?;
        }
        self.meter.finish(lines)
    }
}

/// Bytes of each tenth of a second, as long as they may still grow.
#[derive(Debug, Default)]
struct Meter {
    windows: BTreeMap<u64, f64>,
    /// The window after the last one that was told, and what it was told to have.
    told: Option<(u64, f64)>,
}

impl Meter {
    /// Spreads the bytes of a message evenly over its time.
    fn record(&mut self, (begins, ends): (Instant, Instant), bytes: u64) {
        let begin = begins.as_nanos();
        let end = ends.as_nanos().min(begin.saturating_add(MOST_WINDOWS * WINDOW_NANOS));
        let (first, last) = (begin / WINDOW_NANOS, end.saturating_sub(1).max(begin) / WINDOW_NANOS);
        if first == last {
            *self.windows.entry(first).or_default() += bytes as f64;
            return;
        }
        for window in first..=last {
            let from = begin.max(window * WINDOW_NANOS);
            let until = end.min((window + 1).saturating_mul(WINDOW_NANOS));
            let share = (until - from) as f64 / (end - begin) as f64;
            *self.windows.entry(window).or_default() += bytes as f64 * share;
        }
    }

    /// Tells the windows that no message to come falls into: those before `open`.
    fn tell<W: io::Write>(
        &mut self,
        lines: &mut Lines<W>,
        open: Option<Instant>,
    ) -> io::Result<()> {
        let last = self.windows.last_key_value().map_or(0, |(window, _)| *window);
        let until = open.map_or(last, |open| open.as_nanos() / WINDOW_NANOS).min(last);
        let later = self.windows.split_off(&until);
        for (window, bytes) in std::mem::replace(&mut self.windows, later) {
            self.put(lines, window, bytes)?;
        }
        Ok(())
    }

    fn finish<W: io::Write>(&mut self, lines: &mut Lines<W>) -> io::Result<()> {
        for (window, bytes) in std::mem::take(&mut self.windows) {
            self.put(lines, window, bytes)?;
        }
        match self.told {
            Some((next, _)) => value(lines, next, 0.0),
            None => Ok(()),
        }
    }

    /// A value is told where it differs from the one before.
    fn put<W: io::Write>(
        &mut self,
        lines: &mut Lines<W>,
        window: u64,
        bytes: f64,
    ) -> io::Result<()> {
        let rate = bytes * NANOS_PER_SEC / WINDOW_NANOS as f64;
        match self.told {
            Some((next, _)) if next < window => {
                value(lines, next, 0.0)?;
                value(lines, window, rate)?;
            }
            // What differs by rounding alone is the same.
            Some((_, before)) if (before - rate).abs() < 0.5 => {}
            _ => value(lines, window, rate)?,
        }
        self.told = Some((window + 1, rate));
        Ok(())
    }
}

fn value<W: io::Write>(lines: &mut Lines<W>, window: u64, rate: f64) -> io::Result<()> {
    let at = Instant::from_nanos(window.saturating_mul(WINDOW_NANOS));
    lines.counter(Side::Source, at, "link", json!({ "bytes_per_second": rate.round() }))
}
