//! Reference runs, each computed once where several runs of a block are held against it.

use lazycopy_guest::{GuestSpec, Reference, WorkloadError, reference_run};
use lazycopy_scenario::Scenario;
use lazycopy_simulation::Run;
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// What the reference run says of a run.
pub(crate) struct Verdict {
    /// The measured accesses of the reference run, in nanoseconds.
    pub(crate) measured_time_ns: u64,
    /// Whether the guest saw and has what the reference run saw and has; `None` where it did not
    /// come to an end at the destination.
    pub(crate) digest_matches: Option<bool>,
}

impl References {
    pub(crate) fn judge(
        &mut self,
        standard: Standard,
        guest: &Arc<GuestSpec>,
        scenario: &Scenario,
        run: &Run,
    ) -> Result<Verdict, WorkloadError> {
        let resumed = run.destination.resumed_registers;
        let from = resumed.map_or_else(|| scenario.warmup(guest.seed), |it| it.accesses);
        let mut reference = |to: u64| {
            let key = (standard, guest.seed, from, to);
            if let Some(known) = self.known.get(&key) {
                return Ok(*known);
            }
            let reference = reference_run(guest, scenario.disk.latency_source, from, to)?;
            self.known.insert(key, reference);
            Ok(reference)
        };
        let measured = reference(from + scenario.measured_accesses)?;
        let digest_matches = match run.destination.ended_registers {
            None => None,
            Some(ended) => {
                let whole = reference(ended.accesses)?;
                let same_view = (ended.accesses, ended.digest)
                    == (whole.registers.accesses, whole.registers.digest);
                let same_pages = run.destination.ended_pages_digest == Some(whole.pages_digest);
                Some(same_view && same_pages)
            }
        };
        Ok(Verdict { measured_time_ns: measured.measured_time.as_nanos(), digest_matches })
    }
}
