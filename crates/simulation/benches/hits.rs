//! What an access that hits costs in the engine, beside the bare pager: accesses per second of a
//! guest whose pages are all resident, during its migration and after it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lazycopy_guest::{Guest, GuestSpec, ResidentAtStart, WorkloadSpec};
use lazycopy_link::LinkParameters;
use lazycopy_migration::{MigrationParameters, PushOrder, Scheme};
use lazycopy_simulation::{Migration, Options, simulate_with};
use lazycopy_units::{Duration, Instant, Rate};
use std::hint::black_box;
use std::sync::Arc;

const PAGES: u32 = 4_096;
/// So many that the migration, which takes some 34 ms of model time, is the smaller part.
const ACCESSES: u64 = 1_000_000;

fn guest() -> Arc<GuestSpec> {
    Arc::new(GuestSpec {
        seed: 1,
        pages: PAGES,
        frames: PAGES,
        think_time: Duration::from_nanos(1_000),
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Queue { length: 1 << 16 },
        resident_at_start: ResidentAtStart::All,
    })
}

fn migration(scheme: Scheme) -> Migration {
    Migration {
        guest: guest(),
        warmup_accesses: 0,
        parameters: MigrationParameters {
            scheme,
            push_order: PushOrder::Address,
            context_bytes: 4_096,
            head_start: 0,
            max_lead: None,
            fault_penalty: Duration::ZERO,
            disk_latency_source: Duration::ZERO,
            disk_latency_destination: Duration::ZERO,
            measured_accesses: ACCESSES,
            rounds: Default::default(),
            pre_paging: Default::default(),
            whole_page_writes: false,
            push_rate: None,
            checkpoint: false,
        },
        link: LinkParameters {
            bandwidth: Rate::from_bytes_per_sec(500_000_000).expect("it is above zero"),
            latency: Duration::from_nanos(50_000),
        },
    }
}

fn hits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hits");
    group.throughput(Throughput::Elements(ACCESSES)).sample_size(20);
    group.bench_function("bare pager", |bencher| {
        bencher.iter(|| {
            let mut guest = Guest::new(guest()).expect("it has no trace");
            guest.run_to(Instant::ZERO, ACCESSES, Duration::ZERO).expect("it has no trace");
            black_box(guest.registers())
        });
    });
    for scheme in [Scheme::StopAndCopy, Scheme::PostCopy, Scheme::LazyCopy] {
        let migration = migration(scheme);
        group.bench_function(format!("engine, {scheme}"), |bencher| {
            bencher.iter(|| {
                let run = simulate_with(&migration, &Options::metrics_only());
                black_box(run.expect("it runs").metrics)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hits);
criterion_main!(benches);
