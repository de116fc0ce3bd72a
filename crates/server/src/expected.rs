//! Migrations that this server is the destination of, by the manager's word: what nobody has told
//! of does not come in.

use lazycopy_migration::{DestinationRecovery, PageMap, RecoveryAnswer};
use lazycopy_protocol::control::{ExpectMigration, MigrationId, MigrationKey};
use lazycopy_transport::PageLink;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The most migrations that are expected and have not come: those that have waited longest are
/// forgotten. Far more than move side by side.
const MAX_EXPECTED: usize = 4_096;

/// How long a migration is expected. The source is told at once after this server was, and knocks
/// before anything that takes long.
const EXPECTED_FOR: Duration = Duration::from_secs(120);

/// The most migrations that are over and whose source may still ask what came of them: those that
/// have been over for longest are forgotten. Without their page maps they are small.
const MAX_OVER: usize = 4_096;

/// Which migration: its source and its number.
type Which = (String, MigrationId);

#[derive(Debug)]
enum Stage {
    /// Nobody has offered the guest yet.
    Awaited { vm: String, since: Instant },
    /// The guest is coming.
    Underway { vm: String },
    /// It has come, or not: this is answered to a source that asks.
    Over { answer: RecoveryAnswer },
}

/// Who answers a source that comes back.
#[derive(Debug, PartialEq)]
pub(crate) enum Answerer {
    /// The task of that guest.
    Guest(String),
    /// Anybody: this.
    Known(RecoveryAnswer),
}

#[derive(Debug)]
struct Expected {
    key: MigrationKey,
    stage: Stage,
    /// Tells it from another one of the same number: a manager that was started anew counts anew.
    ordinal: u64,
}

#[derive(Debug, Default)]
struct All {
    last: u64,
    by_which: BTreeMap<Which, Expected>,
}

/// Migrations that are expected, and those that are under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectations {
    all: Arc<Mutex<All>>,
}

/// A migration is under way, and its key is good, as long as this is kept.
#[derive(Debug)]
pub(crate) struct Underway {
    expectations: Expectations,
    which: Which,
    ordinal: u64,
}

impl Drop for Underway {
    fn drop(&mut self) {
        let all = &mut self.expectations.all().by_which;
        let is_underway = |it: &&Expected| {
            it.ordinal == self.ordinal && matches!(it.stage, Stage::Underway { .. })
        };
        if all.get(&self.which).filter(is_underway).is_some() {
            all.remove(&self.which);
        }
    }
}

impl Underway {
    /// The migration is over here; a source whose link broke may ask for that answer.
    pub(crate) fn ends_by(self, answer: RecoveryAnswer) {
        let answer = match answer {
            // Of what is complete the source asks no more than that.
            RecoveryAnswer::Goes(recovery) => RecoveryAnswer::Goes(DestinationRecovery {
                arrived: PageMap::default(),
                ..recovery
            }),
            other => other,
        };
        self.expectations.keep(&self.which, self.ordinal, answer);
    }
}

impl Expectations {
    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the source may offer the guest, once.
    pub(crate) fn expect(&self, told: ExpectMigration) {
        let ExpectMigration { migration, vm, source, key } = told;
        let All { last, by_which: all } = &mut *self.all();
        let now = Instant::now();
        all.retain(|_, expected| match &expected.stage {
            Stage::Awaited { since, .. } => now.duration_since(*since) < EXPECTED_FOR,
            Stage::Underway { .. } | Stage::Over { .. } => true,
        });
        let awaited = all.iter().filter_map(|(which, expected)| match &expected.stage {
            Stage::Awaited { since, .. } => Some((*since, which.clone())),
            Stage::Underway { .. } | Stage::Over { .. } => None,
        });
        let awaited: Vec<(Instant, Which)> = awaited.collect();
        if awaited.len() >= MAX_EXPECTED
            && let Some((_, oldest)) = awaited.into_iter().min()
        {
            all.remove(&oldest);
        }
        *last += 1;
        let stage = Stage::Awaited { vm, since: now };
        all.insert((source, migration), Expected { key, stage, ordinal: *last });
    }

    /// What who knocks has to prove.
    ///
    /// # Errors
    /// In words, when nothing of the kind is expected.
    pub(crate) fn key_of(
        &self,
        link: PageLink,
        source: &str,
        migration: MigrationId,
    ) -> Result<MigrationKey, String> {
        let number = migration.0;
        let all = self.all();
        let expected = all.by_which.get(&(source.to_owned(), migration));
        match (link, expected) {
            (PageLink::Offer, Some(Expected { key, stage: Stage::Awaited { since, .. }, .. }))
                if since.elapsed() < EXPECTED_FOR =>
            {
                Ok(key.clone())
            }
            (
                PageLink::Bulk | PageLink::Recover,
                Some(Expected { key, stage: Stage::Underway { .. }, .. }),
            )
            | (PageLink::Recover, Some(Expected { key, stage: Stage::Over { .. }, .. })) => {
                Ok(key.clone())
            }
            (PageLink::Offer, _) => Err(format!(
                "migration {number} from server \"{source}\" is not expected here: the manager \
                 has to tell this server of it before"
            )),
            (PageLink::Bulk, _) => {
                Err(format!("no guest awaits bulk connections of migration {number}"))
            }
            (PageLink::Recover, _) => {
                Err(format!("nothing is known here of migration {number} from server \"{source}\""))
            }
        }
    }

