//! A case: a guest, how it is moved, and what goes wrong, all drawn from one seed.

use super::fault::{Fault, Phase, PlannedFault, Way};
use chacha20::ChaCha8Rng;
use lazycopy_guest::{GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{
    BeforeHandover, Direction, MigrationParameters, PrePaging, PushOrder, RoundParameters, Scheme,
    Side, StopRule,
};
use lazycopy_units::{Duration, PAGE_MESSAGE_BYTES, Rate};
use rand::{Rng, SeedableRng};
use std::fmt;

/// The stream of random numbers that cases are drawn from; 1 to 5 are the guests' and scenarios'.
const CASE_STREAM: u64 = 6;

/// Faults of one case at most: three can meet in ways that two cannot, and more hide each other.
const MOST_FAULTS: u64 = 3;
/// Pages that leave at once at most: some messages more are needed for most guests.
const MOST_AT_ONCE: u64 = 16;
/// The longest that a fault lasts: beyond every deadline, so that both sides give up, too.
const LONGEST_FAULT: Duration = Duration::from_millis(600);

/// How long the two sides wait for each other. They are small, as the guests are, so that faults
/// fall on both sides of each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Each side says so often that it lives.
    pub beat: Duration,
    /// A side that heard nothing for so long takes the link for broken.
    pub silence: Duration,
    /// The source asks again after so long.
    pub retry: Duration,
    /// The destination gives the source up so long after the link broke,
    pub destination: Duration,
    /// and the source the destination, later: one that was thrown away is heard of.
    pub source: Duration,
    /// The manager tells one side of the other's death after so long.
    pub manager: Duration,
}

/// Everything about one run of the fault simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultCase {
    /// What it was drawn from.
    pub seed: u64,
    /// The guest.
    pub guest: GuestSpec,
    /// Accesses that complete before time begins.
    pub warmup_accesses: u64,
    /// How it is moved.
    pub parameters: MigrationParameters,
    /// The link.
    pub link: LinkParameters,
    /// How long each side waits.
    pub patience: Patience,
    /// What goes wrong.
    pub faults: Vec<PlannedFault>,
    /// So long after the link broke, an operator tells the source to take the guest back.
    pub reclaim: Option<Duration>,
    /// Pages are real bytes, and so many may leave at once; else they are stamps, and leave one by
    /// one.
    pub room: Option<u32>,
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Short ones more often than long ones.
    fn span(&mut self, most: Duration) -> Duration {
        let scale = self.below(4) as u32;
        Duration::from_nanos(self.within(1, most.as_nanos() / 10u64.pow(scale)))
    }
}

impl FaultCase {
    /// The case of that seed.
    pub fn draw(seed: u64) -> FaultCase {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(CASE_STREAM);
        let mut draw = Draw(rng);
        let scheme = draw.pick(&Scheme::ALL);
        let link = draw.link();
        let guest = draw.guest(seed, scheme);
        let mut parameters = draw.parameters(scheme, &link);
        let ms = Duration::from_millis;
        let latency = link.latency.as_nanos();
        let silence = Duration::from_nanos(20_000_000 + 3 * latency);
        let destination = Duration::from_nanos(draw.within(30_000_000, 250_000_000));
        let patience = Patience {
            beat: ms(5),
            silence,
            retry: Duration::from_nanos(10_000_000 + 4 * latency),
            destination,
            source: Duration::from_nanos(2 * destination.as_nanos()) + silence,
            manager: ms(draw.within(1, 40)),
        };
        let warmup_accesses = draw.below(100);
        let faults = draw.faults(&parameters);
        let reclaim = draw.one_in(3).then(|| draw.span(ms(400)));
        let room = draw.one_in(3).then(|| draw.within(2, MOST_AT_ONCE) as u32);
        // Other orders have few pages that follow each other.
        if room.is_some() && draw.one_in(2) {
            parameters.push_order = PushOrder::Address;
        }
        FaultCase {
            seed,
            guest,
            warmup_accesses,
            parameters,
            link,
            patience,
            faults,
            reclaim,
            room,
        }
    }

    /// The phases that a migration without faults passes through under these parameters.
    pub fn phases(parameters: &MigrationParameters) -> Vec<Phase> {
        let parts = parameters.scheme.parts();
        let waits = parts.forward_context && !parts.yields;
        Phase::ALL
            .into_iter()
            .filter(|phase| match phase {
                Phase::Rounds => parts.before_handover.has_rounds(),
                Phase::Pushing => waits,
                Phase::Resumed => !parts.before_handover.copies_all(),
                _ => true,
            })
            .collect()
    }

