//! The plan of a sweep: every scenario of it, validated, and the manifest.

use crate::axis::{Entry, Point};
use crate::error::SweepError;
use crate::file::{Contender, MAX_RUNS, SweepFile};
use crate::fingerprint::fingerprint;
use crate::reference::Standard;
use crate::touch_rate::TouchRates;
use lazycopy_migration::Scheme;
use lazycopy_results::{
    AxisValues, Metric, PROGRAM_VERSION, SCHEMA_VERSION, SweepAxis, SweepCell, SweepContender,
    SweepManifest,
};
use lazycopy_scenario::{Draft, SHIPPED, Scenario, ScenarioError};
use rayon::prelude::*;
use serde_json::Value as Json;
use std::path::Path;

/// The blocks that a sweep is cut into where it is large: enough for many cores and for going on
/// where it was, few enough files.
const BLOCKS: u64 = 1_024;

/// The least records of a block, but for those of a sweep with fewer: each takes a file.
const LEAST_BLOCK_RECORDS: u64 = 64;

/// A sweep that can be computed: its file was read, each of its scenarios is valid.
#[derive(Debug)]
pub struct Sweep {
    manifest: SweepManifest,
    metrics: Vec<Metric>,
    reference: bool,
    /// By cell, then contender.
    scenarios: Vec<Planned>,
}

/// The scenario of a cell and contender.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) scenario: Scenario,
    /// Which scenarios have the same reference runs.
    pub(crate) standard: Standard,
}

impl Sweep {
    /// Reads a sweep file and validates each scenario of it. `seeds` overrides the file's number
    /// of seeds. What shipped scenarios need besides is unpacked into `recordings`.
    ///
    /// # Errors
    /// The first thing that is wrong: a key of the file, or the scenario of a cell and contender.
    pub fn open(path: &Path, seeds: Option<u64>, recordings: &Path) -> Result<Sweep, SweepError> {
        let file = SweepFile::open(path, seeds)?;
        let base = base(&file, recordings)?;
        let contenders = match file.contenders.as_slice() {
            [] => vec![own_scheme(&file, &base)?],
            contenders => contenders.to_vec(),
        };
        let cells = file.cells().expect("the file's size was checked");
        let count = cells as usize * contenders.len();
        let resolve = |index: usize| {
            let cell = (index / contenders.len()) as u64;
            resolve(&file, &base, cell, &contenders[index % contenders.len()])
        };
        let resolved: Vec<Result<Scenario, SweepError>> =
            (0..count).into_par_iter().map(resolve).collect();
        let scenarios = resolved.into_iter().collect::<Result<Vec<Scenario>, SweepError>>()?;
        check_alike(&file, &contenders, &scenarios)?;
        Sweep::planned(&file, &contenders, scenarios)
    }

    fn planned(
        file: &SweepFile,
        contenders: &[Contender],
        scenarios: Vec<Scenario>,
    ) -> Result<Sweep, SweepError> {
        let first_seed = scenarios[0].seed;
        let runs = scenarios.len() as u64 * file.seeds;
        let mut rates = TouchRates::default();
        let cell = |(cell, scenarios): (usize, &[Scenario])| {
            let cell = cell as u64;
            let axes = values_at(file, cell);
            let rate = rates.of(&scenarios[0]).map_err(|error| SweepError::Cell {
                file: file.path.clone(),
                place: place(file, cell, &contenders[0].name),
                problem: error.to_string(),
            })?;
            Ok(SweepCell {
                cell,
                axes,
                new_pages_per_sec: rate,
                bandwidth_bytes_per_sec: scenarios[0]
                    .link
                    .modelled()
                    .map(|link| link.bandwidth.bytes_per_sec()),
                guests: guests(&scenarios[0]),
            })
        };
        let cells = scenarios.chunks(contenders.len()).enumerate().map(cell);
        let cells = cells.collect::<Result<Vec<SweepCell>, SweepError>>()?;
        let mut manifest = SweepManifest {
            schema_version: SCHEMA_VERSION,
            program_version: PROGRAM_VERSION.to_owned(),
            fingerprint: String::new(),
            file: file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            title: file.title.clone(),
            preset: file.preset.map(|preset| preset.name().to_owned()),
            contenders: contenders
                .iter()
                .zip(&scenarios)
                .map(|(contender, scenario)| SweepContender {
                    name: contender.name.clone(),
                    scheme: scenario.migration.scheme,
                })
                .collect(),
            axes: file
                .axes
                .iter()
                .map(|axis| SweepAxis {
                    name: axis.name.clone(),
                    values: axis.points.iter().map(|point| point.label.clone()).collect(),
                })
                .collect(),
            metrics: file.metrics.iter().map(|metric| metric.name.to_owned()).collect(),
            seeds: file.seeds,
            first_seed,
            runs,
            blocks: blocks(runs, records(file, &scenarios)?),
            cells,
        };
        let fingerprint = fingerprint(&manifest, file.reference, &scenarios);
        manifest.fingerprint =
            fingerprint.map_err(|error| SweepError::Scenario { file: file.path.clone(), error })?;
        let scenarios = Standard::group(scenarios)
            .map(|(scenario, standard)| Planned { scenario, standard })
            .collect();
        Ok(Sweep { manifest, metrics: file.metrics.clone(), reference: file.reference, scenarios })
    }

