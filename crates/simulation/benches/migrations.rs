//! How many migrations per second: the paper's scenario, one after another, and a thousand at once
//! between two hosts whose cards give each of them the paper's bandwidth. Warm-up and measured
//! accesses are included, the reference run where everything is kept.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lazycopy_link::{Card, HostId};
use lazycopy_migration::Scheme;
use lazycopy_scenario::Scenario;
use lazycopy_simulation::{
    Fleet, FleetMigration, Migration, Options, simulate_fleet, simulate_with,
};
use lazycopy_units::{Instant, Rate};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

/// Different guests, so that no measurement hangs on one.
const SEEDS: u64 = 100;
const AT_ONCE: u64 = 1_000;

fn paper(scheme: Scheme, seeds: u64) -> Vec<Migration> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/paper.toml");
    let scenario = Scenario::load(&file).expect("the shipped scenario is valid");
    let migration = |seed| Migration {
        guest: Arc::new(scenario.guest_spec(seed)),
        warmup_accesses: scenario.warmup(seed),
        parameters: {
            let mut parameters = scenario.migration_parameters();
            parameters.scheme = scheme;
            parameters
        },
        link: scenario.modelled_link().expect("the paper's link is modelled"),
    };
    (1..=seeds).map(migration).collect()
}

fn one_after_another(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one after another");
    group.throughput(Throughput::Elements(SEEDS));
    for scheme in [Scheme::PostCopy, Scheme::LazyCopy] {
        let migrations = paper(scheme, SEEDS);
        let kept = [("metrics", Options::metrics_only()), ("everything", Options::default())];
        for (name, options) in kept {
            group.bench_function(format!("{scheme}, {name}"), |bencher| {
                bencher.iter(|| {
                    for migration in &migrations {
                        black_box(simulate_with(migration, &options).expect("it runs"));
                    }
                });
            });
        }
    }
    group.finish();
}

fn at_once(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a thousand at once between two hosts");
    group.throughput(Throughput::Elements(AT_ONCE)).sample_size(20);
    for scheme in [Scheme::PostCopy, Scheme::LazyCopy] {
        let migrations = paper(scheme, AT_ONCE);
        let bandwidth = migrations[0].link.bandwidth.bytes_per_sec() * AT_ONCE;
        let bandwidth = Rate::from_bytes_per_sec(bandwidth).expect("it is above zero");
        let card = Card { out: bandwidth, into: bandwidth };
        let fleet = Fleet {
            cards: vec![card, card],
            migrations: migrations
                .into_iter()
                .map(|migration| FleetMigration {
                    guest: migration.guest,
                    warmup_accesses: migration.warmup_accesses,
                    parameters: migration.parameters,
                    source: HostId(0),
                    destination: HostId(1),
                    rate: None,
                    latency: migration.link.latency,
                    starts: Instant::ZERO,
                })
                .collect(),
            neighbours: Vec::new(),
        };
        group.bench_function(scheme.name(), |bencher| {
            bencher.iter(|| {
                black_box(simulate_fleet(&fleet, &Options::metrics_only()).expect("it runs"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, one_after_another, at_once);
criterion_main!(benches);
