//! The connection to one server: commands go out with a number, answers come back with it.

use crate::presence::instant_text;
use lazycopy_protocol::control::{FromServer, ServerCommand, ServerReply, ToServer};
use lazycopy_protocol::pace::Pace;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How long a server may take to answer. Its longest answer, the opening of a long trace or the
/// agreement on a common clock, takes a second or two.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// Real memory that a server fills at least in a second, in pages (64 MiB): a machine that is itself
/// a guest may first have to get it from its host.
const FILLED_PER_SECOND: u64 = 1 << 14;

/// How long this command may take.
pub(crate) fn deadline_of(command: &ServerCommand) -> Duration {
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
    /// Its connection is gone, its process perhaps not.
    #[error("server \"{server}\" is away: its connection is lost; it may come back")]
    Away {
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
    /// It hangs.
    #[error(
        "server \"{server}\" has not answered since {}: it is stopped, or its machine is; it is told \
         nothing more until it goes on, and then does what it was told before", instant_text(*since_unix_ms)
    )]
    Silent {
        /// The server.
        server: String,
        /// Since when, in milliseconds since 1970.
        since_unix_ms: u64,
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
    open: BTreeMap<u64, oneshot::Sender<Answer>>,
}

/// The numbers of a manager's commands: unique within its life, whichever server they are for.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// The manager's life, as in [`ToServer::Welcome`].
    pub life: u64,
    last: Arc<AtomicU64>,
}

impl Numbers {
    /// Those of a manager's life that begins.
    pub fn of_life(life: u64) -> Self {
        Numbers { life, last: Arc::default() }
    }
}

/// The manager's end of a connection to a server.
#[derive(Clone, Debug)]
pub struct Connection {
    server: String,
    outgoing: mpsc::Sender<ToServer>,
    questions: Arc<Mutex<Questions>>,
    numbers: Numbers,
    /// Since when it has not answered, in milliseconds since 1970.
    silent_since: Arc<watch::Sender<Option<u64>>>,
    over: CancellationToken,
}

impl Connection {
    /// A connection to the server of that name, and what is to be written to it, in order.
    pub fn new(server: &str, numbers: Numbers) -> (Self, mpsc::Receiver<ToServer>) {
        let (outgoing, to_write) = mpsc::channel(MAX_QUEUED);
        let connection = Connection {
            server: server.to_owned(),
            outgoing,
            questions: Arc::default(),
            numbers,
            silent_since: Arc::default(),
            over: CancellationToken::new(),
        };
        (connection, to_write)
    }

    /// Welcomes the server, before it is asked anything.
    pub fn welcome(&self, pace: Pace) {
        let welcome = ToServer::Welcome { life: self.numbers.life, pace };
        self.outgoing.try_send(welcome).expect("the queue is fresh and has room");
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
    /// When it refuses, is gone, hangs, or does not answer within [`ANSWER_DEADLINE`], or, where
    /// it fills real memory first, as much more as that may take.
    pub async fn ask(&self, command: ServerCommand) -> Result<ServerReply, AskError> {
        let within = deadline_of(&command);
        tokio::select! {
            biased;
            // Whoever hangs is sent nothing more: it would lie in its socket.
            silent = self.falls_silent() => Err(silent),
            answered = self.ask_as(self.next_number(), command) => answered,
            () = tokio::time::sleep(within) => {
                Err(AskError::Late { server: self.server.clone(), within })
            }
        }
    }

    /// A number for a command, which no other has.
    pub fn next_number(&self) -> u64 {
        self.numbers.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Asks under that number, and awaits the answer as long as the connection stands. May be given
    /// up at any point.
    ///
    /// # Errors
    /// When the server refuses, or the connection is gone.
    pub async fn ask_as(&self, id: u64, command: ServerCommand) -> Result<ServerReply, AskError> {
        let gone = || AskError::Gone { server: self.server.clone() };
        let answer = self.open_question(id).ok_or_else(gone)?;
        let _open = OpenQuestion { connection: self, id };
        self.outgoing.send(ToServer::Command { id, command }).await.map_err(|_| gone())?;
        let answer = answer.await.map_err(|_| gone())?;
        answer.map_err(|reason| AskError::Refused { server: self.server.clone(), reason })
    }

    /// Asks for a sign of life, unless so much waits to be written that one is on its way.
    pub fn beat(&self) {
        let _ = self.outgoing.try_send(ToServer::Heartbeat);
    }

    /// Since when the server has not answered, if it does not, in milliseconds since 1970.
    pub fn silent_since(&self) -> Option<u64> {
        *self.silent_since.borrow()
    }

    /// The server has not answered since then, or answers again.
    pub fn set_silent(&self, since_unix_ms: Option<u64>) {
        self.silent_since.send_replace(since_unix_ms);
    }

    /// Waits until the server does not answer any more: the error that says so.
    pub async fn falls_silent(&self) -> AskError {
        let mut silence = self.silent_since.subscribe();
        // The sender lives as long as `self`.
        let since = silence.wait_for(Option::is_some).await.ok().and_then(|since| *since);
        let server = self.server.clone();
        AskError::Silent { server, since_unix_ms: since.unwrap_or_default() }
    }

    /// Waits until the connection was closed from this end.
    pub async fn over(&self) {
        self.over.cancelled().await;
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

    fn open_question(&self, id: u64) -> Option<oneshot::Receiver<Answer>> {
        let mut questions = self.questions();
        if questions.closed {
            return None;
        }
        let (answered, answer) = oneshot::channel();
        questions.open.insert(id, answered);
        Some(answer)
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
        self.over.cancel();
    }
}

/// A question is open as long as somebody waits for its answer.
struct OpenQuestion<'a> {
    connection: &'a Connection,
    id: u64,
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        self.connection.questions().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_find_their_questions_in_any_order() {
        let (connection, mut to_write) = Connection::new("a", Numbers::of_life(7));
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
        let (connection, mut to_write) = Connection::new("a", Numbers::of_life(7));
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

    #[tokio::test]
    async fn a_server_that_hangs_is_not_waited_for_and_its_late_answer_harms_nobody() {
        let (connection, mut to_write) = Connection::new("a", Numbers::of_life(7));
        let asked = connection.ask(ServerCommand::ShowHost);
        let (asked, ()) = tokio::join!(asked, async { connection.set_silent(Some(5)) });
        let again = connection.ask(ServerCommand::ShowHost).await;
        let mut sent = 0;
        while to_write.try_recv().is_ok() {
            sent += 1;
        }
        assert_eq!(sent, 1, "the first question");
        let silent = AskError::Silent { server: "a".to_owned(), since_unix_ms: 5 };
        assert_eq!(again, Err(silent.clone()));
        assert!(silent.to_string().contains("1970-01-01T00:00:00Z"), "{silent}");
        assert_eq!(asked, Err(silent));
        let late = FromServer::Reply { id: 1, result: Ok(ServerReply::Done) };
        assert_eq!(connection.take(late), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up() {
        let (connection, _to_write) = Connection::new("a", Numbers::of_life(7));
        let within = ANSWER_DEADLINE;
        let late = Err(AskError::Late { server: "a".to_owned(), within });
        assert_eq!(connection.ask(ServerCommand::ShowHost).await, late);
    }
}