    /// The bound that the simulation holds every migration to: so long after the last fault is
    /// over it has ended. Generous, and finite.
    pub fn bound(&self) -> Duration {
        let parameters = &self.parameters;
        let page = self.link.bandwidth.time_for(PAGE_MESSAGE_BYTES).as_nanos();
        let pages = u64::from(self.guest.pages);
        let disks = parameters.disk_latency_source.as_nanos()
            + parameters.disk_latency_destination.as_nanos();
        // An access may wait for all that waits for the link, for a disk, and for its penalty; one
        // in rounds is slowed down.
        let access = self.guest.think_time.as_nanos()
            + disks
            + parameters.fault_penalty.as_nanos()
            + 2 * self.link.latency.as_nanos()
            + page * pages;
        let accesses = parameters.measured_accesses + parameters.head_start + 4 * pages;
        let least = parameters.rounds.minimum_rate.time_for(PAGE_MESSAGE_BYTES).as_nanos();
        let rounds = match parameters.scheme.parts().before_handover {
            BeforeHandover::RoundsThenCopy | BeforeHandover::RoundsThenPush => {
                u64::from(parameters.rounds.max_rounds) * pages * (page + least)
            }
            _ => 0,
        };
        let checkpoint = pages * parameters.disk_latency_source.as_nanos();
        let patience = 4 * (self.patience.source + self.patience.silence).as_nanos();
        Duration::from_nanos(accesses * access + rounds + checkpoint + patience)
    }
}

impl Draw {
    fn guest(&mut self, seed: u64, scheme: Scheme) -> GuestSpec {
        // Where rounds leave little, little can be lost after the hand-over.
        let writes: &[f64] = match scheme.parts().before_handover {
            BeforeHandover::RoundsThenPush => &[0.2, 0.6, 1.0, 1.0, 1.0],
            _ => &[0.0, 0.2, 0.2, 0.6, 1.0],
        };
        let pages = self.within(4, 40) as u32;
        let all = self.one_in(4);
        let frames = if all { pages } else { self.within(2, u64::from(pages)) as u32 };
        let workload = match self.below(4) {
            0 | 1 => WorkloadSpec::Queue { length: self.within(1, 100) as u32 },
            2 => WorkloadSpec::Zipf { exponent: self.pick(&[0.0, 0.7, 1.4]) },
            _ => WorkloadSpec::Sequential,
        };
        GuestSpec {
            seed,
            pages,
            frames,
            think_time: Duration::from_millis(1),
            write_fraction: self.pick(writes),
            whole_page_fraction: self.pick(&[0.0, 0.0, 0.5]),
            zero_fraction: 0.0,
            compressible_fraction: 0.0,
            workload,
            resident_at_start: if all { ResidentAtStart::All } else { ResidentAtStart::None },
        }
    }

    fn link(&mut self) -> LinkParameters {
        let page_time = self.span(Duration::from_millis(6)).as_nanos().max(1_000);
        let rate = PAGE_MESSAGE_BYTES * 1_000_000_000 / page_time;
        LinkParameters {
            bandwidth: Rate::from_bytes_per_sec(rate).expect("a page takes milliseconds"),
            latency: self.span(Duration::from_millis(6)),
        }
    }

    fn parameters(&mut self, scheme: Scheme, link: &LinkParameters) -> MigrationParameters {
        let max_lead = self.one_in(3).then(|| self.within(1, 12));
        let head_start = self.within(1, 8);
        let direction = self.pick(&[Direction::Dual, Direction::Forward, Direction::Backward]);
        let orders = [
            PushOrder::Lru,
            PushOrder::Mru,
            PushOrder::Address,
            PushOrder::Bubbling,
            PushOrder::Predicted,
        ];
        let disk = Duration::from_millis(8);
        let max_rounds = self.within(1, 8) as u32;
        MigrationParameters {
            scheme,
            push_order: self.pick(&orders),
            context_bytes: self.below(8_192),
            head_start: head_start.min(max_lead.unwrap_or(u64::MAX)),
            max_lead,
            fault_penalty: if self.one_in(4) { self.span(disk) } else { Duration::ZERO },
            disk_latency_source: self.span(disk),
            disk_latency_destination: self.span(disk),
            measured_accesses: self.within(1, 80),
            rounds: RoundParameters {
                stop_rule: self.pick(&[StopRule::Clark, StopRule::Xen, StopRule::Qemu]),
                downtime_limit: Duration::from_millis(self.within(1, 30)),
                minimum_rate: link.bandwidth,
                hybrid_rounds: if self.one_in(4) { max_rounds.min(3) } else { 1 },
                max_rounds,
                ..RoundParameters::default()
            },
            pre_paging: PrePaging {
                pivots: self.within(1, 7) as u32,
                direction,
                sticky_pivot: direction != Direction::Dual,
            },
            whole_page_writes: self.one_in(3),
            push_rate: None,
            checkpoint: self.one_in(4),
        }
    }

