//! The pool, and the ordinary life of guests.

mod common;

use common::{
    Fleet, SERVER_FRAMES, TIME_SCALE, WARMUP, check_history, create, create_with, spec, start,
};
use lazycopy_guest::{GuestSpec, WorkloadSpec};
use lazycopy_protocol::control::{CreateVm, ServerCommand, VmPhase};
use lazycopy_units::Duration;

fn named(vm: &str) -> String {
    vm.to_owned()
}

fn suspend(vm: &str) -> ServerCommand {
    ServerCommand::SuspendVm { vm: named(vm) }
}

fn resume(vm: &str) -> ServerCommand {
    ServerCommand::ResumeVm { vm: named(vm) }
}

fn stop(vm: &str) -> ServerCommand {
    ServerCommand::StopVm { vm: named(vm) }
}

fn delete(vm: &str, force: bool) -> ServerCommand {
    ServerCommand::DeleteVm { vm: named(vm), force }
}

/// A guest that touches one of its pages every nanosecond of model time: more than any machine
/// can follow.
fn insatiable(vm: &str) -> ServerCommand {
    let spec = GuestSpec { think_time: Duration::from_nanos(1), ..spec(1) };
    create_with(vm, spec, |_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_runs_from_its_warm_up_on_and_sees_what_its_reference_run_sees() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 7)).await;
    let created = fleet.a.show("g").await;
    assert_eq!((created.summary.phase, created.summary.accesses), (VmPhase::Created, 0));
    assert_eq!(created.summary.miss_ratio, None);
    fleet.a.done(start("g")).await;
    let shown = loop {
        let shown = fleet.a.show("g").await;
        if shown.summary.accesses >= WARMUP + 20 {
            break shown;
        }
    };
    assert_eq!(shown.summary.phase, VmPhase::Running);
    let snapshot = shown.snapshot.unwrap();
    check_history(spec(7), snapshot.registers);
    assert_eq!(snapshot.resident.len(), 20);
    assert!(snapshot.miss_ratio.unwrap() > 0.0 && snapshot.recent_miss_ratio.unwrap() > 0.0);
}

