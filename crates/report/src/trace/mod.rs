//! A migration as a trace that Perfetto opens (<https://ui.perfetto.dev>): Chrome's trace events,
//! one JSON object a line.
//!
//! ```text
//! source       migration          preparation with its rounds, downtime, resume time; the hand-over
//!              guest              where it runs, its ordinary page faults
//!              forward context    where it runs, its loads; what is dropped or withdrawn
//!              link: LANE         a slice for each page's transmission, and for the context's
//!              requests           what the source answers
//! destination  guest              where it runs; each stall with its page and what ended it
//!              measured accesses
//!              arrivals           each page, with its cause and fate; discards, duplicates
//! ```
//!
//! A flow leads from each message's transmission to its arrival. Counters tell pages arrived by
//! cause, faults and stall by what ended them, the miss ratio, the lead and the use of the link.
//! Instants are model time, exact to the nanosecond.

mod counters;
mod guests;
mod lines;
mod link;

use counters::{Lead, Misses};
use lazycopy_migration::{Event, EventKind, Fate, FaultEnd, Side};
use lazycopy_results::RunRecord;
use lazycopy_units::{Duration, Instant, PageNumber};
use lines::{Lines, Track};
use link::Link;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;

/// What the events of a run do not tell, or tell later than a trace needs it. It is made of the
/// first two, and then of each event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceTimes {
    /// The guest's constant think time; `None` where it has none (a recorded program), and with it
    /// the miss ratio between the instants at which the registers are told.
    pub think: Option<Duration>,
    /// How long a load from the disk takes in ordinary paging; `None` where it is not known.
    pub load: Option<Duration>,
    /// From the end of a transmission to its delivery, as the context's; zero where that never
    /// arrived.
    latency: Duration,
    context_sent: Option<Instant>,
    /// The instant of the last event.
    ends: Instant,
}

impl TraceTimes {
    /// The times of a guest that thinks and loads that long.
    pub fn of(think: Option<Duration>, load: Option<Duration>) -> Self {
        TraceTimes { think, load, ..TraceTimes::default() }
    }

    /// Takes what the next event tells of it.
    pub fn note(&mut self, event: &Event) {
        self.ends = event.at;
        match event.kind {
            EventKind::ContextSent => self.context_sent = Some(event.at),
            EventKind::ContextArrived => {
                self.latency = event.at.saturating_since(self.context_sent.unwrap_or(event.at));
            }
            _ => {}
        }
    }
}

/// A load from the disk that is under way.
#[derive(Clone, Copy, Debug)]
struct Load {
    page: PageNumber,
    begins: Instant,
    ends: Instant,
}

/// A page fault of the migration that blocks the guest.
#[derive(Clone, Copy, Debug)]
struct Stall {
    page: PageNumber,
    begins: Instant,
    asked: bool,
}

/// A trace that is being written: what is held of the events is what is under way.
#[derive(Debug)]
pub struct Trace<W> {
    lines: Lines<W>,
    times: TraceTimes,
    requested: Instant,
    link: Link,
    lead: Lead,
    misses: Misses,
    arrived: BTreeMap<&'static str, u64>,
    ended: BTreeMap<&'static str, (u64, u64)>,
    source_load: Option<Load>,
    destination_load: Option<Load>,
    stall: Option<Stall>,
}

impl<W: io::Write> Trace<W> {
    /// Begins the trace of a run.
    ///
    /// # Errors
    /// What `out` says.
    pub fn begin(out: W, record: &RunRecord, times: TraceTimes) -> io::Result<Self> {
        let lines = Lines::begin(out, record)?;
        let mut trace = Trace {
            lines,
            times,
            requested: Instant::ZERO,
            link: Link::new(times.latency),
            lead: Lead::default(),
            misses: Misses::default(),
            arrived: BTreeMap::new(),
            ended: BTreeMap::new(),
            source_load: None,
            destination_load: None,
            stall: None,
        };
        trace.lines.describe(record)?;
        Ok(trace)
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// What the output says.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        let at = event.at;
        self.finish_loads(at)?;
        self.lead.until(&mut self.lines, at)?;
        match event.side {
            Side::Source => self.source(at, &event.kind),
            Side::Destination => self.destination(at, &event.kind),
        }
    }

