//! The lines of a recording, parsed by hand from a large buffer.

use super::super::{MalformedLine, WorkloadError};
use flate2::read::MultiGzDecoder;
use lazycopy_units::PAGE_BYTES;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

/// Bytes read at a time; also the longest line. Lackey's own lines have under 30 bytes, but a
/// line that begins with `==` shows the whole command.
const BUFFER_BYTES: usize = 1 << 18;

/// The largest single reference that is believed: no instruction touches more than a page, and so
/// none touches more than two.
const MAX_REFERENCE_BYTES: u64 = PAGE_BYTES;

/// What every gzip file begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Bytes of a broken line that an error shows.
const SHOWN_BYTES: usize = 60;

/// What one line tells.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    /// Address of the first byte.
    pub(super) first: u64,
    /// Address of the last byte.
    pub(super) last: u64,
    /// Whether an instruction is fetched.
    pub(super) instruction: bool,
    /// Whether it writes.
    pub(super) write: bool,
}

/// The references of a file in their order.
pub(super) struct Lines {
    file: PathBuf,
    compressed: bool,
    input: Box<dyn Read + Send>,
    buffer: Box<[u8]>,
    /// The next line begins here.
    start: usize,
    /// Every line before this is whole.
    whole: usize,
    /// Filled up to here.
    end: usize,
    /// Number of the line that was read last, from 1.
    line: u64,
}

impl Lines {
    pub(super) fn open(file: &Path) -> Result<Self, WorkloadError> {
        let unreadable =
            |problem: String| WorkloadError::Unreadable { file: file.to_owned(), problem };
        let failed = |error: std::io::Error| unreadable(error.to_string());
        let mut opened = File::open(file).map_err(failed)?;
        if !opened.metadata().map_err(failed)?.is_file() {
            return Err(unreadable("it is no regular file, and cannot be read again".to_owned()));
        }
        let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
        (&mut opened).take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
        opened.rewind().map_err(failed)?;
        let compressed = magic == GZIP_MAGIC;
        let input: Box<dyn Read + Send> = if compressed {
            Box::new(MultiGzDecoder::new(std::io::BufReader::with_capacity(1 << 16, opened)))
        } else {
            Box::new(opened)
        };
        Ok(Lines {
            file: file.to_owned(),
            compressed,
            input,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            whole: 0,
            end: 0,
            line: 0,
        })
    }

    /// An error about the line that was read last.
    pub(super) fn malformed(&self, problem: String) -> WorkloadError {
        self.malformed_and_shown(problem, String::new())
    }

    /// As [`Lines::malformed`], about the first line of `text`, of which the error shows something.
    #[cold]
    fn malformed_line(&self, text: &[u8], problem: &str) -> WorkloadError {
        self.malformed_and_shown(problem.to_owned(), shown(text))
    }

    fn malformed_and_shown(&self, problem: String, shown: String) -> WorkloadError {
        let (file, line) = (self.file.clone(), self.line);
        WorkloadError::Malformed(Box::new(MalformedLine { file, line, problem, shown }))
    }

    /// The next reference; `None` at the end of the file.
    #[inline]
    pub(super) fn next_reference(&mut self) -> Result<Option<Reference>, WorkloadError> {
        loop {
            if self.start == self.whole && !self.refill()? {
                return Ok(None);
            }
            let text = &self.buffer[self.start..self.whole];
            self.line += 1;
            match parse(text) {
                Ok((reference, length)) => {
                    self.start += length;
                    return Ok(Some(reference));
                }
                Err(_) if text.starts_with(b"==") => self.start += line_length(text),
                Err(problem) => return Err(self.malformed_line(text, problem)),
            }
        }
    }

    /// Reads on until a whole line is there; false at the end of the file.
    fn refill(&mut self) -> Result<bool, WorkloadError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.end, self.start, self.whole) = (self.end - self.start, 0, 0);
        while self.end < self.buffer.len() {
            let filled = self.end;
            let count = match self.input.read(&mut self.buffer[filled..]) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreadable(&error)),
            };
            if count == 0 {
                return self.finish();
            }
            self.end += count;
            let fresh = &self.buffer[filled..self.end];
            if let Some(last) = fresh.iter().rposition(|byte| *byte == b'\n') {
                self.whole = filled + last + 1;
                return Ok(true);
            }
        }
        self.line += 1;
        Err(self.malformed(format!("the line is longer than {BUFFER_BYTES} bytes")))
    }

    /// The file has ended: nothing may be left, but for a last line of the tool's own.
    fn finish(&mut self) -> Result<bool, WorkloadError> {
        let rest = &self.buffer[..self.end];
        if rest.is_empty() || rest.starts_with(b"==") {
            self.end = 0;
            return Ok(false);
        }
        self.line += 1;
        Err(self.malformed_line(rest, "the file ends in the middle of this line"))
    }

    fn unreadable(&self, error: &std::io::Error) -> WorkloadError {
        let problem = if self.compressed {
            format!("after line {}, the gzip data is broken or cut off: {error}", self.line)
        } else {
            error.to_string()
        };
        WorkloadError::Unreadable { file: self.file.clone(), problem }
    }
}

/// Bytes of the first line of `text`, its line feed included.
fn line_length(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1)
}

/// The first line of `text`, as an error shows it.
fn shown(text: &[u8]) -> String {
    let line = &text[..line_length(text)];
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]);
    let more = if line.len() > SHOWN_BYTES { "..." } else { "" };
    format!(": \"{}{more}\"", shown.escape_debug())
}

/// The first line of `text`, which ends in a line feed, and the line's length.
#[inline]
fn parse(text: &[u8]) -> Result<(Reference, usize), &'static str> {
    let (instruction, write) = match text {
        [b'I', b' ', b' ', ..] => (true, false),
        [b' ', b'L', b' ', ..] => (false, false),
        [b' ', b'S' | b'M', b' ', ..] => (false, true),
        _ => {
            return Err("expected \"I  addr,size\", \" L addr,size\", \" S addr,size\" or \
                        \" M addr,size\" (what the program itself prints stays out with \
                        valgrind's --log-file)");
        }
    };
    let mut at = 3;
    let mut first = 0u64;
    while let Some(digit) = hex_digit(text[at]) {
        first = first << 4 | digit;
        at += 1;
    }
    if !(4..=3 + 16).contains(&at) || text[at] != b',' {
        return Err("the address is no hexadecimal number of at most 16 digits before a comma");
    }
    at += 1;
    let mut size = 0u64;
    while text[at].is_ascii_digit() {
        size = size.saturating_mul(10).saturating_add(u64::from(text[at] - b'0'));
        at += 1;
    }
    if text[at] != b'\n' || text[at - 1] == b',' {
        return Err("the size is no decimal number at the end of the line");
    }
    if !(1..=MAX_REFERENCE_BYTES).contains(&size) {
        return Err("the size is outside 1 to 4096");
    }
    let Some(last) = first.checked_add(size - 1) else {
        return Err("the reference reaches beyond the last address");
    };
    Ok((Reference { first, last, instruction, write }, at + 1))
}

#[inline]
fn hex_digit(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some(u64::from(byte - b'0')),
        b'a'..=b'f' => Some(u64::from(byte - b'a' + 10)),
        b'A'..=b'F' => Some(u64::from(byte - b'A' + 10)),
        _ => None,
    }
}
