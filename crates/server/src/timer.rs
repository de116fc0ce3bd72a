//! A timer that is late by some tens of microseconds instead of a millisecond or two, as tokio's
//! is: how late a migration is driven decides how far its time may be scaled.
//!
//! One thread waits for the earliest of all instants and wakes whoever asked for it.

use lazycopy_transport::Network;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use tokio::time::{Instant, sleep_until};

/// Who waits for what. Two may wait for one instant: the number tells them apart.
#[derive(Debug, Default)]
struct Waiting {
    sleepers: BTreeMap<(Instant, u64), Waker>,
    next_number: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The timer's thread: wakes those whose instant has come, for ever.
    fn wake_sleepers(&self) {
        let mut waiting = self.waiting();
        while !waiting.closed {
            let now = Instant::now();
            let Some(((at, _), _)) = waiting.sleepers.first_key_value() else {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let rest = at.saturating_duration_since(now);
            if rest.is_zero() {
                let due = waiting.sleepers.pop_first();
                drop(waiting);
                due.into_iter().for_each(|(_, waker)| waker.wake());
                waiting = self.waiting();
            } else {
                let woken = self.changed.wait_timeout(waiting, rest);
                (waiting, _) = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// The timer of a server. Its thread ends with it.
#[derive(Debug)]
pub(crate) struct Timer {
    /// None where time is simulated, which goes by the runtime alone.
    shared: Option<Arc<Shared>>,
}

impl Timer {
    /// The timer of a server on that network, with a thread of its own where time is real.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(network: Network) -> io::Result<Self> {
        if network != Network::System {
            return Ok(Timer { shared: None });
        }
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        thread::Builder::new().name("timer".to_owned()).spawn(move || of_thread.wake_sleepers())?;
        Ok(Timer { shared: Some(shared) })
    }

    /// Waits until `at`. May be given up.
    pub(crate) async fn sleep_until(&self, at: Instant) {
        match &self.shared {
            Some(shared) => Sleep { shared: Arc::clone(shared), at, number: None }.await,
            None => sleep_until(at).await,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.waiting().closed = true;
            shared.changed.notify_one();
        }
    }
}

/// A wait for an instant.
struct Sleep {
    shared: Arc<Shared>,
    at: Instant,
    /// Its number among the sleepers, once it is one.
    number: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.at <= Instant::now() {
            return Poll::Ready(());
        }
        let mut waiting = self.shared.waiting();
        let number = self.number.unwrap_or(waiting.next_number);
        waiting.next_number = waiting.next_number.max(number + 1);
        let key = (self.at, number);
        waiting.sleepers.insert(key, context.waker().clone());
        let is_first = waiting.sleepers.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(waiting);
        if is_first {
            self.shared.changed.notify_one();
        }
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.waiting().sleepers.remove(&(self.at, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn sleepers_wake_in_the_order_of_their_instants_and_never_early() {
        let timer = Timer::start(Network::System).unwrap();
        let start = Instant::now();
        let order = Mutex::new(Vec::new());
        let sleep = async |millis: u64| {
            let at = start + Duration::from_millis(millis);
            timer.sleep_until(at).await;
            assert!(Instant::now() >= at, "woken early");
            order.lock().unwrap().push(millis);
        };
        tokio::join!(sleep(30), sleep(10), sleep(20), sleep(0));
        assert_eq!(*order.lock().unwrap(), [0, 10, 20, 30]);
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_leaves_nothing_behind() {
        let timer = Timer::start(Network::System).unwrap();
        let soon = Instant::now() + Duration::from_millis(1);
        let far = timer.sleep_until(soon + Duration::from_secs(3_600));
        tokio::select! {
            () = far => panic!("an hour has passed"),
            () = timer.sleep_until(soon) => {}
        }
        assert!(timer.shared.as_ref().unwrap().waiting().sleepers.is_empty());
    }
}
