//! The runs of a sweep: the lines of its `results.jsonl`.

use crate::directory::{ResultsError, failed};
use crate::metric::{Metric, MetricValue};
use crate::record::{RecordError, SCHEMA_VERSION};
use crate::sweep::{AxisValues, SWEEP_RESULTS_FILE};
use lazycopy_migration::{Metrics, Scheme};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// One run of a sweep: a line of `results.jsonl`. The metrics that were asked for stand at the
/// top level beside these fields.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRecord {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// Number of the cell.
    pub cell: u64,
    /// The value of each axis in it.
    pub axes: AxisValues,
    /// The contender's name.
    pub contender: String,
    /// How the guest was moved.
    pub scheme: Scheme,
    /// Where the run's random choices came from.
    pub seed: u64,
    /// The guest's number among those that were moved at once; absent for a guest by itself.
    pub guest: Option<u32>,
    /// Whether what the guest observed, and each of its pages, equal the reference run's; null
    /// where there was nothing to compare.
    pub digest_matches: Option<bool>,
    /// The metrics that were asked for.
    pub metrics: Vec<(Metric, MetricValue)>,
}

impl SweepRecord {
    /// The value of a metric; `None` where it was not asked for.
    pub fn metric(&self, name: &str) -> Option<&MetricValue> {
        self.metrics.iter().find(|(metric, _)| metric.name == name).map(|(_, value)| value)
    }

    /// The value of a metric as a number; `None` where it was not asked for, does not apply or is
    /// a text.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.metric(name)?.number()
    }

    /// Whether the guest runs at the destination and has all of it; `None` where the record does
    /// not say it: neither `outcome` nor `total_migration_time_ns` was asked for.
    pub fn completed(&self) -> Option<bool> {
        match (self.metric("outcome"), self.metric("total_migration_time_ns")) {
            (Some(outcome), _) => Some(*outcome == MetricValue::Text("completed".to_owned())),
            (None, Some(total)) => Some(*total != MetricValue::Null),
            (None, None) => None,
        }
    }

    /// Takes the values of these metrics from a run.
    pub fn take_metrics(&mut self, wanted: &[Metric], metrics: &Metrics) {
        self.metrics.clear();
        self.metrics.extend(wanted.iter().map(|metric| (*metric, metric.value(metrics))));
    }

    /// Reads a record from its line.
    ///
    /// # Errors
    /// When it is none, or one of another schema version.
    pub fn from_json_line(line: &str) -> Result<SweepRecord, RecordError> {
        let record: SweepRecord = serde_json::from_str(line)?;
        match record.schema_version {
            SCHEMA_VERSION => Ok(record),
            found => Err(RecordError::UnknownSchema { found: found.into() }),
        }
    }

    /// The record as one line of JSON, without a line feed.
    pub fn to_json_line(&self) -> String {
        serde_json::to_string(self).expect("a record has string keys alone")
    }
}

