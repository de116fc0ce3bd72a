//! Both memories of a migration that runs.

use super::super::line::Line;
use super::memory::{memory, rows_of};
use crate::picture::snapshot::{Cell, CellCause, MemoryView, MigrationView};

/// Both memories of a migration.
pub(super) struct Sides<'a> {
    source: (String, Option<&'a MemoryView>),
    destination: (String, Option<&'a MemoryView>),
}

impl<'a> Sides<'a> {
    pub(super) fn of(migration: &'a MigrationView) -> Self {
        Sides {
            source: (format!("Source {}", migration.source), migration.source_memory.as_ref()),
            destination: (
                format!("Destination {}", migration.destination),
                migration.destination_memory.as_ref(),
            ),
        }
    }

    pub(super) fn views(&self) -> impl Iterator<Item = &'a MemoryView> + use<'a> {
        [self.source.1, self.destination.1].into_iter().flatten()
    }

    /// At the source a page has the cause by which it has left.
    fn draw(&self, columns: usize, (first, second): (usize, usize)) -> (Vec<Line>, Vec<Line>) {
        let left = |cell: &Cell| cell.sent.unwrap_or(CellCause::Own);
        let source = memory(&self.source.0, self.source.1, left, (columns, first));
        let of = |cell: &Cell| cell.cause;
        let destination = memory(&self.destination.0, self.destination.1, of, (columns, second));
        (source, destination)
    }

    /// Next to each other.
    pub(super) fn beside(&self, columns: usize, rows: usize) -> Vec<Line> {
        let half = columns / 2 - 1;
        let (source, destination) = self.draw(half, (rows, rows));
        let count = source.len().max(destination.len());
        let mut source = source.into_iter();
        let mut destination = destination.into_iter();
        (0..count)
            .map(|_| {
                let left = source.next().unwrap_or_default().cut(half);
                let mut line = left.padded(columns - half);
                line.append(destination.next().unwrap_or_default());
                line
            })
            .collect()
    }

    /// One below the other.
    pub(super) fn below(&self, columns: usize, rows: usize) -> Vec<Line> {
        let wanted = (rows_of(self.source.1, columns), rows_of(self.destination.1, columns));
        // What one does not need, the other has.
        let second = wanted.1.min(rows.saturating_sub(wanted.0.min(rows / 2)));
        let first = wanted.0.min(rows - second.min(rows));
        let (mut source, destination) = self.draw(columns, (first, second));
        source.extend(destination);
        source
    }
}
