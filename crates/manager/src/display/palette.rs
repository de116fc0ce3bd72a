//! Colours: those of Okabe and Ito, as on the page and in reports, in shades that can be read on
//! light and on dark ground. A word or a letter says the same as each of them.

use crate::picture::snapshot::CellCause;
use anstyle::{Ansi256Color, Color, Style};

/// What is well.
pub(crate) const GOOD: Style = of(36);
/// What takes its course.
pub(crate) const UNDER_WAY: Style = of(32);
/// What is to be looked at.
pub(crate) const WARNING: Style = of(172).bold();
/// What went wrong.
pub(crate) const BAD: Style = of(166).bold();
/// What matters less.
pub(crate) const FAINT: Style = of(244);
/// Titles.
pub(crate) const TITLE: Style = Style::new().bold();

const fn of(color: u8) -> Style {
    Style::new().fg_color(Some(Color::Ansi256(Ansi256Color(color))))
}

/// The letter and the colour of a cause.
pub(crate) fn cause(cause: CellCause) -> (&'static str, Style) {
    match cause {
        CellCause::Own => (" ", Style::new()),
        CellCause::Round => ("R", of(74)),
        CellCause::Background => ("B", UNDER_WAY),
        CellCause::Forward => ("F", of(166)),
        CellCause::Demand => ("D", of(169)),
        CellCause::Disk => ("K", of(172)),
    }
}

/// Each cause that has a letter, and its name.
pub(crate) const CAUSES: [(CellCause, &str); 5] = [
    (CellCause::Background, "background"),
    (CellCause::Forward, "forward"),
    (CellCause::Demand, "demand"),
    (CellCause::Disk, "disk"),
    (CellCause::Round, "before the hand-over"),
];
