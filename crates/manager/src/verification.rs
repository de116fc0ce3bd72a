//! The comparison of a migrated guest with its reference run.

use crate::fleet::Side;
use crate::recording::Case;
use lazycopy_guest::{Reference, reference_run};
use lazycopy_protocol::control::SideReport;
use lazycopy_units::Duration;
use std::sync::Arc;

/// What the comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Observation digest and every page's stamp are those of the reference run.
    Equal {
        /// What the measured accesses took in the reference run, if they were completed.
        measured_time: Option<Duration>,
    },
    /// They are not: the migration has changed what the guest sees or has.
    Different {
        /// In words.
        what: String,
    },
    /// There is nothing to compare.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Runs the reference of a migrated guest, as far as it came, and compares.
pub(crate) fn verify(case: &Case) -> Verification {
    let unknown = |why: &str| Verification::Unknown { why: why.to_owned() };
    let Some(definition) = &case.definition else {
        return unknown("this manager has not created the guest and does not know its history");
    };
    let Some(report) = case.migration.reported(Side::Destination) else {
        return unknown("the destination has not reported");
    };
    let SideReport::Destination(report) = &report.report else {
        return unknown("the destination has reported something else");
    };
    let (Some(resumed), Some(ended), Some(pages_digest)) =
        (report.resumed_registers, report.ended_registers, report.ended_pages_digest)
    else {
        return unknown("the guest did not come to the end of its run");
    };
    let spec = Arc::new(definition.spec().clone());
    let latency = definition.scenario().disk.latency_source;
    let run = |to: u64| reference_run(&spec, latency, resumed.accesses, to);
    let measured = report.measured_registers.map(|registers| run(registers.accesses));
    let (reference, measured) = match (run(ended.accesses), measured.transpose()) {
        (Ok(reference), Ok(measured)) => (reference, measured),
        (Err(error), _) | (_, Err(error)) => {
            return unknown(&format!("the reference run failed: {error}"));
        }
    };
    let Reference { registers, pages_digest: expected, .. } = reference;
    if (ended.accesses, ended.digest) != (registers.accesses, registers.digest) {
        return Verification::Different {
            what: format!(
                "after {} accesses the guest's digest is {:016x}, the reference run's {:016x}",
                ended.accesses, ended.digest, registers.digest
            ),
        };
    }
    if pages_digest != expected {
        return Verification::Different {
            what: format!(
                "after {} accesses the pages' digest is {pages_digest:016x}, the reference run's \
                 {expected:016x}",
                ended.accesses
            ),
        };
    }
    Verification::Equal { measured_time: measured.map(|measured| measured.measured_time) }
}
