//! Printing while a line is being edited, above bars, and not over a live picture.

use indicatif::MultiProgress;
use rustyline::ExternalPrinter;
use std::collections::VecDeque;
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
    /// From now on nothing is printed, but kept.
    Hold,
    /// What was kept is printed.
    Release,
}

/// Prints through the line editor, from a thread of its own.
pub struct Printer {
    items: SyncSender<Item>,
    left_out: AtomicU64,
    bars: MultiProgress,
}

impl Printer {
    /// A printer that prints above the line being edited, and above `bars`.
    pub fn start(printer: impl ExternalPrinter + Send + 'static, bars: MultiProgress) -> Self {
        let (items, waiting) = sync_channel(MAX_WAITING);
        let above = bars.clone();
        std::thread::spawn(move || print_all(printer, &waiting, &above));
        Printer { items, left_out: AtomicU64::new(0), bars }
    }

    /// What is drawn below what is printed.
    pub fn bars(&self) -> MultiProgress {
        self.bars.clone()
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

    /// Keeps what is to be printed until the guard is dropped: the screen shows something else.
    pub fn hold(&self) -> Held<'_> {
        self.flush();
        let _ = self.items.send(Item::Hold);
        Held(self)
    }

    /// Waits until all that was to be printed is printed, but not for long.
    pub fn flush(&self) {
        let (printed, all_printed) = sync_channel(1);
        if self.items.try_send(Item::Flush(printed)).is_ok() {
            let _ = all_printed.recv_timeout(FLUSH_DEADLINE);
        }
    }
}

/// As long as it is there, nothing is printed.
pub struct Held<'a>(&'a Printer);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.0.items.send(Item::Release);
    }
}

/// What is kept while something else is on the screen, the newest of it.
#[derive(Default)]
struct Kept {
    texts: VecDeque<String>,
    left_out: u64,
}

impl Kept {
    fn add(&mut self, text: String) {
        if self.texts.len() == MAX_WAITING {
            self.texts.pop_front();
            self.left_out += 1;
        }
        self.texts.push_back(text);
    }

    fn all(self) -> String {
        let before = match self.left_out {
            0 => String::new(),
            left_out => format!("({left_out} texts were left out)\n"),
        };
        before + &String::from_iter(self.texts)
    }
}

fn print_all(mut printer: impl ExternalPrinter, waiting: &Receiver<Item>, bars: &MultiProgress) {
    let mut kept: Option<Kept> = None;
    for item in waiting {
        let text = match (item, &mut kept) {
            (Item::Text(text), Some(kept)) => {
                kept.add(text);
                continue;
            }
            (Item::Text(text), None) => text,
            (Item::Flush(printed), _) => {
                let _ = printed.send(());
                continue;
            }
            (Item::Hold, _) => {
                kept.get_or_insert_default();
                continue;
            }
            (Item::Release, _) => kept.take().map(Kept::all).unwrap_or_default(),
        };
        if !text.is_empty() && bars.suspend(|| printer.print(text)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::ProgressDrawTarget;
    use std::sync::{Arc, Mutex};

    struct Paper(Arc<Mutex<String>>);

    impl ExternalPrinter for Paper {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            self.0.lock().unwrap().push_str(&text);
            Ok(())
        }
    }

    #[test]
    fn what_is_held_is_printed_afterwards_in_its_order() {
        let paper = Arc::new(Mutex::new(String::new()));
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let printer = Printer::start(Paper(Arc::clone(&paper)), bars);
        printer.print("one");
        let held = printer.hold();
        printer.print("two");
        printer.print("three");
        printer.flush();
        assert_eq!(*paper.lock().unwrap(), "one\n");
        drop(held);
        printer.flush();
        assert_eq!(*paper.lock().unwrap(), "one\ntwo\nthree\n");
    }
}
