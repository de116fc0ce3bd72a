//! Time that is frozen, stepped and slowed down: nothing moves meanwhile, and nothing comes out
//! otherwise.

mod common;

use common::{
    Attached, Fleet, PATIENCE, WARMUP, check_completed, check_history, create, create_with,
    destination_report, link, parameters, source_report, spec, start,
};
use futures_util::{SinkExt, StreamExt};
use lazycopy_link::{LinkSpec, PlaneParameters};
use lazycopy_migration::{EventKind, MigrationParameters, Outcome, Scheme, Side};
use lazycopy_protocol::control::{MigrationId, ServerCommand, VmPhase, Watch};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::pace::{MAX_SLOWER, Pace, Paced};
use lazycopy_protocol::peer::PeerMessage;
use lazycopy_simulation::{Migration, simulate};
use lazycopy_units::{Duration, Instant};
use std::sync::Arc;
use tokio::time::timeout;

/// With it the link's latency is 10 ms of wall time.
const CALM_TIME_SCALE: u64 = 100;

const NUMBER: MigrationId = MigrationId(1);

/// What a manager asks for, one state after the other.
#[derive(Clone, Copy)]
struct Paces(Pace);

impl Paces {
    fn next(&mut self, change: impl FnOnce(&mut Pace)) -> Pace {
        change(&mut self.0);
        self.0.revision += 1;
        self.0
    }

    fn freeze(&mut self) -> Pace {
        self.next(|pace| pace.frozen = true)
    }

    fn go(&mut self) -> Pace {
        self.next(|pace| pace.frozen = false)
    }

    fn step(&mut self, span: Duration) -> Pace {
        self.next(|pace| pace.stepped += span)
    }

    fn slow(&mut self, slower: u32) -> Pace {
        self.next(|pace| pace.slower = slower)
    }
}

fn paces() -> Paces {
    Paces(Pace { revision: 1, ..Pace::default() })
}

/// Tells both servers, the destination first; gives what the source announces.
async fn set(fleet: &mut Fleet, pace: Pace) -> Vec<Paced> {
    assert_eq!(fleet.b.set_pace(pace).await, []);
    fleet.a.set_pace(pace).await
}

async fn reading(server: &mut Attached, vm: &str) -> Instant {
    server.show(vm).await.moving.expect("it migrates").at
}

/// Waits until a clock reads `at`.
async fn await_reading(server: &mut Attached, vm: &str, at: Instant) {
    let reads = async { while reading(server, vm).await != at {} };
    timeout(PATIENCE, reads).await.expect("it does not come to stand there");
}

/// Waits until a guest has so many accesses behind it.
async fn await_accesses(server: &mut Attached, vm: &str, least: u64) {
    let comes_to = async { while server.show(vm).await.summary.accesses < least {} };
    timeout(PATIENCE, comes_to).await.expect("it does not go on");
}

