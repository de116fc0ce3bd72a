//! Guests whose memory somebody has chosen to see, whatever their names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Choices that are shown at once, the newest: as many large memories leave half the cells of a
/// picture to guests that migrate.
const MAX_PICKED: usize = 4;

/// What those who look have chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picks {
    chosen: Arc<Mutex<Chosen>>,
}

#[derive(Debug, Default)]
struct Chosen {
    /// Choices so far.
    number: u64,
    guests: BTreeMap<u64, String>,
}

/// A choice. It counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Pick {
    number: u64,
    picks: Picks,
}

impl Picks {
    /// Somebody chooses that guest, which need not be there yet.
    pub(crate) fn pick(&self, vm: &str) -> Pick {
        let mut chosen = self.chosen();
        chosen.number += 1;
        let number = chosen.number;
        chosen.guests.insert(number, vm.to_owned());
        Pick { number, picks: self.clone() }
    }

    /// The guests of the newest choices, each once.
    pub(crate) fn newest(&self) -> Vec<String> {
        let mut newest: Vec<String> = Vec::new();
        for vm in self.chosen().guests.values().rev() {
            if !newest.contains(vm) {
                newest.push(vm.clone());
            }
            if newest.len() == MAX_PICKED {
                break;
            }
        }
        newest
    }

    fn chosen(&self) -> MutexGuard<'_, Chosen> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.picks.chosen().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_choices_count_as_long_as_somebody_looks() {
        let picks = Picks::default();
        assert!(picks.newest().is_empty());
        let mut looking: Vec<Pick> =
            ["a", "b", "c", "b", "d", "e"].iter().map(|vm| picks.pick(vm)).collect();
        assert_eq!(picks.newest(), ["e", "d", "b", "c"]);
        looking.pop();
        assert_eq!(picks.newest(), ["d", "b", "c", "a"]);
        drop(looking);
        assert!(picks.newest().is_empty());
    }
}
