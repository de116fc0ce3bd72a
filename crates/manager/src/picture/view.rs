//! What is known of the fleet, as the page is told of it.

use super::hub::Followed;
use super::snapshot::{
    Cell, CellCause, MemoryView, MigrationPhase, MigrationView, PaceView, ServerState, ServerView,
    Snapshot, VmView,
};
use super::track::Track;
use super::watcher::Answers;
use crate::fleet::{Fleet, Migration, Server, Vm};
use lazycopy_guest::GuestSnapshot;
use lazycopy_protocol::control::{MigrationId, VmPhase, VmState, VmSummary};
use lazycopy_protocol::pace::Pace;
use std::collections::BTreeMap;
use std::path::Path;

/// What the page is told: what the manager knows, what it has followed, what servers answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub fleet: &'a Fleet,
    pub followed: &'a BTreeMap<MigrationId, Followed>,
    pub answers: &'a Answers,
}

impl View<'_> {
    /// The whole of it.
    pub(crate) fn snapshot(&self, results: &Path) -> Snapshot {
        let shown = self.fleet.migrations().filter(|(id, migration)| {
            // Of those that are over, the hub remembers as many as are shown.
            !migration.is_over() || self.followed.contains_key(id)
        });
        Snapshot {
            results: results.display().to_string(),
            pace: self.pace(),
            servers: self.fleet.servers().map(|(name, it)| self.server(name, it)).collect(),
            vms: self.fleet.vms().map(|(name, vm)| self.vm(name, vm)).collect(),
            migrations: shown.map(|(id, migration)| self.migration(id, migration)).collect(),
        }
    }

    fn pace(&self) -> PaceView {
        let Pace { frozen, slower, .. } = self.fleet.pace();
        PaceView { frozen, slower }
    }

    fn server(&self, name: &str, server: &Server) -> ServerView {
        ServerView {
            name: name.to_owned(),
            address: server.address.clone(),
            pid: server.pid,
            frames: server.frames,
            frames_taken: self.fleet.frames_taken(name),
            state: server_state(server),
        }
    }

    fn vm(&self, name: &str, vm: &Vm) -> VmView {
        let migration = self.fleet.migration_of(name);
        // A guest that its source has freed is at its destination.
        let places = [Some(&vm.server), migration.map(|(_, migration)| &migration.destination)];
        let mut places = places.into_iter().flatten();
        let said = places.find_map(|server| self.answers.summary(server, name));
        let last = || self.followed.values().rev().find(|it| it.brought(name, &vm.server));
        let cause = |page| last().map_or(CellCause::Own, |followed| followed.track.cause(page));
        let state = self.answers.vm(&vm.server, name);
        VmView {
            name: name.to_owned(),
            server: vm.server.clone(),
            phase: phase(vm, said, migration.is_some_and(|(_, it)| !it.has_arrived())),
            pages: vm.pages,
            frames: vm.frames,
            accesses: said.map_or(0, |said| said.accesses),
            miss_ratio: said.and_then(|said| said.miss_ratio),
            recent_miss_ratio: said.and_then(|said| said.recent_miss_ratio),
            real_memory: vm.real_memory,
            memory: state.and_then(|state| memory(state, cause)),
            migration: migration.map(|(id, _)| id),
        }
    }

    fn migration(&self, id: MigrationId, migration: &Migration) -> MigrationView {
        let unknown = Track::default();
        let followed = self.followed.get(&id);
        let track = followed.map_or(&unknown, |followed| &followed.track);
        let ended = migration.ended();
        let (counts, running) = (track.counts(), ended.is_none());
        let at = |server| running.then(|| self.answers.vm(server, &migration.vm)).flatten();
        let source_memory = at(&migration.source).and_then(|it| source_memory(it, track));
        let directory = ended.and_then(|ended| ended.directory.as_ref()?.file_name());
        MigrationView {
            id,
            vm: migration.vm.clone(),
            source: migration.source.clone(),
            destination: migration.destination.clone(),
            scheme: migration.parameters.scheme,
            time_scale: migration.scenario.time_scale,
            phase: if running { track.phase() } else { MigrationPhase::Ended },
            outcome: ended.map(|ended| ended.verdict.outcome),
            reason: ended.map(|ended| ended.verdict.reason.clone()),
            pause: migration.pause().cloned(),
            started_unix_ms: track.started_unix_ms,
            model_ns: track.model_ns(),
            arrived: counts.arrived,
            expected: track.expected(),
            bytes: counts.bytes,
            faults_remote: counts.faults_remote,
            faults_disk: counts.faults_disk,
            stall_ns: track.stall_ns(),
            fault: track.fault(),
            progress: track.progress(),
            left_ns: track.left_ns().filter(|_| running),
            forward_accesses: track.forward(),
            following_accesses: track.following(),
            link: track.link(),
            misses: track.misses(),
            source_memory,
            destination_memory: match running {
                true => destination_memory(at(&migration.destination), track),
                false => followed.and_then(|followed| followed.after.clone()),
            },
            directory: directory.map(|name| name.to_string_lossy().into_owned()),
            events: followed.map(|it| it.lines.iter().cloned().collect()).unwrap_or_default(),
        }
    }
}