    /// What is still under way ends with the trace. Returns the output.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        let ends = self.times.ends;
        self.lead.until(&mut self.lines, ends.saturating_add(Duration::from_nanos(1)))?;
        self.end_loads(ends)?;
        self.end_stall(ends, None)?;
        self.link.finish(&mut self.lines, ends)?;
        self.lines.finish(ends)
    }

    fn source(&mut self, at: Instant, kind: &EventKind) -> io::Result<()> {
        match kind {
            EventKind::Requested => self.requested(at),
            EventKind::RoundBegan { round, pages } => self.round(at, *round, *pages),
            EventKind::Throttled { percent } => {
                let name = format!("slowed by {percent} %");
                self.lines.instant(Track::SourceGuest, at, &name, json!({ "percent": percent }))
            }
            EventKind::Suspended { registers, resident } => {
                self.suspended(at, *resident)?;
                self.misses.told(&mut self.lines, at, *registers, None)
            }
            EventKind::Handover { bytes } => {
                let args = json!({ "bytes": bytes });
                self.link.context(at, *bytes);
                self.lines.instant(Track::Phases, at, "hand-over", args)
            }
            EventKind::ContextSent => {
                self.link.context_sent(at);
                Ok(())
            }
            EventKind::ForwardResumed => {
                self.lines.open(Track::Forward, at, "forward context", json!({}))
            }
            EventKind::ForwardMissed { page } => self.load(Side::Source, at, *page),
            EventKind::HeadStartCompleted => {
                self.lines.instant(Track::Forward, at, "head start completed", json!({}))
            }
            EventKind::PageSent { page, cause } => {
                self.link.sent(at, *page, *cause);
                Ok(())
            }
            EventKind::PageRequested { page, answer } => {
                let args = json!({ "page": page, "answer": answer });
                self.lines.instant(Track::Requests, at, &format!("asked for Page{page}"), args)
            }
            EventKind::Released => {
                self.end_source_load(at)?;
                self.lead.end();
                self.lines.close_all(Track::Forward, at)?;
                self.lines.instant(Track::Phases, at, "freed at the source", json!({}))
            }
            EventKind::Returned { reason } => self.returned(at, reason),
            EventKind::Missed { page } => self.load(Side::Source, at, *page),
            EventKind::Progress { step, count } => {
                self.lead.forward(at, *step, *count);
                Ok(())
            }
            kind => self.note(at, kind, Track::Forward),
        }
    }

    fn destination(&mut self, at: Instant, kind: &EventKind) -> io::Result<()> {
        match kind {
            EventKind::ContextArrived => self.link.context_arrived(&mut self.lines, at),
            EventKind::Resumed { registers } => {
                self.lines.close(Track::Phases, at)?;
                self.lines.open(Track::Phases, at, "resume time: pages follow", json!({}))?;
                self.lines.open(Track::Guest, at, "runs", json!({}))?;
                self.lines.open(Track::Measuring, at, "measured accesses", json!({}))?;
                self.misses.told(&mut self.lines, at, *registers, Some(at))
            }
            EventKind::PageArrived { page, cause, fate } => {
                let cause_name = link::lane(*cause);
                let arrived = self.arrived.entry(cause_name).or_default();
                *arrived += 1;
                let pages = *arrived;
                if pages == 1 {
                    let args = json!({ (cause_name): 0 });
                    self.lines.counter(Side::Destination, self.requested, "pages arrived", args)?;
                }
                let args = json!({ (cause_name): pages });
                self.lines.counter(Side::Destination, at, "pages arrived", args)?;
                self.link.arrived(&mut self.lines, at, *page, *cause, *fate)?;
                self.fate(at, *page, *fate)
            }
            EventKind::FaultBegan { page, asked } => {
                self.misses.missed(at, self.times.think);
                self.stall = Some(Stall { page: *page, begins: at, asked: *asked });
                Ok(())
            }
            EventKind::FaultEnded { by, stalled, .. } => {
                self.end_stall(at, Some(*by))?;
                self.count_fault(at, *by, *stalled)?;
                self.misses.completed(&mut self.lines, at, self.times.think)
            }
            EventKind::Overwritten { page } => {
                self.misses.missed(at, self.times.think);
                self.misses.completed(&mut self.lines, at, self.times.think)?;
                let name = format!("Page{page} is written as a whole");
                self.lines.instant(Track::Guest, at, &name, json!({ "page": page }))
            }
            EventKind::Missed { page } => {
                self.misses.missed(at, self.times.think);
                self.load(Side::Destination, at, *page)
            }
            EventKind::Completed => {
                // The phase, and the migration as a whole.
                self.lines.close_all(Track::Phases, at)?;
                self.lines.instant(Track::Phases, at, "complete", json!({}))
            }
            EventKind::Measured { registers } => {
                self.lines.close_all(Track::Measuring, at)?;
                self.misses.told(&mut self.lines, at, *registers, None)
            }
            EventKind::Ended { registers } => {
                self.end_loads(at)?;
                self.lines.close_all(Track::Guest, at)?;
                self.misses.told(&mut self.lines, at, *registers, None)
            }
            EventKind::Lost { reason } => {
                self.end_loads(at)?;
                self.end_stall(at, None)?;
                for track in [Track::Guest, Track::Measuring, Track::Phases] {
                    self.lines.close_all(track, at)?;
                }
                self.lines.instant(Track::Phases, at, "lost", json!({ "reason": reason }))
            }
            EventKind::Progress { step, count } => {
                self.lead.following(at, *step, *count);
                Ok(())
            }
            kind => self.note(at, kind, Track::Arrivals),
        }
    }

    /// What became of a page, where it is not simply there.
    fn fate(&mut self, at: Instant, page: PageNumber, fate: Fate) -> io::Result<()> {
        let name = match fate {
            Fate::Installed | Fate::EndedFault => return Ok(()),
            Fate::Discarded => "discarded",
            Fate::WrittenBack => "written back",
            Fate::Duplicate => "duplicate",
            Fate::Late => "too late",
        };
        let name = format!("{name}: Page{page}");
        self.lines.instant(Track::Arrivals, at, &name, json!({ "page": page }))
    }

    fn count_fault(&mut self, at: Instant, by: FaultEnd, stalled: Duration) -> io::Result<()> {
        let name = guests::ended_by(by);
        let (faults, stall) = self.ended.entry(name).or_default();
        (*faults, *stall) = (*faults + 1, stall.saturating_add(stalled.as_nanos()));
        let (faults, stall) = (*faults, *stall);
        if faults == 1 {
            for counter in ["faults", "stall, ns"] {
                let args = json!({ (name): 0 });
                self.lines.counter(Side::Destination, self.requested, counter, args)?;
            }
        }
        self.lines.counter(Side::Destination, at, "faults", json!({ (name): faults }))?;
        self.lines.counter(Side::Destination, at, "stall, ns", json!({ (name): stall }))
    }

    /// An event of a single page that needs no more than to be seen.
    fn note(&mut self, at: Instant, kind: &EventKind, track: Track) -> io::Result<()> {
        let (name, page) = match kind {
            EventKind::JoinedForward { page } => ("wanted soon", page),
            EventKind::PageDropped { page } => ("dropped", page),
            EventKind::PageExempted { page } => ("exempted", page),
            EventKind::PageWithheld { page } => ("withheld", page),
            EventKind::PageWithdrawn { page } => ("withdrawn", page),
            EventKind::PageNotResident { page } => ("on the disk", page),
            // Of the other side's kinds none is told by this one.
            _ => return Ok(()),
        };
        let args: Value = json!({ "page": page });
        self.lines.instant(track, at, &format!("{name}: Page{page}"), args)
    }
}
