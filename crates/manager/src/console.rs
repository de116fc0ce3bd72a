//! Where the manager prints.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

type Print = dyn FnMut(&str) + Send;

/// Takes what is to be printed, one or more whole lines at a time. Clones print to one place.
#[derive(Clone)]
pub struct Console {
    print: Arc<Mutex<Print>>,
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
        Console { print: Arc::new(Mutex::new(print)), problem: Arc::default() }
    }

    /// Standard output. What nobody reads any more is dropped.
    pub fn stdout() -> Self {
        Console::writing_to(io::stdout())
    }

    fn writing_to(mut output: impl Write + Send + 'static) -> Self {
        let problem: Arc<OnceLock<io::Error>> = Arc::default();
        let first = Arc::clone(&problem);
        let print = move |text: &str| match writeln!(output, "{text}").and_then(|()| output.flush())
        {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => drop(first.set(error)),
            _ => {}
        };
        Console { print: Arc::new(Mutex::new(print)), problem }
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
        if !text.is_empty() {
            (self.print.lock().unwrap_or_else(PoisonError::into_inner))(text);
        }
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
