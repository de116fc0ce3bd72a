//! The connection to one server: commands go out with a number, answers come back with it.

use lazycopy_protocol::control::{FromServer, ServerCommand, ServerReply, ToServer};
use lazycopy_protocol::pace::Pace;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a server may take to answer. Its longest answer, the opening of a long trace or the
/// agreement on a common clock, takes a second or two.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Real memory that a server fills at least in a second, in pages (64 MiB): a machine that is itself
/// a guest may first have to get it from its host.
const FILLED_PER_SECOND: u64 = 1 << 14;

/// How long this command may take.
fn deadline_of(command: &ServerCommand) -> Duration {
    match command {
        ServerCommand::CreateVm(create) if create.real_memory => {
            let filling = Duration::from_secs(u64::from(create.spec.pages) / FILLED_PER_SECOND);
            ANSWER_DEADLINE + filling
        }
        _ => ANSWER_DEADLINE,
    }
}

/// Commands that wait to be written to one server; whoever asks more waits.
const MAX_QUEUED: usize = 64;

/// Why a server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It refused.
    #[error("server \"{server}\": {reason}")]
    Refused {
        /// The server.
        server: String,
        /// Why.
        reason: String,
    },
    /// Its connection is gone.
    #[error("server \"{server}\" is gone")]
    Gone {
        /// The server.
        server: String,
    },
    /// It did not answer in time.
    #[error("server \"{server}\" gave no answer within {} s", .within.as_secs())]
    Late {
        /// The server.
        server: String,
        /// How long it had.
        within: Duration,
    },
    /// It answered something else.
    #[error("server \"{server}\" gave an answer that does not belong to the question")]
    Beside {
        /// The server.
        server: String,
    },
}

type Answer = Result<ServerReply, String>;

#[derive(Debug, Default)]
struct Questions {
    closed: bool,
    last: u64,
    open: BTreeMap<u64, oneshot::Sender<Answer>>,
}

/// The manager's end of a connection to a server.
#[derive(Clone, Debug)]
pub struct Connection {
    server: String,
    outgoing: mpsc::Sender<ToServer>,
    questions: Arc<Mutex<Questions>>,
}

impl Connection {
    /// A connection to the server of that name, and what is to be written to it, in order.
    pub fn new(server: &str) -> (Self, mpsc::Receiver<ToServer>) {
        let (outgoing, to_write) = mpsc::channel(MAX_QUEUED);
        let questions = Arc::new(Mutex::new(Questions::default()));
        (Connection { server: server.to_owned(), outgoing, questions }, to_write)
    }

    /// Welcomes the server, before it is asked anything.
    pub fn welcome(&self, pace: Pace) {
        self.outgoing
            .try_send(ToServer::Welcome { pace })
            .expect("the queue is fresh and has room");
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether both are one connection.
    pub fn is(&self, other: &Connection) -> bool {
        Arc::ptr_eq(&self.questions, &other.questions)
    }

    /// Asks the server and awaits its answer.
    ///
    /// # Errors
    /// When it refuses, is gone, or does not answer within [`ANSWER_DEADLINE`], or, where it
    /// fills real memory first, as much more as that may take.
    pub async fn ask(&self, command: ServerCommand) -> Result<ServerReply, AskError> {
        let server = || self.server.clone();
        let within = deadline_of(&command);
        let (id, answer) =
            self.open_question().ok_or_else(|| AskError::Gone { server: server() })?;
        let asked = async {
            self.outgoing.send(ToServer::Command { id, command }).await.ok()?;
            answer.await.ok()
        };
        let outcome = tokio::time::timeout(within, asked).await;
        self.questions().open.remove(&id);
        match outcome {
            Err(_) => Err(AskError::Late { server: server(), within }),
            Ok(None) => Err(AskError::Gone { server: server() }),
            Ok(Some(Err(reason))) => Err(AskError::Refused { server: server(), reason }),
            Ok(Some(Ok(reply))) => Ok(reply),
        }
    }

    /// Asks for something that is answered by [`ServerReply::Done`].
    ///
    /// # Errors
    /// As [`Connection::ask`], and when the answer is another one.
    pub async fn tell(&self, command: ServerCommand) -> Result<(), AskError> {
        match self.ask(command).await? {
            ServerReply::Done => Ok(()),
            _ => Err(self.beside()),
        }
    }

    /// The error for an answer that does not belong to its question.
    pub fn beside(&self) -> AskError {
        AskError::Beside { server: self.server.clone() }
    }

    fn open_question(&self) -> Option<(u64, oneshot::Receiver<Answer>)> {
        let mut questions = self.questions();
        if questions.closed {
            return None;
        }
        questions.last += 1;
        let id = questions.last;
        let (answered, answer) = oneshot::channel();
        questions.open.insert(id, answered);
        Some((id, answer))
    }

    /// Takes a message from the server: an answer goes to whoever asked, anything else is given
    /// back.
    pub fn take(&self, message: FromServer) -> Option<FromServer> {
        let FromServer::Reply { id, result } = message else { return Some(message) };
        if let Some(answered) = self.questions().open.remove(&id) {
            let _ = answered.send(result);
        }
        None
    }

    /// The connection is gone: open questions stay unanswered.
    pub fn close(&self) {
        let mut questions = self.questions();
        questions.closed = true;
        questions.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_find_their_questions_in_any_order() {
        let (connection, mut to_write) = Connection::new("a");
        let ask = |vm: &str| {
            let (connection, vm) = (connection.clone(), vm.to_owned());
            tokio::spawn(async move { connection.tell(ServerCommand::StartVm { vm }).await })
        };
        let (first, second) = (ask("v1"), ask("v2"));
        for _ in 0..2 {
            let Some(ToServer::Command { id, command }) = to_write.recv().await else {
                panic!("no command")
            };
            let result = match command {
                ServerCommand::StartVm { vm } if vm == "v1" => Ok(ServerReply::Done),
                _ => Err("no".to_owned()),
            };
            assert_eq!(connection.take(FromServer::Reply { id, result }), None);
        }
        assert_eq!(first.await.unwrap(), Ok(()));
        let refused = AskError::Refused { server: "a".to_owned(), reason: "no".to_owned() };
        assert_eq!(second.await.unwrap(), Err(refused));
    }

    #[tokio::test]
    async fn a_closed_connection_answers_every_question_at_once() {
        let (connection, mut to_write) = Connection::new("a");
        let asked = tokio::spawn({
            let connection = connection.clone();
            async move { connection.ask(ServerCommand::ShowHost).await }
        });
        to_write.recv().await.unwrap();
        connection.close();
        let gone = Err(AskError::Gone { server: "a".to_owned() });
        assert_eq!(asked.await.unwrap(), gone);
        assert_eq!(connection.ask(ServerCommand::ShowHost).await, gone);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up() {
        let (connection, _to_write) = Connection::new("a");
        let within = ANSWER_DEADLINE;
        let late = Err(AskError::Late { server: "a".to_owned(), within });
        assert_eq!(connection.ask(ServerCommand::ShowHost).await, late);
    }
}
