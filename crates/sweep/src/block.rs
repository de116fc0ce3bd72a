//! One block: its runs, one after another, as the text of its file.

use crate::error::SweepError;
use crate::plan::{Planned, Sweep};
use crate::reference::References;
use lazycopy_results::{RunPlace, SCHEMA_VERSION, SweepManifest, SweepRecord};
use lazycopy_simulation::{Options, RunError, scenario_fleet, simulate_fleet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// A record of this place without its results.
pub(crate) fn blank(manifest: &SweepManifest, place: RunPlace) -> SweepRecord {
    let cell = &manifest.cells[place.cell];
    let contender = &manifest.contenders[place.contender];
    SweepRecord {
        schema_version: SCHEMA_VERSION,
        cell: cell.cell,
        axes: cell.axes.clone(),
        contender: contender.name.clone(),
        scheme: contender.scheme,
        seed: place.seed,
        guest: None,
        digest_matches: None,
        metrics: Vec::new(),
    }
}

impl Sweep {
    /// Computes a block; `None` if it was cancelled. `ran` is told of each run.
    pub(crate) fn block(
        &self,
        block: u64,
        cancelled: &AtomicBool,
        ran: &dyn Fn(),
    ) -> Result<Option<Vec<u8>>, SweepError> {
        let manifest = self.manifest();
        let mut references = References::default();
        let mut text = Vec::new();
        let mut record: Option<(RunPlace, SweepRecord)> = None;
        for run in manifest.block(block) {
            if cancelled.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let place = manifest.place(run);
            let same =
                |other: &RunPlace| (other.cell, other.contender) == (place.cell, place.contender);
            let (_, record) = match &mut record {
                Some(known) if same(&known.0) => known,
                known => known.insert((place, blank(manifest, place))),
            };
            record.seed = place.seed;
            let planned = self.scenario(place.cell, place.contender);
            let done = self.run(planned, record, &mut references, &mut text);
            done.map_err(|error| SweepError::Run {
                place: self.place(place.cell, place.contender),
                seed: place.seed,
                error,
            })?;
            ran();
        }
        Ok(Some(text))
    }

    /// Simulates one run and writes a line for each of its guests.
    fn run(
        &self,
        planned: &Planned,
        record: &mut SweepRecord,
        references: &mut References,
        text: &mut Vec<u8>,
    ) -> Result<(), RunError> {
        let Planned { scenario, standard } = planned;
        let fleet = scenario_fleet(scenario, record.seed)?;
        let runs = simulate_fleet(&fleet, &Options::metrics_only())?.runs;
        for (number, (migration, mut run)) in fleet.migrations.iter().zip(runs).enumerate() {
            if self.reference() {
                references.complete(*standard, migration, &mut run)?;
            }
            record.guest = scenario.fleet.as_ref().map(|_| number as u32);
            record.digest_matches = run.digest_matches();
            record.take_metrics(self.metrics(), &run.metrics);
            writeln!(text, "{}", record.to_json_line()).expect("memory takes it");
        }
        Ok(())
    }
}
