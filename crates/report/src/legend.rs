//! The key to a figure's marks, in as many rows as it needs.

use crate::svg::{Anchor, Drawing, text_width};

/// What a key's mark looks like.
#[derive(Clone, Debug)]
pub(crate) enum Sign {
    /// A point of a series on a line of its colour.
    Line(usize),
    /// A line of a series' colour, of that class besides.
    Curve(usize, &'static str),
    /// A filled square of a series' colour, that opaque.
    Fill(usize, f64),
    /// A square with hatching.
    Hatched,
    /// A square of that class.
    Square(&'static str),
    /// A square, half of it of the one series' colour, half of the other's.
    Split(usize, usize),
    /// A heavy line.
    Frontier,
}

/// Height of a row.
pub(crate) const ROW: f64 = 21.0;

const SIGN: f64 = 16.0;

/// Places each entry in a row: its x and row.
fn places(entries: &[(Sign, String)], left: f64, right: f64) -> Vec<(f64, usize)> {
    let (mut x, mut row) = (left, 0);
    let place = |(_, text): &(Sign, String)| {
        let width = SIGN + 6.0 + text_width(text) + 12.0;
        if x > left && x + width > right {
            (x, row) = (left, row + 1);
        }
        let at = (x, row);
        x += width;
        at
    };
    entries.iter().map(place).collect()
}

/// How high it will be.
pub(crate) fn height(entries: &[(Sign, String)], left: f64, right: f64) -> f64 {
    let rows = places(entries, left, right).last().map_or(0, |(_, row)| row + 1);
    rows as f64 * ROW
}

/// A rectangle that two series share.
pub(crate) fn split(
    drawing: &mut Drawing,
    series: [usize; 2],
    (x, y): (f64, f64),
    (width, height): (f64, f64),
    class: &str,
    note: &str,
) {
    let (right, lower) = (x + width, y + height);
    for (series, third) in series.into_iter().zip([(x, y), (right, lower)]) {
        let class = format!("{class} fill half s{}", series % crate::style::SERIES);
        drawing.polygon(&class, &[(x, lower), (right, y), third], note);
    }
}

/// Draws it; `top` is the upper edge of its first row.
pub(crate) fn draw(
    drawing: &mut Drawing,
    entries: &[(Sign, String)],
    (left, top): (f64, f64),
    right: f64,
) {
    for ((sign, text), (x, row)) in entries.iter().zip(places(entries, left, right)) {
        let y = top + (row as f64 + 0.5) * ROW;
        let (corner, size) = ((x, y - 6.5), (SIGN, 13.0));
        match sign {
            Sign::Line(series) => {
                let class = format!("curve s{}", series % crate::style::SERIES);
                drawing.line(&class, (x, y), (x + SIGN, y));
                drawing.point(*series, "key", (x + SIGN / 2.0, y), 3.6, "");
            }
            Sign::Curve(series, class) => {
                let class = format!("curve {class} s{}", series % crate::style::SERIES);
                drawing.line(&class, (x, y), (x + SIGN, y));
            }
            Sign::Fill(series, opacity) => {
                let class = format!("fill key s{}", series % crate::style::SERIES);
                drawing.tint(&class, corner, size, *opacity, "");
            }
            Sign::Hatched => {
                drawing.rect("frame", corner, size, "");
                drawing.hatch("hatch", corner, size, 6.0);
            }
            Sign::Square(class) => drawing.rect(class, corner, size, ""),
            Sign::Split(first, second) => {
                split(drawing, [*first, *second], corner, size, "key", "");
            }
            Sign::Frontier => drawing.line("frontier", (x, y), (x + SIGN, y)),
        }
        drawing.text("label", (x + SIGN + 6.0, y + 4.5), Anchor::Start, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_go_on_in_the_next_row_where_they_would_leave_the_paper() {
        let entries: Vec<_> =
            (0..6).map(|n| (Sign::Line(n), "hybrid-lazy-copy".to_owned())).collect();
        let places = places(&entries, 10.0, 500.0);
        assert!(places.iter().all(|(x, _)| x + 22.0 + text_width("hybrid-lazy-copy") <= 500.0));
        assert_eq!(height(&entries, 10.0, 500.0), 2.0 * ROW);
    }
}
