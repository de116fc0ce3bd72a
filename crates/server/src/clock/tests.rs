use super::*;
use proptest::prelude::*;

const USUAL: Pace = Pace { revision: 0, slower: 1, frozen: false, stepped: Duration::ZERO };

fn nanos(nanos: u64) -> WallDuration {
    WallDuration::from_nanos(nanos)
}

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn frozen(stepped: u64) -> Pace {
    Pace { frozen: true, stepped: Duration::from_nanos(stepped), ..USUAL }
}

#[test]
fn a_scaled_clock_reads_what_it_is_asked_to_wait_for() {
    let zero = WallInstant::now();
    let clock = ModelClock::from_zero(zero, 1_000, &USUAL);
    assert_eq!(clock.at(zero + WallDuration::from_millis(3)), at(3_000_000_000));
    for reading in [0, 1, 999, 1_000, 1_001, 123_456_789] {
        let wall = clock.wall(at(reading)).unwrap();
        assert!(clock.at(wall) >= at(reading));
        assert!(reading == 0 || clock.at(wall - nanos(1)) < at(reading));
    }
}

#[test]
fn a_clock_can_be_put_to_any_reading_and_what_was_left_until_it_stands_still_is_left() {
    let wall = WallInstant::now();
    let mut clock = ModelClock::from_zero(wall, 50, &USUAL).put_to(at(5_000), wall);
    assert_eq!(clock.at(wall), at(5_000));
    assert_eq!(clock.at(wall + nanos(2)), at(5_100));
    clock.follow(clock.turn(wall, &frozen(0), &frozen(100)), wall);
    let later = clock.put_to(at(7), wall + nanos(1));
    assert_eq!(later.at(wall + nanos(1)), at(7));
    assert_eq!(later.at(wall + nanos(9)), at(7 + 50));
}

#[test]
fn what_lies_beyond_the_reach_of_a_clock_saturates() {
    let zero = WallInstant::now();
    let clock = ModelClock::from_zero(zero, u64::MAX, &USUAL);
    assert_eq!(clock.at(zero + WallDuration::from_secs(9)), Instant::MAX);
}

#[test]
fn a_clock_that_begins_at_a_standstill_reads_zero_until_it_is_stepped_by_exactly_that_much() {
    let zero = WallInstant::now();
    let mut clock = ModelClock::from_zero(zero, 50, &frozen(3));
    let hour = zero + WallDuration::from_secs(3_600);
    assert_eq!((clock.at(hour), clock.wall(at(1))), (at(0), None));
    assert!(clock.is_held(zero));
    clock.follow(clock.turn(hour, &frozen(3), &frozen(103)), hour);
    assert!(!clock.is_held(hour));
    assert_eq!(clock.wall(at(100)), Some(hour + nanos(2)));
    assert_eq!((clock.at(hour + nanos(2)), clock.wall(at(101))), (at(100), None));
    assert!(clock.is_held(hour + nanos(2)));
}

#[test]
fn steps_that_are_asked_for_while_one_is_under_way_add_up() {
    let zero = WallInstant::now();
    let mut clock = ModelClock::from_zero(zero, 10, &USUAL);
    clock.follow(clock.turn(zero + nanos(7), &USUAL, &frozen(0)), zero);
    assert_eq!(clock.at(zero + nanos(100)), at(70));
    clock.follow(clock.turn(zero + nanos(20), &frozen(0), &frozen(1_000)), zero + nanos(20));
    clock.follow(clock.turn(zero + nanos(30), &frozen(1_000), &frozen(1_500)), zero + nanos(30));
    assert_eq!(clock.at(zero + nanos(30)), at(170));
    assert_eq!(clock.at(zero + nanos(10_000)), at(70 + 1_500));
}

#[test]
fn a_clock_that_learns_too_late_of_a_standstill_says_by_how_much_it_had_gone_too_far() {
    let zero = WallInstant::now();
    let mut clock = ModelClock::from_zero(zero, 50, &USUAL);
    let hold = clock.turn(zero + nanos(10), &USUAL, &frozen(0));
    let mut in_time = clock;
    assert_eq!(in_time.follow(hold, zero + nanos(10)), Duration::ZERO);
    assert_eq!(clock.follow(hold, zero + nanos(30)), Duration::from_nanos(20 * 50));
    assert_eq!(clock.at(zero + nanos(30)), at(500));
}

#[test]
fn another_origin_does_not_move_a_clock_that_stands_still() {
    let zero = WallInstant::now();
    let mut clock = ModelClock::from_zero(zero, 50, &USUAL);
    clock.follow(clock.turn(zero + nanos(10), &USUAL, &frozen(0)), zero);
    let (now, origin) = (zero + nanos(40), zero + nanos(35));
    clock.set_origin(origin, now);
    assert_eq!(clock.at(now), at(500));
    let goes_on = clock.turn(now + nanos(5), &frozen(0), &USUAL);
    assert_eq!((goes_on.wall_ns, goes_on.at), (10, at(500)));
    clock.follow(goes_on, now);
    assert_eq!(clock.at(now + nanos(6)), at(550));
}

/// Changes of pace, each with the wall time since the last.
fn changes() -> impl Strategy<Value = Vec<(u64, Pace)>> {
    let change = (1u64..5_000, 1u32..=MAX_SLOWER, any::<bool>(), 0u64..100_000);
    proptest::collection::vec(change, 0..8).prop_map(|changes| {
        let mut stepped = Duration::ZERO;
        let pace = |(wall, slower, frozen, step)| {
            stepped += Duration::from_nanos(step);
            (wall, Pace { revision: 0, slower, frozen, stepped })
        };
        changes.into_iter().map(pace).collect()
    })
}

proptest! {
    #[test]
    fn a_clock_never_goes_back_and_is_woken_at_the_first_instant_at_which_it_reads_what_is_due(
        scale in 1u64..2_000,
        changes in changes(),
        margin in 0u64..3_000,
        probes in proptest::collection::vec(0u64..10_000, 1..16),
    ) {
        let zero = WallInstant::now();
        let mut clock = ModelClock::from_zero(zero, scale, &USUAL);
        let (mut now, mut pace, mut last) = (zero, USUAL, Instant::ZERO);
        for (wall, next) in changes {
            now += nanos(wall);
            prop_assert!(clock.at(now) >= last);
            // A change is announced when the one before it has come.
            now = now.max(clock.pending(now).unwrap_or(now));
            last = clock.at(now);
            let begins = now + nanos(margin);
            let piece = clock.turn(begins, &pace, &next);
            let before = clock;
            prop_assert_eq!(clock.follow(piece, now), Duration::ZERO);
            prop_assert_eq!(clock.at(begins), before.at(begins), "a change makes no jump");
            pace = next;
            for probe in &probes {
                let wall = now + nanos(*probe);
                let read = clock.at(wall);
                prop_assert!(read >= last && read <= clock.at(wall + nanos(1)));
                if let Some(until) = piece.until {
                    prop_assert!(read <= until.max(piece.at));
                }
                let woken = clock.wall(read).unwrap();
                prop_assert!(woken <= wall && clock.at(woken) >= read);
                // How time went before the current piece is forgotten.
                if woken > now && read > Instant::ZERO {
                    prop_assert!(clock.at(woken - nanos(1)) < read);
                }
                let due = at(last.as_nanos() + probe * scale);
                match clock.wall(due) {
                    Some(woken) => prop_assert!(clock.at(woken) >= due),
                    None => prop_assert!(piece.until.is_some_and(|until| until < due)),
                }
            }
        }
    }
}
