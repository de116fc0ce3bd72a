//! `manager ctl`: one command for a running manager.

use crate::arguments::CtlArguments;
use futures_util::{SinkExt, StreamExt};
use lazycopy_protocol::control::{CtlReply, CtlRequest, FirstFrame};
use lazycopy_protocol::frame::{FrameError, JsonCodec};
use lazycopy_transport::{Door, DoorError, Purpose, Role};
use std::time::{Duration, Instant};
use tokio_util::codec::Framed;

/// How long connecting may take. A command may take as long as it needs.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How long a request with a name is sent again since its connection broke: long enough for somebody
/// to start the manager again.
const RESEND_DEADLINE: Duration = Duration::from_secs(60);

/// The pause before it is sent again.
const RESEND_PAUSE: Duration = Duration::from_millis(200);

/// Why a command could not be sent, or its reply not be had.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// Nobody is there.
    #[error("no manager at {address}: {problem}; start one, or choose another with --connect")]
    NoManager {
        /// The address.
        address: String,
        /// What the system said.
        problem: String,
    },
    /// One of the two does not let the other in.
    #[error("the manager at {address} and this ctl do not go together: {problem}")]
    AtDoor {
        /// The address.
        address: String,
        /// Why.
        problem: DoorError,
    },
    /// The connection broke.
    #[error("the connection to the manager at {address} broke: {problem}")]
    Broken {
        /// The address.
        address: String,
        /// What is wrong.
        problem: String,
    },
}

impl CtlError {
    /// Whether another attempt may go better: what one of the two refuses it refuses again.
    fn may_pass(&self) -> bool {
        use DoorError::{Closed, Io, Late};
        !matches!(self, CtlError::AtDoor { problem, .. } if !matches!(problem, Io(_) | Late | Closed))
    }
}

/// Sends a command and awaits the reply, as text or as JSON. A request with a name is sent again
/// where the connection breaks: the manager carries it out once.
///
/// # Errors
/// When there is no manager, or it does not answer. A command that failed is a reply.
pub async fn send(arguments: &CtlArguments, json: bool, door: &Door) -> Result<CtlReply, CtlError> {
    let mut broken_since = None;
    loop {
        let error = match send_once(arguments, json, door).await {
            // A manager that was never there is not waited for, nor one that lets nobody in.
            Err(error) if !error.may_pass() => return Err(error),
            Err(error @ CtlError::NoManager { .. }) if broken_since.is_none() => return Err(error),
            Err(error) => error,
            reply => return reply,
        };
        let since = *broken_since.get_or_insert_with(Instant::now);
        if arguments.request_id.is_none() || since.elapsed() > RESEND_DEADLINE {
            return Err(error);
        }
        tokio::time::sleep(RESEND_PAUSE).await;
    }
}

async fn send_once(
    arguments: &CtlArguments,
    json: bool,
    door: &Door,
) -> Result<CtlReply, CtlError> {
    let address = || arguments.connect.clone();
    let no_manager = |problem: String| CtlError::NoManager { address: address(), problem };
    let at_door = |problem| CtlError::AtDoor { address: address(), problem };
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, door.reach(&arguments.connect));
    let socket = match connecting.await {
        Ok(Ok(socket)) => socket,
        Ok(Err(DoorError::Io(error))) => return Err(no_manager(error.to_string())),
        Ok(Err(error)) => return Err(at_door(error)),
        Err(_) => return Err(no_manager("it does not answer".to_owned())),
    };
    let through = door.go_through(socket, &arguments.connect, Role::Manager, Purpose::Ctl, None);
    let stream = through.await.map_err(at_door)?;
    let broken = |problem: String| CtlError::Broken { address: address(), problem };
    let failed = |error: FrameError| broken(error.to_string());
    let mut framed = Framed::new(stream, JsonCodec::<CtlReply, FirstFrame>::new());
    let request = CtlRequest {
        command: command_line(&arguments.command),
        json,
        request: arguments.request_id.as_ref().map(|name| name.as_str().to_owned()),
    };
    framed.send(FirstFrame::Ctl(request)).await.map_err(failed)?;
    match framed.next().await {
        Some(reply) => reply.map_err(failed),
        None => Err(broken("it was closed without a reply".to_owned())),
    }
}

/// One word is a line as typed at the prompt; several are its words, quoted where they need it.
fn command_line(words: &[String]) -> String {
    match words {
        [line] => line.clone(),
        words => {
            shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_a_line_and_several_are_its_words() {
        let line = |words: &[&str]| {
            command_line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(line(&["vm list"]), "vm list");
        assert_eq!(line(&["script", "a b"]), "script 'a b'");
    }
}
