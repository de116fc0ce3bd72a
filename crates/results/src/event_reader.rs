//! Reads a log of events one by one, and says what is wrong with it by its line.

use crate::directory::{EVENTS, ResultsError, failed};
use crate::record::RunRecord;
use lazycopy_migration::{Cause, Event, EventKind, FaultEnd, Outcome, PageCounts, Side};
use lazycopy_units::{Duration, Instant, PAGE_MESSAGE_BYTES, PageNumber};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line of a log: an event has some hundred bytes, and perhaps a reason in words. A
/// broken file without line feeds is not to fill memory.
const MAX_EVENT_BYTES: u64 = 1 << 20;

/// Why a line is no event of a log.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// It is no JSON, or no event of this version.
    #[error("it is no event: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Events stand in the order of their instants.
    #[error("it is earlier than the line before it")]
    Backwards,
    /// The last line has no line feed.
    #[error("it does not end: the file is cut off")]
    CutOff,
    /// It has too many bytes.
    #[error("it is longer than {MAX_EVENT_BYTES} bytes, and so no event")]
    TooLong,
    /// It is no UTF-8.
    #[error("it is no text")]
    NoText,
    /// It names a page that the guest does not have.
    #[error("the guest has {pages} pages, and this is {page}")]
    NoPage {
        /// What is named.
        page: PageNumber,
        /// How many there are.
        pages: u64,
    },
    /// It ends what no line of the log begins.
    #[error("page {page} {}", .what.without_beginning())]
    NeverBegan {
        /// Which page.
        page: PageNumber,
        /// What ends.
        what: Span,
    },
}

/// What two events of a page tell of, its beginning and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// It is on its way, for that cause.
    Way(Cause),
    /// The guest is blocked by it.
    Fault,
}

impl Span {
    /// To be put behind the page.
    fn without_beginning(self) -> &'static str {
        match self {
            Span::Way(Cause::Round) => "comes by a round, and more often than rounds send it",
            Span::Way(Cause::Background) => "comes by the push, and more often than it sends it",
            Span::Way(Cause::Forward) => {
                "comes for the forward context, and more often than it is sent for it"
            }
            Span::Way(Cause::Demand) => "comes on demand, and more often than it is sent so",
            Span::Fault => "ends a fault, and more often than one begins",
        }
    }
}

/// How often something began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ends {
    began: u32,
    ended: u32,
    /// The line that ended it last.
    line: usize,
}

/// The events of a log, one after another; of what is read, no more than one line is held. After
/// the first error nothing more comes.
#[derive(Debug)]
pub struct EventReader<R> {
    path: PathBuf,
    input: R,
    line: usize,
    bytes: Vec<u8>,
    last: Instant,
    over: bool,
}

impl EventReader<BufReader<File>> {
    /// Opens the log in a run's directory.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn of_run(directory: &Path) -> Result<Self, ResultsError> {
        Self::open(&directory.join(EVENTS))
    }

    /// Opens a log.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> Result<Self, ResultsError> {
        let file = File::open(path).map_err(failed(path))?;
        Ok(EventReader::new(path, BufReader::new(file)))
    }
}

impl<R: BufRead> EventReader<R> {
    /// The events of what was read from `path` already.
    pub fn new(path: &Path, input: R) -> Self {
        let path = path.to_owned();
        EventReader { path, input, line: 0, bytes: Vec::new(), last: Instant::ZERO, over: false }
    }

