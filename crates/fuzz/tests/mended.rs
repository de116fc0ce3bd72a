//! What fuzzing has found, and writing its targets, each by itself.

use lazycopy_guest::{GuestSpec, Registers, ResidentAtStart, WorkloadSpec};
use lazycopy_link::{LinkParameters, LinkSpec};
use lazycopy_migration::{
    DestinationRecovery, MigrationParameters, Notice, Outcome, PushOrder, RecoveryAnswer, Reply,
    Residency, Scheme, Verdict,
};
use lazycopy_protocol::control::{MigrationId, Watch};
use lazycopy_protocol::frame::PeerFrame;
use lazycopy_protocol::lists::encode_residency;
use lazycopy_protocol::peer::{ContextFrame, Offer, PeerMessage, recovery_frames};
use lazycopy_server::fuzzing::{LoneSide, check_offer};
use lazycopy_units::{Duration, Instant, PageNumber, Rate};

/// Longer than a server waits for what the other one has said.
const LONG: Duration = Duration::from_secs(30);

fn offer() -> Offer {
    let bandwidth = Rate::from_bytes_per_sec(1_000_000).unwrap();
    Offer {
        migration: MigrationId(1),
        source: "source".to_owned(),
        vm: "guest".to_owned(),
        spec: GuestSpec {
            seed: 1,
            pages: 8,
            frames: 8,
            think_time: Duration::from_millis(1),
            write_fraction: 0.5,
            whole_page_fraction: 0.0,
            zero_fraction: 0.0,
            compressible_fraction: 0.0,
            workload: WorkloadSpec::Sequential,
            resident_at_start: ResidentAtStart::All,
        },
        position: 4,
        warmup_accesses: 4,
        time_scale: 1,
        parameters: MigrationParameters {
            scheme: Scheme::StopAndCopy,
            push_order: PushOrder::Lru,
            context_bytes: 4_096,
            head_start: 0,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::ZERO,
            disk_latency_destination: Duration::ZERO,
            measured_accesses: 1,
            rounds: Default::default(),
            pre_paging: Default::default(),
            whole_page_writes: false,
            push_rate: None,
            checkpoint: false,
        },
        link: LinkSpec::Modelled(LinkParameters { bandwidth, latency: Duration::from_millis(1) }),
        watch: Watch::Off,
        recover_within: Duration::from_secs(1),
    }
}

fn context(registers: Registers, bytes: u64) -> PeerFrame {
    let deliver_at = Instant::ZERO;
    let context = ContextFrame { deliver_at, registers, bytes };
    PeerFrame::Message(PeerMessage::Context(Box::new(context)))
}

fn at_rest() -> Registers {
    Registers { accesses: 4, ..Registers::default() }
}

#[test]
fn a_source_that_names_an_instant_out_of_reach_and_dies_is_known_to_be_lost() {
    let mut side = LoneSide::destination(&offer()).unwrap();
    let notice = Notice::HeadStart;
    side.hear(PeerFrame::Message(PeerMessage::Notice { deliver_at: Instant::MAX, notice }));
    side.lose("it was killed".to_owned());
    assert!(side.go_on_to(Instant::ZERO.saturating_add(LONG)));
    assert!(side.is_paused());
    side.give_up();
    assert!(side.is_over());
    assert_eq!(side.verdict().outcome, Outcome::Failed);
}

#[test]
fn a_destination_that_names_an_instant_out_of_reach_and_dies_leaves_the_guest_at_the_source() {
    let mut side = LoneSide::source(&offer()).unwrap();
    let reply = Reply::Complete;
    side.hear(PeerFrame::Message(PeerMessage::Reply { deliver_at: Instant::MAX, reply }));
    side.lose("it was killed".to_owned());
    assert!(side.go_on_to(Instant::ZERO.saturating_add(LONG)));
    assert!(side.is_over());
    assert!(side.guest().is_some(), "{:?}", side.verdict());
    assert_eq!(side.source_report().unwrap().released_at, None);
}

/// A guest that runs at its destination while a page is missing that only the source has.
fn resumed_without_a_page() -> LoneSide {
    let mut offer = offer();
    offer.parameters.scheme = Scheme::PostCopy;
    let mut side = LoneSide::destination(&offer).unwrap();
    let missing = Residency { page: PageNumber(7), dirty: true, current: false };
    let (list, _) = encode_residency(&[missing].into_iter().collect(), 0).unwrap();
    side.hear(PeerFrame::Residency(list));
    side.hear(context(at_rest(), offer.parameters.context_bytes));
    side.go_on_to(Instant::ZERO.saturating_add(Duration::from_millis(1)));
    assert!(side.destination_report().unwrap().resumed_at.is_some());
    side
}

