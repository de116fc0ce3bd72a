//! What the two machines tell each other after a broken link: the handshake of a recovery.
//!
//! ```text
//! source                                            destination
//!   (both: LinkLost)
//!   a new connection ------------------------------->
//!   <------------------------------ RecoveryAnswer --- what has arrived, as a bitmap
//!   SourceRecovery --------------------------------->  what is on the disk, as a bitmap
//!   Context, if it was lost; then pages as before -->
//!   <------ Request, Progress, Complete, as before ---
//! ```
//!
//! The destination's answer tells its state, not its history, so that it may be asked again and
//! again until one handshake comes to its end.

use crate::report::PageCounts;
use lazycopy_units::PageNumber;
use serde::{Deserialize, Serialize};

/// A set of pages as it travels: one bit each, 64 to a word. A page beyond its end is not in it,
/// so that nothing that a peer sends can be out of bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageMap {
    words: Vec<u64>,
}

impl PageMap {
    /// The pages whose bits are set in these words: page 0 is the lowest bit of the first.
    pub fn from_words(words: Vec<u64>) -> Self {
        PageMap { words }
    }

    /// Its words, for an encoding.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Whether `page` is in it.
    pub fn contains(&self, page: PageNumber) -> bool {
        let word = self.words.get(page.index() / 64).copied().unwrap_or(0);
        word >> (page.index() % 64) & 1 == 1
    }

    /// Adds `page`.
    pub fn insert(&mut self, page: PageNumber) {
        let word = page.index() / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (page.index() % 64);
    }

    /// How many pages are in it.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

impl FromIterator<PageNumber> for PageMap {
    fn from_iter<I: IntoIterator<Item = PageNumber>>(pages: I) -> Self {
        let mut map = PageMap::default();
        pages.into_iter().for_each(|page| map.insert(page));
        map
    }
}

/// What a destination answers when the source asks it to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "recovery")]
pub enum RecoveryAnswer {
    /// It has the migration, and this of it.
    Goes(DestinationRecovery),
    /// It has given the migration up without ever resuming the guest: it is the source's again.
    ThrownAway {
        /// Why.
        reason: String,
    },
    /// The guest was here, and is lost.
    Lost {
        /// Why.
        reason: String,
    },
    /// It knows no such migration: its process has begun since, without the guest's memory.
    Unknown,
}

/// What a destination has of a migration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationRecovery {
    /// The context has come.
    pub context_came: bool,
    /// The guest was resumed here.
    pub resumed: bool,
    /// Nothing is missing any more.
    pub complete: bool,
    /// Accesses that the guest has completed here.
    pub accesses: u64,
    /// Pages that arrived, by cause. What the source sent and is not counted here was lost.
    pub counts: PageCounts,
    /// Pages of which no copy is wanted: they arrived, or the guest has overwritten them.
    pub arrived: PageMap,
}

/// The source's word when it goes on: the first message of the new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecovery {
    /// The forward context has completed its head start.
    pub head_start_done: bool,
    /// Pages of the residency list that will not come, since the disk has them.
    pub on_disk: PageMap,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_map_holds_what_it_was_given_and_survives_its_encoding(
            pages in proptest::collection::btree_set(0u32..1_000, 0..50),
        ) {
            let map: PageMap = pages.iter().map(|page| PageNumber(*page)).collect();
            let copy = PageMap::from_words(map.words().to_vec());
            prop_assert_eq!(&copy, &map);
            prop_assert_eq!(copy.count(), pages.len() as u64);
            for page in 0..2_000 {
                prop_assert_eq!(copy.contains(PageNumber(page)), pages.contains(&page));
            }
            prop_assert!(!copy.contains(PageNumber(u32::MAX)));
        }
    }
}
