//! A line of text in pieces, each with its style.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// A line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Line(Vec<(String, Style)>);

impl Line {
    /// A line in the terminal's own colour.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Line(vec![(text.into(), Style::new())])
    }

    /// A line in one style.
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Line(vec![(text.into(), style)])
    }

    /// Adds a piece.
    pub(crate) fn push(&mut self, text: impl Into<String>, style: Style) {
        self.0.push((text.into(), style));
    }

    /// Adds another line's pieces.
    pub(crate) fn append(&mut self, mut other: Line) {
        self.0.append(&mut other.0);
    }

    /// Columns that it takes.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.width()).sum()
    }

    /// The same with blanks up to that column.
    pub(crate) fn padded(mut self, width: usize) -> Self {
        let missing = width.saturating_sub(self.width());
        self.push(" ".repeat(missing), Style::new());
        self
    }

    /// What of it fits into so many columns; where something does not, dots say so.
    pub(crate) fn cut(self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let (mut line, mut left) = (Line::default(), width.saturating_sub(1));
        for (text, style) in self.0 {
            let mut piece = String::new();
            for letter in text.chars() {
                let takes = letter.to_string().width();
                if takes > left {
                    left = 0;
                    break;
                }
                left -= takes;
                piece.push(letter);
            }
            line.push(piece, style);
            if left == 0 {
                break;
            }
        }
        line.push("…", Style::new());
        line
    }

    /// Its words without colours.
    pub(crate) fn text(&self) -> String {
        let text: String = self.0.iter().map(|(text, _)| text.as_str()).collect();
        text.trim_end().to_owned()
    }

    /// Its words with colours.
    pub(crate) fn painted(&self) -> String {
        let piece = |(text, style): &(String, Style)| format!("{style}{text}{style:#}");
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstyle::AnsiColor;

    #[test]
    fn a_line_is_cut_where_the_room_ends() {
        let mut line = Line::plain("guest ");
        line.push("växer", AnsiColor::Blue.on_default());
        assert_eq!(line.clone().cut(11).text(), "guest växer");
        assert_eq!(line.clone().cut(9).text(), "guest vä…");
        assert_eq!(line.clone().cut(1).text(), "…");
        assert_eq!(line.padded(13).width(), 13);
    }
}
