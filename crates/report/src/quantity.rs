//! Figures as people read them.

/// What a figure is a figure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Nanoseconds.
    Time,
    /// Pages, faults, accesses.
    Count,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    Rate,
    /// A share of one.
    Share,
}

/// A unit of an axis or of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unit {
    /// What a value is divided by.
    pub divisor: f64,
    /// Its name; empty for what is counted.
    pub name: &'static str,
}

impl From<lazycopy_results::Unit> for Quantity {
    fn from(unit: lazycopy_results::Unit) -> Quantity {
        use lazycopy_results::Unit;
        match unit {
            Unit::Time => Quantity::Time,
            Unit::Count => Quantity::Count,
            Unit::Bytes => Quantity::Bytes,
            Unit::Rate => Quantity::Rate,
            Unit::Share => Quantity::Share,
        }
    }
}

impl Quantity {
    /// The unit in which a value of this size is between 1 and 1,000.
    pub fn unit(self, value: f64) -> Unit {
        let table: &[(f64, &'static str)] = match self {
            Quantity::Time => &[(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")],
            Quantity::Bytes => &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")],
            Quantity::Rate => &[(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")],
            Quantity::Count => &[(1.0, "")],
            Quantity::Share => &[(0.01, "%")],
        };
        let fits = |(divisor, _): &&(f64, &'static str)| value.abs() >= *divisor * 0.9995;
        let zero = if self == Quantity::Time { &table[0] } else { &table[table.len() - 1] };
        let (divisor, name) = *if value == 0.0 {
            zero
        } else {
            table.iter().find(fits).unwrap_or(&table[table.len() - 1])
        };
        Unit { divisor, name }
    }

    /// A value with its unit, three digits that count: `12.7 s`.
    pub fn figure(self, value: f64) -> String {
        let unit = self.unit(value);
        let number = short_number(value / unit.divisor);
        if unit.name.is_empty() { number } else { format!("{number} {}", unit.name) }
    }

    /// A difference with its sign: `+2.8 s`, `-3`; a share's in points.
    pub fn signed(self, value: f64) -> String {
        let sign = if value > 0.0 { "+" } else { "" };
        format!("{sign}{}", self.figure(value)).replace('-', "\u{2212}")
    }
}

/// Three digits that count, grouped by thousands, without a fraction of zeros.
pub(crate) fn short_number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        0.0 => 0,
        _ => 4,
    };
    let rounded = fixed(value, decimals);
    match rounded.contains('.') {
        true => rounded.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => rounded,
    }
}

/// That many digits after the point, thousands apart.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) if digits.bytes().any(|b| (b'1'..=b'9').contains(&b)) => ("-", digits),
        Some(digits) => ("", digits),
        None => ("", &*text),
    };
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && whole.len() > 4 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    if let Some(fraction) = fraction {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

/// `1 page`, `2 pages`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    let number = fixed(count as f64, 0);
    if count == 1 { format!("{number} {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_in_their_natural_unit() {
        assert_eq!(Quantity::Time.figure(12_719_455_253.0), "12.7 s");
        assert_eq!(Quantity::Time.figure(719_455_253.0), "719 ms");
        assert_eq!(Quantity::Time.figure(0.0), "0 s");
        assert_eq!(Quantity::Time.figure(999_999_999.0), "1 s");
        assert_eq!(Quantity::Bytes.figure(107_072.0), "107 kB");
        assert_eq!(Quantity::Rate.figure(8_224.0), "8.22 kB/s");
        assert_eq!(Quantity::Count.figure(36_892.0), "36\u{202f}892");
        assert_eq!(Quantity::Count.figure(0.0271), "0.0271");
        assert_eq!(Quantity::Share.figure(0.875), "87.5 %");
        assert_eq!(Quantity::Time.signed(-2.8e9), "\u{2212}2.8 s");
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!((counted(1, "page"), counted(2, "page")), ("1 page".into(), "2 pages".into()));
    }
}
