//! A case: what is moved, and what goes wrong, all drawn from one seed.

use super::fault::{Moment, PlannedFault, ShellFault};
use chacha20::ChaCha8Rng;
use lazycopy_migration::Side;
use lazycopy_simulation::faults::{FaultCase, Phase, Way};
use lazycopy_transport::DEAD_LINK;
use lazycopy_units::Rate;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::time::Duration;

/// The stream of random numbers that what is the shells' alone is drawn from; the engine's cases
/// have the sixth.
const CASE_STREAM: u64 = 7;

/// Faults of one case at most, as in the engine's.
const MOST_FAULTS: u64 = 3;

/// Accesses of a head start at most: seconds.
const MOST_HEAD_START: u64 = 100;

/// The longest that a fault lasts: beyond most deadlines, so that both sides give up, too.
const LONGEST_FAULT: Duration = Duration::from_secs(40);

/// What each message takes at least, and at most, where nothing delays it.
pub(crate) const LATENCY: (Duration, Duration) =
    (Duration::from_millis(2), Duration::from_millis(10));

/// So many times slower than the engine's cases everything goes: there messages between processes
/// take no time but the link's, here they take milliseconds, and phases have to be longer than that.
const SLOWER: u64 = 20;

/// Everything about one run.
#[derive(Clone, Debug, PartialEq)]
pub struct ShellCase {
    /// What it was drawn from.
    pub seed: u64,
    /// The guest, how it moves and over which link: as the engine's fault simulation draws them.
    /// Its faults and deadlines are not used.
    pub moved: FaultCase,
    /// How long a broken link is tried to be mended.
    pub recover_within: Duration,
    /// So much after it learns of it the manager tells one side of the other's end; or never.
    pub manager_tells: Option<Duration>,
    /// So long after a source rests, waiting for a word, an operator gives one: that the guest is to
    /// be taken back.
    pub operator_after: Duration,
    /// What goes wrong.
    pub faults: Vec<PlannedFault>,
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Short ones more often than long ones.
    fn span(&mut self, most: Duration) -> Duration {
        let scale = self.below(4) as u32;
        let most = most.as_millis() as u64 / 10u64.pow(scale);
        Duration::from_millis(self.within(1, most.max(1)))
    }

    fn fault(&mut self) -> ShellFault {
        let side = self.pick(&[Side::Source, Side::Destination]);
        let way = self.pick(&[Way::Forward, Way::Backward]);
        let lasts = self.span(LONGEST_FAULT);
        match self.below(17) {
            0 | 1 => ShellFault::Crash(side),
            2 | 3 => ShellFault::Restart(side, lasts),
            4 => ShellFault::Hold(lasts),
            5 => ShellFault::Partition(lasts),
            6 | 7 => ShellFault::OneWay(way, lasts),
            8 => {
                let takes = self.span(Duration::from_secs(2));
                ShellFault::Delay { takes, lasts }
            }
            9 | 10 => ShellFault::Cut,
            11 => ShellFault::CutAt(side),
            12 => ShellFault::HoldManager(lasts),
            13 => ShellFault::CutManager,
            14 => ShellFault::Cancel,
            15 => ShellFault::Recover,
            _ => ShellFault::Reclaim,
        }
    }

    /// In half of the cases the link breaks after the hand-over, and what else happens may happen
    /// while it is mended.
    fn faults(&mut self, phases: &[Phase]) -> Vec<PlannedFault> {
        let breaks = self.below(2) == 0;
        let count = self.within(1, MOST_FAULTS);
        let mut planned: Vec<PlannedFault> = (0..count)
            .map(|_| {
                let moment = match self.below(10) {
                    0 => Moment::Agreeing,
                    1..=3 if breaks => Moment::Paused,
                    4 | 5 if breaks => Moment::Recovered,
                    _ => Moment::In(self.pick(phases)),
                };
                PlannedFault { moment, after: self.after(), fault: self.fault() }
            })
            .collect();
        if breaks {
            let after_hand_over = |phase: &Phase| *phase >= Phase::ContextInFlight;
            let phases: Vec<Phase> = phases.iter().copied().filter(after_hand_over).collect();
            let (moment, after) = (Moment::In(self.pick(&phases)), self.after());
            let fault = self.break_of_link();
            planned.push(PlannedFault { moment, after, fault });
        }
        planned
    }