    /// What is run: everything about the sweep but its results.
    pub fn manifest(&self) -> &SweepManifest {
        &self.manifest
    }

    pub(crate) fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Whether each run is compared with its reference run.
    pub(crate) fn reference(&self) -> bool {
        self.reference
    }

    pub(crate) fn scenario(&self, cell: usize, contender: usize) -> &Planned {
        &self.scenarios[cell * self.manifest.contenders.len() + contender]
    }

    /// A cell and contender in words.
    pub(crate) fn place(&self, cell: usize, contender: usize) -> String {
        let axes = self.manifest.cells[cell].axes.iter();
        let contender = &self.manifest.contenders[contender].name;
        in_words(cell as u64, axes.map(|(name, value)| (&**name, value)), contender)
    }
}

/// How many guests a run moves at once; `None`: one by itself.
fn guests(scenario: &Scenario) -> Option<u32> {
    let count = scenario.fleet.as_ref()?.guest_moves().count();
    Some(u32::try_from(count).unwrap_or(u32::MAX))
}

/// How many records the runs of these scenarios give.
fn records(file: &SweepFile, scenarios: &[Scenario]) -> Result<u64, SweepError> {
    let guests: u64 = scenarios.iter().map(|it| u64::from(guests(it).unwrap_or(1))).sum();
    match guests.checked_mul(file.seeds) {
        Some(records) if records <= MAX_RUNS => Ok(records),
        _ => Err(SweepError::Invalid {
            file: file.path.clone(),
            key: "seeds".to_owned(),
            problem: format!(
                "{guests} guests of all cells and contenders x {} seeds are more than {MAX_RUNS} \
                 migrations; use fewer",
                file.seeds
            ),
        }),
    }
}

/// Into how many blocks runs are cut that give so many records.
fn blocks(runs: u64, records: u64) -> u64 {
    (records / LEAST_BLOCK_RECORDS).clamp(1, BLOCKS).min(runs)
}

/// The scenario with what holds in every run.
fn base(file: &SweepFile, recordings: &Path) -> Result<Draft, SweepError> {
    let beside = file.path.parent().unwrap_or(Path::new("")).join(&file.scenario);
    let is_shipped = SHIPPED.iter().any(|shipped| shipped.name == file.scenario);
    let draft = if is_shipped && !beside.is_file() {
        Draft::shipped(&file.scenario, recordings)
    } else if !beside.exists() {
        // Says which there are.
        Draft::shipped(&file.scenario, recordings).map_err(|error| ScenarioError::Unreadable {
            file: beside,
            problem: format!("there is no such file, and {error}"),
        })
    } else {
        Draft::open(&beside)
    };
    let draft = draft.map_err(|error| SweepError::Scenario { file: file.path.clone(), error })?;
    let draft = match file.preset {
        Some(preset) => draft.preset(preset),
        None => draft,
    };
    put(draft, &file.entries)
        .map_err(|error| SweepError::Scenario { file: file.path.clone(), error })
}

fn put(draft: Draft, entries: &[Entry]) -> Result<Draft, ScenarioError> {
    entries.iter().try_fold(draft, |draft, entry| draft.set(&entry.assignment()))
}

/// The one contender of a sweep that names none: the scenario's own scheme.
fn own_scheme(file: &SweepFile, base: &Draft) -> Result<Contender, SweepError> {
    let any = Contender { name: String::new(), entries: Vec::new() };
    let scenario = resolve(file, base, 0, &any)?;
    Ok(Contender { name: scenario.migration.scheme.name().to_owned(), ..any })
}

