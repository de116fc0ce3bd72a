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
            self.run(planned, record, &mut references).map_err(|error| SweepError::Run {
                place: self.place(place.cell, place.contender),
                seed: place.seed,
                error,
            })?;
            writeln!(text, "{}", record.to_json_line()).expect("memory takes it");
            ran();
        }
        Ok(Some(text))
    }

    /// Simulates one run and puts its results into the record.
    fn run(
        &self,
        planned: &Planned,
        record: &mut SweepRecord,
        references: &mut References,
    ) -> Result<(), RunError> {
        let Planned { scenario, standard } = planned;
        let fleet = scenario_fleet(scenario, record.seed);
        let runs = simulate_fleet(&fleet, &Options::metrics_only())?.runs;
        let mut run = runs.into_iter().next().expect("the plan refuses fleets without a guest");
        if self.reference() {
            references.complete(*standard, &fleet.migrations[0], &mut run)?;
        }
        record.digest_matches = run.digest_matches();
        record.take_metrics(self.metrics(), &run.metrics);
        Ok(())
    }
}
