//! The pool: which guests are here, and whose frames are taken.

use crate::vm::{Request, Status};
use lazycopy_protocol::control::VmSummary;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The most guests of a server, so that a list of them fits a frame several times over.
pub(crate) const MAX_VMS: usize = 4_096;

/// A guest's place in the pool.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Where its task takes requests.
    pub(crate) requests: mpsc::Sender<Request>,
    /// What its task last told of itself.
    pub(crate) status: Arc<Status>,
    /// Frames that it holds now; none while it is stopped.
    held: u64,
}

/// The guests of a server by name, and the account of its frames.
#[derive(Debug)]
pub(crate) struct Pool {
    server: String,
    frames: u64,
    entries: BTreeMap<String, Entry>,
}

impl Pool {
    pub(crate) fn new(server: String, frames: u64) -> Self {
        Pool { server, frames, entries: BTreeMap::new() }
    }

    /// Frames that guests hold.
    pub(crate) fn taken(&self) -> u64 {
        self.entries.values().map(|entry| entry.held).sum()
    }

    /// Takes a guest in, with its frames.
    ///
    /// # Errors
    /// In words, when its name is taken or it does not fit.
    pub(crate) fn admit(
        &mut self,
        vm: &str,
        frames: u64,
        requests: mpsc::Sender<Request>,
        status: Arc<Status>,
    ) -> Result<(), String> {
        if self.entries.contains_key(vm) {
            return Err(format!("server \"{}\" has a guest \"{vm}\" already", self.server));
        }
        if self.entries.len() >= MAX_VMS {
            return Err(format!("server \"{}\" has {MAX_VMS} guests, the most", self.server));
        }
        self.check_room(vm, frames)?;
        self.entries.insert(vm.to_owned(), Entry { requests, status, held: frames });
        Ok(())
    }

    fn check_room(&self, vm: &str, frames: u64) -> Result<(), String> {
        let free = self.frames - self.taken();
        if frames > free {
            return Err(format!(
                "guest \"{vm}\" needs {frames} frames, server \"{}\" has {free} of its {} free",
                self.server, self.frames
            ));
        }
        Ok(())
    }

    /// A guest that was stopped takes its frames again.
    ///
    /// # Errors
    /// In words, when it does not fit any more.
    pub(crate) fn take_frames(&mut self, vm: &str, frames: u64) -> Result<(), String> {
        if self.entries.get(vm).is_some_and(|entry| entry.held == frames) {
            return Ok(());
        }
        self.check_room(vm, frames)?;
        if let Some(entry) = self.entries.get_mut(vm) {
            entry.held = frames;
        }
        Ok(())
    }

    /// A guest gives its frames back and stays.
    pub(crate) fn release_frames(&mut self, vm: &str) {
        if let Some(entry) = self.entries.get_mut(vm) {
            entry.held = 0;
        }
    }

    /// Forgets a guest.
    pub(crate) fn remove(&mut self, vm: &str) {
        self.entries.remove(vm);
    }

    /// A guest's place.
    ///
    /// # Errors
    /// In words, when there is no such guest.
    pub(crate) fn entry(&self, vm: &str) -> Result<&Entry, String> {
        self.entries
            .get(vm)
            .ok_or_else(|| format!("server \"{}\" has no guest \"{vm}\"", self.server))
    }

    /// All guests, by name.
    pub(crate) fn summaries(&self) -> Vec<VmSummary> {
        self.entries.values().map(|entry| entry.status.summary()).collect()
    }

    /// Names of the guests.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_protocol::control::VmPhase;

    fn status(vm: &str) -> Arc<Status> {
        Arc::new(Status::new(VmSummary {
            vm: vm.to_owned(),
            phase: VmPhase::Created,
            pages: 50,
            frames: 20,
            accesses: 0,
            miss_ratio: None,
            recent_miss_ratio: None,
            real_memory: false,
        }))
    }

    fn admit(pool: &mut Pool, vm: &str, frames: u64) -> Result<(), String> {
        pool.admit(vm, frames, mpsc::channel(1).0, status(vm))
    }

    #[test]
    fn a_guest_that_does_not_fit_is_refused_with_both_numbers() {
        let mut pool = Pool::new("a".to_owned(), 50);
        admit(&mut pool, "one", 20).unwrap();
        let refusal = admit(&mut pool, "two", 31).unwrap_err();
        assert!(refusal.contains("31 frames") && refusal.contains("30 of its 50"), "{refusal}");
        admit(&mut pool, "two", 30).unwrap();
        assert_eq!(pool.taken(), 50);
    }

    #[test]
    fn a_name_is_given_once() {
        let mut pool = Pool::new("a".to_owned(), 50);
        admit(&mut pool, "one", 20).unwrap();
        assert!(admit(&mut pool, "one", 1).unwrap_err().contains("\"one\" already"));
        pool.remove("one");
        admit(&mut pool, "one", 1).unwrap();
    }

    #[test]
    fn a_stopped_guest_holds_no_frames_and_must_fit_again() {
        let mut pool = Pool::new("a".to_owned(), 30);
        admit(&mut pool, "one", 20).unwrap();
        pool.release_frames("one");
        admit(&mut pool, "two", 20).unwrap();
        assert!(pool.take_frames("one", 20).is_err());
        pool.remove("two");
        pool.take_frames("one", 20).unwrap();
        pool.take_frames("one", 20).unwrap();
        assert_eq!(pool.taken(), 20);
    }
}
