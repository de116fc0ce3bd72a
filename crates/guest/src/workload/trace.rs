//! Recorded programs: the text that `valgrind --tool=lackey --trace-mem=yes` prints, plain or
//! compressed with gzip, read as a stream and turned into accesses to pages.
//!
//! - A line is a reference; one that crosses a page boundary is two accesses, in the order of
//!   their addresses. `M` (load and store) is one access that writes.
//! - Consecutive accesses to one page are one access. It begins with the first of them and writes
//!   if any of them does. This stops at the end of the recording: a lap begins with an access of
//!   its own, so that every lap has equally many.
//! - Pages are numbered densely by first touch, code and data alike, and keep their numbers.
//! - The instruction count is the clock: an access is due after as many instructions as `I` lines
//!   stand before its own line. A fetch is therefore due with the data of the instruction before
//!   it. A lap lasts as many instructions as the recording has.
//! - Accesses are 1 ns apart at least. One that is late by this rule makes the next gaps shorter,
//!   down to 1 ns each, until the clock is right again, beyond the end of a lap, too. Only where
//!   a recording has more accesses than its laps have nanoseconds does the clock fall behind for
//!   good. The very first access follows nothing and has a think time of 1 ns.

mod lines;
mod numbers;

use super::{Access, BATCH, Workload, WorkloadError, Write};
use lazycopy_units::{Duration, PAGE_BYTES, PageNumber};
use lines::{Lines, Reference};
use numbers::PageNumbers;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a first pass over a trace finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// Pages that it touches.
    pub pages: u32,
    /// Accesses after references to one page in a row were merged.
    pub accesses: u64,
    /// Instructions executed.
    pub instructions: u64,
}

/// Reads a trace once.
///
/// # Errors
/// The first line that is broken, or that the file cannot be read.
pub fn summarize_trace(file: &Path) -> Result<TraceSummary, WorkloadError> {
    let mut lap = Lap::begin(file)?;
    let mut numbers = PageNumbers::default();
    while let Some(touch) = lap.next_touch()? {
        lap.number(&mut numbers, touch.page)?;
    }
    if lap.accesses == 0 {
        return Err(WorkloadError::Empty { file: file.to_owned() });
    }
    Ok(TraceSummary {
        pages: numbers.len(),
        accesses: lap.accesses,
        instructions: lap.instructions,
    })
}

/// An access as recorded: merged, its page not numbered yet.
#[derive(Clone, Copy)]
struct Touch {
    /// Address / 4096.
    page: u64,
    /// `I` lines before it.
    instructions: u64,
    write: bool,
}

/// One pass over a recording.
struct Lap {
    lines: Lines,
    /// `I` lines so far.
    instructions: u64,
    /// Accesses handed out so far.
    accesses: u64,
    /// The access that later ones may still merge into.
    merging: Option<Touch>,
    /// The second page of a reference that crosses a boundary.
    crossing: Option<Touch>,
}

impl Lap {
    fn begin(file: &Path) -> Result<Self, WorkloadError> {
        let lines = Lines::open(file)?;
        Ok(Lap { lines, instructions: 0, accesses: 0, merging: None, crossing: None })
    }

    /// The next access; `None` at the end of the recording.
    fn next_touch(&mut self) -> Result<Option<Touch>, WorkloadError> {
        loop {
            let touch = match self.crossing.take() {
                Some(touch) => touch,
                None => match self.lines.next_reference()? {
                    Some(reference) => self.first_page(reference),
                    None => {
                        let last = self.merging.take();
                        self.accesses += u64::from(last.is_some());
                        return Ok(last);
                    }
                },
            };
            match &mut self.merging {
                Some(merging) if merging.page == touch.page => merging.write |= touch.write,
                Some(merging) => {
                    self.accesses += 1;
                    return Ok(Some(std::mem::replace(merging, touch)));
                }
                None => self.merging = Some(touch),
            }
        }
    }

    /// The access to the reference's first page; that to its second is set aside.
    fn first_page(&mut self, reference: Reference) -> Touch {
        let Reference { first, last, instruction, write } = reference;
        let page = first / PAGE_BYTES;
        let touch = Touch { page, instructions: self.instructions, write };
        if last / PAGE_BYTES != page {
            self.crossing = Some(Touch { page: page + 1, ..touch });
        }
        self.instructions += u64::from(instruction);
        touch
    }

    fn number(&self, numbers: &mut PageNumbers, page: u64) -> Result<PageNumber, WorkloadError> {
        numbers.number(page).map_err(|problem| self.lines.malformed(problem))
    }
}

/// Turns instruction counts into think times.
struct Clock {
    nanos_per_instruction: u64,
    /// When the access before was due: instructions since the lap began, negative in the lap
    /// before; `None` before the first access of all.
    previous: Option<i64>,
    /// Nanoseconds by which the access before came after it was due.
    late: u64,
}

impl Clock {
    /// The think time before the next access, which is due after `instructions`.
    fn advance_to(&mut self, instructions: u64) -> Duration {
        let due = i64::try_from(instructions).unwrap_or(i64::MAX);
        let Some(previous) = self.previous.replace(due) else { return Duration::from_nanos(1) };
        let gap = due.abs_diff(previous).saturating_mul(self.nanos_per_instruction);
        let think = gap.saturating_sub(self.late).max(1);
        self.late = self.late.saturating_add(think).saturating_sub(gap);
        Duration::from_nanos(think)
    }

