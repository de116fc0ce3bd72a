//! Control messages: between the manager and its servers, and between the manager and `ctl`.

use crate::pace::{Pace, Paced};
use lazycopy_guest::{GuestSnapshot, GuestSpec};
use lazycopy_link::LinkSpec;
use lazycopy_migration::{
    DestinationReport, Event, EventKind, EventRun, MigrationParameters, PageCounts, Side,
    SourceReport, Verdict,
};
use lazycopy_units::{Duration, Instant};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of these messages. Two processes talk only if theirs are equal: they tell each other in
/// the knock that every connection begins with.
pub const PROTOCOL_VERSION: u32 = 6;

/// Identifies a migration among all of one manager, its earlier lives included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MigrationId(pub u64);

/// A one-time key of a migration: the manager hands it to the two servers of the migration, which
/// prove it to each other and never send it. It shows itself nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MigrationKey([u8; 32]);

impl MigrationKey {
    /// A key of random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        MigrationKey(bytes)
    }

    /// Its bytes, for a proof and for nothing else.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MigrationKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MigrationKey(..)")
    }
}

/// The first frame of a connection to the manager: it tells servers and `ctl` apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "hello")]
pub enum FirstFrame {
    /// A server introduces itself.
    Server(ServerHello),
    /// A `ctl` sends its one command.
    Ctl(CtlRequest),
}

/// How a server introduces itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerHello {
    /// Version of its program.
    pub version: String,
    /// Its name, unique among the manager's servers.
    pub name: String,
    /// Process identifier.
    pub pid: u32,
    /// Where other servers reach it: `host:port`.
    pub address: String,
    /// Frames of memory that it has for guests.
    pub frames: u64,
    /// The guests that it hosts (after a reconnection).
    pub vms: Vec<VmSummary>,
    /// The sides of migrations that it has: those that run, and those that have ended and whose
    /// reports no manager has acknowledged (after a reconnection).
    #[serde(default)]
    pub sides: Vec<SideHeld>,
    /// How its time goes (after a reconnection).
    #[serde(default)]
    pub pace: Pace,
}

/// One side of a migration, as its server still holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideHeld {
    /// Which migration.
    pub migration: MigrationId,
    /// The guest.
    pub vm: String,
    /// Which side.
    pub side: Side,
    /// Whether it has ended here: then its report follows.
    pub ended: bool,
    /// How far it is, told by a destination while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Whether its link is broken after the hand-over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
}

/// A migration whose link is broken after the hand-over, as one side sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why.
    pub reason: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// Until when this side waits for the other by itself, in milliseconds since 1970; `None`:
    /// nothing happens any more but by an operator's word.
    pub until_unix_ms: Option<u64>,
    /// Told by the source: whether the guest may be taken back, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim: Option<Result<String, String>>,
}

/// What became of the other side of a migration, by the manager's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "became")]
pub enum PeerEnd {
    /// Its process is dead, which is certain.
    Dead,
    /// It ended without the guest, which never ran there and never will: a destination that threw
    /// it away.
    ThrownAway {
        /// Why.
        reason: String,
    },
    /// It ended with the guest: a source that took it back.
    Withdrawn {
        /// Why.
        reason: String,
    },
    /// It ended, and the guest with it.
    Lost {
        /// Why.
        reason: String,
    },
}

/// A sign of life is asked for so often, by the manager of each server. Whoever is silent for some
/// of these hangs; see [`SERVER_SILENCE`] and [`MANAGER_SILENCE`].
pub const HEARTBEAT_PERIOD: std::time::Duration = std::time::Duration::from_secs(1);

/// So many heartbeats in a row without a word from a server: the manager says that it does not
/// answer. Commands then fail at once, and nothing else follows, so a server that is only slow
/// loses nothing. With ten servers, a thousand guests and a hundred migrations on two cores an
/// answer took at most some tenths of a second.
pub const SERVER_SILENCE: u32 = 5;

