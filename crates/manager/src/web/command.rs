//! Commands from the page: the prompt's grammar.

use super::failure::Failure;
use super::serving::Serving;
use crate::grammar::MAX_LINE_BYTES;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

/// The largest body: a line of which each letter is escaped.
pub(super) const MAX_BODY_BYTES: usize = 6 * MAX_LINE_BYTES + 1024;

/// Commands of the page that run at once; further ones are refused.
pub(super) const MAX_COMMANDS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    command: String,
}

/// For the fuzzer: whether a body asks for a command that the grammar knows.
pub(super) fn is_one(body: &[u8]) -> bool {
    let asked = serde_json::from_slice::<Asked>(body);
    asked.is_ok_and(|asked| crate::grammar::parse_line(&asked.command).is_ok())
}

/// Carries out a command. It runs to its end even if nobody waits for it any more.
pub(super) async fn command(
    State(Serving { manager, web }): State<Serving>,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
        Failure::malformed(format!("the body should be {{\"command\": \"...\"}}: {error}"))
    })?;
    let _turn = web
        .commands
        .try_acquire()
        .map_err(|_| Failure::busy(format!("{MAX_COMMANDS} commands run already")))?;
    let line = asked.command;
    let outcome = tokio::spawn(async move { manager.run_line(&line).await }).await;
    match outcome.map_err(Failure::internal)? {
        Ok(reply) => Ok(Json(json!({ "ok": true, "output": reply.json, "text": reply.text }))),
        Err(error) => {
            let mut body = error.json();
            body["ok"] = false.into();
            Err(Failure::refused_with(body))
        }
    }
}
