//! Whether the destination can be heard, asked for until the hand-over.
//!
//! A link may be dead before the system notices it. The context that is handed over to nobody
//! leaves a guest that stands still for nothing; so nothing is chosen for a link from which nothing
//! has been heard for a while, the hand-over least of all. Questions and answers are the shells'
//! alone and take no model time.

use lazycopy_transport::DEAD_LINK;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The destination is asked so often: a few times within [`RECENTLY`], so that a lost packet or a
/// busy host makes nobody wait.
const PERIOD: Duration = Duration::from_millis(200);

/// What was heard so long ago still counts: answers come at most [`PERIOD`] and a busy host's delay
/// one after another, however long they are on their way.
const RECENTLY: Duration = Duration::from_secs(1);

/// So many questions in a row without an answer, and the destination hangs. They are counted, and
/// not the time: a source that was stopped itself has asked nothing, and blames nobody.
const MOST_UNANSWERED: u32 = (DEAD_LINK.as_millis() / PERIOD.as_millis()) as u32;

/// What the source knows of whether the destination is there.
#[derive(Debug)]
pub(super) struct Pulse {
    heard_at: Instant,
    asks_at: Instant,
    unanswered: u32,
}

impl Pulse {
    /// It has just been heard.
    pub(super) fn new(now: Instant) -> Self {
        Pulse { heard_at: now, asks_at: now + PERIOD, unanswered: 0 }
    }

    /// It has answered.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard_at = now;
        self.unanswered = 0;
    }

    /// Whether it was heard recently.
    pub(super) fn is_felt(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard_at) <= RECENTLY
    }

    /// Whether it is to be asked now; it is, then.
    ///
    /// # Errors
    /// In words, when it has been asked often enough.
    pub(super) fn asks(&mut self, now: Instant) -> Result<bool, String> {
        if now < self.asks_at {
            return Ok(false);
        }
        if self.unanswered == MOST_UNANSWERED {
            return Err(format!("it has said nothing for {} s", DEAD_LINK.as_secs()));
        }
        self.asks_at = now + PERIOD;
        self.unanswered += 1;
        Ok(true)
    }

    /// Waits until it is to be asked. May be given up and called again.
    pub(super) async fn is_due(&self) {
        sleep_until(self.asks_at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_that_answers_is_felt_and_one_that_falls_silent_is_not() {
        let begins = Instant::now();
        let mut pulse = Pulse::new(begins);
        assert!(pulse.is_felt(begins + RECENTLY));
        assert!(!pulse.is_felt(begins + RECENTLY + PERIOD));
        pulse.hear(begins + RECENTLY);
        assert!(pulse.is_felt(begins + RECENTLY + RECENTLY));
    }

    #[test]
    fn silence_ends_it_after_as_long_as_a_dead_link_and_an_answer_begins_anew() {
        let begins = Instant::now();
        let mut pulse = Pulse::new(begins);
        assert_eq!(pulse.asks(begins), Ok(false));
        for number in 1..=MOST_UNANSWERED {
            assert_eq!(pulse.asks(begins + PERIOD * number), Ok(true));
        }
        assert_eq!(PERIOD * MOST_UNANSWERED, DEAD_LINK);
        let next = begins + PERIOD * (MOST_UNANSWERED + 1);
        assert!(pulse.asks(next).is_err());
        pulse.hear(next);
        assert_eq!(pulse.asks(next), Ok(true));
    }

    #[test]
    fn a_source_that_was_stopped_blames_nobody() {
        let begins = Instant::now();
        let mut pulse = Pulse::new(begins);
        let later = begins + DEAD_LINK * 100;
        assert_eq!(pulse.asks(later), Ok(true));
        assert!(!pulse.is_felt(later), "but it wants to hear before it hands over");
    }
}