/// Whether a server is there, and takes guests.
pub(crate) fn server_state(server: &Server) -> ServerState {
    match (server.connected, server.draining) {
        (false, _) if server.awaited => ServerState::Away,
        (false, _) => ServerState::Gone,
        (true, _) if server.silent_since_unix_ms.is_some() => ServerState::Silent,
        (true, true) => ServerState::Draining,
        (true, false) => ServerState::Ready,
    }
}

/// What a guest does: its server knows of a workload that has failed before anybody else.
fn phase(vm: &Vm, said: Option<&VmSummary>, migrates: bool) -> VmPhase {
    match said {
        _ if migrates => VmPhase::MigratingOut,
        Some(VmSummary { phase: VmPhase::Failed, .. }) => VmPhase::Failed,
        _ => vm.phase,
    }
}

/// The memory that a server has shown: of the guest, or of what is left of it.
fn memory(state: &VmState, cause: impl Fn(u32) -> CellCause) -> Option<MemoryView> {
    let (pages, frames) = (state.summary.pages, state.summary.frames);
    if let Some(density) = &state.density {
        return Some(MemoryView::density(pages, frames, density));
    }
    let left = state.moving.as_ref().and_then(|moving| moving.left.as_ref());
    Some(cells(state.snapshot.as_ref().or(left)?, cause))
}

/// The memory at a source, with what has left it.
fn source_memory(state: &VmState, track: &Track) -> Option<MemoryView> {
    let mut memory = memory(state, |_| CellCause::Own)?;
    if let MemoryView::Cells { cells, .. } = &mut memory {
        cells.iter_mut().for_each(|cell| cell.sent = track.sent(cell.page));
    }
    Some(memory)
}

/// The memory at a destination: before the context has come, the pages that were sent ahead of it.
fn destination_memory(state: Option<&VmState>, track: &Track) -> Option<MemoryView> {
    let state = state?;
    memory(state, |page| track.cause(page)).or_else(|| {
        let cell = |(page, cause)| Cell { page, dirty: false, cause, sent: None };
        let cells: Vec<Cell> = track.arrived().map(cell).collect();
        let frames = state.summary.frames;
        (!cells.is_empty()).then_some(MemoryView::Cells { frames, cells })
    })
}

/// The pages of a memory one by one.
pub(crate) fn cells(guest: &GuestSnapshot, cause: impl Fn(u32) -> CellCause) -> MemoryView {
    let cells = guest.resident.iter().map(|resident| {
        let page = resident.page.0;
        Cell { page, dirty: resident.dirty, cause: cause(page), sent: None }
    });
    MemoryView::Cells { frames: guest.frames, cells: cells.collect() }
}

#[cfg(test)]
#[path = "view/tests.rs"]
mod tests;
