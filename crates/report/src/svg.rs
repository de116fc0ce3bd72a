//! The little of SVG that figures need. Marks carry classes and no colours, so that one style
//! sheet dresses them for light and dark, screen and paper; hatching is drawn as lines, since a
//! pattern needs an identifier, which several figures in one page would share.

use std::fmt::Write;

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing that grows by marks.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    width: f64,
    height: f64,
    body: String,
}

/// The shape of a point, so that series differ by more than their colour.
const SHAPES: usize = 4;

impl Drawing {
    /// An empty drawing of that size.
    pub fn new(width: f64, height: f64) -> Drawing {
        Drawing { width, height, body: String::new() }
    }

    pub fn width(&self) -> f64 {
        self.width
    }

    /// The element, for a page whose style sheet has the classes.
    pub fn inline(&self, description: &str) -> String {
        self.element("", description)
    }

    /// The element as a file of its own, with a style sheet and an opaque ground.
    pub fn file(&self, description: &str, style: &str) -> String {
        let ground = format!(
            "<style>{style}</style>\n<rect class=\"ground\" x=\"0\" y=\"0\" width=\"{}\" height=\"{}\"/>\n",
            coordinate(self.width),
            coordinate(self.height)
        );
        let mut file = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        file.push_str(&self.element(&ground, description));
        file
    }

    fn element(&self, before: &str, description: &str) -> String {
        let (width, height) = (coordinate(self.width), coordinate(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"figure\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{}\">\n{before}{}</svg>\n",
            escape(description),
            self.body
        )
    }

    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let (x1, y1) = (coordinate(x1), coordinate(y1));
        let (x2, y2) = (coordinate(x2), coordinate(y2));
        let _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        );
    }

    /// A rectangle from its upper left corner; `note` is shown by a pointer that rests on it.
    pub fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), note: &str) {
        self.mark("rect", class, &rectangle(at, size), note);
    }

    /// A rectangle that is opaque in that share, from 0 to 1.
    pub fn tint(
        &mut self,
        class: &str,
        at: (f64, f64),
        size: (f64, f64),
        opacity: f64,
        note: &str,
    ) {
        let geometry = format!("{} fill-opacity=\"{}\"", rectangle(at, size), coordinate(opacity));
        self.mark("rect", class, &geometry, note);
    }

    /// A point of a series: its shape follows from the series' number.
    pub fn point(&mut self, series: usize, class: &str, at: (f64, f64), radius: f64, note: &str) {
        let class = format!("dot s{} {class}", series % crate::style::SERIES);
        let (x, y) = at;
        let r = radius;
        match series % SHAPES {
            0 => {
                let geometry = format!(
                    " cx=\"{}\" cy=\"{}\" r=\"{}\"",
                    coordinate(x),
                    coordinate(y),
                    coordinate(r)
                );
                self.mark("circle", &class, &geometry, note);
            }
            1 => {
                let side = 1.8 * r;
                let corner = (x - side / 2.0, y - side / 2.0);
                self.mark("rect", &class, &rectangle(corner, (side, side)), note);
            }
            2 => {
                let r = 1.3 * r;
                self.polygon(&class, &[(x, y - r), (x + r, y), (x, y + r), (x - r, y)], note);
            }
            _ => {
                let r = 1.25 * r;
                self.polygon(
                    &class,
                    &[(x, y - r), (x + r, y + 0.8 * r), (x - r, y + 0.8 * r)],
                    note,
                );
            }
        }
    }

    /// A closed shape through those points.
    pub fn polygon(&mut self, class: &str, points: &[(f64, f64)], note: &str) {
        let geometry = format!(" points=\"{}\"", list(points));
        self.mark("polygon", class, &geometry, note);
    }

    /// An open line through those points.
    pub fn polyline(&mut self, class: &str, points: &[(f64, f64)], note: &str) {
        let geometry = format!(" points=\"{}\"", list(points));
        self.mark("polyline", class, &geometry, note);
    }

    /// Diagonals through a rectangle, about `distance` apart.
    pub fn hatch(&mut self, class: &str, (x, y): (f64, f64), (w, h): (f64, f64), distance: f64) {
        let count = ((w + h) / distance).floor().max(1.0) as usize;
        let step = (w + h) / (count + 1) as f64;
        let mut path = String::new();
        for number in 1..=count {
            // The line on which the distances from the left and the upper edge add up to `sum`.
            let sum = step * number as f64;
            let from = (x + sum.min(w), y + (sum - w).max(0.0));
            let to = (x + (sum - h).max(0.0), y + sum.min(h));
            let _ = write!(
                path,
                "M{} {}L{} {}",
                coordinate(from.0),
                coordinate(from.1),
                coordinate(to.0),
                coordinate(to.1)
            );
        }
        let _ = writeln!(self.body, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        self.text_element(
            class,
            &format!("x=\"{}\" y=\"{}\"", coordinate(x), coordinate(y)),
            anchor,
            text,
        );
    }

    /// A text that reads from below to above.
    pub fn upright_text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let place =
            format!("transform=\"translate({} {}) rotate(-90)\"", coordinate(x), coordinate(y));
        self.text_element(class, &place, anchor, text);
    }

    fn text_element(&mut self, class: &str, place: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        let _ = writeln!(
            self.body,
            "<text class=\"{class}\" {place} text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    fn mark(&mut self, element: &str, class: &str, geometry: &str, note: &str) {
        let _ = if note.is_empty() {
            writeln!(self.body, "<{element} class=\"{class}\"{geometry}/>")
        } else {
            let note = escape(note);
            writeln!(
                self.body,
                "<{element} class=\"{class}\"{geometry}><title>{note}</title></{element}>"
            )
        };
    }
}