    /// A lap of so many instructions is over.
    fn begin_lap(&mut self, instructions: u64) {
        let length = i64::try_from(instructions).unwrap_or(i64::MAX);
        self.previous = self.previous.map(|previous| previous.saturating_sub(length));
    }

    /// As if `laps` laps more had been read after the first. From its last access to that of the
    /// next one a lap adds to the lateness by how far its accesses, 1 ns each, exceed its time,
    /// and else leaves it as it is: what the first lap could not make up for, none can.
    fn repeat_laps(&mut self, laps: u64, accesses: u64, instructions: u64) {
        let lap_nanos = instructions.saturating_mul(self.nanos_per_instruction);
        let excess = accesses.saturating_sub(lap_nanos).saturating_mul(laps);
        self.late = self.late.saturating_add(excess);
    }
}

/// The workload of a recorded program.
pub(crate) struct Trace {
    file: PathBuf,
    pages: u32,
    lap: Lap,
    numbers: PageNumbers,
    clock: Clock,
    /// Accesses and instructions of a lap, once the end has been seen.
    length: Option<(u64, u64)>,
    /// What ended it.
    failure: Option<WorkloadError>,
}

impl Trace {
    pub(crate) fn open(
        file: &Path,
        instruction_time: Duration,
        pages: u32,
        position: u64,
    ) -> Result<Self, WorkloadError> {
        let nanos_per_instruction = instruction_time.as_nanos();
        let mut trace = Trace {
            file: file.to_owned(),
            pages,
            lap: Lap::begin(file)?,
            numbers: PageNumbers::default(),
            clock: Clock { nanos_per_instruction, previous: None, late: 0 },
            length: None,
            failure: None,
        };
        trace.skip(position)?;
        Ok(trace)
    }

    /// Passes over so many accesses from the beginning, whole laps by arithmetic alone.
    fn skip(&mut self, position: u64) -> Result<(), WorkloadError> {
        let mut left = position;
        while left > 0 {
            if self.next_of_lap()?.is_some() {
                left -= 1;
            } else {
                let (accesses, instructions) = self.begin_lap()?;
                self.clock.repeat_laps(left / accesses, accesses, instructions);
                left %= accesses;
            }
        }
        Ok(())
    }

    /// The next access of this lap; `None` at its end.
    fn next_of_lap(&mut self) -> Result<Option<Access>, WorkloadError> {
        let Some(touch) = self.lap.next_touch()? else { return Ok(None) };
        let page = self.lap.number(&mut self.numbers, touch.page)?;
        if page.0 >= self.pages {
            return Err(self.too_many_pages());
        }
        let think = self.clock.advance_to(touch.instructions);
        let write = if touch.write { Write::Part } else { Write::None };
        Ok(Some(Access { think, page, write }))
    }

    fn first_of_lap(&mut self) -> Result<Access, WorkloadError> {
        let first = self.next_of_lap()?;
        first.ok_or_else(|| WorkloadError::Empty { file: self.file.clone() })
    }

    /// Begins the recording again. Returns the accesses and instructions of a lap.
    fn begin_lap(&mut self) -> Result<(u64, u64), WorkloadError> {
        let length = (self.lap.accesses, self.lap.instructions);
        if length.0 == 0 {
            return Err(WorkloadError::Empty { file: self.file.clone() });
        }
        if *self.length.get_or_insert(length) != length {
            let problem = "the file has changed since it was first read".to_owned();
            return Err(WorkloadError::Unreadable { file: self.file.clone(), problem });
        }
        self.clock.begin_lap(length.1);
        self.lap = Lap::begin(&self.file)?;
        Ok(length)
    }

    /// Counts the pages of the rest of the recording, to say how many it touches in all.
    fn too_many_pages(&mut self) -> WorkloadError {
        let (file, pages) = (self.file.clone(), self.pages);
        loop {
            match self.lap.next_touch() {
                Ok(Some(touch)) => match self.lap.number(&mut self.numbers, touch.page) {
                    Ok(_) => {}
                    Err(error) => return error,
                },
                Ok(None) => {
                    let touched = u64::from(self.numbers.len());
                    return WorkloadError::TooManyPages { file, touched, pages };
                }
                Err(error) => return error,
            }
        }
    }
}

impl Workload for Trace {
    fn fill(&mut self, batch: &mut Vec<Access>) -> Result<(), WorkloadError> {
        let begin = batch.len();
        while self.failure.is_none() && batch.len() < begin + BATCH {
            let next = self.next_of_lap().transpose();
            match next.unwrap_or_else(|| self.begin_lap().and_then(|_| self.first_of_lap())) {
                Ok(access) => batch.push(access),
                Err(error) => self.failure = Some(error),
            }
        }
        match &self.failure {
            // What was read before the trace broke still happens.
            Some(failure) if batch.len() == begin => Err(failure.clone()),
            _ => Ok(()),
        }
    }
}
