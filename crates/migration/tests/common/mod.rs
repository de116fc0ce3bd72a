//! Both machines as a pair in virtual time, over a link that can break.

use lazycopy_guest::{Guest, GuestSpec, ResidentAtStart, TimeoutKind, WorkloadSpec, reference_run};
use lazycopy_migration::{
    Destination, DestinationInput, DestinationOutput, Event, EventKind, LinkMessage,
    MigrationParameters, PushOrder, RoundParameters, Scheme, Source, SourceInput, SourceOutput,
};
use lazycopy_units::{Duration, Instant};
use std::collections::VecDeque;
use std::sync::Arc;

pub const LATENCY: Duration = Duration::from_millis(2);
/// What any message occupies the link for.
const MESSAGE_TIME: Duration = Duration::from_millis(4);
const DISK: Duration = Duration::from_millis(7);
/// Steps after which a run that does not end is wrong.
const MOST_STEPS: u32 = 200_000;

pub fn spec(write_fraction: f64) -> GuestSpec {
    GuestSpec {
        seed: 11,
        pages: 50,
        frames: 20,
        think_time: Duration::from_millis(1),
        write_fraction,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Queue { length: 100 },
        resident_at_start: ResidentAtStart::None,
    }
}

pub fn parameters(scheme: Scheme) -> MigrationParameters {
    MigrationParameters {
        scheme,
        push_order: PushOrder::Lru,
        context_bytes: 4_096,
        head_start: 2,
        max_lead: None,
        fault_penalty: Duration::ZERO,
        disk_latency_source: DISK,
        disk_latency_destination: DISK,
        measured_accesses: 100,
        rounds: RoundParameters { max_rounds: 10, ..RoundParameters::default() },
        pre_paging: Default::default(),
        whole_page_writes: false,
        push_rate: None,
        checkpoint: false,
    }
}

pub struct Pair {
    pub now: Instant,
    pub source: Source,
    pub destination: Destination,
    spec: Arc<GuestSpec>,
    /// What occupies the link, and until when.
    sending: Option<(Instant, LinkMessage)>,
    to_source: VecDeque<(Instant, SourceInput)>,
    to_destination: VecDeque<(Instant, DestinationInput)>,
    pub events: Vec<Event>,
    pub source_ended: bool,
    pub destination_ended: bool,
}

impl Pair {
    pub fn new(spec: GuestSpec, parameters: MigrationParameters) -> Pair {
        let spec = Arc::new(spec);
        let mut guest = Guest::new(Arc::clone(&spec)).unwrap();
        guest.run_to(Instant::ZERO, 150, Duration::ZERO).unwrap();
        let mut pair = Pair {
            now: Instant::ZERO,
            source: Source::new(guest, parameters.clone()),
            destination: Destination::new(Arc::clone(&spec), parameters),
            spec,
            sending: None,
            to_source: VecDeque::new(),
            to_destination: VecDeque::new(),
            events: Vec::new(),
            source_ended: false,
            destination_ended: false,
        };
        pair.tell_source(SourceInput::Requested);
        pair
    }

    pub fn tell_source(&mut self, input: SourceInput) {
        self.source.handle_input(self.now, input);
        self.drain();
    }

    pub fn tell_destination(&mut self, input: DestinationInput) {
        self.destination.handle_input(self.now, input);
        self.drain();
    }

    /// The next thing happens, one access at a time. Whether there was one.
    pub fn step(&mut self) -> bool {
        let choice = self.source.wants_link().filter(|_| self.sending.is_none());
        let source_due = self.source.poll_timeout();
        let destination_due = self.destination.poll_timeout().filter(|_| !self.destination_ended);
        let turns = [
            self.sending.as_ref().map(|(at, _)| *at),
            self.to_source.front().map(|(at, _)| *at),
            self.to_destination.front().map(|(at, _)| *at),
            source_due.map(|due| due.at),
            destination_due.map(|due| due.at),
            choice,
        ];
        let next = (0..turns.len())
            .filter(|turn| turns[*turn].is_some())
            .min_by_key(|turn| (turns[*turn].map(|at| at.max(self.now)), *turn));
        let Some(turn) = next else { return false };
        self.now = self.now.max(turns[turn].unwrap());
        match turn {
            0 => {
                let (_, message) = self.sending.take().unwrap();
                let input = DestinationInput::Arrived(message);
                self.to_destination.push_back((self.now + LATENCY, input));
                self.source.handle_input(self.now, SourceInput::Transmitted);
            }
            1 => {
                let (_, input) = self.to_source.pop_front().unwrap();
                self.source.handle_input(self.now, input);
            }
            2 => {
                let (_, input) = self.to_destination.pop_front().unwrap();
                self.destination.handle_input(self.now, input);
            }
            3 if source_due.unwrap().kind == TimeoutKind::Disk => {
                self.source.handle_input(self.now, SourceInput::DiskDue);
            }
            3 => drop(self.source.run(self.now, 1)),
            4 if destination_due.unwrap().kind == TimeoutKind::Disk => {
                self.destination.handle_input(self.now, DestinationInput::DiskDue);
            }
            4 => drop(self.destination.run(self.now, 1)),
            _ => self.source.handle_input(self.now, SourceInput::LinkFree { room: 1 }),
        }
        self.drain();
        true
    }

