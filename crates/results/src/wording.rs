//! Figures as people read them.

use crate::measure::Unit;
use crate::statistics::Summary;

/// Names in a sentence before it says how many more there are.
const NAMES_SHOWN: usize = 5;

/// The mean and the standard deviation, in one unit: `31.2 ± 1.4 s`.
pub(crate) fn mean_and_spread(summary: &Summary, unit: Unit) -> String {
    let (divisor, name) = scale(summary.mean, unit);
    let mean = summary.mean / divisor;
    let Some(deviation) = summary.deviation.map(|deviation| deviation / divisor) else {
        return format!("{}{name}", number(mean, decimals(mean, unit)));
    };
    let decimals = decimals(mean, unit);
    format!("{} ± {}{name}", number(mean, decimals), number(deviation, decimals))
}

/// One figure with its unit: `31.2 s`.
pub(crate) fn figure(value: f64, unit: Unit) -> String {
    let (divisor, name) = scale(value, unit);
    let value = value / divisor;
    format!("{}{name}", number(value, decimals(value, unit)))
}

/// A difference in words: `2.8 s less`; `fewer` for what is counted.
pub(crate) fn difference(value: f64, unit: Unit) -> String {
    let direction = match (value < 0.0, unit) {
        (true, Unit::Count) => "fewer",
        (true, _) => "less",
        (false, _) => "more",
    };
    format!("{} {direction}", figure(value.abs(), unit))
}

/// An interval of differences in words: `2.1 s to 3.5 s less`, `0.3 s less to 1.2 s more`; the
/// smaller difference first.
pub(crate) fn interval((low, high): (f64, f64), unit: Unit) -> String {
    if low < 0.0 && high > 0.0 {
        return format!("{} to {}", difference(low, unit), difference(high, unit));
    }
    let (near, far) = if high <= 0.0 { (high, low) } else { (low, high) };
    format!("{} to {}", figure(near.abs(), unit), difference(far, unit))
}

/// A share as a difference: `2.1 % less`, `0 %`.
pub(crate) fn relative(share: f64) -> String {
    if share.is_infinite() {
        return "without bound".to_owned();
    }
    let percent = 100.0 * share.abs();
    let decimals = if percent < 10.0 { 2 } else { 1 };
    match (number(percent, decimals), share < 0.0) {
        (zero, _) if zero == "0" => "0 %".to_owned(),
        (percent, true) => format!("{percent} % less"),
        (percent, false) => format!("{percent} % more"),
    }
}

/// A p-value: `p = 0.023`, `p < 0.0001`.
pub(crate) fn p_value(p: f64) -> String {
    match p {
        ..0.0001 => "p < 0.0001".to_owned(),
        ..0.001 => format!("p = {}", number(p, 5)),
        ..0.1 => format!("p = {}", number(p, 3)),
        _ => format!("p = {}", number(p, 2)),
    }
}

/// So many of a thing: `1 run`, `12 runs`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Some names, and how many more: `a, b, c, d, e and 3 more`.
pub(crate) fn names(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What to divide by, and the unit's name with a space before it.
fn scale(value: f64, unit: Unit) -> (f64, &'static str) {
    match (unit, value.abs()) {
        (Unit::Count | Unit::Share, _) => (1.0, ""),
        (Unit::Bytes, 1e9..) => (1e9, " GB"),
        (Unit::Bytes, 1e6..) => (1e6, " MB"),
        (Unit::Bytes, 1e3..) => (1e3, " kB"),
        (Unit::Bytes, _) => (1.0, " B"),
        (Unit::Rate, 1e9..) => (1e9, " GB/s"),
        (Unit::Rate, 1e6..) => (1e6, " MB/s"),
        (Unit::Rate, 1e3..) => (1e3, " kB/s"),
        (Unit::Rate, _) => (1.0, " B/s"),
        (Unit::Time, 1e9..) => (1e9, " s"),
        (Unit::Time, 1e6..) => (1e6, " ms"),
        (Unit::Time, 1e3..) => (1e3, " us"),
        (Unit::Time, 1.0..) => (1.0, " ns"),
        (Unit::Time, _) => (1e9, " s"),
    }
}

/// Digits after the point: three that count for a time or a size, one for a count, or more where one would
/// hide a small count that is not nothing.
fn decimals(value: f64, unit: Unit) -> usize {
    match (unit, value.abs()) {
        (Unit::Count, 1e-4..0.01) => 4,
        (Unit::Count, 0.01..0.1) => 3,
        (Unit::Count, _) => 1,
        (Unit::Share, _) => 3,
        (_, 100.0..) => 1,
        (_, _) => 2,
    }
}

/// The number, without a fraction that is zero.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_in_their_natural_unit() {
        assert_eq!(figure(0.0, Unit::Time), "0 s");
        assert_eq!(figure(2.8e9, Unit::Time), "2.8 s");
        assert_eq!(figure(123_456_789_000.0, Unit::Time), "123.5 s");
        assert_eq!(figure(970e6, Unit::Time), "970 ms");
        assert_eq!(figure(1_500.0, Unit::Time), "1.5 us");
        assert_eq!(figure(20.0, Unit::Count), "20");
        assert_eq!(figure(2.25, Unit::Count), "2.2");
        assert_eq!(figure(0.027, Unit::Count), "0.027");
        assert_eq!(figure(0.0027, Unit::Count), "0.0027");
    }

    #[test]
    fn mean_and_spread_share_a_unit() {
        let summary = Summary::of(&[30e9, 31e9, 32.3e9]).unwrap();
        assert_eq!(mean_and_spread(&summary, Unit::Time), "31.1 ± 1.15 s");
        let one = Summary::of(&[30e9]).unwrap();
        assert_eq!(mean_and_spread(&one, Unit::Time), "30 s");
    }

    #[test]
    fn differences_are_told_in_words() {
        assert_eq!(difference(-2.8e9, Unit::Time), "2.8 s less");
        assert_eq!(difference(3.0, Unit::Count), "3 more");
        assert_eq!(difference(-3.0, Unit::Count), "3 fewer");
        assert_eq!(interval((-3.5e9, -2.1e9), Unit::Time), "2.1 s to 3.5 s less");
        assert_eq!(interval((-0.3e9, 1.2e9), Unit::Time), "300 ms less to 1.2 s more");
        assert_eq!(interval((1.0, 2.0), Unit::Count), "1 to 2 more");
    }

    #[test]
    fn p_values_and_shares_are_told_with_the_digits_that_count() {
        let told = [1e-9, 0.0002, 0.0234, 0.25, 1.0].map(p_value);
        assert_eq!(told, ["p < 0.0001", "p = 0.0002", "p = 0.023", "p = 0.25", "p = 1"]);
        let told = [-0.0213, 0.5, 0.0, -1e-9, f64::INFINITY].map(relative);
        assert_eq!(told, ["2.13 % less", "50 % more", "0 %", "0 %", "without bound"]);
        assert_eq!((counted(1, "run"), counted(2, "cell")), ("1 run".into(), "2 cells".into()));
        assert_eq!(figure(2.5e6, Unit::Bytes), "2.5 MB");
        assert_eq!(figure(0.25, Unit::Share), "0.25");
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let all: Vec<String> = (1..=8).map(|number| format!("run-{number}")).collect();
        assert_eq!(names(&all[..2]), "run-1, run-2");
        assert_eq!(names(&all), "run-1, run-2, run-3, run-4, run-5 and 3 more");
    }
}