impl Serialize for SweepRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema_version", &self.schema_version)?;
        map.serialize_entry("cell", &self.cell)?;
        map.serialize_entry("axes", &self.axes)?;
        map.serialize_entry("contender", &self.contender)?;
        map.serialize_entry("scheme", &self.scheme)?;
        map.serialize_entry("seed", &self.seed)?;
        if let Some(guest) = &self.guest {
            map.serialize_entry("guest", guest)?;
        }
        map.serialize_entry("digest_matches", &self.digest_matches)?;
        for (metric, value) in &self.metrics {
            map.serialize_entry(metric.name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SweepRecord {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> de::Visitor<'de> for RecordVisitor {
    type Value = SweepRecord;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a run of a sweep")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<SweepRecord, A::Error> {
        let (mut schema_version, mut cell, mut axes) = (None, None, None);
        let (mut contender, mut scheme, mut seed) = (None, None, None);
        let (mut guest, mut digest_matches) = (None, None);
        let mut metrics: Vec<(Metric, MetricValue)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "schema_version" => schema_version = Some(map.next_value()?),
                "cell" => cell = Some(map.next_value()?),
                "axes" => axes = Some(map.next_value()?),
                "contender" => contender = Some(map.next_value()?),
                "scheme" => scheme = Some(map.next_value()?),
                "seed" => seed = Some(map.next_value()?),
                "guest" => guest = Some(map.next_value()?),
                "digest_matches" => digest_matches = Some(map.next_value()?),
                name => {
                    let metric = Metric::named(name).ok_or_else(|| {
                        de::Error::custom(format_args!("`{name}` is neither a field nor a metric"))
                    })?;
                    metrics.push((metric, map.next_value()?));
                }
            }
        }
        let missing = |field| <A::Error as de::Error>::missing_field(field);
        Ok(SweepRecord {
            schema_version: schema_version.ok_or_else(|| missing("schema_version"))?,
            cell: cell.ok_or_else(|| missing("cell"))?,
            axes: axes.ok_or_else(|| missing("axes"))?,
            contender: contender.ok_or_else(|| missing("contender"))?,
            scheme: scheme.ok_or_else(|| missing("scheme"))?,
            seed: seed.ok_or_else(|| missing("seed"))?,
            guest,
            digest_matches: digest_matches.ok_or_else(|| missing("digest_matches"))?,
            metrics,
        })
    }
}

/// The records of a file one after another, so that a sweep of any size can be read.
#[derive(Debug)]
pub struct SweepRecords {
    path: PathBuf,
    lines: std::io::Lines<BufReader<File>>,
    line: usize,
}

impl SweepRecords {
    /// Those of the sweep in a directory.
    ///
    /// # Errors
    /// When its results cannot be opened.
    pub fn open(directory: &Path) -> Result<SweepRecords, ResultsError> {
        SweepRecords::open_file(&directory.join(SWEEP_RESULTS_FILE))
    }

    /// Those of a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_file(path: &Path) -> Result<SweepRecords, ResultsError> {
        let file = File::open(path).map_err(failed(path))?;
        Ok(SweepRecords { path: path.to_owned(), lines: BufReader::new(file).lines(), line: 0 })
    }
}

impl Iterator for SweepRecords {
    type Item = Result<SweepRecord, ResultsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        self.line += 1;
        Some(line.map_err(failed(&self.path)).and_then(|text| {
            SweepRecord::from_json_line(&text).map_err(|error| ResultsError::Line {
                path: self.path.clone(),
                line: self.line,
                error,
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"schema_version":1,"cell":3,"axes":{"link.bandwidth":"1028B/s","memory":{"guest.frames":20}},"contender":"bubbling-7","scheme":"post-copy","seed":9,"digest_matches":true,"total_migration_time_ns":7,"forward_lead_mean":null,"outcome":"completed"}"#;

    #[test]
    fn a_line_is_read_and_written_as_it_is() {
        let record = SweepRecord::from_json_line(LINE).unwrap();
        assert_eq!(record.to_json_line(), LINE);
        assert_eq!(record.axes["memory"]["guest.frames"], 20);
        assert_eq!(record.number("total_migration_time_ns"), Some(7.0));
        assert_eq!(record.metric("forward_lead_mean"), Some(&MetricValue::Null));
        assert_eq!(record.metric("faults"), None);
        assert_eq!(record.completed(), Some(true));
    }

    #[test]
    fn what_is_no_run_of_a_sweep_is_refused() {
        for (line, problem) in [
            (LINE.replace("\"schema_version\":1", "\"schema_version\":99"), "99"),
            (LINE.replace("forward_lead_mean", "forward_led"), "`forward_led` is neither"),
            (LINE.replace("\"seed\":9,", ""), "missing field `seed`"),
            (LINE[..LINE.len() - 9].to_owned(), "EOF"),
            (String::new(), "EOF"),
        ] {
            let error = SweepRecord::from_json_line(&line).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