/// The points of a cell, one of each axis, the last axis fastest.
fn points(file: &SweepFile, cell: u64) -> Vec<&Point> {
    let mut rest = cell;
    let mut points: Vec<&Point> = Vec::new();
    for axis in file.axes.iter().rev() {
        let count = axis.points.len() as u64;
        points.push(&axis.points[(rest % count) as usize]);
        rest /= count;
    }
    points.reverse();
    points
}

fn values_at(file: &SweepFile, cell: u64) -> AxisValues {
    let labels = points(file, cell).into_iter().map(|point| point.label.clone());
    file.axes.iter().map(|axis| axis.name.clone()).zip(labels).collect()
}

fn resolve(
    file: &SweepFile,
    base: &Draft,
    cell: u64,
    contender: &Contender,
) -> Result<Scenario, SweepError> {
    let points = points(file, cell);
    let entries = points.iter().flat_map(|point| &point.entries);
    let entries: Vec<Entry> = contender.entries.iter().chain(entries).cloned().collect();
    let scenario = put(base.clone(), &entries).and_then(Draft::finish);
    let scenario = scenario.map_err(|error| refused(file, cell, contender, error))?;
    scenario.modelled_link().map_err(|error| SweepError::Cell {
        file: file.path.clone(),
        place: place(file, cell, &contender.name),
        problem: error.to_string(),
    })?;
    match scenario.seeds(file.seeds, "seeds") {
        Ok(_) => Ok(scenario),
        Err(error) => Err(SweepError::Scenario { file: file.path.clone(), error }),
    }
}

fn refused(file: &SweepFile, cell: u64, contender: &Contender, error: ScenarioError) -> SweepError {
    let (origin, problem) = match error {
        ScenarioError::Override { origin, problem } => (origin, problem),
        // The scenario is wrong without any entry of the sweep, too.
        error => return SweepError::Scenario { file: file.path.clone(), error },
    };
    let mut named = origin;
    let mut name = |what: &str, entry: &Entry| {
        let said = format!("{what}, {} = {}", entry.key, entry.value);
        named = named.replace(&format!("--set {}", entry.assignment()), &said);
    };
    for (axis, point) in file.axes.iter().zip(points(file, cell)) {
        point.entries.iter().for_each(|entry| name(&format!("axis \"{}\"", axis.name), entry));
    }
    let own = format!("contender \"{}\"", contender.name);
    contender.entries.iter().for_each(|entry| name(&own, entry));
    file.entries.iter().for_each(|entry| name("set", entry));
    let problem = if problem.contains("unknown field") {
        format!("{named}: there is no such key: {problem}")
    } else {
        format!("{named}: {problem}")
    };
    SweepError::Cell { file: file.path.clone(), place: place(file, cell, &contender.name), problem }
}

fn place(file: &SweepFile, cell: u64, contender: &str) -> String {
    let points = points(file, cell);
    let axes = file.axes.iter().zip(&points).map(|(axis, point)| (&*axis.name, &point.label));
    in_words(cell, axes, contender)
}

fn in_words<'a>(
    cell: u64,
    axes: impl Iterator<Item = (&'a str, &'a Json)>,
    contender: &str,
) -> String {
    let values: Vec<String> = axes.map(|(name, value)| format!("{name} = {value}")).collect();
    let values =
        if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
    let contender =
        if contender.is_empty() { String::new() } else { format!(", contender \"{contender}\"") };
    format!("cell {cell}{values}{contender}")
}

/// The same guests under each contender, the same seeds everywhere, and a contender's scheme in each of its cells.
fn check_alike(
    file: &SweepFile,
    contenders: &[Contender],
    scenarios: &[Scenario],
) -> Result<(), SweepError> {
    let schemes: Vec<Scheme> = scenarios.iter().map(|it| it.migration.scheme).collect();
    for (index, scenario) in scenarios.iter().enumerate() {
        let (cell, contender) = (index / contenders.len(), index % contenders.len());
        let wrong = |problem: &str| SweepError::Cell {
            file: file.path.clone(),
            place: place(file, cell as u64, &contenders[contender].name),
            problem: problem.to_owned(),
        };
        if scenario.seed != scenarios[0].seed {
            return Err(wrong(
                "its seed is another: every run of a sweep is to see the same seeds; set the seed \
                 in `set`, and how many there are by `seeds`",
            ));
        }
        if guests(scenario) != guests(&scenarios[cell * contenders.len()]) {
            return Err(wrong("it moves another number of guests than the first contender"));
        }
        if schemes[index] != schemes[contender] {
            return Err(wrong(
                "an axis changes the contender's scheme; name the schemes in `schemes` instead",
            ));
        }
    }
    Ok(())
}
