//! The cluster token: what every process of a cluster knows, and nobody else.

use crate::random::random_bytes;
use nix::unistd::geteuid;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// The fewest random bytes of a token, and those of one that is made.
pub const TOKEN_BYTES: usize = 32;

/// The largest token file.
const MAX_FILE_BYTES: u64 = 4_096;

/// Others than the owner.
const OTHERS: u32 = 0o077;

/// Others than the group that may read a file of root's: a service's own, or the one that stands
/// for whom a credential of systemd is given to.
const OTHERS_THAN_READERS: u32 = 0o037;

/// A cluster token. It shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

/// What is wrong with a token file.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read or written.
    #[error("token file {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
    /// There is one already.
    #[error("{} is there already, and other processes may have copies: choose another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others can read it.
    #[error(
        "{} can be read by others (mode {mode:04o}): run chmod 600 {}",
        path.display(), path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no token.
    #[error(
        "token file {}: {problem}; make one with: manager token --out FILE", path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong. It shows nothing of the content.
        problem: String,
    },
}

impl Token {
    /// The token of a file.
    ///
    /// # Errors
    /// When others can read the file, or it holds no token.
    pub fn read(path: &Path) -> Result<Token, TokenError> {
        let content = |problem: &str| TokenError::Content {
            path: path.to_owned(),
            problem: problem.to_owned(),
        };
        let text = read_private(path, MAX_FILE_BYTES)?;
        Token::of_text(&text).map_err(content)
    }

    /// Makes a token and writes it to a file that was not there, for its owner alone.
    ///
    /// # Errors
    /// When the file cannot be written, or is there already.
    pub fn create(path: &Path) -> Result<Token, TokenError> {
        let token = Token(random_bytes::<TOKEN_BYTES>().to_vec());
        let text = format!("{}\n", hex::encode(&token.0));
        let path = || path.to_owned();
        write_private(&path(), text.as_bytes()).map_err(|problem| match problem.kind() {
            io::ErrorKind::AlreadyExists => TokenError::Exists { path: path() },
            _ => TokenError::File { path: path(), problem },
        })?;
        Ok(token)
    }

    /// The token that is written so: hexadecimal digits.
    ///
    /// # Errors
    /// In words, without what was seen.
    pub fn of_text(text: &str) -> Result<Token, &'static str> {
        let bytes = hex::decode(text.trim()).map_err(|_| "it is not made of hexadecimal digits")?;
        if bytes.len() < TOKEN_BYTES {
            return Err("it has fewer than 64 hexadecimal digits, 32 random bytes");
        }
        Ok(Token(bytes))
    }

    /// Whether both are the same, found out in a time that tells nothing.
    pub fn is(&self, other: &Token) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

/// The text of a file that nobody but its owner can read.
pub(crate) fn read_private(path: &Path, most: u64) -> Result<String, TokenError> {
    let failed = |problem| TokenError::File { path: path.to_owned(), problem };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    let mode = metadata.mode() & 0o7777;
    if is_open(mode, metadata.uid(), geteuid().as_raw()) {
        return Err(TokenError::Open { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(most).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Whether others may read a file of `owner` that the user `reader` was given.
fn is_open(mode: u32, owner: u32, reader: u32) -> bool {
    let others = if owner == 0 && reader != 0 { OTHERS_THAN_READERS } else { OTHERS };
    mode & others != 0
}

/// Writes a file that was not there, for its owner alone.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    #[test]
    fn a_token_that_was_made_is_read_again_and_is_no_other() {
        let directory = TempDir::new().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        let made = Token::create(&one).unwrap();
        assert!(Token::read(&one).unwrap().is(&made));
        assert!(!Token::create(&two).unwrap().is(&made));
        assert_eq!(fs::metadata(&one).unwrap().mode() & 0o777, 0o600);
        let again = Token::create(&one).unwrap_err().to_string();
        assert!(again.contains("one is there already"), "{again}");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_what_mends_it() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        Token::create(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = Token::read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("(mode {mode:04o}): run chmod 600 ")), "{error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        assert!(Token::read(&path).is_ok());
    }

    #[test]
    fn root_may_give_a_file_to_the_group_of_a_service() {
        let (root, service, another) = (0, 61_000, 61_001);
        assert!(!is_open(0o440, root, service) && !is_open(0o640, root, service));
        for mode in [0o444, 0o660, 0o641] {
            assert!(is_open(mode, root, service), "{mode:o}");
        }
        assert!(is_open(0o440, root, root) && is_open(0o440, service, service));
        assert!(is_open(0o440, another, service) && !is_open(0o400, another, service));
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("token");
        for content in ["", "secret-word", &"ab".repeat(31), &"ab".repeat(3_000)] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let outcome = Token::read(&path);
            if content.len() > 4_096 {
                // What is beyond the limit is not read.
                assert!(outcome.is_ok());
                continue;
            }
            let error = outcome.unwrap_err();
            assert!(error.to_string().contains("manager token --out"), "{error}");
            let shown = format!("{error} {error:?}");
            assert!(content.is_empty() || !shown.contains(content), "{shown}");
        }
        assert!(Token::read(directory.path()).is_err());
        assert_eq!(format!("{:?}", Token::of_text(&"ab".repeat(32)).unwrap()), "Token(..)");
    }
}
