//! Pages that are real bytes may go several at once: that changes how many messages there are, and
//! nothing else.

use lazycopy_guest::{
    Guest, GuestSpec, Memory, PageContents, ResidentAtStart, TimeoutKind, WorkloadSpec,
};
use lazycopy_migration::{
    Destination, DestinationInput, DestinationOutput, DestinationReport, Event, EventKind,
    EventRun, Fate, LinkMessage, MigrationParameters, PageMessage, PushOrder, RoundParameters,
    Scheme, Source, SourceInput, SourceOutput, SourceReport,
};
use lazycopy_units::{Duration, Instant, PageNumber};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

fn spec(pages: u32, frames: u32) -> GuestSpec {
    let resident_at_start =
        if frames == pages { ResidentAtStart::All } else { ResidentAtStart::None };
    GuestSpec {
        seed: 3,
        pages,
        frames,
        think_time: Duration::from_nanos(1),
        write_fraction: 0.3,
        whole_page_fraction: 0.0,
        zero_fraction: 0.2,
        compressible_fraction: 0.2,
        workload: WorkloadSpec::Zipf { exponent: 0.7 },
        resident_at_start,
    }
}

fn parameters(scheme: Scheme, push_order: PushOrder) -> MigrationParameters {
    MigrationParameters {
        scheme,
        push_order,
        context_bytes: 4_096,
        head_start: 0,
        max_lead: None,
        fault_penalty: Duration::ZERO,
        disk_latency_source: Duration::ZERO,
        disk_latency_destination: Duration::ZERO,
        measured_accesses: 1,
        rounds: RoundParameters::default(),
        pre_paging: Default::default(),
        whole_page_writes: false,
        push_rate: None,
        checkpoint: false,
    }
}

/// Both machines, and what they said.
struct Pair {
    now: Instant,
    source: Source,
    destination: Destination,
    seen: [Vec<Event>; 2],
    messages: u32,
    /// The guest at the destination takes so many accesses after each message.
    accesses: u64,
}

impl Pair {
    fn new(spec: &Arc<GuestSpec>, before: u64, parameters: &MigrationParameters) -> Pair {
        let mut guest = Guest::new_in_pages(Arc::clone(spec)).unwrap();
        guest.run_to(Instant::ZERO, before, Duration::ZERO).unwrap();
        let memory = Memory::in_pages(spec.pages, spec).unwrap();
        let destination = Destination::receiving_into(memory, Arc::clone(spec), parameters.clone());
        let source = Source::new(guest, parameters.clone());
        let seen = [Vec::new(), Vec::new()];
        Pair { now: Instant::ZERO, source, destination, seen, messages: 0, accesses: 0 }
    }

    /// Migrates, so many pages at a time.
    fn migrate(&mut self, room: u32) {
        self.source.handle_input(self.now, SourceInput::Requested);
        self.drain();
        while let Some(at) = self.source.wants_link() {
            self.now = self.now.max(at);
            if self.source.wants_urgent_link() {
                self.source.handle_input(self.now, SourceInput::UrgentLinkFree);
            } else {
                self.source.handle_input(self.now, SourceInput::LinkFree { room });
            }
            self.drain();
            self.source.handle_input(self.now, SourceInput::Transmitted);
            self.drain();
            while let Some(due) = self.destination.poll_timeout()
                && due.kind == TimeoutKind::Disk
            {
                self.destination.handle_input(self.now, DestinationInput::DiskDue);
            }
            if self.accesses > 0 {
                self.now = self.now + Duration::from_nanos(1_000);
                self.destination.run(self.now, self.accesses);
            }
            self.drain();
        }
        self.destination.run(Instant::MAX, 1);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.source.poll_output() {
            match output {
                SourceOutput::Transmit { message, .. } => self.deliver(message),
                SourceOutput::Event(run) => self.seen[0].extend(run.events()),
                SourceOutput::Notify { notice, .. } => {
                    let input = DestinationInput::Received(notice);
                    self.destination.handle_input(self.now, input);
                }
                SourceOutput::Recover { .. } => unreachable!("no link breaks"),
                SourceOutput::Ended => {}
            }
        }
        while let Some(output) = self.destination.poll_output() {
            match output {
                DestinationOutput::Reply { reply, .. } => {
                    self.source.handle_input(self.now, SourceInput::Received(reply));
                    self.drain();
                }
                DestinationOutput::Event(run) => self.seen[1].extend(EventRun::events(run)),
                DestinationOutput::Ended => {}
            }
        }
    }