fn rectangle((x, y): (f64, f64), (w, h): (f64, f64)) -> String {
    format!(
        " x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
        coordinate(x),
        coordinate(y),
        coordinate(w.max(0.0)),
        coordinate(h.max(0.0))
    )
}

fn list(points: &[(f64, f64)]) -> String {
    let points = points.iter().map(|(x, y)| format!("{},{}", coordinate(*x), coordinate(*y)));
    points.collect::<Vec<_>>().join(" ")
}

/// Two digits after the point at most: a hundredth of a pixel is seen by nobody.
fn coordinate(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The text with what XML reads as markup written as references; what XML cannot hold becomes a
/// mark for it.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\u{0}'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// About how wide a text is at the size of a label, in one of the wider fonts that readers have.
pub(crate) fn text_width(text: &str) -> f64 {
    let width = |character: char| match character {
        'i' | 'j' | 'l' | 'f' | 't' | ' ' | '.' | ',' | ':' | '\'' | '|' | '/' | '(' | ')' => 4.6,
        'm' | 'w' | 'M' | 'W' | '%' => 12.0,
        'A'..='Z' => 9.2,
        _ => 7.9,
    };
    text.chars().map(width).sum()
}

/// The text in lines that are no wider, broken between words.
pub(crate) fn wrapped(text: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(line) + text_width(word) + 4.6 <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_holds_never_becomes_markup() {
        let mut drawing = Drawing::new(10.0, 10.0);
        drawing.text("tick", (0.0, 0.0), Anchor::Start, "<script>\"&\u{1}");
        drawing.rect("mark", (0.0, 0.0), (1.0, 1.0), "a < b");
        let file = drawing.file("\"<&>\"", "");
        let document = roxmltree::Document::parse(&file).unwrap();
        assert!(!document.descendants().any(|node| node.has_tag_name("script")));
        let text = document.descendants().find(|node| node.tag_name().name() == "text").unwrap();
        assert_eq!(text.text(), Some("<script>\"&\u{fffd}"));
    }

    #[test]
    fn a_text_is_broken_between_words_where_it_is_too_wide() {
        assert_eq!(wrapped("aaaa bbbb cccc", 80.0), ["aaaa bbbb", "cccc"]);
        assert_eq!(wrapped("", 80.0), [""; 0]);
    }

    #[test]
    fn hatching_stays_within_its_rectangle() {
        let mut drawing = Drawing::new(100.0, 100.0);
        drawing.hatch("hatch", (10.0, 20.0), (30.0, 10.0), 5.0);
        let path = drawing.body.split("d=\"").nth(1).unwrap().split('"').next().unwrap();
        let numbers: Vec<f64> = path
            .split(|c: char| "ML ".contains(c))
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().unwrap())
            .collect();
        assert!(numbers.len() >= 16);
        for pair in numbers.chunks(2) {
            assert!(
                (10.0..=40.0).contains(&pair[0]) && (20.0..=30.0).contains(&pair[1]),
                "{pair:?}"
            );
        }
    }
}
