//! A guest, or a context of one: registers, memory, disk, and the access it is about to take.

mod running;

use crate::burst::{Pace, Timeout, TimeoutKind};
use crate::disk::Disk;
use crate::memory::Memory;
use crate::miss_ratio::MissRatio;
use crate::progress::{ProgressLog, ProgressRun};
use crate::registers::{GuestSnapshot, Registers, ResidentPage};
use crate::spec::{GuestSpec, ResidentAtStart};
use crate::stamp::{first_stamp, pages_digest};
use crate::workload::{Access, Workload, WorkloadError, Write, open_workload};
use lazycopy_units::{Duration, Instant, PageNumber};
use std::sync::Arc;

/// The most accesses that a guest which stands by reads on: beyond, its workload is opened anew,
/// which may jump.
const MAX_READ_ON: u64 = 1 << 22;

/// Why there is no guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Its workload cannot be opened.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The system has no room for its pages.
    #[error("a guest of {pages} pages does not fit the memory of this machine: {error}")]
    Memory {
        /// Pages of the guest.
        pages: u32,
        /// What the system said.
        error: std::io::Error,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not running; the pending access is taken when it is resumed.
    Suspended,
    /// The pending access begins at `at`.
    Ready { at: Instant },
    /// The pending access missed at `since`; if the disk was asked, it answers at `load_due`.
    Blocked { since: Instant, load_due: Option<Instant> },
    /// The workload failed: there is no next access.
    Failed,
}