    fn faults(&mut self, parameters: &MigrationParameters) -> Vec<PlannedFault> {
        // What is rare, since it is short, is looked for more often.
        let mut phases = FaultCase::phases(parameters);
        phases.extend_from_within(..);
        phases.extend(
            FaultCase::phases(parameters)
                .into_iter()
                .filter(|phase| matches!(phase, Phase::Pushing | Phase::Resumed)),
        );
        let count = self.within(1, MOST_FAULTS);
        (0..count)
            .map(|_| PlannedFault {
                phase: self.pick(&phases),
                after_steps: self.after_steps(),
                fault: self.fault(),
            })
            .collect()
    }

    /// At once, soon, or later.
    fn after_steps(&mut self) -> u32 {
        match self.below(4) {
            0 => 0,
            1 | 2 => self.below(10) as u32,
            _ => self.below(120) as u32,
        }
    }

    fn fault(&mut self) -> Fault {
        let side = self.pick(&[Side::Source, Side::Destination]);
        let way = self.pick(&[Way::Forward, Way::Backward]);
        let lasts = self.span(LONGEST_FAULT);
        match self.below(14) {
            0 | 1 => Fault::Crash(side),
            2 | 3 => Fault::Restart(side, lasts),
            4 | 5 => Fault::Pause(side, lasts),
            6 => Fault::Partition(lasts),
            7 | 8 => Fault::OneWay(way, lasts),
            9 => Fault::Delay { by: self.span(Duration::from_millis(100)), lasts },
            10 => Fault::Duplicate(self.within(1, 10) as u32),
            11 => Fault::Cut,
            12 => Fault::LoseManager,
            _ => Fault::Cancel,
        }
    }
}

impl fmt::Display for FaultCase {
    /// Everything that was drawn, before it is run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FaultCase { guest, parameters, link, patience, .. } = self;
        writeln!(f, "seed {}: {}", self.seed, parameters.scheme)?;
        writeln!(
            f,
            "  guest: {} pages, {} frames, {:?}, {} % writes, {} % of them of whole pages",
            guest.pages,
            guest.frames,
            guest.workload,
            guest.write_fraction * 100.0,
            guest.whole_page_fraction * 100.0
        )?;
        writeln!(
            f,
            "  link: a page takes {}, latency {}; disks: {} and {}; penalty {}",
            link.bandwidth.time_for(PAGE_MESSAGE_BYTES),
            link.latency,
            parameters.disk_latency_source,
            parameters.disk_latency_destination,
            parameters.fault_penalty
        )?;
        writeln!(
            f,
            "  migration: push order {:?}, head start {}, max lead {:?}, whole-page writes {}, \
             checkpoint {}, {} accesses measured, at most {} rounds",
            parameters.push_order,
            parameters.head_start,
            parameters.max_lead,
            parameters.whole_page_writes,
            parameters.checkpoint,
            parameters.measured_accesses,
            parameters.rounds.max_rounds
        )?;
        writeln!(
            f,
            "  deadlines: silence {}, destination {}, source {}; bound {}",
            patience.silence,
            patience.destination,
            patience.source,
            self.bound()
        )?;
        if let Some(room) = self.room {
            writeln!(f, "  pages: real bytes, {room} at once at most")?;
        }
        if let Some(after) = self.reclaim {
            writeln!(f, "  operator: reclaim {after} after the link broke")?;
        }
        self.faults.iter().try_for_each(|fault| writeln!(f, "  fault: {fault}"))
    }
}
