//! The same scenarios between processes and in virtual time: both drivers tell the same story.

mod common;

use common::{Fleet, WARMUP, create, destination_report, link, parameters, source_report, spec};
use lazycopy_migration::{Event, Metrics, Scheme, Side};
use lazycopy_protocol::control::MigrationId;
use lazycopy_simulation::{Migration, Run, simulate};
use std::sync::Arc;

const SEEDS: u64 = 20;

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
        fleet.a.done(create(&vm, *seed)).await;
    }
    let mut asked = Vec::new();
    for (number, scheme, _) in &runs {
        let migrate = fleet.migration(*number, &format!("guest-{number}"), &parameters(*scheme));
        asked.push(fleet.a.send(migrate).await);
    }
    fleet.a.all_done(asked).await;
    let mut in_order = 0;
    let mut ends = std::collections::BTreeMap::new();
    while ends.len() < 2 * runs.len() {
        for attached in [&mut fleet.a, &mut fleet.b] {
            if ends.len() < 2 * runs.len()
                && let lazycopy_protocol::control::FromServer::MigrationEnded(ended) =
                    attached.unasked().await
            {
                ends.insert((ended.migration, ended.side), *ended);
            }
        }
    }
    for (number, scheme, seed) in runs {
        let migration = MigrationId(number);
        let (source, destination) =
            (&ends[&(migration, Side::Source)], &ends[&(migration, Side::Destination)]);
        let (at_source, at_destination) = (source_report(source), destination_report(destination));
        let verdict = destination.verdict.clone();
        let metrics = Metrics::from_reports(scheme, at_source, at_destination, verdict);
        metrics.check(at_source, at_destination).unwrap();
        let expected = in_virtual_time(scheme, seed);
        if source.out_of_order + destination.out_of_order > 0 {
            continue;
        }
        in_order += 1;
        assert_eq!(at_source, &expected.source, "{scheme}, seed {seed}");
        assert_eq!(at_destination, &expected.destination, "{scheme}, seed {seed}");
        let (mut from_a, mut from_b) =
            (fleet.a.events(migration).await, fleet.b.events(migration).await);
        assert_eq!(from_a.len() as u64, source.events);
        // The logs of progress come at the end and tell of the beginning.
        from_a.sort_by_key(|event| event.at);
        from_b.sort_by_key(|event| event.at);
        assert_eq!(from_a, seen_by(&expected.events, Side::Source), "{scheme}, seed {seed}");
        assert_eq!(from_b, seen_by(&expected.events, Side::Destination), "{scheme}, seed {seed}");
    }
    println!("in order: {in_order}, slips:");
    for ended in ends.values() {
        println!(
            "{} {} {} {}",
            ended.migration.0, ended.slip, ended.out_of_order, ended.verdict.outcome
        );
    }
    assert!(in_order > 0, "every single run was disturbed");
}