/// The accesses that begin in so much of wall time.
fn due(wall: std::time::Duration) -> u64 {
    wall.as_nanos() as u64 * TIME_SCALE / Duration::from_millis(970).as_nanos()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_guest_follows_its_scaled_clock() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 7)).await;
    let before = std::time::Instant::now();
    fleet.a.done(start("g")).await;
    let started = std::time::Instant::now();
    loop {
        let lower = started.elapsed();
        let accesses = fleet.a.show("g").await.summary.accesses - WARMUP;
        let upper = before.elapsed();
        assert!((due(lower)..=due(upper)).contains(&accesses), "{accesses} accesses");
        if accesses > 20 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_guest_stands_still_and_goes_on_when_it_is_resumed() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 3)).await;
    fleet.a.done(start("g")).await;
    fleet.a.done(suspend("g")).await;
    let halted = fleet.a.show("g").await;
    assert_eq!(halted.summary.phase, VmPhase::Suspended);
    // Another guest's twenty accesses are as many model seconds.
    fleet.a.done(create("clock", 3)).await;
    fleet.a.done(start("clock")).await;
    while fleet.a.show("clock").await.summary.accesses < WARMUP + 20 {}
    assert_eq!(fleet.a.show("g").await, halted);
    let before = std::time::Instant::now();
    fleet.a.done(resume("g")).await;
    let resumed = loop {
        let shown = fleet.a.show("g").await;
        if shown.summary.accesses > halted.summary.accesses {
            break shown;
        }
    };
    let most = halted.summary.accesses + 1 + due(before.elapsed());
    assert!(resumed.summary.accesses <= most, "it caught up on its pause");
    check_history(spec(3), resumed.snapshot.unwrap().registers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_guest_gives_its_frames_back_and_starts_anew() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 3)).await;
    assert_eq!(fleet.a.host().await.frames_taken, 20);
    fleet.a.done(start("g")).await;
    fleet.a.done(stop("g")).await;
    assert_eq!(fleet.a.host().await.frames_taken, 0);
    let stopped = fleet.a.show("g").await;
    assert_eq!((stopped.summary.phase, stopped.snapshot), (VmPhase::Stopped, None));
    fleet.a.done(start("g")).await;
    assert_eq!(fleet.a.host().await.frames_taken, 20);
    check_history(spec(3), fleet.a.show("g").await.snapshot.unwrap().registers);
    assert!(fleet.a.refusal(delete("g", false)).await.contains("is running"));
    fleet.a.done(delete("g", true)).await;
    assert!(fleet.a.host().await.vms.is_empty());
    assert_eq!(fleet.a.host().await.frames_taken, 0);
    fleet.a.done(create("g", 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_by_name_with_what_would_be_right() {
    let mut fleet = Fleet::start().await;
    fleet.a.done(create("g", 3)).await;
    for (command, said) in [
        (create("g", 3), "\"g\" already"),
        (start("h"), "no guest \"h\""),
        (suspend("g"), "start it first"),
        (resume("g"), "start it first"),
    ] {
        let refusal = fleet.a.refusal(command.clone()).await;
        assert!(refusal.contains(said), "{command:?}: {refusal}");
    }
    fleet.a.done(start("g")).await;
    for (command, said) in [
        (start("g"), "running already"),
        (resume("g"), "only a suspended guest"),
        (delete("g", false), "stop it first"),
    ] {
        let refusal = fleet.a.refusal(command.clone()).await;
        assert!(refusal.contains("\"g\"") && refusal.contains(said), "{command:?}: {refusal}");
    }
    fleet.a.done(suspend("g")).await;
    assert!(fleet.a.refusal(start("g")).await.contains("resume it"));
    assert!(fleet.a.refusal(suspend("g")).await.contains("suspended already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_cannot_be_is_refused_with_its_key_and_numbers() {
    let mut fleet = Fleet::start().await;
    let wrong = |change: fn(&mut CreateVm)| create_with("g", spec(1), change);
    for (command, said) in [
        (wrong(|it| (it.spec.pages, it.spec.frames) = (3_000, 2_500)), "2500 frames"),
        (wrong(|it| it.spec.frames = 51), "guest.frames"),
        (wrong(|it| it.spec.pages = u32::MAX - 1), "guest.pages"),
        (wrong(|it| it.spec.think_time = Duration::from_nanos(u64::MAX)), "guest.think_time"),
        (wrong(|it| it.time_scale = 0), "time_scale"),
        (wrong(|it| (it.real_memory, it.time_scale) = (true, 2)), "time_scale: 2"),
        (wrong(|it| it.vm.clear()), "name"),
        (
            wrong(|it| {
                it.spec.workload = WorkloadSpec::Trace {
                    file: "/no/such/recording".into(),
                    instruction_time: Duration::from_nanos(1),
                };
            }),
            "/no/such/recording",
        ),
    ] {
        let refusal = fleet.a.refusal(command.clone()).await;
        assert!(refusal.contains(said), "{command:?}: {refusal}");
        assert_eq!(fleet.a.host().await.frames_taken, 0, "{said}");
    }
    let full = fleet.a.refusal(wrong(|it| (it.spec.pages, it.spec.frames) = (3_000, 2_500))).await;
    assert!(full.contains(&SERVER_FRAMES.to_string()), "{full}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_want_all_the_time_there_is_leave_some_for_others() {
    let mut fleet = Fleet::start().await;
    let guests = ["one", "two", "three", "four"];
    for vm in guests {
        fleet.a.done(insatiable(vm)).await;
        fleet.a.done(start(vm)).await;
    }
    let mut last = [0; 4];
    for _ in 0..10 {
        for (vm, last) in guests.iter().zip(&mut last) {
            let shown = fleet.a.show(vm).await;
            assert!(shown.summary.accesses >= *last);
            *last = shown.summary.accesses;
        }
    }
    for (vm, last) in guests.iter().zip(last) {
        while fleet.a.show(vm).await.summary.accesses < last + 100_000 {}
    }
    fleet.a.done(suspend("two")).await;
    fleet.a.done(stop("three")).await;
    fleet.a.done(delete("four", true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_up_without_end_can_be_looked_at_and_stopped() {
    let mut fleet = Fleet::start().await;
    let endless = create_with("g", spec(1), |it| it.warmup_accesses = u64::MAX);
    fleet.a.done(endless).await;
    let starting = fleet.a.send(start("g")).await;
    assert!(fleet.a.refusal(suspend("g")).await.contains("warming up"));
    assert_eq!(fleet.a.show("g").await.summary.phase, VmPhase::Running);
    fleet.a.done(stop("g")).await;
    assert!(fleet.a.answer(starting).await.unwrap_err().contains("warm-up"));
    assert_eq!(fleet.a.show("g").await.summary.phase, VmPhase::Stopped);
    assert_eq!(fleet.a.host().await.frames_taken, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_whose_recording_is_broken_fails_alone_and_the_manager_is_told() {
    let mut fleet = Fleet::start().await;
    let file = std::env::temp_dir().join(format!("broken-recording-{}", std::process::id()));
    let sound = "I  04000000,3\n L 1ffe000000,8\n".repeat(20);
    std::fs::write(&file, format!("{sound}nonsense\n")).unwrap();
    let broken = create_with("broken", spec(1), |it| {
        it.spec.workload = WorkloadSpec::Trace {
            file: file.clone(),
            instruction_time: Duration::from_millis(100),
        };
        it.warmup_accesses = 2;
    });
    fleet.a.done(create("sound", 1)).await;
    fleet.a.done(start("sound")).await;
    fleet.a.done(broken).await;
    let started = fleet.a.ask(start("broken")).await;
    let reason = match started {
        Err(reason) => reason,
        Ok(_) => fleet.a.failure("broken").await,
    };
    std::fs::remove_file(&file).unwrap();
    assert!(reason.contains("line 41") && reason.contains("nonsense"), "{reason}");
    assert_eq!(fleet.a.show("broken").await.summary.phase, VmPhase::Failed);
    assert_eq!(fleet.a.show("sound").await.summary.phase, VmPhase::Running);
    assert_eq!(fleet.a.host().await.frames_taken, 20);
}