    fn break_of_link(&mut self) -> ShellFault {
        let lasts = self.span(LONGEST_FAULT);
        match self.below(6) {
            0 => ShellFault::CutAt(self.pick(&[Side::Source, Side::Destination])),
            1 => ShellFault::Partition(lasts),
            2 => ShellFault::OneWay(self.pick(&[Way::Forward, Way::Backward]), lasts),
            _ => ShellFault::Cut,
        }
    }

    /// At once, soon, or later.
    fn after(&mut self) -> Duration {
        Duration::from_millis(match self.below(4) {
            0 => 0,
            1 | 2 => self.below(60),
            _ => self.below(600),
        })
    }
}

impl ShellCase {
    /// The case of that seed.
    pub fn draw(seed: u64) -> ShellCase {
        let mut moved = slower(FaultCase::draw(seed));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(CASE_STREAM);
        let mut draw = Draw(rng);
        // What the destination waits for is short in the engine's cases.
        if draw.below(2) == 0 && moved.parameters.max_lead.is_none() {
            moved.parameters.head_start = draw.within(5, MOST_HEAD_START);
        }
        let recover_within = Duration::from_millis(match draw.below(4) {
            0 => draw.within(200, 2_000),
            1 => draw.within(2_000, 15_000),
            _ => draw.within(15_000, 60_000),
        });
        let tells = draw.below(3) > 0;
        let manager_tells = tells.then(|| draw.span(Duration::from_secs(5)));
        let operator_after = draw.span(Duration::from_secs(20));
        // What is rare, since it is short, is looked for more often.
        let mut phases = FaultCase::phases(&moved.parameters);
        phases.retain(|phase| *phase != Phase::Measuring);
        phases.extend_from_within(..);
        phases.extend(phases.clone().into_iter().filter(|phase| *phase >= Phase::ContextInFlight));
        phases.push(Phase::Measuring);
        let faults = draw.faults(&phases);
        ShellCase { seed, moved, recover_within, manager_tells, operator_after, faults }
    }

    /// The command that runs it again and tells what happens.
    pub fn command(&self) -> String {
        format!("cargo run -p lazycopy-shells --example shells -- --seed {}", self.seed)
    }

    /// So long after the last fault is over every migration has ended: all deadlines that can
    /// follow each other, and the longest that the migration itself may take.
    pub fn bound(&self) -> Duration {
        // A source waits twice as long as a destination. Handshakes, farewells and the source's last
        // word have ten seconds each; an offer that nobody answers has a minute.
        const OTHER_DEADLINES: Duration = Duration::from_secs(60);
        let model = Duration::from_nanos(self.moved.bound().as_nanos());
        let tells = self.manager_tells.unwrap_or_default();
        3 * self.recover_within + OTHER_DEADLINES + DEAD_LINK + model + tells + self.operator_after
    }
}

/// The same case, some times slower.
fn slower(mut case: FaultCase) -> FaultCase {
    let times = |span: &mut lazycopy_units::Duration| {
        *span = lazycopy_units::Duration::from_nanos(span.as_nanos() * SLOWER);
    };
    let parameters = &mut case.parameters;
    times(&mut case.guest.think_time);
    times(&mut case.link.latency);
    times(&mut parameters.fault_penalty);
    times(&mut parameters.disk_latency_source);
    times(&mut parameters.disk_latency_destination);
    times(&mut parameters.rounds.downtime_limit);
    let bytes = (case.link.bandwidth.bytes_per_sec() / SLOWER).max(1);
    if let Some(rate) = Rate::from_bytes_per_sec(bytes) {
        case.link.bandwidth = rate;
        parameters.rounds.minimum_rate = rate;
    }
    // Pages that leave several at once do so over unlimited links alone.
    FaultCase { room: None, reclaim: None, faults: Vec::new(), ..case }
}

impl fmt::Display for ShellCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.moved)?;
        writeln!(f, "  shells: the link is tried to be mended within {:?}", self.recover_within)?;
        match self.manager_tells {
            Some(after) => writeln!(f, "  the manager tells of a side's end after {after:?}")?,
            None => writeln!(f, "  the manager tells nobody of a side's end")?,
        }
        self.faults.iter().try_for_each(|fault| writeln!(f, "  fault: {fault}"))
    }
}
