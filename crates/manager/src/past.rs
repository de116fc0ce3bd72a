//! The runs that earlier lives of the manager have left below the results.

use crate::fleet::{MAX_REMEMBERED, Migration};
use lazycopy_results::{RunRecord, load_run};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Directories that cannot be read that are told one by one.
const TOLD: usize = 5;

/// Bytes of the date before a run's name, as `2026-11-30T12-30-59`.
const DATE_BYTES: usize = 19;

/// The newest runs, by name, and what is not whole.
#[derive(Debug, Default)]
pub(crate) struct PastRuns {
    runs: BTreeMap<String, RunRecord>,
    /// What is not whole, in words.
    pub problems: Vec<String>,
}

impl PastRuns {
    /// Those directly below `out`; none if there is no such folder.
    pub(crate) fn below(out: &Path) -> PastRuns {
        let mut past = PastRuns::default();
        let entries = match std::fs::read_dir(out) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    past.problems.push(format!("{}: {error}", out.display()));
                }
                return past;
            }
        };
        let names = entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned());
        let (hidden, mut names): (Vec<String>, Vec<String>) =
            names.partition(|name| name.starts_with('.'));
        // They begin with their date.
        names.retain(|name| dated(name).is_some());
        names.sort_unstable_by(|first, second| second.cmp(first));
        names.truncate(MAX_REMEMBERED);
        let mut unreadable = Vec::new();
        for name in names {
            match load_run(&out.join(&name)) {
                Ok(record) => drop(past.runs.insert(name, record)),
                Err(error) => unreadable.push(format!("a run is left out of the results: {error}")),
            }
        }
        let more = unreadable.len().saturating_sub(TOLD);
        unreadable.truncate(TOLD);
        past.problems.append(&mut unreadable);
        if more > 0 {
            past.problems.push(format!("and {more} more runs"));
        }
        past.problems.extend(hidden.iter().filter_map(|name| half_written(out, name)));
        past
    }

    /// Takes the run of that name.
    pub(crate) fn take(&mut self, name: &str) -> Option<RunRecord> {
        self.runs.remove(name)
    }

    /// Takes the run of a migration that had begun and of whose end nothing was kept, if it was
    /// written all the same: its name and its record.
    pub(crate) fn claim(&mut self, migration: &Migration) -> Option<(String, RunRecord)> {
        // Names tell seconds.
        let began = Duration::from_secs(migration.began_unix_ms / 1000);
        let is_its = |(name, record): &(&String, &RunRecord)| {
            let date = dated(name).map(|(date, _)| date);
            record.source_server == migration.source
                && record.destination_server == migration.destination
                && record.scheme == migration.parameters.scheme
                && record.seed == migration.scenario.seed
                && guest(name, record.scheme.name()) == Some(&migration.vm)
                && date.is_some_and(|date| date >= UNIX_EPOCH + began)
        };
        let name = self.runs.iter().find(is_its).map(|(name, _)| name.clone())?;
        self.take(&name).map(|record| (name, record))
    }

    /// Those that nobody has taken, by name.
    pub(crate) fn left(self) -> BTreeMap<String, RunRecord> {
        self.runs
    }
}

/// What a manager that was killed has left half written, in words; nothing of one that still runs.
/// It is told once: it gets another name then.
fn half_written(out: &Path, name: &str) -> Option<String> {
    let inner = name.strip_prefix('.')?.strip_suffix(".partial")?;
    let (numbered, _number) = inner.rsplit_once('.')?;
    let (run, pid) = numbered.rsplit_once('.')?;
    if !crate::presence::has_ended(pid.parse().ok()?) {
        return None;
    }
    let (from, mut kept) = (out.join(name), out.join(format!(".{inner}.abandoned")));
    if std::fs::rename(&from, &kept).is_err() {
        kept = from;
    }
    Some(format!(
        "{}: the manager ended while it wrote the run \"{run}\"; this much of it is there, and it is \
         written anew where the servers still have it",
        kept.display()
    ))
}

/// The date that a run's name begins with, and the rest of it.
pub(crate) fn dated(name: &str) -> Option<(SystemTime, &str)> {
    let (date, rest) = (name.get(..DATE_BYTES)?, name.get(DATE_BYTES..)?.strip_prefix('-')?);
    let (day, time) = date.split_once('T')?;
    let date = format!("{day}T{}Z", time.replace('-', ":"));
    Some((humantime::parse_rfc3339(&date).ok()?, rest))
}

/// The guest in a run's name: what stands between the date and the scheme.
pub(crate) fn guest<'a>(name: &'a str, scheme: &str) -> Option<&'a str> {
    let (_, rest) = dated(name)?;
    match rest.rfind(&format!("-{scheme}")) {
        Some(end) if end > 0 => Some(&rest[..end]),
        _ => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_of_a_run_is_in_its_name() {
        let date = "2026-11-30T12-30-59";
        for (rest, vm) in [
            ("v-lazy-copy", "v"),
            ("v-lazy-copy-2", "v"),
            ("lazy-copy-1", "lazy-copy-1"),
            ("v", "v"),
        ] {
            assert_eq!(guest(&format!("{date}-{rest}"), "lazy-copy"), Some(vm), "{rest}");
        }
        assert_eq!(guest("renamed", "lazy-copy"), None);
    }

    #[test]
    fn what_is_not_whole_is_told_and_nothing_is_said_of_what_is_still_written() {
        let out = tempfile::TempDir::new().unwrap();
        let broken = out.path().join("2026-11-30T12-30-59-v-lazy-copy");
        std::fs::create_dir(&broken).unwrap();
        std::fs::write(broken.join("result.json"), "{").unwrap();
        // No process has the largest number that there can be.
        let (dead, alive) = (i32::MAX as u32, std::process::id());
        for pid in [dead, alive] {
            std::fs::create_dir(out.path().join(format!(".w-{pid}.{pid}.0.partial"))).unwrap();
        }
        let past = PastRuns::below(out.path());
        assert_eq!(past.problems.len(), 2, "{:?}", past.problems);
        assert!(past.problems[0].contains("result.json"), "{:?}", past.problems);
        assert!(past.problems[1].contains(&format!("\"w-{dead}\"")), "{:?}", past.problems);
        let past = PastRuns::below(out.path());
        assert_eq!(past.problems.len(), 1, "what was abandoned is told once: {:?}", past.problems);
        assert!(PastRuns::below(&out.path().join("none")).problems.is_empty());
    }
}
