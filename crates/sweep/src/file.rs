//! The sweep file as it is written, and what it must keep to before any scenario is looked at.

use crate::axis::{self, Axis, Entry};
use crate::error::SweepError;
use lazycopy_migration::Scheme;
use lazycopy_results::Metric;
use lazycopy_scenario::Preset;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Table;

/// The largest sweep file: every value of every axis fits many times over, and no device or
/// result is read into memory by mistake.
pub const MAX_FILE_BYTES: u64 = 1 << 24;

/// The most runs of a sweep, and the most records: a hundred million take an hour of many cores and tens of GB; more is
/// a slip in an axis.
pub const MAX_RUNS: u64 = 100_000_000;

/// The most scenarios of a sweep, cells x contenders: each is validated and kept in memory, about
/// a kilobyte.
pub const MAX_SCENARIOS: u64 = 250_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepTable {
    scenario: String,
    preset: Option<String>,
    seeds: u64,
    #[serde(default = "yes")]
    reference: bool,
    metrics: Option<Vec<String>>,
    #[serde(default)]
    set: Table,
    #[serde(default)]
    schemes: Vec<Scheme>,
    #[serde(default)]
    contenders: Vec<ContenderTable>,
    #[serde(default)]
    axes: Vec<axis::AxisTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContenderTable {
    name: String,
    #[serde(default)]
    set: Table,
}

fn yes() -> bool {
    true
}

/// What is compared, as the file says it.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) entries: Vec<Entry>,
}

/// A sweep file whose own rules are kept.
#[derive(Clone, Debug)]
pub(crate) struct SweepFile {
    pub(crate) path: PathBuf,
    pub(crate) title: String,
    pub(crate) scenario: String,
    pub(crate) preset: Option<Preset>,
    pub(crate) seeds: u64,
    pub(crate) reference: bool,
    /// In the order of a record.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) entries: Vec<Entry>,
    /// None: the scenario's own scheme alone.
    pub(crate) contenders: Vec<Contender>,
    pub(crate) axes: Vec<Axis>,
}

