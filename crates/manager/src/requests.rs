//! Requests with names: however often one is sent, its command is carried out once, and each time
//! answered with what came of it.
//!
//! A request that is sent again while its command is carried out waits for the same answer. Of a
//! request that the manager did not live to answer is known which migration it began; what else it
//! changed is not, so it is carried out again only where that does no harm.

use crate::grammar::{Command, MAX_NAME_BYTES, Name, Parsed, parse_line};
use crate::grammar::{ServerAction, VmAction};
use crate::manager::Manager;
use crate::reply::{CommandError, Reply};
use crate::state::{Changes, KeptReply, Key, Record, Records};
use lazycopy_protocol::control::MigrationId;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Requests that are remembered, the oldest that are not carried out forgotten first: a script that sends one
/// again does so soon.
const MAX_REMEMBERED: usize = 1_024;

/// The longest reply that is kept as it is, in bytes.
const MAX_REPLY_BYTES: usize = 64 << 10;

tokio::task_local! {
    /// The request that a command belongs to.
    static REQUEST: String;
}

/// The request that is carried out here, if it has a name.
pub(crate) fn current() -> Option<String> {
    REQUEST.try_with(String::clone).ok()
}

#[derive(Debug)]
struct Request {
    number: u64,
    command: String,
    migration: Option<MigrationId>,
    /// What it is answered with, once it is.
    answer: watch::Sender<Option<KeptReply>>,
    /// Whether it is carried out by this life of the manager, or has been answered.
    is_in_hand: bool,
}

/// The last requests by name.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    known: BTreeMap<String, Request>,
    last: u64,
    changes: Changes,
}

/// What is to be done about a request.
enum Stand {
    /// Carry it out.
    New,
    /// It is answered, or will be.
    Coming(watch::Receiver<Option<KeptReply>>),
    /// An earlier life of the manager has begun it, and perhaps a migration with it.
    Begun(Option<MigrationId>),
    /// The name is another request's.
    Taken(String),
}

impl Requests {
    /// What is new since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Those that an earlier life of the manager has known.
    pub(crate) fn restored(records: &Records) -> Requests {
        let mut requests = Requests::default();
        for (key, record) in records {
            if let (Key::Request(name), Record::Request { number, command, migration, reply }) =
                (key, record)
            {
                requests.last = requests.last.max(*number);
                let request = Request {
                    number: *number,
                    command: command.clone(),
                    migration: *migration,
                    is_in_hand: reply.is_some(),
                    answer: watch::Sender::new(reply.clone()),
                };
                requests.known.insert(name.clone(), request);
            }
        }
        requests
    }

    fn keep(&mut self, name: &str) {
        let record = self.known.get(name).map(|request| Record::Request {
            number: request.number,
            command: request.command.clone(),
            migration: request.migration,
            reply: request.answer.borrow().clone(),
        });
        self.changes.insert(Key::Request(name.to_owned()), record);
    }

    /// A request is sent.
    fn sent(&mut self, name: &str, command: &str) -> Stand {
        if let Some(known) = self.known.get_mut(name) {
            if known.command != command {
                return Stand::Taken(known.command.clone());
            }
            if std::mem::replace(&mut known.is_in_hand, true) {
                return Stand::Coming(known.answer.subscribe());
            }
            return Stand::Begun(known.migration);
        }
        if self.known.len() >= MAX_REMEMBERED {
            let idle = |it: &Request| it.answer.borrow().is_some() || !it.is_in_hand;
            let idle = self.known.iter().filter(|(_, it)| idle(it));
            let oldest = idle.min_by_key(|(_, it)| it.number).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                self.known.remove(&oldest);
                self.keep(&oldest);
            }
        }
        self.last += 1;
        let request = Request {
            number: self.last,
            command: command.to_owned(),
            migration: None,
            answer: watch::Sender::default(),
            is_in_hand: true,
        };
        self.known.insert(name.to_owned(), request);
        self.keep(name);
        Stand::New
    }

    /// The command of a request begins a migration.
    pub(crate) fn begins(&mut self, name: &str, migration: MigrationId) {
        if let Some(known) = self.known.get_mut(name) {
            known.migration = Some(migration);
            self.keep(name);
        }
    }

    fn answered(&mut self, name: &str, reply: KeptReply) {
        if let Some(known) = self.known.get_mut(name) {
            known.answer.send_replace(Some(reply));
            self.keep(name);
        }
    }
}