/// So many heartbeats in a row without a word from the manager: the server connects anew. More than
/// [`SERVER_SILENCE`], since a connection is given up for it.
pub const MANAGER_SILENCE: u32 = 10;

/// Counts how long the other side has been silent, in ticks of this process's own clock: one that
/// was stopped itself, or got no turn, has not ticked, and blames nobody for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    ticks: u32,
}

impl Silence {
    /// The other side has said something.
    pub fn heard(&mut self) {
        self.ticks = 0;
    }

    /// A [`HEARTBEAT_PERIOD`] has passed; returns for how many nothing was heard.
    pub fn tick(&mut self) -> u32 {
        self.ticks = self.ticks.saturating_add(1);
        self.ticks
    }
}

/// One command line from `ctl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CtlRequest {
    /// The command, as typed at the prompt.
    pub command: String,
    /// Whether the reply is to be JSON.
    pub json: bool,
    /// A name for this request: sent again under it, the command is answered with what came of it
    /// the first time, and not carried out twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// The manager's answer to a `ctl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CtlReply {
    /// Whether the command succeeded.
    pub ok: bool,
    /// What to print: text, or a JSON document where JSON was asked for.
    pub output: String,
}

/// From the manager to a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum ToServer {
    /// The server is accepted.
    Welcome {
        /// Tells this manager's life from every other: its beginning, in nanoseconds since 1970.
        /// Numbers of commands are unique within it.
        life: u64,
        /// How its time goes from now on.
        pace: Pace,
    },
    /// Are you there? Answered by [`FromServer::Heartbeat`], at once and whatever else is done.
    Heartbeat,
    /// The server is not accepted, and should not try again.
    Refused {
        /// Why.
        reason: String,
    },
    /// Do this and send a [`FromServer::Reply`] with the same `id`. What changes something is done
    /// once, however often it is sent within a manager's life: sent again, after a reconnection, it
    /// is answered with what came of it the first time.
    Command {
        /// Chosen by the manager, unique within its life.
        id: u64,
        /// What to do.
        command: ServerCommand,
    },
}

/// From a server to the manager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum FromServer {
    /// The answer to the command with that `id`.
    Reply {
        /// The command's.
        id: u64,
        /// What came of it, or an error in words.
        result: Result<ServerReply, String>,
    },
    /// Something that happened in a running migration whose events are watched.
    Event {
        /// Which migration.
        migration: MigrationId,
        /// What.
        event: Event,
    },
    /// How far a running migration is: from the destination, now and then.
    Progress {
        /// Which migration.
        migration: MigrationId,
        /// How far.
        transfer: Transfer,
    },
    /// This side of a migration has ended. Sent by each side that took part, and again after every
    /// reconnection, until it is acknowledged by [`ServerCommand::ForgetMigration`].
    MigrationEnded(Box<SideEnded>),
    /// The link of a migration broke after the hand-over, or is whole again.
    LinkState {
        /// Which migration.
        migration: MigrationId,
        /// Which side of it.
        side: Side,
        /// What is so, if it is broken.
        pause: Option<Pause>,
    },
    /// I am here.
    Heartbeat,
    /// A guest failed by itself (its trace is broken) and was stopped.
    VmFailed {
        /// Which.
        vm: String,
        /// Why.
        reason: String,
    },
}

