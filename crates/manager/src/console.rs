//! Where the manager prints.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes what is to be printed, one or more whole lines at a time. Clones print to one place.
#[derive(Clone)]
pub struct Console {
    print: Arc<Mutex<dyn FnMut(&str) + Send>>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

impl Console {
    /// A console that hands each text to `print`.
    pub fn new(print: impl FnMut(&str) + Send + 'static) -> Self {
        Console { print: Arc::new(Mutex::new(print)) }
    }

    /// Standard output. What nobody reads any more is dropped.
    pub fn stdout() -> Self {
        Console::new(|text| {
            let mut stdout = std::io::stdout().lock();
            let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        })
    }

    /// Nowhere.
    pub fn silent() -> Self {
        Console::new(|_| {})
    }

    /// Prints a text; a line break at its end is added. Nothing is printed for an empty one.
    pub fn print(&self, text: &str) {
        if !text.is_empty() {
            (self.print.lock().unwrap_or_else(PoisonError::into_inner))(text);
        }
    }
}
