//! Bringing a migration to its phase, and breaking what is to break.

use super::cell::{Cell, Fault, Phase};
use super::laboratory::{Laboratory, PROMPT};
use super::network::{Host, Network};
use super::plan;
use nix::sys::signal::Signal;
use serde_json::json;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

/// Longer than any process waits for another one that has begun to talk (ten seconds).
const STOPPED_FOR: Duration = Duration::from_secs(12);

/// Shorter than anybody's patience.
const PAUSED_FOR: Duration = Duration::from_secs(1);

/// How long the link is cut.
const CUT_FOR: Duration = Duration::from_secs(2);

/// How long nothing comes through.
const SILENT_FOR: Duration = STOPPED_FOR;

/// By how much the link becomes slower: half as much again as the latency that is modelled.
const DELAY: Duration = Duration::from_millis(150);

/// Begins the cell's migration, with its guest `v`, and brings it to its phase. Time stands still
/// there, but for an offer, which the relay holds.
pub fn bring_about(laboratory: &mut Laboratory, cell: Cell) -> Result<Child, String> {
    let instant = plan::instant(cell)?;
    // What follows a warm-up that is over too soon stands still, too.
    if cell.phase != Phase::Offer {
        laboratory.obey("time freeze")?;
    }
    laboratory.wire.hold(cell.phase == Phase::Offer);
    laboratory.obey(&format!("vm create v --on a {}", plan::guest(cell.phase)))?;
    let migrate = format!("migrate v --to b --scheme {} --wait", cell.scheme.name);
    let waiting = laboratory.begin(&["--request-id", "the-migration"], &migrate)?;
    match (cell.phase, instant) {
        (Phase::Offer, _) => laboratory.wire.await_arrival(Instant::now() + PROMPT)?,
        (_, None) => laboratory.await_that("the migration is asked for", || {
            let status = laboratory.json("status")?;
            Ok(status["migrations"].as_array().is_some_and(|all| !all.is_empty()))
        })?,
        (_, Some(at)) => {
            await_reading(laboratory, 0)?;
            laboratory.obey(&format!("time step {at}ns"))?;
            await_reading(laboratory, at)?;
        }
    }
    Ok(waiting)
}

/// Waits until the guest stands at that instant of its migration.
fn await_reading(laboratory: &Laboratory, at_ns: u64) -> Result<(), String> {
    laboratory.await_that(&format!("time comes to {at_ns} ns"), || {
        Ok(laboratory.json("vm show v")?["vm"]["moving"]["at_ns"] == json!(at_ns))
    })
}

/// Breaks what is to break, lets time go, and mends what can be mended.
pub fn strike(laboratory: &mut Laboratory, cell: Cell, waiting: &mut Child) -> Result<(), String> {
    let go = |laboratory: &Laboratory| match cell.phase {
        Phase::Offer => Ok(()),
        _ => laboratory.obey("time go"),
    };
    match cell.fault {
        Fault::KillSource | Fault::KillDestination => {
            let is_source = cell.fault == Fault::KillSource;
            laboratory.kill(if is_source { Host::Source } else { Host::Destination })?;
            laboratory.wire.hold(false);
            go(laboratory)
        }
        Fault::KillManager => {
            laboratory.kill(Host::Manager)?;
            laboratory.wire.hold(false);
            laboratory.start_manager()?;
            laboratory.await_servers(3)?;
            go(laboratory)
        }
        Fault::StopSource => stop(laboratory, Host::Source, STOPPED_FOR, go, waiting),
        Fault::StopDestination => stop(laboratory, Host::Destination, STOPPED_FOR, go, waiting),
        Fault::StopManager => stop(laboratory, Host::Manager, STOPPED_FOR, go, waiting),
        Fault::PauseSource => stop(laboratory, Host::Source, PAUSED_FOR, go, waiting),
        Fault::PauseDestination => stop(laboratory, Host::Destination, PAUSED_FOR, go, waiting),
        Fault::Cut => {
            cut(laboratory)?;
            go(laboratory)?;
            // The failure itself takes this long.
            std::thread::sleep(CUT_FOR);
            laboratory.wire.mend();
            laboratory.network.cut_wire(false).map(drop)
        }
        Fault::CutOff => {
            cut(laboratory)?;
            go(laboratory)
        }
        Fault::Silence => {
            let is_wire = laboratory.network.cut_wire(true)?;
            laboratory.wire.hold(!is_wire);
            go(laboratory)?;
            last(SILENT_FOR, waiting);
            laboratory.wire.hold(false);
            laboratory.network.cut_wire(false).map(drop)
        }
        Fault::Delay => {
            match &laboratory.network {
                Network::Loopback => laboratory.wire.delay(DELAY),
                network if network.delay_wire(DELAY) => {}
                _ => return Err("the wire cannot be delayed".to_owned()),
            }
            laboratory.wire.hold(false);
            go(laboratory)
        }
    }
}

/// Cuts the wire itself, or, on loopback, all connections over it.
fn cut(laboratory: &Laboratory) -> Result<(), String> {
    if !laboratory.network.cut_wire(true)? {
        laboratory.wire.cut();
    }
    laboratory.wire.hold(false);
    Ok(())
}

/// Has a failure last for so long, or until the migration is over all the same.
fn last(span: Duration, waiting: &mut Child) {
    let until = Instant::now() + span;
    while Instant::now() < until && matches!(waiting.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Lets time go, and stops a process for so long, or until the migration is over without it.
fn stop(
    laboratory: &mut Laboratory,
    host: Host,
    span: Duration,
    go: impl Fn(&Laboratory) -> Result<(), String>,
    waiting: &mut Child,
) -> Result<(), String> {
    go(laboratory)?;
    laboratory.signal(host, Signal::SIGSTOP)?;
    laboratory.wire.hold(false);
    last(span, waiting);
    laboratory.signal(host, Signal::SIGCONT)
}

/// Waits for the end of the command that began the migration.
///
/// # Errors
/// When it does not end in time.
pub fn await_end(
    laboratory: &Laboratory,
    cell: Cell,
    mut waiting: Child,
    bound: Duration,
) -> Result<Output, String> {
    let begun = Instant::now();
    let mut asked = begun;
    while matches!(waiting.try_wait(), Ok(None)) {
        if begun.elapsed() > bound {
            let _ = waiting.kill();
            let _ = waiting.wait();
            let status = laboratory.json("status").map(|status| status["migrations"].to_string());
            return Err(format!("it does not end within {} s: {status:?}", bound.as_secs()));
        }
        // A source that can prove that the guest runs nowhere else waits for its operator's word.
        let may_wait = matches!(cell.fault, Fault::KillDestination | Fault::CutOff);
        if may_wait && asked.elapsed() > Duration::from_secs(5) {
            asked = Instant::now();
            let _ = laboratory.command(&[], "migrate reclaim v");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    waiting.wait_with_output().map_err(|error| error.to_string())
}