/// What a server is told to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum ServerCommand {
    /// Create a guest; it does not run yet. Answered by `Done`.
    CreateVm(CreateVm),
    /// Run a created or stopped guest: its warm-up, which takes no time, and then on in scaled
    /// real time. Answered by `Done`.
    StartVm {
        /// Which.
        vm: String,
    },
    /// Suspend a running guest. Answered by `Done`.
    SuspendVm {
        /// Which.
        vm: String,
    },
    /// Resume a suspended guest. Answered by `Done`.
    ResumeVm {
        /// Which.
        vm: String,
    },
    /// Stop a guest: its memory is freed, its definition kept. Answered by `Done`.
    StopVm {
        /// Which.
        vm: String,
    },
    /// Forget a guest; running ones only with `force`. Answered by `Done`.
    DeleteVm {
        /// Which.
        vm: String,
        /// Even if it runs.
        force: bool,
    },
    /// Answered by `Vm`.
    ShowVm {
        /// Which.
        vm: String,
        /// The most resident pages to list, at most [`MAX_SHOWN_PAGES`].
        limit: u32,
    },
    /// Answered by `Host`.
    ShowHost,
    /// Let a guest in that the source will offer; sent to the destination before the source is told
    /// to move it. Answered by `Done`. Without it every offer is refused.
    Expect(ExpectMigration),
    /// Move a guest from this server, its source, to another. Answered by `Done` when the
    /// destination has accepted and model time is about to begin; the end comes as
    /// [`FromServer::MigrationEnded`] from both sides.
    Migrate(Box<StartMigration>),
    /// Take a migration back, before the hand-over. Sent to the source. Answered by `Done`, also
    /// where it is taken back already, or by an error after the hand-over.
    CancelMigration {
        /// Which.
        migration: MigrationId,
    },
    /// Try at once to mend the broken link of a migration that was handed over. Sent to the source.
    /// Answered by `Done` when the migration goes on, or by what came of the try.
    RecoverMigration {
        /// Which.
        migration: MigrationId,
    },
    /// Take back a guest that was handed over and never ran at the destination, by an operator's
    /// word. Sent to the source, which alone decides. Answered by `Done`, or by the reason why not.
    ReclaimMigration {
        /// Which.
        migration: MigrationId,
    },
    /// The other side of a migration has ended, and may not have been able to say so itself.
    /// Answered by `Done`, whatever is here of the migration.
    PeerEnded {
        /// Which.
        migration: MigrationId,
        /// How.
        how: PeerEnd,
    },
    /// The events of an ended migration from entry `from` on, at most [`ENTRIES_PER_FRAME`].
    /// Answered by `Events`.
    FetchEvents {
        /// Which.
        migration: MigrationId,
        /// Number of the first entry, from 0.
        from: u64,
    },
    /// From now on time goes thus. Answered by `Paced`.
    SetPace {
        /// How.
        pace: Pace,
    },
    /// The result of an ended migration is written: forget its report and its events. Answered by
    /// `Done`.
    ForgetMigration {
        /// Which.
        migration: MigrationId,
    },
    /// End the process. Refused while guests would be lost, unless `force`.
    Shutdown {
        /// Even if guests are lost.
        force: bool,
    },
}

impl ServerCommand {
    /// Whether it changes anything: carried out twice, it would do something else than once.
    pub fn changes_something(&self) -> bool {
        use ServerCommand::{FetchEvents, ForgetMigration, ShowHost, ShowVm};
        !matches!(self, ShowHost | ShowVm { .. } | FetchEvents { .. } | ForgetMigration { .. })
    }
}

/// The most resident pages that a [`GuestSnapshot`] in a control message lists, so that its frame
/// stays small.
pub const MAX_SHOWN_PAGES: u32 = 4_096;

/// Entries per [`ServerReply::Events`]: some hundred kilobytes, so that the manager holds little
/// of each migration's events however many end at once.
pub const ENTRIES_PER_FRAME: u64 = 1_024;

/// A guest to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateVm {
    /// Its name, unique among all servers.
    pub vm: String,
    /// What it is.
    pub spec: GuestSpec,
    /// Model time per wall time, at least 1: at 1000 a model second takes a millisecond.
    pub time_scale: u64,
    /// What a load from the disk takes in ordinary paging.
    pub disk_latency: Duration,
    /// Accesses that complete before its time begins.
    pub warmup_accesses: u64,
    /// Whether its memory is real memory, each page with its 4,096 bytes: for migrations over an
    /// unlimited link, and for no others.
    pub real_memory: bool,
}