impl Manager {
    /// Carries out one line, once where it has a name, and says what came of it.
    pub(crate) async fn run_request(&self, name: Option<String>, line: String) -> KeptReply {
        let Some(name) = name else { return reply_of(self.run_line(&line).await) };
        if name.parse::<Name>().is_err() {
            return refusal(format!(
                "the request's name is none: 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' and \
                 '.' make one"
            ));
        }
        let begun = match self.change(|state| state.requests.sent(&name, &line)) {
            Stand::Taken(other) => {
                return refusal(format!(
                    "request \"{name}\" was \"{other}\", and a name is one request's: choose \
                     another one"
                ));
            }
            Stand::Coming(mut answer) => {
                let answer = answer.wait_for(Option::is_some).await;
                let answer = answer.ok().and_then(|answer| (*answer).clone());
                return answer.unwrap_or_else(|| refusal(CommandError::Ending.to_string()));
            }
            Stand::New => None,
            Stand::Begun(migration) => Some(migration),
        };
        // If the manager ends now, it is known that this was begun.
        self.kept().await;
        let carried_out = async {
            match begun {
                None => self.run_line(&line).await,
                Some(migration) => self.take_up(&name, migration, &line).await,
            }
        };
        let reply = reply_of(REQUEST.scope(name.clone(), carried_out).await);
        if reply.text.len() + reply.json.to_string().len() > MAX_REPLY_BYTES {
            let text = format!("Request \"{name}\" is done; its reply was too long to be kept.");
            let short = KeptReply { ok: reply.ok, json: json!({ "message": text }), text };
            self.change(|state| state.requests.answered(&name, short));
        } else {
            self.change(|state| state.requests.answered(&name, reply.clone()));
        }
        self.kept().await;
        reply
    }

    /// Goes on with a request that an earlier life of the manager had begun.
    async fn take_up(
        &self,
        name: &str,
        migration: Option<MigrationId>,
        line: &str,
    ) -> Result<Reply, CommandError> {
        let Parsed::Command(command) = parse_line(line)? else {
            return self.run_line(line).await;
        };
        let known = migration.filter(|id| self.read(|it| it.fleet.migration(*id).is_some()));
        match (&command, migration, known) {
            (Command::Migrate(migrate), _, Some(id)) if migrate.wait => self.wait_for(id).await,
            (Command::Migrate(_), _, Some(id)) => Ok(self.begun_reply(id)),
            // It began none after all.
            (Command::Migrate(_), Some(_), None) => self.run_line(line).await,
            _ if may_be_repeated(&command) => self.run_line(line).await,
            _ => Err(CommandError::Interrupted {
                request: name.to_owned(),
                command: line.to_owned(),
            }),
        }
    }
}

/// Whether a command that was perhaps carried out already may be carried out again: it changes
/// nothing, or brings about what is so then.
fn may_be_repeated(command: &Command) -> bool {
    match command {
        Command::Status
        | Command::Results
        | Command::Policy(_)
        | Command::Events { .. }
        | Command::Wait { .. } => true,
        // What is asked for first is kept before the source is told.
        Command::Migrate(migrate) => migrate.action.is_some() || migrate.vm.is_some(),
        Command::Server(ServerAction::List | ServerAction::Show { .. }) => true,
        Command::Vm(VmAction::List | VmAction::Show { .. }) => true,
        _ => false,
    }
}

fn reply_of(outcome: Result<Reply, CommandError>) -> KeptReply {
    match outcome {
        Ok(Reply { text, json }) => KeptReply { ok: true, text, json },
        Err(error) => KeptReply { ok: false, text: error.to_string(), json: error.json() },
    }
}

fn refusal(text: String) -> KeptReply {
    KeptReply { ok: false, json: json!({ "error": text }), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> KeptReply {
        KeptReply { ok: true, text: text.to_owned(), json: json!({}) }
    }

    #[test]
    fn a_request_is_new_once_and_one_name_is_one_requests() {
        let mut requests = Requests::default();
        assert!(matches!(requests.sent("r", "status"), Stand::New));
        assert!(matches!(requests.sent("r", "status"), Stand::Coming(it) if it.borrow().is_none()));
        assert!(matches!(requests.sent("r", "results"), Stand::Taken(it) if it == "status"));
        requests.answered("r", reply("done"));
        let Stand::Coming(answer) = requests.sent("r", "status") else { panic!("it is known") };
        assert_eq!(*answer.borrow(), Some(reply("done")));
    }

    #[test]
    fn what_was_answered_outlives_the_manager_and_what_was_begun_is_known_to_be() {
        let mut requests = Requests::default();
        requests.sent("done", "status");
        requests.answered("done", reply("all is well"));
        requests.sent("begun", "migrate v --to b");
        requests.begins("begun", MigrationId(3));
        let kept = requests.take_changes();
        let kept: Records = kept.into_iter().filter_map(|(key, it)| Some((key, it?))).collect();
        let mut requests = Requests::restored(&kept);
        let Stand::Coming(answer) = requests.sent("done", "status") else { panic!("it is known") };
        assert_eq!(*answer.borrow(), Some(reply("all is well")));
        let again = requests.sent("begun", "migrate v --to b");
        assert!(matches!(again, Stand::Begun(Some(MigrationId(3)))));
        let third = requests.sent("begun", "migrate v --to b");
        assert!(matches!(third, Stand::Coming(_)), "the second is in hand");
    }

    #[test]
    fn so_many_requests_are_remembered_and_one_that_is_carried_out_is_not_forgotten() {
        let mut requests = Requests::default();
        requests.sent("unanswered", "status");
        for number in 0..2 * MAX_REMEMBERED {
            let name = format!("r{number}");
            requests.sent(&name, "status");
            requests.answered(&name, reply(""));
        }
        assert_eq!(requests.known.len(), MAX_REMEMBERED);
        assert!(requests.known.contains_key("unanswered"));
        assert!(!requests.known.contains_key("r0"));
    }
}