fn withdrawn() -> PeerFrame {
    let verdict = Verdict { outcome: Outcome::Failed, reason: "it went on here".to_owned() };
    PeerFrame::Message(PeerMessage::Withdrawn { verdict })
}

#[test]
fn a_source_that_wants_back_a_guest_that_runs_at_the_destination_is_lost_to_it() {
    let mut at_once = resumed_without_a_page();
    at_once.hear(withdrawn());
    let mut on_a_new_connection = resumed_without_a_page();
    on_a_new_connection.lose("it was cut".to_owned());
    on_a_new_connection.go_on_to(Instant::ZERO.saturating_add(LONG));
    assert!(on_a_new_connection.answer().is_some());
    on_a_new_connection.regain(vec![withdrawn()]).unwrap();
    for mut side in [at_once, on_a_new_connection] {
        side.go_on_to(side.now().saturating_add(LONG));
        assert!(side.is_over());
        let verdict = side.verdict();
        assert_eq!(verdict.outcome, Outcome::Lost, "{verdict:?}");
        assert!(verdict.reason.contains("wanted back"), "{verdict:?}");
    }
}

/// The loss is taken in behind what was said before it, and the link is in use then.
#[test]
fn a_destination_that_denies_the_context_gets_it_again_when_the_link_is_free() {
    let at = |millis| Instant::ZERO.saturating_add(Duration::from_millis(millis));
    let mut offer = offer();
    offer.parameters.scheme = Scheme::PostCopy;
    let mut side = LoneSide::source(&offer).unwrap();
    side.go_on_to(at(10));
    let reply = Reply::Progress { accesses: 0 };
    side.hear(PeerFrame::Message(PeerMessage::Reply { deliver_at: at(15), reply }));
    side.lose("it was cut".to_owned());
    side.go_on_to(at(15));
    while side.next_frame().is_some() {}
    assert!(side.is_paused());
    let denial = RecoveryAnswer::Goes(DestinationRecovery::default());
    side.regain(recovery_frames(denial)).unwrap();
    let came_again = std::iter::from_fn(|| side.next_frame()).find_map(|frame| match frame {
        PeerFrame::Message(PeerMessage::Context(context)) => Some(context.deliver_at),
        _ => None,
    });
    // A page takes 4 ms, the third one until after the loss, the context as long, and the way 1 ms.
    assert!(came_again.is_some_and(|came| came > at(21)), "{came_again:?}");
}

#[test]
fn a_context_that_counts_what_cannot_be_is_refused() {
    let most = offer().parameters.context_bytes + 8 * 8 + 16;
    for (registers, bytes, taken) in [
        (at_rest(), most, true),
        (at_rest(), most + 1, false),
        (at_rest(), u64::MAX, false),
        (Registers { misses: 5, ..at_rest() }, most, false),
        (Registers { misses: u64::MAX, ..at_rest() }, most, false),
    ] {
        let mut side = LoneSide::destination(&offer()).unwrap();
        side.hear(context(registers, bytes));
        assert_eq!(side.is_connected(), taken, "{registers:?}, {bytes} bytes");
    }
}

#[test]
fn an_offer_with_which_time_or_a_count_would_overflow_is_refused_by_its_key() {
    type Spoil = fn(&mut Offer);
    let cases: [(&str, Spoil); 5] = [
        ("disk.latency_destination", |it| {
            it.parameters.disk_latency_destination = Duration::from_nanos(u64::MAX);
        }),
        ("migration.fault_penalty", |it| {
            it.parameters.fault_penalty = Duration::from_nanos(u64::MAX);
        }),
        ("migration.first_write_cost", |it| {
            it.parameters.rounds.first_write_cost = Duration::from_nanos(u64::MAX);
        }),
        ("measured_accesses", |it| it.parameters.measured_accesses = u64::MAX),
        ("link.latency", |it| {
            let bandwidth = Rate::from_bytes_per_sec(1).unwrap();
            let latency = Duration::from_nanos(u64::MAX);
            it.link = LinkSpec::Modelled(LinkParameters { bandwidth, latency });
        }),
    ];
    check_offer(&offer()).unwrap();
    for (key, spoil) in cases {
        let mut offer = offer();
        spoil(&mut offer);
        let refusal = check_offer(&offer).unwrap_err();
        assert!(refusal.starts_with(key), "{refusal}");
    }
}