/// A migration to begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartMigration {
    /// Chosen by the manager.
    pub migration: MigrationId,
    /// Which guest.
    pub vm: String,
    /// Name of the destination.
    pub destination: String,
    /// Where the destination listens for servers.
    pub destination_address: String,
    /// How to move it.
    pub parameters: MigrationParameters,
    /// The link, a migration's own, or none.
    pub link: LinkSpec,
    /// Which events both sides send to the manager while the migration runs.
    pub watch: Watch,
    /// What both servers of the migration prove to each other.
    pub key: MigrationKey,
    /// How long a broken link is tried to be mended after the hand-over, in wall time.
    pub recover_within: Duration,
}

/// A migration that a server is to expect as its destination.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectMigration {
    /// Chosen by the manager.
    pub migration: MigrationId,
    /// Which guest.
    pub vm: String,
    /// Name of the source.
    pub source: String,
    /// What both servers of the migration prove to each other.
    pub key: MigrationKey,
}

/// Which events of a running migration are sent to the manager at once. What is not is in the
/// result all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watch {
    /// None.
    #[default]
    Off,
    /// The steps of the migration as a whole: a few, however large the guest is.
    Milestones,
    /// Each page and each fault, too.
    All,
}

impl Watch {
    /// Whether an event is sent.
    pub fn shows(self, kind: &EventKind) -> bool {
        match self {
            Watch::Off => false,
            Watch::Milestones => kind.is_milestone(),
            Watch::All => true,
        }
    }
}

/// How far a migration is, seen from the destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Pages that have arrived.
    pub arrived: PageCounts,
    /// Pages that arrive in all, known once the context has come: those before it, and those that
    /// its residency list still misses. A forward context drops some of these and adds others.
    pub expected: Option<u64>,
    /// Bytes of the pages and the context that have arrived.
    pub bytes: u64,
    /// Page faults of the migration that are over.
    pub faults: u64,
    /// Of these, ended by a load from the disk.
    #[serde(default)]
    pub faults_disk: u64,
    /// How long these faults blocked the guest.
    #[serde(rename = "stall_ns", default)]
    pub stall: Duration,
    /// When this was so, in the migration's model time.
    #[serde(rename = "at_ns", default)]
    pub at: Instant,
}

/// What a command gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reply")]
pub enum ServerReply {
    /// It is done.
    Done,
    /// A guest.
    Vm(Box<VmState>),
    /// The server and its pool.
    Host(HostState),
    /// Events of a migration.
    Events {
        /// They, in the order of their instants.
        events: Vec<EventRun>,
        /// Whether these are the last.
        last: bool,
    },
    /// Time goes otherwise than before.
    Paced {
        /// The migrations that leave this server, and from when on theirs does.
        migrations: Vec<Paced>,
    },
}

/// What a guest is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmPhase {
    /// Defined; it has not run yet.
    Created,
    /// It runs.
    Running,
    /// Its execution is halted, its memory kept.
    Suspended,
    /// Its execution is over, its memory freed.
    Stopped,
    /// It is leaving this server.
    MigratingOut,
    /// It is coming to this server.
    MigratingIn,
    /// Its workload failed.
    Failed,
}

impl VmPhase {
    /// Whether it is on its way from one server to another.
    pub fn is_on_the_move(self) -> bool {
        matches!(self, VmPhase::MigratingOut | VmPhase::MigratingIn)
    }
}

/// A guest in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmSummary {
    /// Its name.
    pub vm: String,
    /// What it is doing.
    pub phase: VmPhase,
    /// Pages that it can address.
    pub pages: u32,
    /// Frames of its memory.
    pub frames: u32,
    /// Completed accesses.
    pub accesses: u64,
    /// Misses per access since the start.
    pub miss_ratio: Option<f64>,
    /// Misses per access over the recent window.
    pub recent_miss_ratio: Option<f64>,
    /// Whether its pages have bytes: it moves over unlimited links alone then.
    #[serde(default)]
    pub real_memory: bool,
}

