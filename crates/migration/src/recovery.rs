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
//!
//! # What a driver does
//!
//! **When the link breaks**, each side by itself: nothing that is still in a buffer, unsent or half
//! received, is given to the machine any more, nor what comes later by the old connections; what
//! was received as a whole is given to it first. Then it is told
//! [`LinkLost`](crate::SourceInput::LinkLost). (Bytes of a page that came in part, in its place in
//! memory, do no harm: either it is not resident, or its copy of before the hand-over was to be
//! replaced, and then it comes again.) Several connections are one link: when one of them
//! breaks, all are closed. Pages that were taken from the source's machine and wait to be written
//! (carried pages, open batches, deltas against what was sent before) are dropped: for the machine
//! they were sent, and the bitmap will say that they were not. Before the hand-over the guest goes on
//! at the source, which is the end there. After it [`Source::is_paused`](crate::Source::is_paused)
//! and the machine wants no link; clocks and disks go on as before, at both sides.
//!
//! **A new connection** is made by the source, which speaks first, as often as it takes:
//!
//! 1. The source's driver asks, naming the migration and the number of the try. It tells its machine
//!    nothing yet. (Had it taken the guest back meanwhile, it says `Withdrawn` instead.)
//! 2. The destination's driver drops what it has of older connections, tells its machine
//!    `LinkLost` if it has not seen the break (a second one is without effect), and answers with
//!    [`Destination::answer_recovery`](crate::Destination::answer_recovery). Between this answer and
//!    step 4 nothing else is said on the connection: the machine is silent while it is paused. It
//!    stops waiting for the source only at step 4. Where the machine is no more, the driver
//!    answers with what it kept of it: [`ThrownAway`](RecoveryAnswer::ThrownAway) or
//!    [`Lost`](RecoveryAnswer::Lost), at least as long as a source may ask; else
//!    [`Unknown`](RecoveryAnswer::Unknown).
//! 3. The source's driver gives the answer to its machine as
//!    [`Recovered`](crate::SourceInput::Recovered). On [`Goes`](RecoveryAnswer::Goes) the machine
//!    says [`Recover`](crate::SourceOutput::Recover), and `Transmit` with the context if that was
//!    lost; on anything else it ends, takes the guest back, or stays paused where an operator may
//!    still take it back (`is_paused` tells).
//! 4. The [`SourceRecovery`] is the first message of the new connection, before any notice, page or
//!    context; the destination's driver gives it to its machine as
//!    [`Recovered`](crate::DestinationInput::Recovered). From here on all goes as before. One that
//!    has given up since its answer, and lost the guest, closes the connection instead: the source
//!    asks again, and hears it.
//!
//! A connection that breaks before step 4 is as none: each side is told `LinkLost` (again), and the
//! source asks anew. What is said by an older connection than the latest is thrown away.
//!
//! **Order.** The machines stand control messages that come twice, and notices before the context.
//! They do not stand a page that was sent after the hand-over and comes before the context, nor a
//! second context: a driver with several connections holds such pages back, and takes a context
//! only where its last answer said that none had come.
//!
//! **Acknowledgements and memory.** The source may give up the bytes of a page, by
//! [`Source::handed_over_memory`](crate::Source::handed_over_memory), when the destination says that
//! its machine has taken the copy which was sent *after* the hand-over (one of before may be old),
//! and the destination says so only where
//! [`Destination::may_acknowledge`](crate::Destination::may_acknowledge): until the guest runs
//! there the source may have to take it back with all its memory, or to send again a page that
//! arrived, since the context was lost. With this rule what was given up is in every later bitmap, and
//! is never sent again. Acknowledgements that are lost need not be said again: after a recovery the
//! driver counts anew, by what [`DestinationRecovery::arrived`] leaves, which may be given up at
//! once if [`DestinationRecovery::resumed`].
//!
//! **Sizes.** Each bitmap has a bit for each page of the guest: [`PageMap::fits`] tells a longer one,
//! which a peer must not make anybody keep. A driver whose frames are smaller sends
//! [`PageMap::words`] in parts.
//!
//! **The end.** A side that has waited long enough says
//! [`SourceLost`](crate::DestinationInput::SourceLost) with `is_dead: false`, or
//! [`DestinationLost`](crate::SourceInput::DestinationLost); the source's patience is the longer one,
//! so that it hears of a destination that threw the guest away. `is_dead: true` is said only where
//! the source's process is known to be dead. Where
//! [`Source::reclaim`](crate::Source::reclaim) is safe the source's driver may wait for its
//! operator for ever, who says [`Reclaimed`](crate::SourceInput::Reclaimed).

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

    /// Whether it names no page beyond the last of a guest that has so many.
    pub fn fits(&self, pages: u32) -> bool {
        let (whole, bits) = (pages as usize / 64, pages % 64);
        let beyond = self.words.get(whole).is_some_and(|word| word >> bits != 0);
        self.words.len() <= (pages as usize).div_ceil(64) && !beyond
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
            let end = pages.last().map_or(0, |last| last + 1);
            prop_assert!(copy.fits(end) && copy.fits(end + 64));
            prop_assert!(end == 0 || !copy.fits(end - 1));
        }
    }
}
