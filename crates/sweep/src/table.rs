//! The results as a table: `results.csv`.

use csv::Writer;
use lazycopy_results::{MetricValue, SweepManifest, SweepRecord};
use serde_json::Value;

/// The columns of a sweep's table: one for each axis and metric.
pub(crate) struct Columns {
    axes: Vec<String>,
    metrics: Vec<String>,
}

/// Some rows of it.
pub(crate) struct Rows<'a> {
    columns: &'a Columns,
    writer: Writer<Vec<u8>>,
}

/// What every record has: before the axes, and between them and the metrics.
const FIRST: [&str; 1] = ["cell"];
const NEXT: [&str; 5] = ["contender", "scheme", "seed", "guest", "digest_matches"];

impl Columns {
    pub(crate) fn of(manifest: &SweepManifest) -> Columns {
        Columns {
            axes: manifest.axes.iter().map(|axis| axis.name.clone()).collect(),
            metrics: manifest.metrics.clone(),
        }
    }

    /// The first line.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut rows = self.rows();
        let axes = self.axes.iter().map(String::as_str);
        let metrics = self.metrics.iter().map(String::as_str);
        rows.write(FIRST.into_iter().chain(axes).chain(NEXT).chain(metrics));
        rows.into_bytes()
    }

    /// No rows yet.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { columns: self, writer: Writer::from_writer(Vec::new()) }
    }
}

impl Rows<'_> {
    /// One more row. What is null is left empty.
    pub(crate) fn add(&mut self, record: &SweepRecord) {
        let axes = self.columns.axes.iter().map(|name| match record.axes.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        });
        let digest = record.digest_matches.map_or_else(String::new, |it| it.to_string());
        let next = [
            record.contender.clone(),
            record.scheme.name().to_owned(),
            record.seed.to_string(),
            record.guest.map_or_else(String::new, |guest| guest.to_string()),
            digest,
        ];
        let metrics = record.metrics.iter().map(|(_, value)| match value {
            MetricValue::Null => String::new(),
            MetricValue::Integer(value) => value.to_string(),
            // As in JSON.
            MetricValue::Number(value) => Value::from(*value).to_string(),
            MetricValue::Text(text) => text.clone(),
        });
        let fields: Vec<String> =
            [record.cell.to_string()].into_iter().chain(axes).chain(next).chain(metrics).collect();
        self.write(fields.iter().map(String::as_str));
    }

    fn write<'a>(&mut self, fields: impl Iterator<Item = &'a str>) {
        self.writer.write_record(fields).expect("memory takes it");
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.writer.into_inner().expect("memory takes it")
    }
}
