//! What a remote fault takes: with an idle link against a bare round trip, and under the
//! background push.

use crate::Options;
use crate::conditions::Patience;
use crate::figures::{median, quantile};
use crate::laboratory::{Laboratory, SERVERS};
use crate::moved::{Move, Moved, guest, link};
use crate::roundtrip::{Exchange, Places};
use anyhow::Result;
use std::collections::BTreeMap;

/// The goals: of the median with an idle link, against a bare round trip; of the longest but one
/// in a hundred under the push; and of the goodput that the push keeps meanwhile.
const MOST_TIMES_A_ROUND_TRIP: f64 = 2.0;
const MOST_UNDER_PUSH_US: f64 = 5_000.0;
const LEAST_GOODPUT_KEPT: f64 = 0.7;

/// Faults that are measured with an idle link.
const IDLE_FAULTS: u64 = 5_000;

/// How long each remote fault blocked the guest, in microseconds, in order.
fn faults(moved: &Moved) -> Vec<f64> {
    let mut began: BTreeMap<u64, f64> = BTreeMap::new();
    let mut took = Vec::new();
    for event in &moved.events {
        let (page, at) = (event["page"].as_u64(), event["at_ns"].as_f64());
        let (Some(page), Some(at)) = (page, at) else { continue };
        if event["event"] == "fault_began" {
            began.insert(page, at);
        } else if let Some(since) = began.remove(&page) {
            took.push((at - since) / 1000.0);
        }
    }
    took.sort_by(f64::total_cmp);
    took
}

const FAULT_EVENTS: [&str; 4] =
    ["\"fault_began\"", "\"ended_fault\"", "\"context_sent\"", "\"completed\""];

/// With a push that is held to next to nothing, every touch is a fault and the link is idle. The
/// guest touches the next page at once, as a bare round trip follows the one before.
fn idle(laboratory: &Laboratory, options: &Options, places: Places) -> Result<Vec<f64>> {
    for (server, core) in SERVERS.iter().zip(places.cores()) {
        laboratory.place(server, core)?;
    }
    let small = Options { size: options.size.min(64), ..options.clone() };
    let mut migration = link(options, true);
    migration.push("migration.push_rate=40960B/s".to_owned());
    migration.push("guest.workload=sequential".to_owned());
    let what = Move {
        scheme: "post-copy",
        guest: guest(&small, "1us", IDLE_FAULTS),
        migration,
        bytes: small.bytes(),
    };
    Ok(faults(&laboratory.make(&what, &FAULT_EVENTS)?))
}

/// A guest that runs while it is pushed: its faults, and the push's goodput in GB/s.
fn under_push(
    laboratory: &Laboratory,
    options: &Options,
    think_time: &str,
) -> Result<(Vec<f64>, f64)> {
    let mut migration = link(options, true);
    migration.push("migration.push_order=address".to_owned());
    let what = Move {
        scheme: "post-copy",
        guest: guest(options, think_time, 100),
        migration,
        bytes: options.bytes(),
    };
    let moved = laboratory.make(&what, &FAULT_EVENTS)?;
    let took = moved.at("completed")? - moved.at("context_sent")?;
    Ok((faults(&moved), moved.figure("pages_transferred")? * 4096.0 / took))
}

/// Median of a bare round trip, and of a remote fault with an idle link, for some places.
struct Trips {
    places: Places,
    bare: Vec<f64>,
    remote: Vec<f64>,
}

impl Trips {
    fn measure(
        &mut self,
        laboratory: &Laboratory,
        options: &Options,
        patience: &mut Patience,
    ) -> Result<()> {
        let exchange = Exchange { count: IDLE_FAULTS as u32, sockets: options.sockets() };
        patience.await_quiet()?;
        self.bare.push(exchange.run(self.places)?.median_us);
        patience.await_quiet()?;
        let faults = idle(laboratory, options, self.places)?;
        self.remote.push(median(&faults));
        Ok(())
    }

    fn print(&self) {
        let (bare, remote) = (median(&self.bare), median(&self.remote));
        println!("  {:9}  {bare:15.1}  {remote:12.1}  {:5.2}", self.places.name(), remote / bare);
    }
}

/// Measures and prints.
pub fn report(options: &Options) -> Result<()> {
    let laboratory = Laboratory::for_one(options)?;
    let mut patience = Patience::of(options.patience);
    let trips = |places| Trips { places, bare: Vec::new(), remote: Vec::new() };
    let mut trips: Vec<Trips> = Places::here().into_iter().map(trips).collect();
    let (mut under, mut loaded, mut unloaded) = (Vec::new(), Vec::new(), Vec::new());
    under_push(&laboratory, options, "100ms")?;
    for _ in 0..options.repeats {
        for trips in &mut trips {
            trips.measure(&laboratory, options, &mut patience)?;
        }
        SERVERS.iter().try_for_each(|server| laboratory.place(server, None))?;
        patience.await_quiet()?;
        unloaded.push(under_push(&laboratory, options, "100ms")?.1);
        patience.await_quiet()?;
        let (mut faults, goodput) = under_push(&laboratory, options, "1ms")?;
        under.append(&mut faults);
        loaded.push(goodput);
    }
    laboratory.end()?;
    println!("\na remote fault with an idle link, and a bare round trip of as many bytes, medians");
    println!("in us; wanted: at most {MOST_TIMES_A_ROUND_TRIP} times");
    println!("  on         bare round trip  remote fault  times");
    trips.iter().for_each(Trips::print);
    under.sort_by(f64::total_cmp);
    let (middle, p99) = (quantile(&under, 0.5), quantile(&under, 0.99));
    let kept = median(&loaded) / median(&unloaded);
    println!("{} remote faults under the background push of {} MiB", under.len(), options.size);
    println!("  median {middle:.0} us, p99 {p99:.0} us, wanted at most {MOST_UNDER_PUSH_US:.0} us");
    println!("  the push keeps {kept:.2} of its goodput, wanted at least {LEAST_GOODPUT_KEPT}");
    Ok(())
}
