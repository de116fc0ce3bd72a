//! The same scenarios between processes and in virtual time: both drivers tell the same story.

mod common;

use common::{
    Fleet, WARMUP, check_completed, create_with, destination_report, link, parameters,
    source_report, spec,
};
use lazycopy_migration::{Event, Scheme, Side};
use lazycopy_protocol::control::MigrationId;
use lazycopy_simulation::{Migration, Run, simulate};
use std::sync::Arc;

const SEEDS: u64 = 10;

/// With it the link's latency is 20 ms of wall time, which even a loaded machine keeps.
const CALM_TIME_SCALE: u64 = 50;

fn in_virtual_time(scheme: Scheme, seed: u64) -> Run {
    let migration = Migration {
        guest: Arc::new(spec(seed)),
        warmup_accesses: WARMUP,
        parameters: parameters(scheme),
        link: link(),
    };
    simulate(&migration).unwrap()
}

fn seen_by(events: &[Event], side: Side) -> Vec<Event> {
    events.iter().filter(|event| event.side == side).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_migrations_side_by_side_tell_the_story_of_virtual_time() {
    let mut fleet = Fleet::start().await;
    let runs: Vec<(u64, Scheme, u64)> = Scheme::ALL
        .into_iter()
        .flat_map(|scheme| (0..SEEDS).map(move |seed| (scheme, seed)))
        .zip(0..)
        .map(|((scheme, seed), number)| (number, scheme, seed))
        .collect();
    for (number, _, seed) in &runs {
        let vm = format!("guest-{number}");
        fleet.a.done(create_with(&vm, spec(*seed), |it| it.time_scale = CALM_TIME_SCALE)).await;
    }
    let mut asked = Vec::new();
    for (number, scheme, _) in &runs {
        let migrate = fleet.migration(*number, &format!("guest-{number}"), &parameters(*scheme));
        asked.push(fleet.a.send(migrate).await);
    }
    fleet.a.all_done(asked).await;
    let mut in_order = 0;
    for (number, scheme, seed) in runs {
        let migration = MigrationId(number);
        let (source, destination) = &fleet.both_ended(number).await;
        check_completed(scheme, seed, source, destination);
        // A run that was driven too late for its time scale is right, but a story of its own.
        if source.out_of_order + destination.out_of_order > 0 {
            continue;
        }
        in_order += 1;
        let expected = in_virtual_time(scheme, seed);
        assert_eq!(source_report(source), &expected.source, "{scheme}, seed {seed}");
        assert_eq!(destination_report(destination), &expected.destination, "{scheme}, seed {seed}");
        let (mut from_a, mut from_b) =
            (fleet.a.events(migration).await, fleet.b.events(migration).await);
        assert_eq!(from_a.len() as u64, source.events);
        // The logs of progress come at the end and tell of the beginning.
        from_a.sort_by_key(|event| event.at);
        from_b.sort_by_key(|event| event.at);
        assert_eq!(from_a, seen_by(&expected.events, Side::Source), "{scheme}, seed {seed}");
        assert_eq!(from_b, seen_by(&expected.events, Side::Destination), "{scheme}, seed {seed}");
    }
    assert!(in_order > 0, "every single run was disturbed");
}