/// A guest in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmState {
    /// As in a list.
    pub summary: VmSummary,
    /// Its definition.
    pub spec: GuestSpec,
    /// Memory and registers; absent while it has none here.
    pub snapshot: Option<GuestSnapshot>,
    /// While it migrates: this side of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Box<Moving>>,
    /// How full its memory here is, where that has more frames than were to be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<Box<MemoryDensity>>,
}

/// One side of a migration, as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moving {
    /// Which side.
    pub side: Side,
    /// The migration's model time.
    #[serde(rename = "at_ns")]
    pub at: Instant,
    /// After the hand-over, at the source: what is left of the guest there, which goes on as the
    /// forward context where the scheme has one.
    pub left: Option<GuestSnapshot>,
}

/// Ranges of page numbers, equally long, that a [`MemoryDensity`] tells of: as many as there are
/// small squares in a picture that is still seen at once.
pub const DENSITY_BUCKETS: usize = 256;

/// How full a memory is that has more pages than a list should: shares of the pages, 0 to 1, by
/// [`DENSITY_BUCKETS`] ranges of page numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryDensity {
    /// Pages in memory. Of long ranges a sample is looked at, pages at equal distances.
    pub resident: Vec<f32>,
    /// Pages that have arrived in rounds. Empty, as the following are, but at a destination.
    pub round: Vec<f32>,
    /// Pages that have arrived by the background push.
    pub background: Vec<f32>,
    /// Pages that have arrived for the forward context.
    pub forward: Vec<f32>,
    /// Pages that have arrived on demand.
    pub demand: Vec<f32>,
}

/// A server and its pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostState {
    /// Its name.
    pub server: String,
    /// Frames of memory for guests.
    pub frames: u64,
    /// Of these, taken.
    pub frames_taken: u64,
    /// Its guests.
    pub vms: Vec<VmSummary>,
}

/// A server at one instant of a migration, as in the paper's figures 1 and 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostSnapshot {
    /// The server and its pool.
    pub host: HostState,
    /// The migrated guest, where it is in this server's memory.
    pub guest: Option<GuestSnapshot>,
}

/// What one side tells the manager when its part of a migration has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideEnded {
    /// Which migration.
    pub migration: MigrationId,
    /// The guest.
    pub vm: String,
    /// Which side.
    pub side: Side,
    /// How it ended, as far as this side knows.
    pub verdict: Verdict,
    /// What it counted.
    pub report: SideReport,
    /// How late it was at most, the uncertainty of the common clock included, in model time.
    pub slip: Duration,
    /// Messages that came when their instant had been passed already.
    pub out_of_order: u64,
    /// Just before model time began.
    pub before: HostSnapshot,
    /// When this side had ended.
    pub after: HostSnapshot,
    /// Events that can be fetched.
    pub events: u64,
    /// What it counted at its sockets; told by the source, and only of an unlimited link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plane: Option<PlaneCounts>,
}

/// What a source counted at its sockets, where no link is modelled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaneCounts {
    /// Bytes that were written to the sockets for pages, headers included.
    pub bytes_sent: u64,
    /// Of these, the pages' bodies alone, as they went over the wire.
    pub body_bytes: u64,
    /// Pages that were sent as zero: without a body.
    pub pages_zero: u64,
    /// Pages that were sent as equal to one that the destination has: without a body.
    pub pages_same: u64,
    /// Pages whose body was compressed.
    pub pages_compressed: u64,
    /// The congestion control of the sockets, as the system tells it.
    pub congestion: String,
}

/// What a side counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "of")]
pub enum SideReport {
    /// By the source.
    Source(SourceReport),
    /// By the destination.
    Destination(DestinationReport),
}
