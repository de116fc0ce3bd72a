//! Scripts: files of commands, and piped input, which is one.

use crate::grammar::{MAX_LINE_BYTES, Parsed, parse_line};
use crate::manager::Manager;
use crate::reply::{CommandError, Reply};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

/// How deep scripts may run scripts.
pub const MAX_SCRIPT_DEPTH: usize = 8;

/// Lines, and what they are called in errors.
pub struct ScriptSource<R> {
    lines: R,
    file: Option<PathBuf>,
    number: u64,
}

impl<R: AsyncBufRead + Unpin> ScriptSource<R> {
    /// Lines without a name.
    pub fn unnamed(lines: R) -> Self {
        ScriptSource { lines, file: None, number: 0 }
    }

    /// The next line, without its end; `None` after the last.
    async fn next(&mut self) -> Result<Option<String>, CommandError> {
        let mut line = Vec::new();
        // One byte more than allowed, so that a line that is too long is seen to be.
        let limit = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut self.lines).take(limit).read_until(b'\n', &mut line).await;
        match read {
            Ok(0) => Ok(None),
            Ok(_) => {
                self.number += 1;
                Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()))
            }
            Err(error) => {
                let file = self.file.clone().unwrap_or_else(|| PathBuf::from("standard input"));
                Err(CommandError::Unreadable { file, problem: error.to_string() })
            }
        }
    }

    fn at_line(&self, error: CommandError) -> CommandError {
        CommandError::Line { file: self.file.clone(), number: self.number, error: Box::new(error) }
    }
}

impl ScriptSource<BufReader<File>> {
    /// The lines of a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn open(file: &Path) -> Result<Self, CommandError> {
        match File::open(file).await {
            Ok(lines) => Ok(ScriptSource {
                lines: BufReader::new(lines),
                file: Some(file.to_owned()),
                number: 0,
            }),
            Err(error) => {
                Err(CommandError::Unreadable { file: file.to_owned(), problem: error.to_string() })
            }
        }
    }
}

impl Manager {
    /// Carries out lines until one fails, the last is reached, or one of them is `quit`. Each reply
    /// goes to `each`.
    ///
    /// # Errors
    /// The first line that failed, by its number.
    pub async fn run_script<R: AsyncBufRead + Unpin + Send>(
        &self,
        mut source: ScriptSource<R>,
        depth: usize,
        mut each: impl FnMut(&Reply) + Send,
    ) -> Result<(), CommandError> {
        if depth > MAX_SCRIPT_DEPTH {
            return Err(CommandError::TooDeep { limit: MAX_SCRIPT_DEPTH });
        }
        while let Some(line) = source.next().await? {
            let reply = match parse_line(&line) {
                Ok(Parsed::Nothing) => continue,
                Ok(Parsed::Help(text)) => Ok(Reply::help(text)),
                Ok(Parsed::Command(command)) => self.execute(command, depth).await,
                Err(error) => Err(error.into()),
            };
            each(&reply.map_err(|error| source.at_line(error))?);
            if self.is_quitting() {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn script_command(
        &self,
        file: PathBuf,
        depth: usize,
    ) -> Result<Reply, CommandError> {
        let source = ScriptSource::open(&file).await?;
        let mut replies: Vec<Reply> = Vec::new();
        self.run_script(source, depth + 1, |reply| replies.push(reply.clone())).await?;
        let texts: Vec<&str> = replies
            .iter()
            .map(|reply| reply.text.as_str())
            .filter(|text| !text.is_empty())
            .collect();
        let json: Vec<&Value> = replies.iter().map(|reply| &reply.json).collect();
        Ok(Reply::new(texts.join("\n"), json!({ "replies": json })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_numbered_from_one_and_their_ends_do_not_count() {
        let mut source = ScriptSource::unnamed(&b"status\r\n\nquit"[..]);
        let mut lines = Vec::new();
        while let Some(line) = source.next().await.unwrap() {
            lines.push((source.number, line));
        }
        let expected = [(1, "status"), (2, ""), (3, "quit")];
        assert_eq!(lines, expected.map(|(number, line)| (number, line.to_owned())));
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_where_the_grammar_refuses_it() {
        let endless = vec![b'x'; 10 * MAX_LINE_BYTES];
        let mut source = ScriptSource::unnamed(&endless[..]);
        let line = source.next().await.unwrap().unwrap();
        assert!(parse_line(&line).is_err());
    }
}