    fn drain(&mut self) {
        while let Some(output) = self.source.poll_output() {
            match output {
                SourceOutput::Transmit { at, message } => {
                    assert!(self.sending.is_none(), "two messages on the link at once");
                    self.sending = Some((at + MESSAGE_TIME, message));
                }
                SourceOutput::Recover { at, recovery } => {
                    let input = DestinationInput::Recovered(recovery);
                    self.to_destination.push_back((at + LATENCY, input));
                }
                SourceOutput::Notify { at, notice } => {
                    let input = DestinationInput::Received(notice);
                    self.to_destination.push_back((at + LATENCY, input));
                }
                SourceOutput::Event(event) => self.events.extend(event.events()),
                SourceOutput::Ended => self.source_ended = true,
            }
        }
        while let Some(output) = self.destination.poll_output() {
            match output {
                DestinationOutput::Reply { at, reply } => {
                    self.to_source.push_back((at + LATENCY, SourceInput::Received(reply)));
                }
                DestinationOutput::Event(event) => self.events.extend(event.events()),
                DestinationOutput::Ended => self.destination_ended = true,
            }
        }
        let source_runs = self.source.guest().is_some_and(Guest::is_running);
        let destination_runs = self.destination.guest().is_some_and(Guest::is_running);
        assert!(!(source_runs && destination_runs), "two owners at {}", self.now);
    }

    pub fn run_until(&mut self, reached: impl Fn(&Pair) -> bool) {
        for _ in 0..MOST_STEPS {
            if reached(self) {
                return;
            }
            assert!(self.step(), "nothing happens any more: {:?}", self.events.last());
        }
        panic!("it does not end: {:?}", self.events.last());
    }

    /// Until `count` events of a kind have happened.
    pub fn run_to(&mut self, count: usize, is_meant: impl Fn(&EventKind) -> bool) {
        self.run_until(|pair| {
            pair.events.iter().filter(|event| is_meant(&event.kind)).count() == count
        });
    }

    /// Goes on for so long.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..MOST_STEPS {
            let (now, stalled) = (self.now, !self.step());
            if stalled || self.now > until || now > until {
                break;
            }
        }
        self.now = self.now.max(until);
    }

    pub fn finish(&mut self) {
        self.run_until(|pair| pair.source_ended && pair.destination_ended);
    }

    /// The link breaks, and both sides see it: what was on it is lost.
    pub fn cut(&mut self) {
        self.sending = None;
        self.to_source.clear();
        self.to_destination.clear();
        self.tell_source(SourceInput::LinkLost { reason: "cut".to_owned() });
        self.tell_destination(DestinationInput::LinkLost { reason: "cut".to_owned() });
    }

    /// There is a link again: the destination answers, and what it says arrives.
    pub fn mend(&mut self) {
        let answer = self.destination.answer_recovery();
        self.to_source.push_back((self.now + LATENCY, SourceInput::Recovered(answer)));
    }

    pub fn count(&self, is_meant: impl Fn(&EventKind) -> bool) -> usize {
        self.events.iter().filter(|event| is_meant(&event.kind)).count()
    }

    /// The guest, wherever it is, has seen and holds what it would without a migration.
    pub fn assert_equals_reference(&self) {
        let guest = self.source.guest().or(self.destination.guest()).expect("the guest lives");
        let registers = guest.registers();
        let reference = reference_run(&self.spec, Duration::ZERO, 0, registers.accesses).unwrap();
        assert_eq!(registers.digest, reference.registers.digest);
        assert_eq!(guest.pages_digest(), reference.pages_digest);
    }

    /// It completed, and both sides counted the same.
    pub fn assert_completed(&self) {
        let (source, destination) = (self.source.report(), self.destination.report());
        assert!(source.released_at.is_some(), "{source:?}");
        assert!(destination.completed_at.is_some(), "{destination:?}");
        assert_eq!(source.sent.above(&source.lost_in_flight), destination.arrived);
        self.assert_equals_reference();
    }
}
