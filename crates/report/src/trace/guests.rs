//! The migration's phases, and where the guest and its forward context run.

use super::lines::Track;
use super::{Load, Stall, Trace};
use lazycopy_migration::{FaultEnd, Side};
use lazycopy_units::{Instant, PageNumber};
use serde_json::json;
use std::io;

/// What ended a fault, in a word.
pub(super) fn ended_by(by: FaultEnd) -> &'static str {
    match by {
        FaultEnd::Remote => "remote",
        FaultEnd::Disk => "disk",
    }
}

impl<W: io::Write> Trace<W> {
    pub(super) fn requested(&mut self, at: Instant) -> io::Result<()> {
        self.requested = at;
        self.lines.open(Track::Phases, at, "migration", json!({}))?;
        self.lines.open(Track::SourceGuest, at, "runs", json!({}))
    }

    pub(super) fn round(&mut self, at: Instant, round: u32, pages: u64) -> io::Result<()> {
        match self.lines.depth(Track::Phases) {
            1 => self.lines.open(Track::Phases, self.requested, "preparation", json!({}))?,
            3 => self.lines.close(Track::Phases, at)?,
            _ => {}
        }
        let args = json!({ "pages": pages });
        self.lines.open(Track::Phases, at, &format!("round {round}"), args)
    }

    pub(super) fn suspended(&mut self, at: Instant, resident: u64) -> io::Result<()> {
        self.end_source_load(at)?;
        while self.lines.depth(Track::Phases) > 1 {
            self.lines.close(Track::Phases, at)?;
        }
        self.lines.close_all(Track::SourceGuest, at)?;
        let args = json!({ "resident_pages": resident });
        self.lines.open(Track::Phases, at, "downtime", args)
    }

    pub(super) fn returned(&mut self, at: Instant, reason: &str) -> io::Result<()> {
        self.end_source_load(at)?;
        self.lead.end();
        self.lines.close_all(Track::Forward, at)?;
        self.lines.close_all(Track::Phases, at)?;
        let args = json!({ "reason": reason });
        self.lines.instant(Track::Phases, at, "back at the source", args)?;
        match self.lines.depth(Track::SourceGuest) {
            0 => self.lines.open(Track::SourceGuest, at, "runs", json!({})),
            _ => Ok(()),
        }
    }

    /// A load from the disk begins; how long it takes is known from the scenario.
    pub(super) fn load(&mut self, side: Side, at: Instant, page: PageNumber) -> io::Result<()> {
        let Some(load) = self.times.load else {
            let track = self.loading(side);
            let name = format!("loads Page{page}");
            return self.lines.instant(track, at, &name, json!({ "page": page }));
        };
        let load = Load { page, begins: at, ends: at.saturating_add(load) };
        match side {
            Side::Source => self.source_load = Some(load),
            Side::Destination => self.destination_load = Some(load),
        }
        self.finish_loads(at)
    }

    /// Whose loads these are: at the source the guest's, and later its forward context's.
    fn loading(&self, side: Side) -> Track {
        match side {
            Side::Destination => Track::Guest,
            Side::Source if self.lines.depth(Track::Forward) > 0 => Track::Forward,
            Side::Source => Track::SourceGuest,
        }
    }

    /// Loads that are over by now.
    pub(super) fn finish_loads(&mut self, now: Instant) -> io::Result<()> {
        if let Some(load) = self.source_load.take_if(|load| load.ends <= now) {
            self.loaded(Side::Source, load, load.ends)?;
        }
        if let Some(load) = self.destination_load.take_if(|load| load.ends <= now) {
            self.loaded(Side::Destination, load, load.ends)?;
        }
        Ok(())
    }

    /// Loads that are over or given up by now.
    pub(super) fn end_loads(&mut self, now: Instant) -> io::Result<()> {
        self.end_source_load(now)?;
        match self.destination_load.take() {
            Some(load) => self.loaded(Side::Destination, load, load.ends.min(now)),
            None => Ok(()),
        }
    }

    pub(super) fn end_source_load(&mut self, now: Instant) -> io::Result<()> {
        match self.source_load.take() {
            Some(load) => self.loaded(Side::Source, load, load.ends.min(now)),
            None => Ok(()),
        }
    }

    fn loaded(&mut self, side: Side, load: Load, ends: Instant) -> io::Result<()> {
        let track = self.loading(side);
        let args = json!({ "page": load.page });
        let name = format!("loads Page{}", load.page);
        self.lines.slice(track, (load.begins, ends), &name, args)?;
        // A load that is given up completes no access.
        if side == Side::Destination && ends == load.ends {
            self.misses.completed(&mut self.lines, ends, self.times.think)?;
        }
        Ok(())
    }

    /// The guest goes on, if it was blocked; without an end to its fault it waits to the last.
    pub(super) fn end_stall(&mut self, at: Instant, by: Option<FaultEnd>) -> io::Result<()> {
        let Some(Stall { page, begins, asked }) = self.stall.take() else { return Ok(()) };
        let stalled = at.saturating_since(begins).as_nanos();
        let end = by.map_or("nothing", ended_by);
        let name = match by {
            Some(FaultEnd::Remote) => format!("stall, ended by the source: Page{page}"),
            Some(FaultEnd::Disk) => format!("stall, ended by the disk: Page{page}"),
            None => format!("stall without an end: Page{page}"),
        };
        let args = json!({ "page": page, "asked": asked, "ended_by": end, "stalled_ns": stalled });
        self.lines.slice(Track::Guest, (begins, at), &name, args)
    }
}
