//! Links that break after the hand-over: what a user sees of it, and what he may do.

use crate::common::{failure, manager, result};
use crate::matrix::laboratory::Laboratory;
use crate::matrix::network::{Host, Network};
use serde_json::Value;
use std::process::Child;

/// A push that takes a minute of wall time, were it not mended, so that a test can act meanwhile.
const SLOW: &str = "--set time_scale=40 --set measured_accesses=10 --set link.latency=400ms \
                    --set migration.push_rate=100B/s --set migration.recover_within=60s";

/// A guest that is asked to go from a to b by a scheme, and somebody who waits for it.
fn moving(laboratory: &Laboratory, settings: &str) -> Child {
    laboratory.obey(&format!("vm create v --on a {SLOW} {settings}")).unwrap();
    laboratory.begin(&[], "migrate v --to b --wait").unwrap()
}

fn laboratory() -> Laboratory {
    Laboratory::open(Network::Loopback, true).unwrap()
}

/// What `status` tells of the one migration that runs.
fn migration(laboratory: &Laboratory) -> Result<Value, String> {
    Ok(laboratory.json("status")?["migrations"][0].clone())
}

/// Waits until pages have arrived after the hand-over.
fn await_pages(laboratory: &Laboratory) {
    let arrived = || {
        let arrived = &migration(laboratory)?["progress"]["arrived"];
        Ok(arrived["background"].as_u64().unwrap_or_default() > 0)
    };
    laboratory.await_that("pages come", arrived).unwrap();
}

fn await_pause(laboratory: &Laboratory) -> Value {
    let paused = || Ok(migration(laboratory)?["pause"]["reclaim"].is_object());
    laboratory.await_that("it is paused", paused).unwrap();
    migration(laboratory).unwrap()["pause"].clone()
}

fn text(laboratory: &Laboratory, command: &str) -> String {
    let done = laboratory.command(&[], command).unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn refusal(laboratory: &Laboratory, command: &str) -> String {
    failure(&laboratory.command(&[], command).unwrap())
}

fn only_result(laboratory: &Laboratory) -> Value {
    let runs = laboratory.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    result(&runs[0])
}

#[test]
fn a_broken_link_is_told_outlives_the_manager_and_is_mended_by_a_word() {
    let mut laboratory = laboratory();
    for word in ["recover", "reclaim"] {
        assert!(refusal(&laboratory, &format!("migrate {word} v")).contains("no guest \"v\""));
    }
    let waiting = moving(&laboratory, "--set migration.scheme=post-copy");
    await_pages(&laboratory);
    for word in ["recover", "reclaim"] {
        let refusal = refusal(&laboratory, &format!("migrate {word} v"));
        assert!(refusal.contains("migration 1 of guest \"v\" is not paused"), "{refusal}");
    }
    laboratory.wire.cut();
    let pause = await_pause(&laboratory);
    assert!(pause["reason"].as_str().unwrap().contains("the link broke"), "{pause}");
    assert!(pause["until_unix_ms"].as_u64() > pause["since_unix_ms"].as_u64(), "{pause}");
    for command in ["status", "vm show v"] {
        let shown = text(&laboratory, command);
        assert!(shown.contains("paused since") && shown.contains("migrate recover v"), "{shown}");
        assert!(shown.contains("cannot be taken back: it may have run"), "{shown}");
    }
    assert!(text(&laboratory, "status").contains("migrating to b, paused"));
    assert!(refusal(&laboratory, "migrate cancel v").contains("the link broke since"));
    assert!(refusal(&laboratory, "migrate reclaim v").contains("it may have run"));
    assert!(refusal(&laboratory, "migrate recover v").contains("server \"b\" at"));
    laboratory.kill(Host::Manager).unwrap();
    drop(waiting.wait_with_output());
    laboratory.start_manager().unwrap();
    laboratory.await_servers(3).unwrap();
    await_pause(&laboratory);
    laboratory.wire.mend();
    let recovered = laboratory.command(&["--json"], "migrate recover v").unwrap();
    let said = String::from_utf8_lossy(&recovered.stdout);
    // Unless the source was quicker.
    assert!(said.contains("\"recovered\":true") || said.contains("is not paused"), "{said}");
    laboratory.obey("wait v").unwrap();
    let result = only_result(&laboratory);
    assert_eq!((&result["outcome"], &result["pauses"]), (&"completed".into(), &1.into()));
    assert_eq!(result["digest_matches"], true, "{result}");
    assert!(result["paused_time_ns"].as_u64() > Some(0), "{result}");
}

#[test]
fn a_guest_that_never_ran_at_a_dead_destination_is_taken_back() {
    let mut laboratory = laboratory();
    let lazy = "--set migration.scheme=lazy-copy --set migration.head_start=1000000";
    let waiting = moving(&laboratory, lazy);
    await_pages(&laboratory);
    laboratory.kill(Host::Destination).unwrap();
    // Who waits is told at once, and the guest waits for its operator.
    let told = failure(&waiting.wait_with_output().unwrap());
    assert!(told.contains("waits for an operator's word"), "{told}");
    let pause = await_pause(&laboratory);
    assert!(pause["until_unix_ms"].is_null() && pause["reclaim"]["Ok"].is_string(), "{pause}");
    let shown = text(&laboratory, "status");
    assert!(shown.contains("may be taken back"), "{shown}");
    let reclaimed = laboratory.json("migrate reclaim v").unwrap();
    assert_eq!((&reclaimed["vm"], &reclaimed["server"]), (&"v".into(), &"a".into()));
    let over = || Ok(laboratory.json("status")?["migrations"] == Value::Array(Vec::new()));
    laboratory.await_that("it is over", over).unwrap();
    let shown = laboratory.json("vm show v").unwrap();
    assert_eq!(
        (&shown["server"], &shown["vm"]["summary"]["phase"]),
        (&"a".into(), &"running".into())
    );
    assert_eq!(only_result(&laboratory)["outcome"], "failed");
}

#[test]
fn a_guest_whose_destination_or_source_died_is_lost_at_once_and_said_to_be() {
    for (host, named) in [(Host::Destination, "destination"), (Host::Source, "source")] {
        let mut laboratory = laboratory();
        let dirty = "--set migration.scheme=post-copy --set guest.write_fraction=1";
        let waiting = moving(&laboratory, dirty);
        await_pages(&laboratory);
        laboratory.kill(host).unwrap();
        let told = failure(&waiting.wait_with_output().unwrap());
        assert!(told.contains("lost") && told.contains(named), "{told}");
        let result = only_result(&laboratory);
        assert_eq!(result["outcome"], "lost");
        assert!(result["pages_transferred"].as_u64() > Some(0), "{result}");
        for command in ["report", "trace"] {
            let run = laboratory.runs().pop().unwrap();
            let done = manager(&run, &[command, "."]);
            assert!(done.status.success(), "{done:?}");
        }
        assert!(refusal(&laboratory, "vm show v").contains("there is no guest \"v\""));
    }
}
