//! `manager ctl`: one command for a running manager.

use crate::arguments::CtlArguments;
use futures_util::{SinkExt, StreamExt};
use lazycopy_protocol::control::{CtlReply, CtlRequest, FirstFrame};
use lazycopy_protocol::frame::{FrameError, JsonCodec};
use lazycopy_transport::{Door, DoorError, Purpose, Role};
use std::time::Duration;
use tokio_util::codec::Framed;

/// How long connecting may take. A command may take as long as it needs.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

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

/// Sends a command and awaits the reply.
///
/// # Errors
/// When there is no manager, or it does not answer. A command that failed is a reply.
pub async fn send(arguments: &CtlArguments, door: &Door) -> Result<CtlReply, CtlError> {
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
    let request = CtlRequest { command: command_line(&arguments.command), json: arguments.json };
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
