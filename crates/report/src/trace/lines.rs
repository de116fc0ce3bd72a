//! The lines of a trace, and the tracks that they belong to.

use lazycopy_migration::Side;
use lazycopy_results::RunRecord;
use lazycopy_units::Instant;
use serde_json::{Value, json};
use std::io;

/// A row of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Track {
    Phases,
    SourceGuest,
    Forward,
    Context,
    Demand,
    ForwardLane,
    Background,
    Round,
    Requests,
    Guest,
    Measuring,
    Arrivals,
}

const TRACKS: [Track; 12] = [
    Track::Phases,
    Track::SourceGuest,
    Track::Forward,
    Track::Context,
    Track::Demand,
    Track::ForwardLane,
    Track::Background,
    Track::Round,
    Track::Requests,
    Track::Guest,
    Track::Measuring,
    Track::Arrivals,
];

impl Track {
    fn side(self) -> Side {
        match self {
            Track::Guest | Track::Measuring | Track::Arrivals => Side::Destination,
            _ => Side::Source,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Track::Phases => "migration",
            Track::SourceGuest | Track::Guest => "guest",
            Track::Forward => "forward context",
            Track::Context => "link: context",
            Track::Demand => "link: demand",
            Track::ForwardLane => "link: forward",
            Track::Background => "link: background",
            Track::Round => "link: rounds",
            Track::Requests => "requests",
            Track::Measuring => "measured accesses",
            Track::Arrivals => "arrivals",
        }
    }

    /// Numbers from 1, in the order of the picture.
    fn number(self) -> usize {
        self as usize + 1
    }
}

fn process(side: Side) -> u64 {
    match side {
        Side::Source => 1,
        Side::Destination => 2,
    }
}

/// Writes the lines of a trace. Slices of a track lie within each other: one that is opened last
/// is closed first.
#[derive(Debug)]
pub(super) struct Lines<W> {
    out: W,
    /// Slices that are open, by track.
    depths: [usize; TRACKS.len()],
    /// Tracks that have a name already: those on which something happens.
    named: [bool; TRACKS.len()],
    flows: u64,
    begun: bool,
}

impl<W: io::Write> Lines<W> {
    pub fn begin(mut out: W, record: &RunRecord) -> io::Result<Self> {
        let mut about = serde_json::to_value(record)?;
        if let Value::Object(fields) = &mut about {
            fields.remove("scenario");
        }
        write!(out, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{about},\"traceEvents\":[")?;
        let depths = [0; TRACKS.len()];
        Ok(Lines { out, depths, named: [false; TRACKS.len()], flows: 0, begun: false })
    }

    /// Names both processes.
    pub fn describe(&mut self, record: &RunRecord) -> io::Result<()> {
        let sides = [
            (Side::Source, "source", &record.source_server),
            (Side::Destination, "destination", &record.destination_server),
        ];
        for (side, role, server) in sides {
            let pid = process(side);
            let name = format!("{role}: {server} ({}, seed {})", record.scheme, record.seed);
            self.metadata(pid, None, "process_name", json!({ "name": name }))?;
            self.metadata(pid, None, "process_sort_index", json!({ "sort_index": pid }))?;
        }
        Ok(())
    }

    fn metadata(
        &mut self,
        pid: u64,
        tid: Option<usize>,
        name: &str,
        args: Value,
    ) -> io::Result<()> {
        let mut line = json!({ "ph": "M", "pid": pid, "name": name, "args": args });
        if let Some(tid) = tid {
            line["tid"] = json!(tid);
        }
        self.line(&line.to_string())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let between = if self.begun { ",\n" } else { "\n" };
        self.begun = true;
        self.out.write_all(between.as_bytes())?;
        self.out.write_all(text.as_bytes())
    }

    /// Writes an event; `fields` begin with a comma. Instants are microseconds in this format: with
    /// three decimals none is lost.
    fn event(&mut self, track: Track, kind: char, at: Instant, fields: &str) -> io::Result<()> {
        let (pid, tid) = (process(track.side()), track.number());
        if !std::mem::replace(&mut self.named[track as usize], true) {
            self.metadata(pid, Some(tid), "thread_name", json!({ "name": track.name() }))?;
            self.metadata(pid, Some(tid), "thread_sort_index", json!({ "sort_index": tid }))?;
        }
        let ts = micros(at.as_nanos());
        self.line(&format!("{{\"ph\":\"{kind}\",\"pid\":{pid},\"tid\":{tid},\"ts\":{ts}{fields}}}"))
    }

    /// Opens a slice.
    pub fn open(&mut self, track: Track, at: Instant, name: &str, args: Value) -> io::Result<()> {
        self.depths[track as usize] += 1;
        self.event(track, 'B', at, &format!(",\"name\":{},\"args\":{args}", json!(name)))
    }

    /// Closes the slice that was opened last, if one is open.
    pub fn close(&mut self, track: Track, at: Instant) -> io::Result<()> {
        let depth = &mut self.depths[track as usize];
        if *depth == 0 {
            return Ok(());
        }
        *depth -= 1;
        self.event(track, 'E', at, "")
    }

    /// Closes all slices of a track.
    pub fn close_all(&mut self, track: Track, at: Instant) -> io::Result<()> {
        while self.depth(track) > 0 {
            self.close(track, at)?;
        }
        Ok(())
    }

    /// How many slices are open.
    pub fn depth(&self, track: Track) -> usize {
        self.depths[track as usize]
    }

    /// A slice that is over.
    pub fn slice(
        &mut self,
        track: Track,
        (begins, ends): (Instant, Instant),
        name: &str,
        args: Value,
    ) -> io::Result<()> {
        let lasts = micros(ends.saturating_since(begins).as_nanos());
        let fields = format!(",\"dur\":{lasts},\"name\":{},\"args\":{args}", json!(name));
        self.event(track, 'X', begins, &fields)
    }

    pub fn instant(
        &mut self,
        track: Track,
        at: Instant,
        name: &str,
        args: Value,
    ) -> io::Result<()> {
        let fields = format!(",\"s\":\"t\",\"name\":{},\"args\":{args}", json!(name));
        self.event(track, 'i', at, &fields)
    }

    /// An arrow from the slice at one place to the slice at the other; both were written before.
    pub fn flow(
        &mut self,
        (from, sent): (Track, Instant),
        (to, arrived): (Track, Instant),
    ) -> io::Result<()> {
        self.flows += 1;
        let fields = format!(",\"id\":{},\"name\":\"message\",\"cat\":\"message\"", self.flows);
        self.event(from, 's', sent, &fields)?;
        self.event(to, 'f', arrived, &format!(",\"bp\":\"e\"{fields}"))
    }

    /// The value of a counter from now on: one key, its series.
    pub fn counter(&mut self, side: Side, at: Instant, name: &str, args: Value) -> io::Result<()> {
        let (pid, ts) = (process(side), micros(at.as_nanos()));
        self.line(&format!(
            "{{\"ph\":\"C\",\"pid\":{pid},\"ts\":{ts},\"name\":{},\"args\":{args}}}",
            json!(name)
        ))
    }

    /// Closes what is open, and the file.
    pub fn finish(mut self, at: Instant) -> io::Result<W> {
        for track in TRACKS {
            self.close_all(track, at)?;
        }
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Nanoseconds as microseconds.
fn micros(nanos: u64) -> String {
    match nanos % 1_000 {
        0 => (nanos / 1_000).to_string(),
        rest => format!("{}.{rest:03}", nanos / 1_000),
    }
}