    /// What has no stamp is received in place.
    fn deliver(&mut self, message: LinkMessage) {
        if let LinkMessage::Page(PageMessage { page, count, stamp: None, .. }) = message {
            let memory = self.source.memory().and_then(Memory::bytes).unwrap();
            let bytes = memory.run(page, count).to_vec();
            assert_eq!(self.destination.may_receive_in_place(page, count), (true, count));
            let memory = self.destination.memory_mut().and_then(Memory::bytes_mut).unwrap();
            memory.run_mut(page, count).copy_from_slice(&bytes);
        }
        self.messages += u32::from(matches!(message, LinkMessage::Page(_)));
        self.destination.handle_input(self.now, DestinationInput::Arrived(message));
    }

    fn reports(&self) -> (&SourceReport, &DestinationReport) {
        (self.source.report(), self.destination.report())
    }

    /// The guest that came is here as a whole, every byte of it.
    fn check_guest(&self, spec: &GuestSpec) {
        let (source, destination) = self.reports();
        assert!(source.released_at.is_some() && destination.ended_at.is_some());
        assert_eq!(source.sent, destination.arrived);
        let guest = self.destination.guest().unwrap();
        let (contents, memory) = (PageContents::of(spec), guest.memory());
        for page in memory.iter() {
            let stamp = memory.stamp(page).unwrap();
            assert!(contents.matches(page, stamp, memory.bytes().unwrap().page(page)));
        }
    }
}

fn any_order() -> impl Strategy<Value = PushOrder> {
    let orders = [PushOrder::Lru, PushOrder::Mru, PushOrder::Address, PushOrder::Bubbling];
    (0..orders.len()).prop_map(move |order| orders[order])
}

fn any_scheme() -> impl Strategy<Value = Scheme> {
    let schemes = [Scheme::StopAndCopy, Scheme::PostCopy, Scheme::PreCopy, Scheme::HybridPostCopy];
    (0..schemes.len()).prop_map(move |scheme| schemes[scheme])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_migration_is_the_same_however_many_pages_go_at_once(
        pages in 1u32..200,
        share in prop_oneof![Just(1.0), 0.1..1.0],
        before in 0u64..300,
        scheme in any_scheme(),
        order in any_order(),
        room in 2u32..300,
    ) {
        let frames = ((f64::from(pages) * share) as u32).max(1);
        let (spec, parameters) = (Arc::new(spec(pages, frames)), parameters(scheme, order));
        let mut one_by_one = Pair::new(&spec, before, &parameters);
        let mut together = Pair::new(&spec, before, &parameters);
        one_by_one.migrate(1);
        together.migrate(room);
        one_by_one.check_guest(&spec);
        together.check_guest(&spec);
        prop_assert!(together.messages <= one_by_one.messages);
        prop_assert_eq!(&together.seen, &one_by_one.seen);
        prop_assert_eq!(together.reports(), one_by_one.reports());
        let order = |pair: &Pair| -> Vec<PageNumber> {
            pair.destination.guest().unwrap().memory().iter_lru().collect()
        };
        prop_assert_eq!(order(&together), order(&one_by_one));
    }

    #[test]
    fn pages_that_are_asked_for_meanwhile_cross_once(
        pages in 2u32..200,
        before in 0u64..300,
        accesses in 1u64..20,
        order in any_order(),
        room in 2u32..100,
    ) {
        let (spec, parameters) = (Arc::new(spec(pages, pages)), parameters(Scheme::PostCopy, order));
        let mut pair = Pair::new(&spec, before, &parameters);
        pair.accesses = accesses;
        pair.migrate(room);
        pair.check_guest(&spec);
        let mut sent = BTreeSet::new();
        for event in &pair.seen[0] {
            if let EventKind::PageSent { page, .. } = event.kind {
                prop_assert!(sent.insert(page), "page {} was sent twice", page);
            }
        }
        prop_assert_eq!(sent.len(), pages as usize);
        let ended = |event: &&Event| {
            matches!(event.kind, EventKind::PageArrived { fate: Fate::EndedFault, .. })
        };
        let ended = pair.seen[1].iter().filter(ended).count() as u64;
        prop_assert_eq!(pair.destination.report().faults_remote, ended);
    }
}

#[test]
fn a_push_by_address_takes_as_few_messages_as_there_is_room() {
    let (spec, parameters) =
        (Arc::new(spec(1_000, 1_000)), parameters(Scheme::PostCopy, PushOrder::Address));
    let mut pair = Pair::new(&spec, 0, &parameters);
    pair.migrate(256);
    pair.check_guest(&spec);
    assert_eq!(pair.messages, 4);
}

#[test]
fn a_push_that_is_held_to_a_rate_goes_page_by_page() {
    let rate = Some("1GB/s".parse().unwrap());
    let parameters =
        MigrationParameters { push_rate: rate, ..parameters(Scheme::PostCopy, PushOrder::Address) };
    let spec = Arc::new(spec(100, 100));
    let mut pair = Pair::new(&spec, 0, &parameters);
    pair.migrate(256);
    pair.check_guest(&spec);
    assert_eq!(pair.messages, 100);
}