    /// The next event; `None` at the end.
    fn read(&mut self) -> Result<Option<Event>, ResultsError> {
        self.bytes.clear();
        let limited = &mut (&mut self.input).take(MAX_EVENT_BYTES);
        let read = limited.read_until(b'\n', &mut self.bytes).map_err(failed(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        let event = self.event(read as u64);
        event.map(Some).map_err(|error| ResultsError::Event {
            path: self.path.clone(),
            line: self.line,
            error,
        })
    }

    fn event(&mut self, read: u64) -> Result<Event, EventError> {
        let Some(line) = self.bytes.strip_suffix(b"\n") else {
            return Err(match read {
                MAX_EVENT_BYTES => EventError::TooLong,
                _ => EventError::CutOff,
            });
        };
        let text = str::from_utf8(line).map_err(|_| EventError::NoText)?;
        let event: Event = serde_json::from_str(text)?;
        if event.at < self.last {
            return Err(EventError::Backwards);
        }
        self.last = event.at;
        Ok(event)
    }
}

impl<R: BufRead> Iterator for EventReader<R> {
    type Item = Result<Event, ResultsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// What a log says in numbers, to be held against the result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventTally {
    /// How many events there are.
    pub events: u64,
    /// The instant of the last.
    pub last_at: Instant,
    sent: PageCounts,
    /// The highest page that was sent or came, and the line that names it first.
    highest: Option<(PageNumber, usize)>,
    context_bytes: u64,
    faults_remote: u64,
    faults_disk: u64,
    stall: Duration,
    completed: bool,
    told_by_source: bool,
    ends: HashMap<(PageNumber, Span), Ends>,
}

impl EventTally {
    /// Takes the next event.
    pub fn note(&mut self, event: &Event) {
        self.events += 1;
        self.last_at = event.at;
        self.told_by_source |= event.side == Side::Source;
        match &event.kind {
            EventKind::PageSent { page, cause } => {
                self.sent.add(*cause, 1);
                self.began(*page, Span::Way(*cause));
            }
            EventKind::PageArrived { page, cause, .. } => {
                self.ended(*page, Span::Way(*cause));
            }
            EventKind::Handover { bytes } => self.context_bytes = *bytes,
            EventKind::FaultBegan { page, .. } => self.began(*page, Span::Fault),
            EventKind::FaultEnded { page, by, stalled } => {
                self.ended(*page, Span::Fault);
                *match by {
                    FaultEnd::Remote => &mut self.faults_remote,
                    FaultEnd::Disk => &mut self.faults_disk,
                } += 1;
                let stall = self.stall.as_nanos().saturating_add(stalled.as_nanos());
                self.stall = Duration::from_nanos(stall);
            }
            EventKind::Completed => self.completed = true,
            _ => {}
        }
    }

    fn began(&mut self, page: PageNumber, what: Span) {
        self.named(page);
        self.ends.entry((page, what)).or_default().began += 1;
    }

    fn ended(&mut self, page: PageNumber, what: Span) {
        self.named(page);
        let ends = self.ends.entry((page, what)).or_default();
        ends.ended += 1;
        ends.line = self.events as usize;
    }

    fn named(&mut self, page: PageNumber) {
        if self.highest.is_none_or(|(highest, _)| page > highest) {
            self.highest = Some((page, self.events as usize));
        }
    }

    /// Whether a log is that of a run: it names no page that the guest does not have, and none comes
    /// or ends a fault that was not sent or began one; of a run that completed it has each page and each fault.
    /// `path` is the log's.
    ///
    /// # Errors
    /// What they do not agree on, by name, and by line where the log is cut off.
    pub fn check(&self, path: &Path, record: &RunRecord) -> Result<(), ResultsError> {
        let metrics = &record.metrics;
        let disagree = |problem| ResultsError::Disagree { path: path.to_owned(), problem };
        let pages = record.scenario["guest"]["pages"].as_u64();
        if let (Some((page, line)), Some(pages)) = (self.highest, pages)
            && u64::from(page.0) >= pages
        {
            let error = EventError::NoPage { page, pages };
            return Err(ResultsError::Event { path: path.to_owned(), line, error });
        }
        if !self.told_by_source && metrics.total_migration_time_ns.is_none() {
            // It died, and what it saw with it.
            return Ok(());
        }
        let over = self.ends.iter().filter(|(_, ends)| ends.ended > ends.began);
        if let Some(((page, what), ends)) = over.min_by_key(|(_, ends)| ends.line) {
            let error = EventError::NeverBegan { page: *page, what: *what };
            return Err(ResultsError::Event { path: path.to_owned(), line: ends.line, error });
        }
        let sent = &self.sent;
        if metrics.outcome != Outcome::Completed {
            return Ok(());
        }
        if !self.completed {
            return Err(ResultsError::Ends { path: path.to_owned(), line: self.events + 1 });
        }
        let bytes = self.context_bytes.saturating_add(sent.total() * PAGE_MESSAGE_BYTES);
        let figures = [
            ("pages_round", sent.round, metrics.pages_round),
            ("pages_background", sent.background, metrics.pages_background),
            ("pages_forward", sent.forward, metrics.pages_forward),
            ("pages_demand", sent.demand, metrics.pages_demand),
            ("bytes_transferred", bytes, metrics.bytes_transferred),
            ("faults_remote", self.faults_remote, metrics.faults_remote),
            ("faults_disk", self.faults_disk, metrics.faults_disk),
            ("stall_time_ns", self.stall.as_nanos(), metrics.stall_time_ns),
        ];
        for (name, told, counted) in figures {
            if told != counted {
                let problem =
                    format!("its events give {told} for {name}, the result says {counted}");
                return Err(disagree(problem));
            }
        }
        Ok(())
    }
}
