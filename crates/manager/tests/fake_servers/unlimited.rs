//! Guests with real memory, among servers that do what a test wants.

use super::{FakeServer, Laboratory, destination_report, source_report};
use lazycopy_link::{Compression, LinkSpec, PlaneParameters};
use lazycopy_migration::Outcome;
use lazycopy_protocol::control::{PlaneCounts, SideReport, VmPhase, VmSummary};
use lazycopy_results::load_run;
use serde_json::Value;

/// What a source says besides its report in [`unlimited_migration`].
fn counts() -> PlaneCounts {
    PlaneCounts {
        bytes_sent: 50_000,
        body_bytes: 30_720,
        pages_zero: 2,
        pages_same: 3,
        pages_compressed: 15,
        congestion: "reno".to_owned(),
    }
}

/// The directory of a migration of a guest over an unlimited link, by servers that are late.
async fn unlimited_migration(plane: Option<PlaneCounts>) -> serde_json::Value {
    let mut laboratory = Laboratory::open().await;
    let mut a = FakeServer::introduce(&mut laboratory, "a").await;
    let mut b = FakeServer::introduce(&mut laboratory, "b").await;
    let line = "vm create v --on a --set link.bandwidth=unlimited --set link.connections=4 --set \
                link.compression=lz4";
    let created = laboratory.guest(&mut a, line).await;
    assert!(created.real_memory);
    assert_eq!(created.time_scale, 1);
    let waited = laboratory
        .command("migrate v --to b --scheme post-copy --set link.page_check=false --wait");
    let start = a.migrate().await;
    let expected = PlaneParameters {
        connections: 4,
        compression: Compression::Lz4,
        page_check: false,
        congestion: None,
    };
    assert_eq!(start.link, LinkSpec::Unlimited(expected));
    a.end_with(&start, Outcome::Completed, source_report(), |ended| {
        (ended.plane, ended.out_of_order) = (plane, 7);
    })
    .await;
    let truth = destination_report(&created.spec, 100);
    b.end(&start, Outcome::Completed, SideReport::Destination(truth)).await;
    tokio::join!(a.forgets(), b.forgets());
    waited.await.unwrap().unwrap();
    let run = std::fs::read_dir(laboratory.out.path()).unwrap().next().unwrap().unwrap();
    assert_eq!(load_run(&run.path()).unwrap().digest_matches, Some(true));
    let text = std::fs::read_to_string(run.path().join("result.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_result_tells_what_went_over_the_sockets_and_the_clock_is_never_late() {
    let result = unlimited_migration(Some(counts())).await;
    let plane = serde_json::json!({
        "bytes_sent": 50_000, "pages_zero": 2, "pages_same": 3, "pages_compressed": 15,
        "compression_ratio": 2.0, "connections": 4, "congestion": "reno", "checksums": false,
    });
    assert_eq!(result["plane"], plane);
    assert_eq!(result["scenario"]["link"]["bandwidth"], "unlimited");
    assert_eq!((&result["slip_ns"], &result["slip_bound_ns"]), (&Value::Null, &Value::Null));
    assert_eq!((&result["slip_exceeded"], &result["out_of_order"]), (&false.into(), &0.into()));
}

#[tokio::test]
async fn a_source_that_does_not_tell_its_counts_leaves_them_out_of_the_result() {
    let nothing_sent = PlaneCounts { body_bytes: 0, ..counts() };
    let result = unlimited_migration(Some(nothing_sent)).await;
    assert_eq!(result["plane"]["compression_ratio"], Value::Null, "a ratio of nothing");
    assert_eq!(unlimited_migration(None).await.get("plane"), None);
}

#[tokio::test]
async fn guests_that_an_earlier_manager_created_migrate_over_the_kind_of_link_that_is_theirs() {
    let mut laboratory = Laboratory::open().await;
    let guest = |vm: &str, real_memory| VmSummary {
        vm: vm.to_owned(),
        phase: VmPhase::Running,
        pages: 50,
        frames: 20,
        accesses: 0,
        miss_ratio: None,
        recent_miss_ratio: None,
        real_memory,
    };
    let vms = vec![guest("modelled", false), guest("real", true), guest("set", true)];
    let mut a = FakeServer::introduce_with(&mut laboratory, "a", vms).await;
    let _b = FakeServer::introduce(&mut laboratory, "b").await;
    for (line, expected) in [
        ("migrate real --to b", PlaneParameters::default()),
        (
            "migrate set --to b --set link.connections=4 --set measured_accesses=7",
            PlaneParameters { connections: 4, ..PlaneParameters::default() },
        ),
    ] {
        let begun = laboratory.command(line);
        assert_eq!(a.migrate().await.link, LinkSpec::Unlimited(expected), "{line}");
        begun.await.unwrap().unwrap();
    }
    let begun = laboratory.command("migrate modelled --to b");
    assert!(!a.migrate().await.link.is_unlimited());
    begun.await.unwrap().unwrap();
}
