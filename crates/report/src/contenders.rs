//! Contenders over the same seeds: how their runs are spread, how they differ, their means.

use crate::difference::{Difference, TABLE_HEADER, differences, table_row};
use crate::distribution::{Group, distribution};
use crate::figure::Figure;
use crate::measure::{SHOWN, file_name, mean_text, quantity};
use crate::page::{Cell, Page};
use crate::run::capitalized;
use lazycopy_results::{Measure, Summary};
use std::collections::BTreeMap;

/// One of those that are compared: a scheme, or a variant of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contender {
    pub name: String,
    /// Its colour.
    pub series: usize,
    /// All its migrations: of several guests at once, each is one.
    pub runs: u64,
    /// Those that figures are from.
    pub counted: u64,
    /// Each measure by seed, of what counts: the sum over the guests of the run, and how many
    /// they are. They share a network and are not independent: the run's value is their mean.
    sums: BTreeMap<Measure, BTreeMap<u64, (f64, u32)>>,
}

impl Contender {
    pub fn new(name: &str, series: usize) -> Contender {
        Contender { name: name.to_owned(), series, ..Contender::default() }
    }

    /// Counts a guest's migration in the run of that seed: its value of each measure, `None` where
    /// it does not apply.
    pub fn count(&mut self, seed: u64, value: impl Fn(Measure) -> Option<f64>) {
        self.counted += 1;
        for measure in Measure::ALL {
            if let Some(value) = value(measure) {
                let run = self.sums.entry(measure).or_default().entry(seed).or_default();
                *run = (run.0 + value, run.1 + 1);
            }
        }
    }

    fn by_seed(&self, measure: Measure) -> BTreeMap<u64, f64> {
        let runs = self.sums.get(&measure).into_iter().flatten();
        runs.map(|(seed, (sum, guests))| (*seed, sum / f64::from(*guests))).collect()
    }

    fn values(&self, measure: Measure) -> Vec<f64> {
        self.by_seed(measure).into_values().collect()
    }

    fn summary(&self, measure: Measure) -> Option<Summary> {
        Summary::of(&self.values(measure))
    }
}

/// A sentence for each measure that is shown: who has how much of it, the least first.
pub(crate) fn rankings(contenders: &[&Contender]) -> Vec<String> {
    let sentence = |measure: Measure| {
        let mean = |it: &&Contender| Some((it.summary(measure)?.mean, it.name.clone()));
        let mut means: Vec<(f64, String)> = contenders.iter().filter_map(mean).collect();
        means.sort_by(|first, second| first.0.total_cmp(&second.0));
        let quantity = quantity(measure);
        let figures: Vec<String> =
            means.iter().map(|(mean, name)| format!("{name} {}", quantity.figure(*mean))).collect();
        let label = capitalized(measure.label());
        (means.len() > 1).then(|| format!("{label}, least first: {}.", figures.join(", ")))
    };
    SHOWN.into_iter().filter_map(sentence).collect()
}

/// A figure for each measure that is shown.
pub(crate) fn distributions(contenders: &[&Contender]) -> Vec<Figure> {
    let figure = |measure: Measure| {
        let group = |it: &&Contender| Group {
            label: it.name.clone(),
            series: it.series,
            values: it.values(measure),
        };
        let groups: Vec<Group> = contenders.iter().map(group).collect();
        distribution(&format!("distribution-{}", file_name(measure)), measure, &groups)
    };
    SHOWN.into_iter().filter_map(figure).collect()
}

/// Figures and a table of the differences to the baseline; nothing for one contender alone.
pub(crate) fn compare(page: &mut Page, contenders: &[&Contender], baseline: &Contender) {
    let (mut figures, mut rows) = (Vec::new(), Vec::new());
    for measure in SHOWN {
        let against = baseline.by_seed(measure);
        let others = contenders.iter().filter(|it| it.name != baseline.name);
        let found: Vec<Difference> = others
            .filter_map(|it| Difference::of((&it.name, it.series), &it.by_seed(measure), &against))
            .collect();
        rows.extend(found.iter().map(|difference| table_row(measure, difference)));
        let name = format!("differences-{}", file_name(measure));
        figures.extend(differences(&name, measure, &baseline.name, &found));
    }
    if rows.is_empty() {
        return;
    }
    page.section(&format!("Differences to {}, seed by seed", baseline.name));
    page.figures(&figures);
    page.table(&TABLE_HEADER, &rows);
}

/// A table of the means of every measure that applies.
pub(crate) fn means(page: &mut Page, contenders: &[&Contender]) {
    page.section("Means");
    page.remark("Mean and its 95 % confidence interval over the runs that count; where a run moves several guests, of their mean.");
    let header: Vec<&str> =
        std::iter::once("measure").chain(contenders.iter().map(|it| &*it.name)).collect();
    let runs = contenders.iter().map(|it| match it.counted == it.runs {
        true => Cell::Number(it.runs.to_string()),
        false => Cell::Number(format!("{} of {}", it.counted, it.runs)),
    });
    let mut rows = vec![std::iter::once(Cell::Text("migrations".to_owned())).chain(runs).collect()];
    for measure in Measure::ALL {
        if !contenders.iter().any(|it| it.sums.contains_key(&measure)) {
            continue;
        }
        let cells =
            contenders.iter().map(|it| Cell::Number(mean_text(measure, it.summary(measure))));
        rows.push(std::iter::once(Cell::Text(measure.label().to_owned())).chain(cells).collect());
    }
    page.table(&header, &rows);
}
