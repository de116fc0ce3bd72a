//! What came of the commands that changed something, so that one that is sent again after a
//! reconnection is not carried out twice.

use crate::host::Answer;
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::watch;

/// A command's number, and before it the life of the manager that chose it.
pub(crate) type RequestId = (u64, u64);

/// What comes of a command; nothing while it is carried out.
pub(crate) type Coming = watch::Receiver<Option<Answer>>;

/// Commands that are remembered, the oldest forgotten first: four times as many as are carried out
/// at a time, and only what was under way when a connection broke is ever sent again.
pub(crate) const MAX_REMEMBERED: usize = 4_096;

/// The last commands that changed something.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    coming: BTreeMap<RequestId, Coming>,
    oldest_first: VecDeque<RequestId>,
}

impl Answered {
    /// What came, or comes, of a command that was sent before.
    pub(crate) fn find(&self, id: RequestId) -> Option<Coming> {
        self.coming.get(&id).cloned()
    }

    /// Remembers a command.
    pub(crate) fn remember(&mut self, id: RequestId, coming: Coming) {
        if self.oldest_first.len() == MAX_REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.coming.remove(&oldest);
        }
        self.coming.insert(id, coming);
        self.oldest_first.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_protocol::control::ServerReply;

    #[test]
    fn so_many_commands_are_remembered_and_the_oldest_is_forgotten() {
        let mut answered = Answered::default();
        for number in 0..=MAX_REMEMBERED as u64 {
            let (_, coming) = watch::channel(Some(Ok(ServerReply::Done)));
            answered.remember((1, number), coming);
        }
        assert!(answered.find((1, 0)).is_none() && answered.find((2, 1)).is_none());
        assert!(answered.find((1, 1)).is_some_and(|coming| coming.borrow().is_some()));
        assert_eq!(answered.coming.len(), MAX_REMEMBERED);
    }
}
