//! Where the manager prints.

use crate::display::paint;
use indicatif::MultiProgress;
use serde_json::{Value, json};
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

type Print = dyn FnMut(&str) + Send;

/// Takes what is to be printed, one or more whole lines at a time. Clones print to one place.
#[derive(Clone)]
pub struct Console {
    print: Arc<Mutex<Print>>,
    /// Whether texts are printed as notices in JSON.
    is_json: bool,
    /// Why something could not be printed, the first time.
    problem: Arc<OnceLock<io::Error>>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

impl Console {
    /// A console that hands each text to `print`.
    pub fn new(print: impl FnMut(&str) + Send + 'static) -> Self {
        Console { print: Arc::new(Mutex::new(print)), is_json: false, problem: Arc::default() }
    }

    /// Standard output, with colours where it is to have them. What nobody reads any more is
    /// dropped.
    pub fn stdout() -> Self {
        let plain = Console::plain();
        if !paint::has_colours(&io::stdout()) {
            return plain;
        }
        let problem = Arc::clone(&plain.problem);
        let print = move |text: &str| plain.print(&paint::paint(text));
        Console { print: Arc::new(Mutex::new(print)), is_json: false, problem }
    }

    /// Standard output, as it is.
    pub fn plain() -> Self {
        Console::writing_to(io::stdout())
    }

    /// Standard output, for JSON: one document a line. What is printed as text becomes a notice.
    pub fn json() -> Self {
        Console { is_json: true, ..Console::plain() }
    }

    fn writing_to(mut output: impl Write + Send + 'static) -> Self {
        let problem: Arc<OnceLock<io::Error>> = Arc::default();
        let first = Arc::clone(&problem);
        let print = move |text: &str| match writeln!(output, "{text}").and_then(|()| output.flush())
        {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => drop(first.set(error)),
            _ => {}
        };
        Console { print: Arc::new(Mutex::new(print)), is_json: false, problem }
    }

    /// The same, with what is drawn below out of the way while something is printed.
    pub(crate) fn above(self, bars: MultiProgress) -> Self {
        let (is_json, problem) = (self.is_json, Arc::clone(&self.problem));
        let print = move |text: &str| bars.suspend(|| self.put(text));
        Console { print: Arc::new(Mutex::new(print)), is_json, problem }
    }

    /// Why something could not be printed, if anything could not.
    pub fn problem(&self) -> Option<&io::Error> {
        self.problem.get()
    }

    /// Nowhere.
    pub fn silent() -> Self {
        Console::new(|_| {})
    }

    /// Prints a text; a line break at its end is added. Nothing is printed for an empty one.
    pub fn print(&self, text: &str) {
        match self.is_json {
            _ if text.is_empty() => {}
            true => self.print_json(&json!({ "notice": text })),
            false => self.put(text),
        }
    }

    /// Prints a document in a line.
    pub fn print_json(&self, document: &Value) {
        self.put(&document.to_string());
    }

    fn put(&self, text: &str) {
        (self.print.lock().unwrap_or_else(PoisonError::into_inner))(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cannot_be_printed_is_known_but_not_missed_where_nobody_reads() {
        let kept = |kind| {
            let console = Console::writing_to(Refusing(kind));
            console.clone().print("a line");
            console.problem().map(io::Error::kind)
        };
        assert_eq!(kept(ErrorKind::StorageFull), Some(ErrorKind::StorageFull));
        assert_eq!(kept(ErrorKind::BrokenPipe), None);
        assert!(Console::writing_to(Vec::new()).problem().is_none());
    }
}
