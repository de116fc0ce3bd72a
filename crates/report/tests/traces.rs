//! Migrations as traces: what stands in them is what the result says.

mod common;

use common::{run, scenario_of};
use lazycopy_migration::{Metrics, Outcome, Scheme};
use lazycopy_report::{Trace, TraceTimes};
use serde_json::Value;
use std::collections::BTreeMap;

/// A slice: the names of those around it and its own, its first and last nanosecond.
#[derive(Debug)]
struct Slice {
    path: Vec<String>,
    begins: u64,
    ends: u64,
    args: Value,
}

/// What a viewer makes of a trace.
#[derive(Default)]
struct Picture {
    /// By the names of process and thread.
    tracks: BTreeMap<String, Vec<Slice>>,
    instants: Vec<(String, u64)>,
    counters: BTreeMap<String, Vec<(u64, f64)>>,
    flows: usize,
}

fn nanos(value: &Value) -> u64 {
    let text = value.to_string();
    let (micros, rest) = text.split_once('.').unwrap_or((&text, "0"));
    micros.parse::<u64>().unwrap() * 1_000 + format!("{rest:0<3}").parse::<u64>().unwrap()
}

/// Draws a trace as Chrome's format says, and panics where it does not hold together.
fn draw(text: &str) -> Picture {
    let trace: Value = serde_json::from_str(text).unwrap();
    assert_eq!(trace["displayTimeUnit"], "ns");
    let events = trace["traceEvents"].as_array().unwrap();
    let mut names = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "M") {
        let key = (event["name"].to_string(), event["pid"].as_u64(), event["tid"].as_u64());
        assert!(names.insert(key, &event["args"]).is_none(), "a name is told once");
    }
    let track = |event: &Value| {
        let named = |what: &str, tid| {
            let name = names[&(format!("\"{what}\""), event["pid"].as_u64(), tid)];
            name["name"].as_str().unwrap().to_owned()
        };
        let process = named("process_name", None);
        let side = process.split(':').next().unwrap();
        format!("{side}/{}", named("thread_name", event["tid"].as_u64()))
    };
    // In the order of time, and as written where that is equal.
    let mut timed: Vec<&Value> = events.iter().filter(|event| event["ph"] != "M").collect();
    timed.sort_by_key(|event| nanos(&event["ts"]));
    let mut picture = Picture::default();
    let mut open: BTreeMap<String, Vec<Slice>> = BTreeMap::new();
    let (mut begun, mut ended) = (BTreeMap::new(), BTreeMap::new());
    for event in timed {
        let at = nanos(&event["ts"]);
        let name = event["name"].as_str().unwrap_or_default().to_owned();
        let kind = event["ph"].as_str().unwrap();
        if kind == "C" {
            for (series, value) in event["args"].as_object().unwrap() {
                let points = picture.counters.entry(format!("{name}/{series}")).or_default();
                points.push((at, value.as_f64().unwrap()));
            }
            continue;
        }
        let track = track(event);
        let stack = open.entry(track.clone()).or_default();
        let done = picture.tracks.entry(track.clone()).or_default();
        // Complete slices end by themselves.
        while stack.last().is_some_and(|slice| slice.ends <= at && kind != "f" && kind != "s") {
            done.extend(stack.pop());
        }
        match kind {
            "B" | "X" => {
                let lasts = event.get("dur").map(nanos);
                let ends = lasts.map_or(u64::MAX, |lasts| at + lasts);
                if let Some(around) = stack.last() {
                    assert!(ends <= around.ends, "{track}: {name} reaches out of {around:?}");
                }
                let mut path: Vec<String> =
                    stack.last().map_or(Vec::new(), |around| around.path.clone());
                path.push(name);
                stack.push(Slice { path, begins: at, ends, args: event["args"].clone() });
            }
            "E" => {
                let slice = stack.pop().expect("a slice that ends has begun");
                assert_eq!(slice.ends, u64::MAX, "{track}: {slice:?} ends twice");
                done.push(Slice { ends: at, ..slice });
            }
            "i" => picture.instants.push((name, at)),
            "s" | "f" => {
                let slice = stack.last().expect("an arrow has a slice at each end");
                let ends = if kind == "s" { &mut begun } else { &mut ended };
                let page = slice.args.get("page").cloned();
                assert!(ends.insert(event["id"].to_string(), (at, page)).is_none());
            }
            other => panic!("{other} is no kind of event"),
        }
    }
    for (track, stack) in open {
        for slice in stack {
            assert_ne!(slice.ends, u64::MAX, "{track}: {slice:?} is not closed");
            picture.tracks.entry(track.clone()).or_default().push(slice);
        }
    }
    assert_eq!(begun.len(), ended.len());
    for (id, (sent, page)) in &begun {
        let (arrived, arrived_page) = &ended[id];
        assert!(sent <= arrived && page == arrived_page, "arrow {id}");
    }
    picture.flows = begun.len();
    picture
}

impl Picture {
    /// How long the slices with that beginning last in all.
    fn lasts(&self, track: &str, beginning: &str) -> u64 {
        self.slices(track, beginning).map(|slice| slice.ends - slice.begins).sum()
    }

    fn slices(&self, track: &str, beginning: &str) -> impl Iterator<Item = &Slice> {
        let all = self.tracks.get(track).into_iter().flatten();
        all.filter(move |slice| slice.path.last().unwrap().starts_with(beginning))
    }

    fn count(&self, beginning: &str) -> u64 {
        self.instants.iter().filter(|(name, _)| name.starts_with(beginning)).count() as u64
    }

    fn last(&self, counter: &str) -> f64 {
        self.counters.get(counter).map_or(0.0, |points| points.last().unwrap().1)
    }
}

