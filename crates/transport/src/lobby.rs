//! Connections that have yet to prove themselves: a bounded number of them, and where another one
//! comes, the one that has taken longest leaves. So those who say nothing, however many they are,
//! keep nobody out who says at once what it wants.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Somebody waits: its number, and how it is told to leave.
type Waiting = (u64, oneshot::Sender<()>);

#[derive(Debug, Default)]
struct Inside {
    last: u64,
    waiting: VecDeque<Waiting>,
}

/// Where connections are until they have proven themselves.
#[derive(Clone, Debug)]
pub struct Lobby {
    most: usize,
    inside: Arc<Mutex<Inside>>,
}

/// A place in a [`Lobby`], free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    number: u64,
    lobby: Lobby,
    leave: oneshot::Receiver<()>,
}

/// A connection that had to leave: others came meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub struct Evicted;

impl Lobby {
    /// One with so many places, at least one.
    pub fn new(most: usize) -> Self {
        Lobby { most: most.max(1), inside: Arc::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; where none is free, that of who has waited longest.
    pub fn enter(&self) -> Seat {
        let (tell, leave) = oneshot::channel();
        let mut inside = self.inside();
        inside.last += 1;
        let number = inside.last;
        if inside.waiting.len() >= self.most {
            inside.waiting.pop_front();
        }
        inside.waiting.push_back((number, tell));
        Seat { number, lobby: self.clone(), leave }
    }

    /// Has the half leave that has waited longest, where anybody waits: the system has no more
    /// connections to give.
    pub fn make_room(&self) {
        let mut inside = self.inside();
        let half = inside.waiting.len().div_ceil(2);
        inside.waiting.drain(..half);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.inside().waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Seat {
    /// Does what a connection does in the lobby, unless it has to leave before.
    ///
    /// # Errors
    /// When it has to leave.
    pub async fn wait_for<T>(mut self, work: impl Future<Output = T>) -> Result<T, Evicted> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            _ = &mut self.leave => Err(Evicted),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lobby.inside().waiting.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn who_has_waited_longest_leaves_when_another_comes() {
        let lobby = Lobby::new(2);
        let (first, second) = (lobby.enter(), lobby.enter());
        let third = lobby.enter();
        assert_eq!(lobby.len(), 2);
        assert_eq!(first.wait_for(pending::<()>()).await, Err(Evicted));
        assert_eq!(second.wait_for(ready(2)).await, Ok(2));
        assert_eq!(lobby.len(), 1);
        lobby.make_room();
        assert_eq!(third.wait_for(pending::<()>()).await, Err(Evicted));
        assert!(lobby.is_empty());
    }

    #[tokio::test]
    async fn who_has_done_its_work_makes_room() {
        let lobby = Lobby::new(1);
        for _ in 0..10 {
            assert_eq!(lobby.enter().wait_for(ready(())).await, Ok(()));
        }
        let last = lobby.enter();
        assert_eq!(last.wait_for(ready(())).await, Ok(()));
    }
}