    /// Who answers a source that has proven the key and comes back.
    pub(crate) fn answerer(&self, source: &str, migration: MigrationId) -> Option<Answerer> {
        let all = self.all();
        match &all.by_which.get(&(source.to_owned(), migration))?.stage {
            Stage::Awaited { .. } => None,
            Stage::Underway { vm } => Some(Answerer::Guest(vm.clone())),
            Stage::Over { answer } => Some(Answerer::Known(answer.clone())),
        }
    }

    fn keep(&self, which: &Which, ordinal: u64, answer: RecoveryAnswer) {
        let all = &mut self.all().by_which;
        let over = all.iter().filter(|(_, it)| matches!(it.stage, Stage::Over { .. }));
        if over.clone().count() >= MAX_OVER
            && let Some((oldest, _)) = over.min_by_key(|(_, it)| it.ordinal)
        {
            let oldest = oldest.clone();
            all.remove(&oldest);
        }
        if let Some(expected) = all.get_mut(which).filter(|it| it.ordinal == ordinal) {
            expected.stage = Stage::Over { answer };
        }
    }

    /// The source has proven the key and offers the guest: the migration is under way. Nobody can
    /// begin it again.
    ///
    /// # Errors
    /// In words, when it is another guest than was told of, or somebody was faster.
    pub(crate) fn begin(
        &self,
        source: &str,
        migration: MigrationId,
        vm: &str,
    ) -> Result<Underway, String> {
        let which = (source.to_owned(), migration);
        let number = migration.0;
        let ordinal = match self.all().by_which.get_mut(&which) {
            Some(Expected { stage: Stage::Awaited { vm: told, .. }, .. }) if told != vm => {
                return Err(format!(
                    "migration {number} is of guest \"{told}\", not of guest \"{vm}\""
                ));
            }
            Some(Expected { stage: stage @ Stage::Awaited { .. }, ordinal, .. }) => {
                *stage = Stage::Underway { vm: vm.to_owned() };
                *ordinal
            }
            _ => return Err(format!("migration {number} has begun already")),
        };
        Ok(Underway { expectations: self.clone(), which, ordinal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: u64, byte: u8) -> ExpectMigration {
        ExpectMigration {
            migration: MigrationId(number),
            vm: "g".to_owned(),
            source: "a".to_owned(),
            key: MigrationKey::new([byte; 32]),
        }
    }

    #[test]
    fn a_key_is_good_for_one_offer_and_for_bulk_while_the_guest_comes() {
        let expectations = Expectations::default();
        let key = |link| expectations.key_of(link, "a", MigrationId(1));
        assert!(key(PageLink::Offer).unwrap_err().contains("is not expected here"));
        expectations.expect(told(1, 1));
        assert_eq!(key(PageLink::Offer), Ok(MigrationKey::new([1; 32])));
        assert!(key(PageLink::Bulk).is_err());
        let other = expectations.begin("a", MigrationId(1), "h").unwrap_err();
        assert!(other.contains("of guest \"g\", not of guest \"h\""), "{other}");
        let underway = expectations.begin("a", MigrationId(1), "g").unwrap();
        assert_eq!(key(PageLink::Bulk), Ok(MigrationKey::new([1; 32])));
        assert!(key(PageLink::Offer).is_err());
        assert!(expectations.begin("a", MigrationId(1), "g").is_err());
        drop(underway);
        assert!(key(PageLink::Bulk).is_err());
    }

    #[test]
    fn a_manager_that_counts_anew_is_not_held_up_by_what_an_earlier_one_began() {
        let expectations = Expectations::default();
        expectations.expect(told(1, 1));
        let earlier = expectations.begin("a", MigrationId(1), "g").unwrap();
        expectations.expect(told(1, 2));
        drop(earlier);
        let key = expectations.key_of(PageLink::Offer, "a", MigrationId(1));
        assert_eq!(key, Ok(MigrationKey::new([2; 32])));
    }

    #[test]
    fn of_too_many_that_never_come_the_oldest_is_forgotten() {
        let expectations = Expectations::default();
        for number in 0..=MAX_EXPECTED as u64 {
            expectations.expect(told(number, 1));
        }
        let key = |number| expectations.key_of(PageLink::Offer, "a", MigrationId(number));
        assert_eq!(expectations.all().by_which.len(), MAX_EXPECTED);
        assert!(key(0).is_err());
        assert!(key(1).is_ok() && key(MAX_EXPECTED as u64).is_ok());
    }
}
