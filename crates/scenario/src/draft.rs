//! A scenario in the making: a document, a preset, overrides.

use crate::error::ScenarioError;
use crate::overrides::{Override, make_way};
use crate::preset::Preset;
use crate::scenario::Scenario;
use crate::shipped;
use crate::suggestion::with_question;
use crate::table::ScenarioTable;
use lazycopy_guest::{TraceSummary, WorkloadError, WorkloadSpec, summarize_trace};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The largest scenario file: a list of the longest allowed queue fits, and no device or disk
/// image is read into memory by mistake.
const MAX_FILE_BYTES: u64 = 1 << 28;

/// A scenario to which a preset and overrides can still be applied.
#[derive(Clone, Debug)]
pub struct Draft {
    name: String,
    text: String,
    /// Where the file of a recorded program is looked for; `None`: the working directory.
    directory: Option<PathBuf>,
    preset: Option<Preset>,
    overrides: Vec<Override>,
    /// A recorded program that need not be read again for its size.
    known: Option<(PathBuf, TraceSummary)>,
}

/// Recordings that were read, so that finding the wrong override reads none twice.
type Recordings = RefCell<BTreeMap<PathBuf, Result<TraceSummary, WorkloadError>>>;

impl Draft {
    /// Reads a file. The file of a recorded program is relative to its directory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(path: &Path) -> Result<Draft, ScenarioError> {
        let unreadable =
            |problem: String| ScenarioError::Unreadable { file: path.to_owned(), problem };
        let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
            return Err(unreadable("it is no scenario file".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let mut draft = Draft::from_toml(&text, &path.display().to_string());
        draft.directory = path.parent().map(Path::to_owned);
        Ok(draft)
    }

    /// From text; `name` is what errors call it.
    pub fn from_toml(text: &str, name: &str) -> Draft {
        Draft {
            name: name.to_owned(),
            text: text.to_owned(),
            directory: None,
            preset: None,
            overrides: Vec::new(),
            known: None,
        }
    }

    /// One of the scenarios that are part of the program ([`SHIPPED`](crate::SHIPPED)), so that
    /// it is there wherever the program runs. A recorded program that it needs is unpacked into
    /// `directory`, where it must stay as long as a guest runs it.
    ///
    /// # Errors
    /// When there is no scenario of that name, or its recording cannot be unpacked.
    pub fn shipped(name: &str, directory: &Path) -> Result<Draft, ScenarioError> {
        Ok(Draft::from_toml(&shipped::document(name, directory)?, name))
    }

    /// The recorded program in that file was read before, and that is its size.
    pub fn knowing(mut self, file: PathBuf, summary: TraceSummary) -> Draft {
        self.known = Some((file, summary));
        self
    }

    /// Applies a preset, whatever the document says; overrides win over it.
    pub fn preset(mut self, preset: Preset) -> Draft {
        self.preset = Some(preset);
        self
    }

    /// Overrides one key: `KEY=VALUE` as in `link.bandwidth=1Gbit/s`. The value is TOML, or else
    /// a bare string. Overrides apply in their order. Where they change `guest.workload.kind`, the
    /// document's keys of the kind before are gone; where `link.bandwidth` becomes `"unlimited"`
    /// or is no longer, those of `[link]`, and with the modelled link the document's `time_scale`.
    /// A recorded program's file is relative to the working directory here.
    ///
    /// # Errors
    /// When it is not `KEY=VALUE`. Whether there is such a key, [`Draft::finish`] tells.
    pub fn set(mut self, text: &str) -> Result<Draft, ScenarioError> {
        self.overrides.push(Override::parse(text)?);
        Ok(self)
    }

    /// The typed and validated scenario. A recorded program is read once, for its size.
    ///
    /// # Errors
    /// The first thing that is wrong, by file, line and key, or by the override that is wrong.
    pub fn finish(self) -> Result<Scenario, ScenarioError> {
        let mut overrides: Vec<&Override> = self.overrides.iter().collect();
        let preset = self.preset.map(Override::preset);
        overrides.splice(0..0, &preset);
        let known = self.known.iter().map(|(file, summary)| (file.clone(), Ok(*summary)));
        let recordings = Recordings::new(known.collect());
        match self.build(&overrides, &recordings) {
            Err(error) if !overrides.is_empty() => Err(self.blame(&overrides, error, &recordings)),
            result => result,
        }
    }

    /// Which override is wrong: the one without which all would be well.
    fn blame(
        &self,
        overrides: &[&Override],
        error: ScenarioError,
        recordings: &Recordings,
    ) -> ScenarioError {
        if let Err(error) = self.build(&[], recordings) {
            return error;
        }
        let guilty = (0..overrides.len()).rev().find(|index| {
            let mut others = overrides.to_vec();
            others.remove(*index);
            self.build(&others, recordings).is_ok()
        });
        let origin = match guilty {
            Some(index) => overrides[index].origin.clone(),
            None => overrides.iter().map(|one| &*one.origin).collect::<Vec<_>>().join(" "),
        };
        ScenarioError::Override { origin, problem: error.problem() }
    }

    fn build(
        &self,
        overrides: &[&Override],
        recordings: &Recordings,
    ) -> Result<Scenario, ScenarioError> {
        let malformed =
            |problem: String| ScenarioError::Malformed { name: self.name.clone(), problem };
        let mut table: ScenarioTable = if overrides.is_empty() {
            toml::from_str(&self.text).map_err(|error| malformed(error.to_string()))?
        } else {
            let document = self.overridden(overrides)?;
            document.try_into().map_err(|error: toml::de::Error| {
                malformed(with_question(error.message().to_owned()))
            })?
        };
        let mut recording = None;
        if let WorkloadSpec::Trace { file, .. } = &mut table.guest.workload {
            *file = anchored(file, self.directory.as_deref());
            let summary = recordings
                .borrow_mut()
                .entry(file.clone())
                .or_insert_with(|| summarize_trace(file))
                .clone();
            recording = Some(summary.map_err(|error| self.recording_error(error))?);
        }
        let invalid = |(key, problem): (&str, String)| ScenarioError::Invalid {
            name: self.name.clone(),
            key: key.to_owned(),
            problem,
        };
        let scenario = table.into_scenario(&self.name, recording).map_err(invalid)?;
        scenario.check().map_err(invalid)?;
        self.check_recording(&scenario)?;
        Ok(scenario)
    }

    /// The document with its overrides, in which each relative file is still where it was
    /// written: those of the document itself are made absolute first.
    fn overridden(&self, overrides: &[&Override]) -> Result<Table, ScenarioError> {
        let malformed = |problem| ScenarioError::Malformed { name: self.name.clone(), problem };
        let mut document: Table =
            toml::from_str(&self.text).map_err(|error| malformed(error.to_string()))?;
        if let Some(file) = trace_file(&mut document) {
            *file = anchored(Path::new(file), self.directory.as_deref()).display().to_string();
        }
        make_way(&mut document, overrides).map_err(malformed)?;
        for entry in overrides {
            entry.apply(&mut document).map_err(malformed)?;
        }
        if let Some(file) = trace_file(&mut document) {
            *file = anchored(Path::new(file), None).display().to_string();
        }
        Ok(document)
    }

    fn check_recording(&self, scenario: &Scenario) -> Result<(), ScenarioError> {
        match (scenario.recording, &scenario.guest.workload) {
            (Some(recording), WorkloadSpec::Trace { file, .. })
                if recording.pages > scenario.guest.pages =>
            {
                Err(self.recording_error(WorkloadError::TooManyPages {
                    file: file.clone(),
                    touched: u64::from(recording.pages),
                    pages: scenario.guest.pages,
                }))
            }
            _ => Ok(()),
        }
    }

    fn recording_error(&self, error: WorkloadError) -> ScenarioError {
        ScenarioError::Recording { name: self.name.clone(), error }
    }
}

/// The file of a recorded program in the document.
fn trace_file(document: &mut Table) -> Option<&mut String> {
    match document.get_mut("guest")?.get_mut("workload")?.get_mut("file")? {
        Value::String(file) => Some(file),
        _ => None,
    }
}

/// The file as an absolute path, relative ones below `directory` or else the working directory.
fn anchored(file: &Path, directory: Option<&Path>) -> PathBuf {
    let file = directory.map_or_else(|| file.to_owned(), |directory| directory.join(file));
    file.canonicalize().or_else(|_| std::path::absolute(&file)).unwrap_or(file)
}