/// A guest, or one of its two contexts while lazy-copy migrates it.
///
/// It has no clock: [`Guest::run`] takes accesses up to an instant, in one burst, and returns
/// when somebody else must know. Loads from the disk are announced by [`Guest::begin_load`] and
/// are due at [`Guest::poll_timeout`].
pub struct Guest {
    spec: Arc<GuestSpec>,
    accesses: u64,
    digest: u64,
    memory: Memory,
    disk: Disk,
    misses: MissRatio,
    workload: Box<dyn Workload>,
    batch: Vec<Access>,
    cursor: usize,
    /// So much of the batch was looked at in advance.
    looked_at: usize,
    phase: Phase,
    failure: Option<WorkloadError>,
    target: u64,
    completed_at: Instant,
    pace: Pace,
    leaves_stamps: bool,
    progress: Option<ProgressLog>,
    /// No miss is noticed before, see [`Guest::keep_up`].
    clock_reads: Instant,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest")
            .field("registers", &self.registers())
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Guest {
    /// A new guest, suspended before its first access.
    ///
    /// # Errors
    /// When its workload cannot be opened.
    pub fn new(spec: Arc<GuestSpec>) -> Result<Self, WorkloadError> {
        let memory = Memory::new(spec.pages, spec.frames);
        Guest::beginning(spec, memory)
    }

    /// As [`Guest::new`], with a memory of real bytes, see [`Memory::in_pages`]. Where all pages
    /// are resident at the start, this writes every one of them.
    ///
    /// # Errors
    /// When its workload cannot be opened, or the system has no room for its pages.
    pub fn new_in_pages(spec: Arc<GuestSpec>) -> Result<Self, GuestError> {
        let memory = Memory::in_pages(spec.frames, &spec)
            .map_err(|error| GuestError::Memory { pages: spec.pages, error })?;
        Ok(Guest::beginning(spec, memory)?)
    }

    /// A guest before its first access, with that memory, which is empty yet.
    fn beginning(spec: Arc<GuestSpec>, memory: Memory) -> Result<Self, WorkloadError> {
        let (registers, disk) = (Registers::default(), Disk::new(spec.seed));
        let workload = open_workload(&spec, registers.accesses)?;
        let mut guest = Guest::with_parts(spec, registers, disk, workload, memory);
        if guest.spec.resident_at_start == ResidentAtStart::All {
            for page in (0..guest.spec.pages).map(PageNumber) {
                let stamp = first_stamp(guest.spec.seed, page);
                guest.memory.install_most_recent(page, stamp, false);
            }
        }
        Ok(guest)
    }

    /// A guest that arrives with these registers, this disk and this memory, suspended.
    ///
    /// # Errors
    /// When its workload cannot be opened at its position.
    pub fn arriving(
        spec: Arc<GuestSpec>,
        registers: Registers,
        disk: Disk,
        memory: Memory,
    ) -> Result<Self, WorkloadError> {
        let workload = open_workload(&spec, registers.accesses)?;
        Ok(Guest::with_parts(spec, registers, disk, workload, memory))
    }

    fn with_parts(
        spec: Arc<GuestSpec>,
        registers: Registers,
        disk: Disk,
        workload: Box<dyn Workload>,
        memory: Memory,
    ) -> Self {
        Guest {
            accesses: registers.accesses,
            digest: registers.digest,
            misses: MissRatio::starting_with(registers.misses),
            memory,
            disk,
            workload,
            batch: Vec::new(),
            cursor: 0,
            looked_at: 0,
            phase: Phase::Suspended,
            failure: None,
            target: u64::MAX,
            completed_at: Instant::ZERO,
            pace: Pace::default(),
            leaves_stamps: false,
            progress: None,
            clock_reads: Instant::ZERO,
            spec,
        }
    }

    /// As [`Guest::arriving`], by a guest that stands by: it was opened at an earlier position and
    /// never ran, so that its workload only has to be read on. Opening a recording in its midst
    /// takes long.
    ///
    /// # Errors
    /// When its workload cannot be read up to its position.
    pub fn arrive(mut self, registers: Registers, disk: Disk) -> Result<Self, WorkloadError> {
        let ahead = registers.accesses.checked_sub(self.accesses);
        let Some(ahead) = ahead.filter(|ahead| *ahead <= MAX_READ_ON) else {
            return Guest::arriving(self.spec, registers, disk, self.memory);
        };
        for _ in 0..ahead {
            if self.fetch().is_none() {
                break;
            }
            self.cursor += 1;
        }
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.accesses = registers.accesses;
        self.digest = registers.digest;
        self.misses = MissRatio::starting_with(registers.misses);
        self.disk = disk;
        Ok(self)
    }

    /// The guest's definition.
    pub fn spec(&self) -> &Arc<GuestSpec> {
        &self.spec
    }

    /// Its registers.
    pub fn registers(&self) -> Registers {
        Registers { accesses: self.accesses, digest: self.digest, misses: self.misses.misses() }
    }

    /// Its memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Its memory, to set watches or to fill it while the guest is suspended.
    pub fn memory_mut(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Its disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What can be seen of it, with at most `limit` of the resident pages.
    pub fn snapshot(&self, limit: usize) -> GuestSnapshot {
        let order = (limit > 0).then(|| self.memory.iter_lru());
        let resident = order.into_iter().flatten().take(limit).map(|page| ResidentPage {
            page,
            stamp: self.stamp(page),
            dirty: self.memory.is_dirty(page),
        });
        GuestSnapshot {
            registers: self.registers(),
            pages: self.spec.pages,
            frames: self.spec.frames,
            resident_count: self.memory.resident(),
            resident: resident.collect(),
            miss_ratio: self.misses.since_start(self.accesses),
            recent_miss_ratio: self.misses.recent(self.accesses),
        }
    }

    /// The stamp of a page, in memory or else on the disk.
    pub fn stamp(&self, page: PageNumber) -> u64 {
        self.memory.stamp(page).unwrap_or_else(|| self.disk.stamp(page))
    }

    /// One hash over the stamps of all pages.
    pub fn pages_digest(&self) -> u64 {
        pages_digest((0..self.spec.pages).map(|page| self.stamp(PageNumber(page))))
    }

    /// The page that the guest is blocked on, and since when.
    pub fn blocked_on(&self) -> Option<(PageNumber, Instant)> {
        match self.phase {
            Phase::Blocked { since, .. } => Some((self.batch[self.cursor].page, since)),
            _ => None,
        }
    }

    /// Whether the access that it is blocked on writes its page as a whole.
    pub fn is_overwriting(&self) -> bool {
        matches!(self.phase, Phase::Blocked { .. })
            && self.batch[self.cursor].write == Write::WholePage
    }

    /// The pages of its last accesses, at most `most` of them, in their order. They are read
    /// again from the workload, which yields the same accesses at the same position; empty where
    /// that fails.
    pub fn recent_accesses(&self, most: u64) -> Vec<PageNumber> {
        let count = most.min(self.accesses);
        let Ok(mut workload) = open_workload(&self.spec, self.accesses - count) else {
            return Vec::new();
        };
        let mut recent = Vec::new();
        while (recent.len() as u64) < count {
            if workload.fill(&mut recent).is_err() {
                return Vec::new();
            }
        }
        recent.truncate(count as usize);
        recent.into_iter().map(|access| access.page).collect()
    }

    /// Whether it takes accesses, or waits for one to be completed.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. } | Phase::Blocked { .. })
    }

    /// Why its workload failed, if it did: then it takes no further access.
    pub fn failure(&self) -> Option<&WorkloadError> {
        self.failure.as_ref()
    }

    /// Ends a burst with [`Stop::Budget`](crate::Stop::Budget) when so many accesses are completed.
    pub fn set_target(&mut self, accesses: u64) {
        self.target = accesses;
    }

    /// Begins to log the instants at which accesses are completed.
    pub fn record_progress(&mut self) {
        self.progress = Some(ProgressLog::default());
    }

    /// What has gathered of that log, where it is much, see [`ProgressLog::take_full`].
    #[inline]
    pub fn take_full_progress(&mut self) -> Vec<ProgressRun> {
        self.progress.as_mut().map(ProgressLog::take_full).unwrap_or_default()
    }

    /// Ends the log of [`Guest::record_progress`] and hands the rest over; empty without one.
    pub fn take_progress(&mut self) -> ProgressLog {
        self.progress.take().unwrap_or_default()
    }

    /// Suspends the guest. An access that waits for its page is abandoned, and taken again when
    /// the guest is resumed.
    pub fn suspend(&mut self) {
        if let Phase::Blocked { .. } = self.phase {
            self.misses.retract_miss();
        }
        if self.phase != Phase::Failed {
            self.phase = Phase::Suspended;
        }
    }

    /// Resumes a suspended guest: its next access begins at `at`.
    pub fn resume(&mut self, at: Instant) {
        if self.phase == Phase::Suspended && self.fetch().is_some() {
            self.phase = Phase::Ready { at };
        }
    }

    /// Resumes a suspended guest as if an access had been completed at `at`: the next one begins
    /// a think time later.
    pub fn resume_thinking(&mut self, at: Instant) {
        if self.phase == Phase::Suspended
            && let Some(access) = self.fetch()
        {
            self.phase = Phase::Ready { at: at + access.think };
        }
    }

    /// Moves the guest's clock: what was due at `at + shift` is due at `at`. For a guest that ran
    /// before and whose run's time begins now.
    pub fn rebase(&mut self, shift: Duration) {
        let earlier = |at: Instant| at.saturating_sub(shift);
        self.phase = match self.phase {
            Phase::Ready { at } => Phase::Ready { at: earlier(at) },
            Phase::Blocked { since, load_due } => {
                Phase::Blocked { since: earlier(since), load_due: load_due.map(earlier) }
            }
            other => other,
        };
    }

    /// When the guest wants to be woken next.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Timeout> {
        match self.phase {
            Phase::Ready { at } => Some(Timeout { at, kind: TimeoutKind::Access }),
            Phase::Blocked { load_due: Some(at), .. } => {
                Some(Timeout { at, kind: TimeoutKind::Disk })
            }
            _ => None,
        }
    }

    /// When the last access was completed.
    pub fn completed_at(&self) -> Instant {
        self.completed_at
    }

    /// For drivers whose instants are the clock's, which reads `now`: an access that is due by
    /// more than `lag` begins then, and a miss is not noticed before `now`.
    pub fn keep_up(&mut self, now: Instant, lag: Duration) {
        self.hold_until(now.saturating_sub(lag));
        self.clock_reads = now;
    }

    /// The pending access of a running guest begins at `at`, if it was to begin before.
    pub fn hold_until(&mut self, at: Instant) {
        if let Phase::Ready { at: due } = &mut self.phase {
            *due = at.max(*due);
        }
    }

    /// Takes the guest back to an earlier state: registers and disk, memory empty, suspended. If
    /// its workload cannot be opened there, it has failed.
    pub fn rewind(&mut self, registers: Registers, disk: Disk) {
        match open_workload(&self.spec, registers.accesses) {
            Ok(workload) => {
                let mut memory = std::mem::replace(&mut self.memory, Memory::none());
                memory.clear();
                *self =
                    Guest::with_parts(Arc::clone(&self.spec), registers, disk, workload, memory);
            }
            Err(error) => {
                self.failure = Some(error);
                self.phase = Phase::Failed;
            }
        }
    }
}
