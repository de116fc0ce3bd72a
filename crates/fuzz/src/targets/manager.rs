//! What the manager reads besides commands.

use lazycopy_manager::fuzzing;
use lazycopy_protocol::control::FromServer;

/// The file of its state.
pub fn state(data: &[u8]) {
    fuzzing::state(data);
}

/// A request to the page: method, path, headers line by line, and a body after an empty line.
pub fn web(data: &[u8]) {
    fuzzing::web(data);
}

/// What servers tell while migrations run: a message a line, as JSON.
pub fn picture(data: &[u8]) {
    let messages = data.split(|byte| *byte == b'\n').map(serde_json::from_slice::<FromServer>);
    fuzzing::picture(messages.filter_map(Result::ok));
}