/// Waits until both clocks read `at`, and looks twice whether they do and nothing moves.
async fn check_both_stand_at(fleet: &mut Fleet, vm: &str, at: Instant) {
    await_reading(&mut fleet.a, vm, at).await;
    await_reading(&mut fleet.b, vm, at).await;
    let (source, destination) = (fleet.a.show(vm).await, fleet.b.show(vm).await);
    for _ in 0..20 {
        assert_eq!(fleet.a.show(vm).await, source);
        assert_eq!(fleet.b.show(vm).await, destination);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_frozen_stepped_and_slowed_down_tells_the_story_of_virtual_time() {
    let (mut fleet, mut paces) = (Fleet::start().await, paces());
    set(&mut fleet, paces.freeze()).await;
    let runs: Vec<(Scheme, u64)> = Scheme::ALL.into_iter().zip(1..).collect();
    for (scheme, number) in &runs {
        let vm = scheme.name();
        fleet.a.done(create_with(vm, spec(*number), |it| it.time_scale = CALM_TIME_SCALE)).await;
        fleet.a.done(fleet.migration(*number, vm, &parameters(*scheme))).await;
    }
    for (scheme, _) in &runs {
        check_both_stand_at(&mut fleet, scheme.name(), Instant::ZERO).await;
    }
    let mut stands_at = Instant::ZERO;
    for millis in [1, 2_500, 7_499] {
        stands_at = stands_at + Duration::from_millis(millis);
        let announced = set(&mut fleet, paces.step(Duration::from_millis(millis))).await;
        assert_eq!(announced.len(), runs.len());
        assert!(announced.iter().all(|paced| paced.until == Some(stands_at)), "{announced:?}");
        for (scheme, _) in &runs {
            check_both_stand_at(&mut fleet, scheme.name(), stands_at).await;
        }
    }
    set(&mut fleet, paces.slow(10)).await;
    set(&mut fleet, paces.go()).await;
    for paced in set(&mut fleet, paces.freeze()).await {
        let (scheme, _) = runs.iter().find(|(_, it)| MigrationId(*it) == paced.migration).unwrap();
        assert!(paced.from > Some(stands_at) && paced.from == paced.until, "{paced:?}");
        check_both_stand_at(&mut fleet, scheme.name(), paced.from.unwrap()).await;
    }
    set(&mut fleet, paces.next(|pace| (pace.frozen, pace.slower) = (false, 1))).await;
    let mut in_order = 0;
    for (scheme, number) in runs {
        let (source, destination) = &fleet.both_ended(number).await;
        check_completed(scheme, number, source, destination);
        if source.out_of_order + destination.out_of_order > 0 {
            continue;
        }
        in_order += 1;
        let expected = simulate(&Migration {
            guest: Arc::new(spec(number)),
            warmup_accesses: WARMUP,
            parameters: parameters(scheme),
            link: link(),
        })
        .unwrap();
        assert_eq!(source_report(source), &expected.source, "{scheme}");
        assert_eq!(destination_report(destination), &expected.destination, "{scheme}");
        for (server, side) in [(&mut fleet.a, Side::Source), (&mut fleet.b, Side::Destination)] {
            let mut events = server.events(MigrationId(number)).await;
            events.sort_by_key(|event| event.at);
            let expected = expected.events.iter().filter(|event| event.side == side);
            assert!(events.iter().eq(expected), "{scheme}, {side:?}");
        }
    }
    assert!(in_order > 0, "every single run was disturbed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_migration_is_taken_back_before_the_hand_over_and_both_sides_end() {
    let (mut fleet, mut paces) = (Fleet::start().await, paces());
    set(&mut fleet, paces.freeze()).await;
    fleet.a.done(create("g", 6)).await;
    let stop_and_copy = parameters(Scheme::StopAndCopy);
    fleet.a.done(fleet.migration(NUMBER.0, "g", &stop_and_copy)).await;
    set(&mut fleet, paces.step(Duration::from_secs(3))).await;
    let stands_at = Instant::ZERO + Duration::from_secs(3);
    check_both_stand_at(&mut fleet, "g", stands_at).await;
    fleet.a.done(ServerCommand::CancelMigration { migration: NUMBER }).await;
    let (source, destination) = fleet.both_ended(NUMBER.0).await;
    assert_eq!(source.verdict.outcome, Outcome::Cancelled);
    assert_eq!(destination.verdict, source.verdict);
    assert!(fleet.b.host().await.vms.is_empty());
    let shown = fleet.a.show("g").await;
    assert_eq!(shown.summary.phase, VmPhase::Running);
    assert_eq!(fleet.a.show("g").await, shown, "the guest is back and time stands still");
    set(&mut fleet, paces.go()).await;
    await_accesses(&mut fleet.a, "g", shown.summary.accesses + 1).await;
    check_history(spec(6), fleet.a.show("g").await.snapshot.unwrap().registers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_alone_goes_by_its_own_server() {
    let (mut fleet, mut paces) = (Fleet::start().await, paces());
    fleet.a.done(create("g", 4)).await;
    let measured = MigrationParameters { measured_accesses: 400, ..parameters(Scheme::PostCopy) };
    fleet.a.done(fleet.migration(NUMBER.0, "g", &measured)).await;
    assert_eq!(fleet.a.ended(NUMBER).await.verdict.outcome, Outcome::Completed);
    // The last word of the source may be on its way: until it is here, the source would decide.
    let announced = loop {
        let pace = paces.freeze();
        assert_eq!(fleet.a.set_pace(pace).await, []);
        if let [paced] = fleet.b.set_pace(pace).await[..] {
            break paced;
        }
    };
    let stands_at = announced.from.unwrap();
    assert_eq!(announced.until, Some(stands_at));
    let shown = fleet.b.show("g").await;
    assert_eq!(
        (shown.summary.phase, reading(&mut fleet.b, "g").await),
        (VmPhase::Running, stands_at)
    );
    let stepped = fleet.b.set_pace(paces.step(Duration::from_secs(5))).await;
    let goes_to = stands_at + Duration::from_secs(5);
    let until = Some(goes_to);
    assert_eq!(stepped, [Paced { migration: NUMBER, from: Some(stands_at), until }]);
    await_reading(&mut fleet.b, "g", goes_to).await;
    fleet.b.set_pace(paces.go()).await;
    let destination = fleet.b.ended(NUMBER).await;
    assert_eq!(destination.verdict.outcome, Outcome::Completed);
    let expected = simulate(&Migration {
        guest: Arc::new(spec(4)),
        warmup_accesses: WARMUP,
        parameters: measured,
        link: link(),
    });
    if destination.out_of_order == 0 {
        assert_eq!(destination_report(&destination), &expected.unwrap().destination);
    }
}

/// A destination that the test plays, with a clock of its own.
struct PlayedDestination {
    peer: common::Peer,
    clock_began: std::time::Instant,
}

impl PlayedDestination {
    fn clock_ns(&self) -> u64 {
        u64::try_from(self.clock_began.elapsed().as_nanos()).unwrap()
    }

    async fn say(&mut self, message: PeerMessage) {
        self.peer.send(PeerFrame::Message(message)).await.unwrap();
    }

    /// What the source says next of time, or before it begins.
    async fn hears(&mut self) -> PeerMessage {
        loop {
            let frame = timeout(PATIENCE, self.peer.next()).await.expect("the source says more");
            match frame.expect("it is there").unwrap() {
                PeerFrame::Message(PeerMessage::Context(_) | PeerMessage::Notice { .. }) => {}
                PeerFrame::Message(message) => return message,
                _ => {}
            }
        }
    }

    /// Reads its clock to the source as often as it asks, and gives what it says then.
    async fn reads_its_clock(&mut self, mut asked: PeerMessage) -> PeerMessage {
        while let PeerMessage::Ping { number } = asked {
            self.say(PeerMessage::Pong { number, clock_ns: self.clock_ns() }).await;
            asked = self.hears().await;
        }
        asked
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_reads_the_destinations_clock_again_before_it_lets_time_go_on() {
    let (mut fleet, mut paces) = (Fleet::start().await, paces());
    let listening = common::PlayedDestination::listen().await;
    fleet.a.done(create("g", 6)).await;
    fleet.a.set_pace(paces.freeze()).await;
    let migrate = fleet.migration_with(NUMBER.0, "g", &parameters(Scheme::PostCopy), |it| {
        it.destination_address = listening.address.clone();
    });
    let asked = fleet.a.send(migrate).await;
    let (peer, _) = listening.accept().await;
    let mut played = PlayedDestination { peer, clock_began: std::time::Instant::now() };
    assert!(matches!(played.hears().await, PeerMessage::Offer(_)));
    played.say(PeerMessage::Accept).await;
    let asked_first = played.hears().await;
    let begin = played.reads_its_clock(asked_first).await;
    let PeerMessage::Begin { pace, .. } = begin else { panic!("{begin:?}") };
    assert!(pace.frozen);
    fleet.a.all_done(vec![asked]).await;

    // As long as the clocks cannot have drifted apart, the source does not ask.
    let (mut stands_at, step) = (Instant::ZERO, Duration::from_millis(1));
    let ping = loop {
        let id = fleet.a.send(ServerCommand::SetPace { pace: paces.step(step) }).await;
        match played.hears().await {
            PeerMessage::Pace { at, until, .. } => {
                assert_eq!((at, until), (stands_at, Some(stands_at + step)));
                stands_at = stands_at + step;
                assert!(fleet.a.answer(id).await.is_ok());
            }
            ping => break ping,
        }
    };
    assert!(matches!(ping, PeerMessage::Ping { .. }), "{ping:?}");
    // By now its clock has gone much too fast.
    let ahead = std::time::Duration::from_secs(60);
    played.clock_began -= ahead;
    let ahead_ns = ahead.as_nanos() as u64;
    let mut says = ping;
    let begins_at = loop {
        let pace = played.reads_its_clock(says).await;
        let PeerMessage::Pace { clock_ns, at, until, .. } = pace else { panic!("{pace:?}") };
        assert_eq!((at, until), (stands_at, Some(stands_at + step)));
        if clock_ns >= ahead_ns {
            break clock_ns;
        }
        // On a busy machine a reading may be worth less than what was known: it asks again.
        stands_at = stands_at + step;
        fleet.a.send(ServerCommand::SetPace { pace: paces.step(step) }).await;
        says = played.hears().await;
    };
    let latest = played.clock_ns() + 1_000_000_000;
    assert!(begins_at <= latest, "{begins_at} is not within a second of {latest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_or_is_suspended_stands_still_and_goes_on_where_it_stood() {
    let (mut fleet, mut paces) = (Fleet::start().await, paces());
    for vm in ["runs", "suspended"] {
        fleet.a.done(create(vm, 3)).await;
        fleet.a.done(start(vm)).await;
    }
    await_accesses(&mut fleet.a, "runs", WARMUP + 3).await;
    fleet.a.done(ServerCommand::SuspendVm { vm: "suspended".to_owned() }).await;
    assert_eq!(fleet.a.set_pace(paces.freeze()).await, []);
    fleet.a.done(ServerCommand::ResumeVm { vm: "suspended".to_owned() }).await;
    let shown = (fleet.a.show("runs").await, fleet.a.show("suspended").await);
    for _ in 0..20 {
        assert_eq!(fleet.a.show("runs").await, shown.0);
        assert_eq!(fleet.a.show("suspended").await.snapshot, shown.1.snapshot);
    }
    // Ten accesses of 970 ms each, give or take the one under way.
    fleet.a.set_pace(paces.step(Duration::from_millis(9_700))).await;
    await_accesses(&mut fleet.a, "runs", shown.0.summary.accesses + 10).await;
    fleet.a.set_pace(paces.slow(MAX_SLOWER)).await;
    let accesses = fleet.a.show("runs").await.summary.accesses;
    assert_eq!(accesses, shown.0.summary.accesses + 10);
    let too_slow = ServerCommand::SetPace { pace: paces.slow(MAX_SLOWER + 1) };
    assert!(fleet.a.refusal(too_slow).await.contains("1 to 1000 times slower"));
    fleet.a.set_pace(paces.next(|pace| (pace.frozen, pace.slower) = (false, 1))).await;
    await_accesses(&mut fleet.a, "runs", accesses + 1).await;
    check_history(spec(3), fleet.a.show("runs").await.snapshot.unwrap().registers);
    await_accesses(&mut fleet.a, "suspended", shown.1.summary.accesses + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_while_time_stands_still_is_missed_when_it_goes_on() {
    let (mut fleet, mut paces) = (Fleet::start().await, paces());
    fleet.a.done(create_with("g", spec(6), |it| it.time_scale = CALM_TIME_SCALE)).await;
    let migrate = fleet.migration_with(NUMBER.0, "g", &parameters(Scheme::PostCopy), |it| {
        it.watch = Watch::All;
    });
    fleet.a.done(migrate).await;
    fleet.b.event(|kind| matches!(kind, EventKind::Resumed { .. })).await;
    let announced = set(&mut fleet, paces.freeze()).await;
    check_both_stand_at(&mut fleet, "g", announced[0].from.unwrap()).await;
    fleet.server_a.take().unwrap().kill().await;
    let alone = loop {
        if let [paced] = fleet.b.set_pace(paces.freeze()).await[..] {
            break paced;
        }
    };
    assert_eq!(alone.until, announced[0].until, "it stands where it stood");
    fleet.b.set_pace(paces.go()).await;
    assert_eq!(fleet.b.ended(NUMBER).await.verdict.outcome, Outcome::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_with_real_memory_stands_still_while_it_runs_and_cannot_be_moved_then() {
    let (mut fleet, mut paces) = (Fleet::start().await, paces());
    let create = create_with("g", spec(6), |it| {
        (it.time_scale, it.real_memory, it.warmup_accesses) = (1, true, WARMUP);
        it.spec.think_time = Duration::from_millis(2);
    });
    fleet.a.done(create).await;
    fleet.a.done(start("g")).await;
    set(&mut fleet, paces.freeze()).await;
    let shown = fleet.a.show("g").await;
    let unlimited = |it: &mut lazycopy_protocol::control::StartMigration| {
        it.link = LinkSpec::Unlimited(PlaneParameters::default());
    };
    let migrate = fleet.migration_with(1, "g", &parameters(Scheme::PostCopy), unlimited);
    let refusal = fleet.a.refusal(migrate).await;
    assert!(refusal.contains("time stands still"), "{refusal}");
    assert_eq!(fleet.a.show("g").await, shown);
    set(&mut fleet, paces.go()).await;
    let measured = MigrationParameters {
        measured_accesses: 200,
        // Of wall time here.
        disk_latency_destination: Duration::from_millis(1),
        ..parameters(Scheme::PostCopy)
    };
    fleet.a.done(fleet.migration_with(2, "g", &measured, unlimited)).await;
    // It goes on, and is named, by whichever side is there.
    let mut announced = fleet.a.set_pace(paces.freeze()).await;
    if announced.is_empty() {
        announced = fleet.b.set_pace(paces.0).await;
    }
    assert_eq!(announced, [Paced { migration: MigrationId(2), from: None, until: None }]);
    fleet.b.set_pace(paces.0).await;
    let (source, destination) = fleet.both_ended(2).await;
    assert_eq!(source.verdict.outcome, Outcome::Completed);
    assert_eq!(destination.verdict.outcome, Outcome::Completed);
    let arrived = fleet.b.show("g").await;
    assert_eq!(fleet.b.show("g").await.snapshot, arrived.snapshot, "it stands still again");
}
