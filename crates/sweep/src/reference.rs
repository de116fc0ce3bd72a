//! Reference runs, each computed once where several runs of a block are held against it.

use lazycopy_guest::{Reference, WorkloadError, reference_run};
use lazycopy_scenario::Scenario;
use lazycopy_simulation::{FleetMigration, Run};
use std::collections::BTreeMap;

/// Scenarios with the same number have the same reference runs: their guests are the same, and
/// so is the disk of ordinary paging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standard(usize);

impl Standard {
    /// Gives each scenario its number.
    pub(crate) fn group(scenarios: Vec<Scenario>) -> impl Iterator<Item = (Scenario, Standard)> {
        let mut known: BTreeMap<String, Standard> = BTreeMap::new();
        scenarios.into_iter().map(move |scenario| {
            let key = format!("{:?} {:?}", scenario.guest, scenario.disk.latency_source);
            let next = Standard(known.len());
            let standard = *known.entry(key).or_insert(next);
            (scenario, standard)
        })
    }
}

/// What decides a reference run besides the guest: its seed, and the accesses from which and to
/// which it is timed.
type Key = (Standard, u64, u64, u64);

/// The reference runs of a block, at most two for each of its runs.
#[derive(Default)]
pub(crate) struct References {
    known: BTreeMap<Key, Reference>,
}

impl References {
    /// Holds a run against its reference run: what it felt without the migration, and whether it
    /// saw the same.
    pub(crate) fn complete(
        &mut self,
        standard: Standard,
        migration: &FleetMigration,
        run: &mut Run,
    ) -> Result<(), WorkloadError> {
        let resumed = run.destination.resumed_registers;
        let from = resumed.map_or(migration.warmup_accesses, |registers| registers.accesses);
        let ended = run.destination.ended_registers.map_or(from, |registers| registers.accesses);
        let mut reference = |to: u64| {
            let key = (standard, migration.guest.seed, from, to);
            if let Some(known) = self.known.get(&key) {
                return Ok(*known);
            }
            let latency = migration.parameters.disk_latency_source;
            let reference = reference_run(&migration.guest, latency, from, to)?;
            self.known.insert(key, reference);
            Ok(reference)
        };
        let measured = reference(from + migration.parameters.measured_accesses)?;
        run.metrics.reference_measured_time_ns = Some(measured.measured_time.as_nanos());
        run.reference = Some(reference(ended)?);
        Ok(())
    }
}
