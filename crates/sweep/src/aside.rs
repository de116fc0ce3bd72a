//! How files get to where they belong whole: written aside, and renamed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{Builder, TempPath};

/// The end of the name of a file that is being written. Its name begins with a dot.
const PARTIAL: &str = ".partial";

/// The system refuses to write a file aside, or to give it its name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub struct AsideError {
    /// The file as it is to be named.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> AsideError {
    let path = path.to_owned();
    |error| AsideError { path, error }
}

/// A file that is written aside. It gets its name when it is whole; dropped before, it is gone.
#[derive(Debug)]
pub struct Aside {
    file: BufWriter<File>,
    aside: TempPath,
    path: PathBuf,
}

impl Aside {
    /// The file that will be `directory/name`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(directory: &Path, name: &str) -> Result<Aside, AsideError> {
        let path = directory.join(name);
        let mut builder = Builder::new();
        let prefix = format!(".{name}.");
        builder.prefix(&prefix).suffix(PARTIAL);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file: other users of a shared directory may read it.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(directory).map_err(failed(&path))?;
        let (file, aside) = file.into_parts();
        Ok(Aside { file: BufWriter::new(file), aside, path })
    }

    /// Adds to it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), AsideError> {
        self.file.write_all(bytes).map_err(failed(&self.path))
    }

    /// Gives it its name, in place of what is there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn keep(self) -> Result<(), AsideError> {
        self.whole()?.keep()
    }

    /// Closes it: it is whole, and waits for its name.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn whole(mut self) -> Result<Whole, AsideError> {
        self.file.flush().map_err(failed(&self.path))?;
        Ok(Whole { aside: self.aside, path: self.path })
    }

    /// The same, after the disk has it: the machine may fail now.
    pub(crate) fn keep_for_good(mut self) -> Result<(), AsideError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(failed(&self.path))?;
        self.keep()
    }

    /// Gives it its name unless that is taken.
    pub(crate) fn keep_if_new(mut self) -> Result<(), AsideError> {
        self.file.flush().map_err(failed(&self.path))?;
        match self.aside.persist_noclobber(&self.path) {
            Ok(()) => Ok(()),
            // Who was first may have cleared away what waited here for the same name.
            Err(_) if self.path.exists() => Ok(()),
            Err(error) => Err(failed(&self.path)(error.error)),
        }
    }
}

/// A file that is whole and waits for its name; dropped before, it is gone.
#[derive(Debug)]
pub struct Whole {
    aside: TempPath,
    path: PathBuf,
}

impl Whole {
    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, in place of what is there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn keep(self) -> Result<(), AsideError> {
        self.aside.persist(&self.path).map_err(|error| failed(&self.path)(error.error))
    }
}

pub(crate) fn is_leftover(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL)
}

/// Removes the files of a directory that were being written when their process was killed: those
/// that were to have a name which `are_ours` takes for ours. Nobody may be writing them now.
///
/// # Errors
/// When the system refuses.
pub fn remove_leftovers(
    directory: &Path,
    are_ours: impl Fn(&str) -> bool,
) -> Result<(), AsideError> {
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let path = entry.map_err(failed(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if intended_name(&name).is_some_and(&are_ours) {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
    }
    Ok(())
}

/// The name that a file which is being written is to have.
fn intended_name(name: &str) -> Option<&str> {
    let (intended, _random) = name.strip_prefix('.')?.strip_suffix(PARTIAL)?.rsplit_once('.')?;
    Some(intended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_not_kept_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let mut aside = Aside::create(directory.path(), "7.jsonl").unwrap();
        aside.write(b"half of a li").unwrap();
        let name = &names(directory.path())[0];
        assert!(is_leftover(name));
        assert_eq!(intended_name(name), Some("7.jsonl"));
        drop(aside);
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn what_is_kept_replaces_what_was_there_and_what_is_new_does_not() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["one", "two"] {
            let mut aside = Aside::create(directory.path(), "a").unwrap();
            aside.write(text.as_bytes()).unwrap();
            aside.keep_for_good().unwrap();
        }
        let mut aside = Aside::create(directory.path(), "a").unwrap();
        aside.write(b"three").unwrap();
        aside.keep_if_new().unwrap();
        assert_eq!(fs::read(directory.path().join("a")).unwrap(), b"two");
        assert_eq!(names(directory.path()), ["a"]);
    }

    #[test]
    fn leftovers_are_removed_by_the_names_that_they_were_to_have() {
        let directory = tempfile::tempdir().unwrap();
        let there = ["a", ".a.x.partial", ".b.x.partial", ".a.x", "a.x.partial", ".a.1.2.partial"];
        for name in there {
            fs::write(directory.path().join(name), "").unwrap();
        }
        remove_leftovers(directory.path(), |name| name == "a").unwrap();
        let mut left = names(directory.path());
        left.sort();
        assert_eq!(left, [".a.1.2.partial", ".a.x", ".b.x.partial", "a", "a.x.partial"]);
    }
}
