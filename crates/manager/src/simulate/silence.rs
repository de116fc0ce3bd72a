//! The silence: what others on the network lose while guests move, scheme by scheme.

use super::network::NetworkRecord;
use comfy_table::{CellAlignment, Table, presets};
use lazycopy_link::{Direction, HostId};
use lazycopy_migration::Scheme;
use lazycopy_results::Summary;
use lazycopy_units::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Cards in the table: those of more hosts make it too long to read; the file has them all.
const CARDS_SHOWN: usize = 8;

/// Rows of figures over seeds, one column per scheme, and what they say in words.
pub(super) struct Silence<'a> {
    schemes: Vec<(Scheme, Vec<&'a NetworkRecord>)>,
}

/// A figure of a run, and how it is printed.
type Figure = fn(&NetworkRecord) -> Option<f64>;
type Print = fn(f64) -> String;

/// By what schemes are held against each other: less is better.
const JUDGED: [(&str, Figure, Print); 2] = [
    ("time lost", NetworkRecord::time_lost, time),
    ("slowdown, while it lasts,", NetworkRecord::slowdown_mean, factor),
];

impl<'a> Silence<'a> {
    pub(super) fn of(records: &'a [NetworkRecord]) -> Silence<'a> {
        let runs = |scheme: Scheme| -> Vec<&NetworkRecord> {
            records.iter().filter(|record| record.scheme == scheme).collect()
        };
        let schemes = Scheme::ALL.into_iter().map(|scheme| (scheme, runs(scheme)));
        Silence { schemes: schemes.filter(|(_, runs)| !runs.is_empty()).collect() }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let header = self.schemes.iter().map(|(scheme, _)| scheme.name().to_owned());
        table.set_header(std::iter::once(String::new()).chain(header));
        self.add(&mut table, "guests moved", |run| Some(f64::from(run.guests_completed)), number);
        self.add(&mut table, "  the last after", |run| Some(run.all_completed_ns? as f64), time);
        self.add(&mut table, "network used for", |run| Some(run.network_until_ns as f64), time);
        if self.has_neighbours() {
            self.add(&mut table, "neighbours' slowdown", NetworkRecord::slowdown_mean, factor);
            self.add(&mut table, "  of the worst", NetworkRecord::slowdown_worst, factor);
            self.add(&mut table, "  time lost", NetworkRecord::time_lost, time);
        }
        for (host, direction) in self.cards() {
            let way = if direction == Direction::Out { "out of" } else { "into" };
            let card = move |run: &NetworkRecord| {
                run.cards.iter().find(|it| (it.host, it.direction) == (host, direction)).cloned()
            };
            let mean = |run: &NetworkRecord| Some(card(run)?.bandwidth_mean? as f64);
            self.add(&mut table, &format!("{way} host {}, mean", host.0), mean, rate);
            self.add(&mut table, "  peak", |run| Some(card(run)?.bandwidth_peak as f64), rate);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// A row: the mean over seeds, and their range where they differ.
    fn add(
        &self,
        table: &mut Table,
        label: &str,
        figure: impl Fn(&NetworkRecord) -> Option<f64>,
        print: Print,
    ) {
        let cells = self.schemes.iter().map(|(_, runs)| {
            let values: Vec<f64> = runs.iter().filter_map(|run| figure(run)).collect();
            mean_and_range(&values, print)
        });
        table.add_row(std::iter::once(label.to_owned()).chain(cells));
    }

    /// The cards that carried anything, those that carried most of all; by host.
    fn cards(&self) -> BTreeSet<(HostId, Direction)> {
        let mut carried: BTreeMap<(HostId, Direction), u128> = BTreeMap::new();
        for card in self.runs().flat_map(|run| &run.cards).filter(|card| card.bytes > 0) {
            *carried.entry((card.host, card.direction)).or_default() += u128::from(card.bytes);
        }
        let mut cards: Vec<_> = carried.into_iter().collect();
        cards.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        cards.into_iter().take(CARDS_SHOWN).map(|(card, _)| card).collect()
    }

    fn runs(&self) -> impl Iterator<Item = &NetworkRecord> {
        self.schemes.iter().flat_map(|(_, runs)| runs.iter().copied())
    }

    fn has_neighbours(&self) -> bool {
        self.runs().any(|run| !run.neighbours.is_empty())
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.has_neighbours() {
            words.push(
                "Slowdown is how long a neighbour was busy divided by how long it would have been \
                 alone, up to the last use of the network by a migration; time lost is their \
                 difference, over all neighbours. A scheme that takes longer spreads the same \
                 loss over more time: its slowdown is less, its time lost is not."
                    .to_owned(),
            );
            if self.schemes.len() > 1 {
                words.extend(JUDGED.iter().map(|judged| self.verdict(judged)));
            }
        }
        let stayed = self.runs().filter(|run| run.guests_completed < run.guests).count();
        if stayed > 0 {
            words.push(format!(
                "In {stayed} of {} runs a guest stayed where it was: what its migration cost \
                 others is counted all the same.",
                self.runs().count()
            ));
        }
        words
    }

    /// Which scheme disturbs neighbours least, as far as the seeds tell.
    fn verdict(&self, (name, figure, print): &(&str, Figure, Print)) -> String {
        let by_seed = |runs: &[&NetworkRecord]| -> BTreeMap<u64, f64> {
            runs.iter().filter_map(|run| Some((run.seed, figure(run)?))).collect()
        };
        let mut schemes: Vec<(Scheme, BTreeMap<u64, f64>, f64)> = Vec::new();
        for (scheme, runs) in &self.schemes {
            let series = by_seed(runs);
            if let Some(mean) = mean(series.values()) {
                schemes.push((*scheme, series, mean));
            }
        }
        schemes.sort_by(|one, other| one.2.total_cmp(&other.2));
        let [(least, series, least_mean), others @ ..] = schemes.as_slice() else {
            return format!("By {name} nothing can be said: no neighbour moved anything.");
        };
        let told_apart = |other: &BTreeMap<u64, f64>| {
            let differences: Vec<f64> =
                series.iter().filter_map(|(seed, value)| Some(other.get(seed)? - value)).collect();
            let interval = Summary::of(&differences).and_then(|summary| summary.interval);
            interval.is_some_and(|(low, _)| low > 0.0)
        };
        let alike: Vec<&str> = others
            .iter()
            .filter(|(_, other, mean)| print(*mean) == print(*least_mean) || !told_apart(other))
            .map(|(scheme, ..)| scheme.name())
            .collect();
        let figures: Vec<String> =
            others.iter().map(|(scheme, _, mean)| format!("{scheme} {}", print(*mean))).collect();
        let figures = format!("{} against {}", print(*least_mean), figures.join(", "));
        if alike.is_empty() {
            format!("By {name} {least} disturbs neighbours least: {figures}.")
        } else {
            let alike = alike.join(", ");
            format!("By {name} these seeds do not tell {least} from {alike}: {figures}.")
        }
    }
}

impl fmt::Display for Silence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The network (mean, and the range over seeds)")?;
        writeln!(f, "{}", self.table())?;
        self.words().iter().try_for_each(|sentence| writeln!(f, "- {sentence}"))
    }
}

fn mean<'a>(values: impl ExactSizeIterator<Item = &'a f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

fn mean_and_range(values: &[f64], print: Print) -> String {
    let Some(mean) = mean(values.iter()) else { return "-".to_owned() };
    let least = print(values.iter().copied().fold(f64::INFINITY, f64::min));
    let most = print(values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    if least == most { print(mean) } else { format!("{} ({least} to {most})", print(mean)) }
}

fn number(value: f64) -> String {
    trimmed(format!("{value:.2}"))
}

fn factor(value: f64) -> String {
    format!("{value:.3}")
}

fn time(nanos: f64) -> String {
    let sign = if nanos < 0.0 { "-" } else { "" };
    format!("{sign}{}", Duration::from_nanos(nanos.abs().round() as u64))
}

/// Bytes per second, with three digits that count.
fn rate(bytes_per_sec: f64) -> String {
    let units = [(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s")];
    match units.into_iter().find(|(divisor, _)| bytes_per_sec >= *divisor) {
        Some((divisor, unit)) => {
            format!("{} {unit}", trimmed(format!("{:.2}", bytes_per_sec / divisor)))
        }
        None => format!("{bytes_per_sec:.0} B/s"),
    }
}

fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
