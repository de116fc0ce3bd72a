//! What runs and sweeps leave.

use lazycopy_migration::Event;
use lazycopy_report::{Hosts, RunExtras, Trace, TraceTimes, run_report};
use lazycopy_results::{EventReader, EventTally, RunRecord, SweepManifest, SweepRecord};
use std::path::Path;

/// A file of results; the first byte says which.
pub fn results(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else { return };
    if which % 5 == 0 {
        events(bytes);
        return;
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    match which % 5 {
        1 => {
            if let Ok(record) = RunRecord::from_json(text).and_then(RunRecord::checked) {
                let again = RunRecord::from_json(&record.to_json());
                assert_eq!(again.ok().as_ref(), Some(&record));
                let line = RunRecord::from_json(&record.to_json_line());
                assert_eq!(line.ok(), Some(record));
            }
        }
        2 => {
            if let Ok(manifest) = SweepManifest::from_json(text) {
                let again = SweepManifest::from_json(&manifest.to_json());
                assert_eq!(again.ok(), Some(manifest));
            }
        }
        3 => {
            if let Ok(record) = SweepRecord::from_json_line(text) {
                let again = SweepRecord::from_json_line(&record.to_json_line());
                assert_eq!(again.ok(), Some(record));
            }
        }
        _ => {
            if let Ok(hosts) = Hosts::parse(text) {
                hosts.accesses();
            }
        }
    }
}

fn events(bytes: &[u8]) -> Vec<Event> {
    let reader = EventReader::new(Path::new("events.jsonl"), bytes);
    let (mut events, mut last) = (Vec::new(), Default::default());
    for event in reader.map_while(Result::ok) {
        assert!(last <= event.at, "events are read out of order");
        last = event.at;
        let line = serde_json::to_string(&event).expect("an event can be written");
        assert_eq!(serde_json::from_str::<Event>(&line).ok().as_ref(), Some(&event));
        events.push(event);
    }
    events
}

/// A run's directory: the result in the first line, then `before.txt` up to a line of `--`, then
/// the events. What agrees becomes a report and a trace.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(record), Some(rest)) = (parts.next(), parts.next()) else { return };
    let Ok(record) = str::from_utf8(record) else { return };
    let Ok(record) = RunRecord::from_json(record).and_then(RunRecord::checked) else { return };
    let end = rest.windows(4).position(|window| window == b"\n--\n");
    let (before, log) = match end {
        Some(end) => (&rest[..end + 1], &rest[end + 4..]),
        None => (&[][..], rest),
    };
    let path = Path::new("events.jsonl");
    let events: Result<Vec<Event>, _> = EventReader::new(path, log).collect();
    let Ok(events) = events else { return };
    let mut tally = EventTally::default();
    events.iter().for_each(|event| tally.note(event));
    if tally.check(path, &record).is_err() {
        return;
    }
    let before = str::from_utf8(before).ok();
    let hosts = before.and_then(|text| Hosts::parse(text).ok());
    let accesses = lazycopy_manager::fuzzing::accesses(&record, &events);
    let extras = RunExtras {
        before: before.map(str::to_owned),
        hosts_before: hosts.map(|hosts| (hosts, Vec::new())),
        accesses,
        ..RunExtras::default()
    };
    run_report(&record, &events, &extras, None);
    trace(&record, &events);
}

fn trace(record: &RunRecord, events: &[Event]) {
    let mut times = TraceTimes::of(None, None);
    events.iter().for_each(|event| times.note(event));
    let written = Trace::begin(Vec::new(), record, times).and_then(|mut trace| {
        events.iter().try_for_each(|event| trace.event(event))?;
        trace.finish()
    });
    written.expect("memory takes everything");
}