impl SweepFile {
    /// Reads a sweep file; `seeds` overrides its own number.
    pub(crate) fn open(path: &Path, seeds: Option<u64>) -> Result<SweepFile, SweepError> {
        let unreadable =
            |problem: String| SweepError::Unreadable { file: path.to_owned(), problem };
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
            return Err(unreadable("it is no sweep file".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        SweepFile::from_toml(&text, path, seeds)
    }

    pub(crate) fn from_toml(
        text: &str,
        path: &Path,
        seeds: Option<u64>,
    ) -> Result<SweepFile, SweepError> {
        let table: SweepTable = toml::from_str(text).map_err(|error| SweepError::Malformed {
            file: path.to_owned(),
            problem: error.to_string(),
        })?;
        let (key, seeds) = match seeds {
            Some(seeds) => ("--seeds", seeds),
            None => ("seeds", table.seeds),
        };
        SweepFile::checked(table, text, path, key, seeds)
            .map_err(|(key, problem)| SweepError::Invalid { file: path.to_owned(), key, problem })
    }

    fn checked(
        table: SweepTable,
        text: &str,
        path: &Path,
        seeds_key: &str,
        seeds: u64,
    ) -> Result<SweepFile, (String, String)> {
        let preset = table.preset.map(|name| name.parse::<Preset>()).transpose();
        let file = SweepFile {
            path: path.to_owned(),
            title: title(text, path),
            scenario: table.scenario,
            preset: preset.map_err(|error| ("preset".to_owned(), error.to_string()))?,
            seeds,
            reference: table.reference,
            metrics: metrics(table.metrics).map_err(|problem| ("metrics".to_owned(), problem))?,
            entries: axis::entries(table.set).map_err(|problem| ("set".to_owned(), problem))?,
            contenders: contenders(table.schemes, table.contenders)?,
            axes: axis::axes(table.axes)?,
        };
        axis::check_keys(&file.axes, &file.contenders)?;
        file.check_size(seeds_key)?;
        Ok(file)
    }

    /// How many cells there are; `None` beyond what a number holds.
    pub(crate) fn cells(&self) -> Option<u64> {
        self.axes.iter().try_fold(1u64, |cells, axis| cells.checked_mul(axis.points.len() as u64))
    }

    fn check_size(&self, seeds_key: &str) -> Result<(), (String, String)> {
        if self.seeds == 0 {
            return Err((seeds_key.to_owned(), "0 seeds give no run; 1 is the least".to_owned()));
        }
        let contenders = self.contenders.len().max(1) as u64;
        let scenarios = self.cells().and_then(|cells| cells.checked_mul(contenders));
        let runs = scenarios.and_then(|scenarios| scenarios.checked_mul(self.seeds));
        let sizes: Vec<String> =
            self.axes.iter().map(|axis| axis.points.len().to_string()).collect();
        let cells = if sizes.is_empty() { "1".to_owned() } else { sizes.join(" x ") };
        if scenarios.is_none_or(|scenarios| scenarios > MAX_SCENARIOS) {
            let problem = format!(
                "{cells} cells x {contenders} contenders are more than {MAX_SCENARIOS} scenarios; \
                 use fewer values"
            );
            return Err(("axes".to_owned(), problem));
        }
        if runs.is_none_or(|runs| runs > MAX_RUNS) {
            let problem = format!(
                "{cells} cells x {contenders} contenders x {} seeds are more than {MAX_RUNS} runs; \
                 use fewer seeds or values",
                self.seeds
            );
            return Err((seeds_key.to_owned(), problem));
        }
        Ok(())
    }
}

/// The question: the first line of the file, or else the file's name.
fn title(text: &str, path: &Path) -> String {
    let comment = text.lines().next().and_then(|line| line.trim().strip_prefix('#'));
    match comment.map(str::trim).filter(|comment| !comment.is_empty()) {
        Some(comment) => comment.to_owned(),
        None => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// The metrics that are written, in the order of a record.
fn metrics(names: Option<Vec<String>>) -> Result<Vec<Metric>, String> {
    let Some(names) = names else { return Ok(Metric::ALL.to_vec()) };
    if names.is_empty() {
        return Err("it is empty; leave it out for all of them".to_owned());
    }
    for (index, name) in names.iter().enumerate() {
        if Metric::named(name).is_none() {
            let all: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name).collect();
            return Err(format!("\"{name}\" is no metric; there are {}", all.join(", ")));
        }
        if names[..index].contains(name) {
            return Err(format!("\"{name}\" stands there twice"));
        }
    }
    let wanted = |metric: &&Metric| names.iter().any(|name| name == metric.name);
    Ok(Metric::ALL.iter().filter(wanted).copied().collect())
}

fn contenders(
    schemes: Vec<Scheme>,
    tables: Vec<ContenderTable>,
) -> Result<Vec<Contender>, (String, String)> {
    let mut contenders: Vec<Contender> = Vec::new();
    let mut add = |contender: Contender| {
        if contender.name.trim().is_empty() {
            return Err(("contenders".to_owned(), "a name is empty".to_owned()));
        }
        if contenders.iter().any(|other| other.name == contender.name) {
            let problem =
                format!("two are named \"{}\"; give each a name of its own", contender.name);
            return Err(("contenders".to_owned(), problem));
        }
        contenders.push(contender);
        Ok(())
    };
    for scheme in schemes {
        add(Contender { name: scheme.name().to_owned(), entries: vec![Entry::scheme(scheme)] })?;
    }
    for table in tables {
        let key = format!("contender \"{}\"", table.name);
        let entries = axis::entries(table.set).map_err(|problem| (key, problem))?;
        add(Contender { name: table.name, entries })?;
    }
    Ok(contenders)
}
