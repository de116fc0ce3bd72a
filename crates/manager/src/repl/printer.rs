//! Printing while a line is being edited.

use rustyline::ExternalPrinter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Texts that wait to be printed; further ones are counted and left out, so that a terminal that
/// has been stopped (Ctrl-S) stops nothing else.
const MAX_WAITING: usize = 4_096;

/// How long a flush waits for a terminal.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);

enum Item {
    Text(String),
    Flush(SyncSender<()>),
}

/// Prints through the line editor, from a thread of its own.
pub struct Printer {
    items: SyncSender<Item>,
    left_out: AtomicU64,
}

impl Printer {
    /// A printer that prints above the line being edited.
    pub fn start(printer: impl ExternalPrinter + Send + 'static) -> Self {
        let (items, waiting) = sync_channel(MAX_WAITING);
        std::thread::spawn(move || print_all(printer, &waiting));
        Printer { items, left_out: AtomicU64::new(0) }
    }

    /// Prints a text and a line break, some time.
    pub fn print(&self, text: &str) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        let text = match left_out {
            0 => format!("{text}\n"),
            _ => format!("({left_out} texts were left out)\n{text}\n"),
        };
        if let Err(TrySendError::Full(_)) = self.items.try_send(Item::Text(text)) {
            self.left_out.fetch_add(left_out + 1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was to be printed is printed, but not for long.
    pub fn flush(&self) {
        let (printed, all_printed) = sync_channel(1);
        if self.items.try_send(Item::Flush(printed)).is_ok() {
            let _ = all_printed.recv_timeout(FLUSH_DEADLINE);
        }
    }
}

fn print_all(mut printer: impl ExternalPrinter, waiting: &Receiver<Item>) {
    for item in waiting {
        match item {
            Item::Text(text) => {
                if printer.print(text).is_err() {
                    return;
                }
            }
            Item::Flush(printed) => {
                let _ = printed.send(());
            }
        }
    }
}