/// The trace of a run, and its result.
fn traced(name: &str, scheme: Scheme, seed: u64) -> (String, Metrics) {
    let set = ["migration.max_rounds=20"];
    let (record, events) = run(name, scheme, seed, &set);
    let scenario = scenario_of(name, scheme, &set);
    let mut times = TraceTimes::of(scenario.guest.think_time, Some(scenario.disk.latency_source));
    events.iter().for_each(|event| times.note(event));
    let mut trace = Trace::begin(Vec::new(), &record, times).unwrap();
    events.iter().for_each(|event| trace.event(event).unwrap());
    (String::from_utf8(trace.finish().unwrap()).unwrap(), record.metrics)
}

#[test]
fn a_trace_says_what_the_result_says() {
    for scheme in Scheme::ALL {
        for (scenario, seed) in [("paper", 1), ("paper", 5), ("slow-link", 2), ("writes", 1)] {
            let (trace, metrics) = traced(scenario, scheme, seed);
            check(&draw(&trace), &metrics, &format!("{scenario}, {scheme}, {seed}"));
        }
    }
}

fn check(picture: &Picture, metrics: &Metrics, case: &str) {
    let phases = "source/migration";
    assert_eq!(picture.lasts("destination/guest", "stall"), metrics.stall_time_ns, "{case}");
    for (by, faults) in [("source", metrics.faults_remote), ("disk", metrics.faults_disk)] {
        let name = format!("stall, ended by the {by}");
        let stalls = picture.slices("destination/guest", &name).count();
        assert_eq!(stalls as u64, faults, "{case}");
    }
    let pages = [
        ("rounds", "round", metrics.pages_round),
        ("background", "background", metrics.pages_background),
        ("forward", "forward", metrics.pages_forward),
        ("demand", "demand", metrics.pages_demand),
    ];
    for (track, cause, pages) in pages {
        let track = format!("source/link: {track}");
        let sent = picture.slices(&track, cause).count();
        assert_eq!(sent as u64, pages, "{case}: {cause}");
    }
    if metrics.outcome != Outcome::Completed {
        assert_eq!(picture.count("back at the source"), 1, "{case}");
        return;
    }
    for (_, cause, pages) in pages {
        assert_eq!(picture.last(&format!("pages arrived/{cause}")), pages as f64, "{case}");
    }
    let times = [
        ("migration", metrics.total_migration_time_ns),
        ("preparation", metrics.preparation_time_ns),
        ("downtime", metrics.downtime_ns),
        ("resume time", metrics.resume_time_ns),
    ];
    for (phase, time) in times {
        assert_eq!(Some(picture.lasts(phases, phase)), time, "{case}: {phase}");
    }
    let measured = picture.lasts("destination/measured accesses", "measured");
    assert_eq!(Some(measured), metrics.measured_time_ns, "{case}");
    assert_eq!(picture.flows as u64, metrics.pages_transferred + 1, "{case}: and the context");
    assert_eq!(picture.last("faults/remote"), metrics.faults_remote as f64, "{case}");
    assert_eq!(picture.last("faults/disk"), metrics.faults_disk as f64, "{case}");
    let stall = picture.last("stall, ns/remote") + picture.last("stall, ns/disk");
    assert_eq!(stall, metrics.stall_time_ns as f64, "{case}");
    assert_eq!(picture.count("hand-over"), 1, "{case}");
    assert_eq!(picture.count("dropped"), metrics.pages_dropped, "{case}");
    assert_eq!(picture.count("duplicate"), metrics.pages_duplicate, "{case}");
    assert_eq!(picture.count("discarded"), metrics.pages_discarded, "{case}");
    let link = &picture.counters["link/bytes_per_second"];
    let busiest = link.iter().map(|point| point.1).fold(0.0, f64::max);
    let peak = metrics.bandwidth_peak.unwrap() as f64;
    assert!((busiest - peak).abs() <= 1.0, "{case}: {busiest} and {peak}");
    assert_eq!(link.last().unwrap().1, 0.0, "{case}: the link is idle in the end");
    let lead = picture.counters.contains_key("lead/accesses");
    assert_eq!(lead, metrics.forward_lead_mean.is_some(), "{case}");
}

#[test]
fn the_miss_ratio_between_the_registers_is_that_of_the_accesses() {
    for scheme in [Scheme::PostCopy, Scheme::LazyCopy] {
        let picture = draw(&traced("paper", scheme, 3).0);
        let points = &picture.counters["miss ratio/since_start"];
        assert!(points.len() > 20, "{scheme}: {}", points.len());
        // At an instant at which the registers are told, what was worked out and what is told meet.
        for (index, (at, ratio)) in points.iter().enumerate() {
            let before = index.checked_sub(1).map(|before| points[before]);
            if let Some((_, earlier)) = before.filter(|(earlier, _)| earlier == at) {
                assert!((earlier - ratio).abs() < 1e-12, "{scheme}: {earlier}, {ratio} at {at}");
            }
            assert!((0.0..=1.0).contains(ratio), "{scheme}: {ratio}");
        }
    }
}

#[test]
fn the_lead_is_told_at_each_access_of_a_short_run() {
    let (trace, metrics) = traced("paper", Scheme::LazyCopy, 1);
    let lead = &draw(&trace).counters["lead/accesses"];
    let mean = metrics.forward_lead_mean.unwrap();
    let most = lead.iter().map(|point| point.1).fold(0.0, f64::max);
    assert!(lead[0].1 == 1.0 && most >= mean.floor(), "{lead:?}, mean {mean}");
    for pair in lead.windows(2) {
        assert!((pair[0].1 - pair[1].1).abs() <= 1.0, "an access changes it by one: {pair:?}");
    }
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let trace = || traced("paper", Scheme::HybridLazyCopy, 2).0;
    assert_eq!(trace(), trace());
}
