//! The moments that stand out, as lines through all that is drawn, with their names above.

use super::{Plot, WIDTH, nanos};
use crate::history::History;
use crate::scale::Scale;
use crate::svg::{Anchor, text_width};

/// Distance of the rows in which the names stand.
pub(super) const NAME_ROW: f64 = 17.0;

/// Moments with a line of their own; of more (a guest slowed down again and again) the later ones
/// are in the table alone.
const MOST_MOMENTS: usize = 14;

/// Moments with their names, in rows so that no name covers another.
pub(super) struct Moments {
    /// Place, row and name.
    placed: Vec<(f64, usize, String)>,
    /// How many rows there are.
    pub rows: usize,
}

impl Moments {
    pub fn of(history: &History, time: Scale) -> Moments {
        let mut merged: Vec<(f64, String)> = Vec::new();
        for (at, name) in &history.milestones {
            let place = time.place(nanos(*at));
            match merged.last_mut() {
                Some((last, names)) if place - *last < 1.0 => {
                    names.push_str(", ");
                    names.push_str(name);
                }
                _ => merged.push((place, name.clone())),
            }
        }
        merged.truncate(MOST_MOMENTS);
        let mut free_from: Vec<f64> = Vec::new();
        let mut placed = Vec::new();
        for (place, name) in merged {
            let start = name_start(place, &name);
            let row = free_from.iter().position(|free| *free <= start).unwrap_or(free_from.len());
            if row == free_from.len() {
                free_from.push(0.0);
            }
            free_from[row] = start + text_width(&name) + 10.0;
            placed.push((place, row, name));
        }
        Moments { placed, rows: free_from.len() }
    }
}

/// A name begins at its line, or ends at it where it would leave the paper.
fn name_start(place: f64, name: &str) -> f64 {
    let width = text_width(name) + 4.0;
    if ends_at_line(place, name) { place - width } else { place }
}

fn ends_at_line(place: f64, name: &str) -> bool {
    place + text_width(name) + 4.0 > WIDTH - 6.0
}

impl Plot<'_> {
    pub(super) fn moments(&mut self, moments: &Moments, top: f64, bottom: f64) {
        let height = |row: usize| top - 8.0 - (moments.rows - 1 - row) as f64 * NAME_ROW;
        for (place, row, _) in &moments.placed {
            self.drawing.line("moment", (*place, height(*row) - 11.0), (*place, bottom));
        }
        for (place, row, name) in &moments.placed {
            let (anchor, x) = match ends_at_line(*place, name) {
                true => (Anchor::End, place - 4.0),
                false => (Anchor::Start, place + 4.0),
            };
            self.drawing.text("tick name", (x, height(*row)), anchor, name);
        }
    }
}
