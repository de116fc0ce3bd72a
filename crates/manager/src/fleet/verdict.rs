//! What came of a migration, from what its two sides say or can no longer say.

use lazycopy_migration::{Outcome, Verdict};
use serde::{Deserialize, Serialize};

/// What one side of a migration says in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Account<'a> {
    /// Its verdict.
    Says(&'a Verdict),
    /// Nothing: its server died, or never reported.
    Silent {
        /// The server.
        server: &'a str,
    },
}

/// Where the guest is after a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whereabouts {
    /// On the source.
    Source,
    /// On the destination.
    Destination,
    /// Nowhere.
    Gone,
}

/// One verdict from two accounts, and where the guest is.
///
/// Whoever has the guest is believed: a destination that says *completed* has all of it; a source
/// that says *cancelled*, *failed* or *never converges* runs it. Where the side that has the guest
/// is silent, the guest is gone with it.
pub fn compose(source: Account<'_>, destination: Account<'_>) -> (Verdict, Whereabouts) {
    use Account::{Says, Silent};
    match (source, destination) {
        (source, Says(end)) if end.outcome == Outcome::Completed => {
            (completed(source, end), Whereabouts::Destination)
        }
        (Says(end), _) if at_source(end.outcome) => (end.clone(), Whereabouts::Source),
        (_, Says(end)) if end.outcome == Outcome::Lost => (end.clone(), Whereabouts::Gone),
        (Says(end), Says(_)) if end.outcome == Outcome::Lost => (end.clone(), Whereabouts::Gone),
        (Says(_), Says(end)) => (
            lost(format!(
                "the source gave the guest away, the destination has not got it: {}",
                end.reason
            )),
            Whereabouts::Gone,
        ),
        (Says(_), Silent { server }) => (
            lost(format!("server \"{server}\", the destination, is gone and the guest with it")),
            Whereabouts::Gone,
        ),
        (Silent { server }, Says(end)) => (
            lost(format!(
                "server \"{server}\", the source, is gone and the guest with it; the destination \
                 says: {}",
                end.reason
            )),
            Whereabouts::Gone,
        ),
        (Silent { server: source }, Silent { server: destination }) => (
            lost(format!(
                "servers \"{source}\" and \"{destination}\" are gone, the guest with them"
            )),
            Whereabouts::Gone,
        ),
    }
}

fn at_source(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Cancelled | Outcome::Failed | Outcome::NeverConverges)
}

fn lost(reason: String) -> Verdict {
    Verdict { outcome: Outcome::Lost, reason }
}

fn completed(source: Account<'_>, end: &Verdict) -> Verdict {
    let but = match source {
        Account::Says(source) if source.outcome == Outcome::Completed => return end.clone(),
        Account::Says(source) => source.reason.clone(),
        Account::Silent { server } => format!("server \"{server}\", the source, is gone since"),
    };
    Verdict { outcome: Outcome::Completed, reason: format!("{}; but {but}", end.reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTCOMES: [Outcome; 5] = [
        Outcome::Completed,
        Outcome::Cancelled,
        Outcome::Failed,
        Outcome::Lost,
        Outcome::NeverConverges,
    ];

    fn verdict(outcome: Outcome) -> Verdict {
        Verdict { outcome, reason: format!("because it {outcome}") }
    }

    fn silent(server: &str) -> Account<'_> {
        Account::Silent { server }
    }

    #[test]
    fn a_destination_that_has_all_of_the_guest_is_believed_whatever_the_source_says() {
        let end = verdict(Outcome::Completed);
        for outcome in OUTCOMES {
            let source = verdict(outcome);
            let (composed, place) = compose(Account::Says(&source), Account::Says(&end));
            assert_eq!((composed.outcome, place), (Outcome::Completed, Whereabouts::Destination));
        }
        let (composed, place) = compose(silent("a"), Account::Says(&end));
        assert_eq!((composed.outcome, place), (Outcome::Completed, Whereabouts::Destination));
        assert!(composed.reason.contains("\"a\""), "{}", composed.reason);
    }

    #[test]
    fn a_destination_that_dies_before_the_hand_over_leaves_the_guest_at_the_source() {
        for outcome in [Outcome::Failed, Outcome::Cancelled] {
            let source = verdict(outcome);
            let (composed, place) = compose(Account::Says(&source), silent("b"));
            assert_eq!((composed, place), (source, Whereabouts::Source));
        }
    }

    #[test]
    fn a_guest_whose_holder_is_silent_is_lost_and_never_a_success() {
        let (completed, failed) = (verdict(Outcome::Completed), verdict(Outcome::Failed));
        for (source, destination, named) in [
            (Account::Says(&completed), silent("b"), "\"b\""),
            (silent("a"), Account::Says(&failed), "\"a\""),
            (silent("a"), silent("b"), "\"a\" and \"b\""),
        ] {
            let (composed, place) = compose(source, destination);
            assert_eq!((composed.outcome, place), (Outcome::Lost, Whereabouts::Gone));
            assert!(composed.reason.contains(named), "{}", composed.reason);
        }
    }

    #[test]
    fn a_guest_that_neither_side_has_is_lost() {
        let source = verdict(Outcome::Completed);
        for outcome in [Outcome::Lost, Outcome::Failed, Outcome::Cancelled] {
            let end = verdict(outcome);
            let (composed, place) = compose(Account::Says(&source), Account::Says(&end));
            assert_eq!((composed.outcome, place), (Outcome::Lost, Whereabouts::Gone), "{outcome}");
        }
    }
}
