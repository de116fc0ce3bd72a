//! A figure: a drawing with its name and what it shows.

use crate::style::figure_style;
use crate::svg::{Drawing, escape};
use std::fmt::Write;

/// How wide a figure is drawn that stands beside others: not much wider than a telephone, where
/// it would be too small to be read.
pub(crate) const SMALL: f64 = 460.0;

/// How wide figures may become on the page: beside others, and in a row of their own.
const WIDEST: [f64; 2] = [580.0, 1_180.0];

/// A figure of a report.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Name of its file, without the ending.
    pub name: String,
    title: String,
    /// What it shows, for those who cannot see it and as its caption.
    caption: String,
    drawing: Drawing,
    wide: bool,
}

impl Figure {
    /// A figure that stands beside others.
    pub fn new(name: &str, title: &str, caption: String, drawing: Drawing) -> Figure {
        let (name, title) = (name.to_owned(), title.to_owned());
        Figure { name, title, caption, drawing, wide: false }
    }

    /// A figure that needs a row of its own, and on a narrow screen is moved sideways.
    pub fn wide(name: &str, title: &str, caption: String, drawing: Drawing) -> Figure {
        Figure { wide: true, ..Figure::new(name, title, caption, drawing) }
    }

    /// As a part of a page.
    pub fn html(&self) -> String {
        let mut html = String::from("<figure>\n");
        let (class, aside) = match self.wide {
            true => (
                " class=\"wide\"",
                "<p class=\"aside faint\">Wider than the screen: move it sideways.</p>\n",
            ),
            false => ("", ""),
        };
        let description = format!("{}. {}", self.title, self.caption);
        let _ = write!(
            html,
            "{aside}<div{class} style=\"--width: {}px\">\n{}</div>\n<figcaption>{}</figcaption>\n</figure>\n",
            WIDEST[usize::from(self.wide)],
            self.drawing.inline(&description),
            escape(&self.caption),
        );
        html
    }

    /// As a file of its own.
    pub fn file(&self) -> String {
        let description = format!("{}. {}", self.title, self.caption);
        self.drawing.file(&description, &figure_style())
    }
}
