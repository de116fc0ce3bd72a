//! A page that needs nothing but itself.

use crate::figure::Figure;
use crate::replay::{Player, in_page};
use crate::style::{REPLAY_STYLE, page_style};
use crate::svg::escape;
use std::fmt::Write;

/// A report: the page, and its figures as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The page: one HTML document that needs no other file and no network; without a replay it
    /// needs no script either.
    pub html: String,
    /// The figures, in the order of the page: name without the ending, and the SVG document.
    pub figures: Vec<(String, String)>,
}

/// A page that grows from top to bottom.
#[derive(Debug)]
pub(crate) struct Page {
    title: String,
    body: String,
    figures: Vec<(String, String)>,
    replay_style: String,
}

/// A text of a table with more bytes is given room: on a narrow screen it would become a pillar.
const LONG_TEXT: usize = 24;

/// A cell of a table.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// Words.
    Text(String),
    /// A name in a file or a command.
    Code(String),
    /// A figure, set to the right.
    Number(String),
}

impl Page {
    pub fn new(title: &str) -> Page {
        let mut page = Page {
            title: title.to_owned(),
            body: String::new(),
            figures: Vec::new(),
            replay_style: String::new(),
        };
        page.element("h1", title);
        page
    }

    pub fn section(&mut self, title: &str) {
        self.element("h2", title);
    }

    pub fn subsection(&mut self, title: &str) {
        self.element("h3", title);
    }

    pub fn paragraph(&mut self, text: &str) {
        self.element("p", text);
    }

    /// A paragraph that is not the point.
    pub fn remark(&mut self, text: &str) {
        let _ = writeln!(self.body, "<p class=\"faint\">{}</p>", escape(text));
    }

    fn element(&mut self, element: &str, text: &str) {
        let _ = writeln!(self.body, "<{element}>{}</{element}>", escape(text));
    }

    /// Sentences, one below the other.
    pub fn sentences(&mut self, sentences: &[String]) {
        if sentences.is_empty() {
            return;
        }
        self.body.push_str("<ul class=\"words\">\n");
        for sentence in sentences {
            let _ = writeln!(self.body, "<li>{}</li>", escape(sentence));
        }
        self.body.push_str("</ul>\n");
    }

    /// The few figures that matter most, with what they are.
    pub fn facts(&mut self, facts: &[(String, String)]) {
        self.body.push_str("<ul class=\"facts\">\n");
        for (figure, what) in facts {
            let _ = writeln!(
                self.body,
                "<li><b>{}</b><span>{}</span></li>",
                escape(figure),
                escape(what)
            );
        }
        self.body.push_str("</ul>\n");
    }

    /// A figure in a row of its own.
    pub fn figure(&mut self, figure: &Figure) {
        self.body.push_str(&figure.html());
        self.figures.push((figure.name.clone(), figure.file()));
    }

    /// Figures side by side as far as they fit.
    pub fn figures(&mut self, figures: &[Figure]) {
        if figures.is_empty() {
            return;
        }
        self.body.push_str("<div class=\"figures\">\n");
        for figure in figures {
            self.figure(figure);
        }
        self.body.push_str("</div>\n");
    }

    pub fn table(&mut self, header: &[&str], rows: &[Vec<Cell>]) {
        self.body.push_str("<div class=\"table\"><table>\n<thead><tr>");
        let numeric =
            |column: usize| rows.iter().any(|row| matches!(row.get(column), Some(Cell::Number(_))));
        for (column, name) in header.iter().enumerate() {
            let class = if numeric(column) { " class=\"number\"" } else { "" };
            let _ = write!(self.body, "<th scope=\"col\"{class}>{}</th>", escape(name));
        }
        self.body.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for cell in row {
                let _ = match cell {
                    Cell::Text(text) if text.len() > LONG_TEXT => {
                        write!(self.body, "<td class=\"long\">{}</td>", escape(text))
                    }
                    Cell::Text(text) => write!(self.body, "<td>{}</td>", escape(text)),
                    Cell::Code(text) => {
                        write!(self.body, "<td><code>{}</code></td>", breakable(text))
                    }
                    Cell::Number(text) => {
                        write!(self.body, "<td class=\"number\">{}</td>", escape(text))
                    }
                };
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody>\n</table></div>\n");
    }

    /// What follows is shown on demand, up to [`Page::end_details`].
    pub fn begin_details(&mut self, summary: &str) {
        let _ = writeln!(self.body, "<details><summary>{}</summary>", escape(summary));
    }

    pub fn end_details(&mut self) {
        self.body.push_str("</details>\n");
    }

    /// The runs that the player shows, and the player.
    pub fn replay(&mut self, runs: &[serde_json::Value], player: &Player) {
        let data = in_page(&serde_json::Value::from(runs));
        let _ = write!(
            self.body,
            "<div class=\"replay\" id=\"replay\" tabindex=\"0\" role=\"group\" \
             aria-label=\"Replay\"></div>\n<noscript><p>The replay is made by a script of this page, \
             which may not run here.</p></noscript>\n\
             <script type=\"application/json\" id=\"replay-data\">{data}</script>\n\
             <script>/*<![CDATA[*/\n{}/*]]>*/</script>\n",
            player.script
        );
        self.replay_style =
            format!("{}.replay {{\n{}}}\n{REPLAY_STYLE}", player.colours, player.style);
    }

    /// The report; `origin` says in a line where the figures come from.
    pub fn finish(self, origin: &str) -> Report {
        let mut footer = escape(origin);
        if !self.figures.is_empty() {
            footer.push_str(
                " The figures are also files, in <code>figures/</code> beside this page.",
            );
        }
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <title>{}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n<main>\n{}</main>\n\
             <footer>{footer}</footer>\n</body>\n</html>\n",
            escape(&self.title),
            self.replay_style,
            page_style(),
            self.body
        );
        Report { html, figures: self.figures }
    }
}

/// A name that may be broken after its parts, where the screen is narrow.
fn breakable(text: &str) -> String {
    escape(text).replace('_', "_<wbr/>").replace('.', ".<wbr/>")
}
