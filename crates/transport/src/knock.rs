//! What is said at a door, and what proves it: without IO.
//!
//! The proof of a side is an HMAC-SHA-256 over its role, the TLS session where there is one, and
//! both frames that went before, byte by byte: versions, purpose and both nonces with them. So a
//! proof is of use in no other connection, for nothing else, and not to whoever gave the other.

use crate::random::random_bytes;
use crate::token::Token;
use hmac::{Hmac, KeyInit, Mac};
use lazycopy_protocol::control::{MigrationId, MigrationKey, PROTOCOL_VERSION};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use std::fmt;

/// The largest frame before both sides have proven themselves: names of a server and a purpose fit
/// easily, and what a stranger can make a process set aside stays small.
pub const KNOCK_FRAME_BYTES: usize = 2_048;

/// Separates these proofs from whatever else somebody might compute by the same token.
const LABEL: &[u8] = b"lazycopy door 1";

/// How much of another side's version is shown.
const SHOWN_CHARACTERS: usize = 40;

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "for")]
pub enum Purpose {
    /// A server obeys the manager.
    Server,
    /// A `ctl` has a command for the manager.
    Ctl,
    /// The source of a migration has something for its destination.
    Pages {
        /// What.
        link: PageLink,
        /// Which migration.
        migration: MigrationId,
        /// Name of the source.
        source: String,
    },
}

/// What a source opens a connection to its destination for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageLink {
    /// To offer the guest.
    Offer,
    /// To send pages in bulk.
    Bulk,
    /// To go on where a broken link was.
    Recover,
}

/// The first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Knock {
    lazycopy: u32,
    version: String,
    purpose: Purpose,
    /// Whether this side has a cluster token.
    token: bool,
    nonce: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Challenge {
    lazycopy: u32,
    version: String,
    nonce: String,
    proof: String,
}

/// The last word of who knocked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastWord {
    proof: String,
}

/// What both sides have to know: the cluster token, where there is one, and the migration's key,
/// where it is about one. It shows itself nowhere.
#[derive(Clone)]
pub struct Secret {
    mac: Hmac<Sha256>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Whose proof it is: one side's is no proof of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prover {
    WhoKnocks,
    WhoAnswers,
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

impl Secret {
    /// Of a token and a key.
    pub fn of(token: Option<&Token>, key: Option<&MigrationKey>) -> Secret {
        let mut derived = hmac(token.map_or(&[], Token::bytes));
        derived.update(LABEL);
        if let Some(key) = key {
            derived.update(key.bytes());
        }
        Secret { mac: hmac(&derived.finalize().into_bytes()) }
    }

    fn over(&self, prover: Prover, said: &Said<'_>) -> Hmac<Sha256> {
        let role: &[u8] = match prover {
            Prover::WhoKnocks => b"who knocks",
            Prover::WhoAnswers => b"who answers",
        };
        let mut mac = self.mac.clone();
        for part in [LABEL, role, said.session, said.knock, said.answer] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    fn proof(&self, prover: Prover, said: &Said<'_>) -> String {
        hex::encode(self.over(prover, said).finalize().into_bytes())
    }

    /// Compares in a time that tells nothing.
    fn is_proven(&self, prover: Prover, said: &Said<'_>, proof: &str) -> bool {
        let Ok(proof) = hex::decode(proof) else { return false };
        self.over(prover, said).verify_slice(&proof).is_ok()
    }
}

/// All that went before a proof.
struct Said<'a> {
    /// Of the TLS session; empty without one.
    session: &'a [u8],
    /// The first frame.
    knock: &'a [u8],
    /// The nonce and the version of the answer.
    answer: &'a [u8],
}

/// The answer without its proof, as bytes.
fn answer_bytes(challenge: &Challenge) -> Vec<u8> {
    let Challenge { lazycopy, version, nonce, .. } = challenge;
    serde_json::to_vec(&(lazycopy, version, nonce)).unwrap_or_default()
}

fn nonce() -> String {
    hex::encode(random_bytes::<32>())
}

fn to_json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
}

/// Who knocks.
#[derive(Debug)]
pub(crate) struct Knocking {
    frame: Vec<u8>,
}

impl Knocking {
    /// Knocks.
    pub(crate) fn new(purpose: Purpose, token: bool) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let knock = Knock { lazycopy: PROTOCOL_VERSION, version, purpose, token, nonce: nonce() };
        Knocking { frame: to_json(&knock) }
    }

    /// The first frame.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Takes the answer; gives the last frame.
    ///
    /// # Errors
    /// In words: the other side refuses, or has not proven itself.
    pub(crate) fn take(
        &self,
        secret: &Secret,
        session: &[u8],
        answer: &[u8],
    ) -> Result<Vec<u8>, String> {
        let seen: Value = serde_json::from_slice(answer).map_err(|_| stranger())?;
        if let Some(reason) = seen.get("reason").and_then(Value::as_str) {
            return Err(reason.to_owned());
        }
        check_version(&seen)?;
        let challenge: Challenge = serde_json::from_value(seen).map_err(|_| stranger())?;
        let said_after = answer_bytes(&challenge);
        let said = Said { session, knock: &self.frame, answer: &said_after };
        if !secret.is_proven(Prover::WhoAnswers, &said, &challenge.proof) {
            return Err("the other side does not prove the same cluster token, or, between \
                        servers, the same migration key: give both copies of one token file"
                .to_owned());
        }
        Ok(to_json(&LastWord { proof: secret.proof(Prover::WhoKnocks, &said) }))
    }
}

/// Somebody knocked, and what for.
#[derive(Debug)]
pub(crate) struct Knocked {
    frame: Vec<u8>,
    /// What for.
    pub(crate) purpose: Purpose,
}

impl Knocked {
    /// Takes the first frame.
    ///
    /// # Errors
    /// In words, for who knocked: of another version, or with a token where there is none.
    pub(crate) fn take(frame: Vec<u8>, token: bool) -> Result<Knocked, String> {
        let seen: Value = serde_json::from_slice(&frame).map_err(|_| stranger())?;
        check_version(&seen)?;
        let knock: Knock = serde_json::from_value(seen).map_err(|_| stranger())?;
        match (token, knock.token) {
            (true, false) => {
                Err("a cluster token is needed here: give its file with --token-file \
                                  or LAZYCOPY_TOKEN_FILE"
                    .to_owned())
            }
            (false, true) => Err("there is no cluster token here: start this side with \
                                  --token-file, too, or leave it out on both"
                .to_owned()),
            _ => Ok(Knocked { frame, purpose: knock.purpose }),
        }
    }

    /// Answers, and proves this side.
    pub(crate) fn answer(self, secret: Secret, session: Vec<u8>) -> Answered {
        let mut challenge = Challenge {
            lazycopy: PROTOCOL_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nonce: nonce(),
            proof: String::new(),
        };
        let answer = answer_bytes(&challenge);
        let said = Said { session: &session, knock: &self.frame, answer: &answer };
        challenge.proof = secret.proof(Prover::WhoAnswers, &said);
        Answered { secret, session, knock: self.frame, answer, frame: to_json(&challenge) }
    }
}

/// This side has proven itself; the other has yet to.
#[derive(Debug)]
pub(crate) struct Answered {
    secret: Secret,
    session: Vec<u8>,
    knock: Vec<u8>,
    answer: Vec<u8>,
    frame: Vec<u8>,
}

impl Answered {
    /// The answer.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Takes the last frame.
    ///
    /// # Errors
    /// In words, for who knocked: it has not proven itself.
    pub(crate) fn take(self, last: &[u8]) -> Result<(), String> {
        let last: LastWord = serde_json::from_slice(last).map_err(|_| stranger())?;
        let said = Said { session: &self.session, knock: &self.knock, answer: &self.answer };
        match self.secret.is_proven(Prover::WhoKnocks, &said, &last.proof) {
            true => Ok(()),
            false => Err("it does not prove the cluster token and the migration key".to_owned()),
        }
    }
}

fn stranger() -> String {
    format!(
        "what it says is no beginning of a connection of lazycopy (here: protocol \
         {PROTOCOL_VERSION})"
    )
}

/// Two processes talk only if their versions are equal. Every version says its own at the top of
/// its first frame; up to version 3 it was called otherwise.
fn check_version(seen: &Value) -> Result<(), String> {
    let number = |key: &str| seen.get(key).and_then(Value::as_u64);
    let Some(theirs) = number("lazycopy").or_else(|| number("protocol")) else {
        return Err(stranger());
    };
    if theirs == u64::from(PROTOCOL_VERSION) && seen.get("lazycopy").is_some() {
        return Ok(());
    }
    let text = seen.get("version").and_then(Value::as_str).unwrap_or("of an unknown version");
    let text: String = text.chars().take(SHOWN_CHARACTERS).collect();
    Err(format!(
        "one side speaks protocol {theirs} (lazycopy {}), the other protocol {PROTOCOL_VERSION} \
         (lazycopy {}): run the same version on both",
        text.escape_debug(),
        env!("CARGO_PKG_VERSION"),
    ))
}

/// A refusal, in a form that every version of a server, a `ctl` and a source understands: each
/// finds the members that it looks for.
pub(crate) fn refusal(reason: &str) -> Vec<u8> {
    to_json(&serde_json::json!({
        "message": "refused",
        "peer": "refuse",
        "ok": false,
        "reason": reason,
        "output": reason,
    }))
}

/// Why a first frame that is too long is refused. One of an older version says which it is at its
/// beginning.
pub(crate) fn oversize(beginning: &[u8]) -> String {
    let text = String::from_utf8_lossy(beginning);
    let version = text.split_once("\"protocol\":").map(|(_, rest)| {
        rest.chars().take_while(char::is_ascii_digit).take(10).collect::<String>()
    });
    match version.and_then(|digits| digits.parse::<u64>().ok()) {
        Some(version) => {
            let old = serde_json::json!({ "protocol": version });
            check_version(&old).err().unwrap_or_else(stranger)
        }
        None => stranger(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How it goes between two sides, of which the one that knocks is of that protocol and release.
    fn knock_of(protocol: u32, release: &str) -> Result<(), String> {
        let secret = Secret::of(None, Some(&MigrationKey::new([7; 32])));
        let mut knocking = Knocking::new(Purpose::Ctl, false);
        let mut frame: Value = serde_json::from_slice(&knocking.frame).unwrap();
        (frame["lazycopy"], frame["version"]) = (protocol.into(), release.into());
        knocking.frame = to_json(&frame);
        let answered = Knocked::take(knocking.frame.clone(), false)?.answer(secret.clone(), vec![]);
        let last = knocking.take(&secret, &[], answered.frame())?;
        answered.take(&last)
    }

    #[test]
    fn releases_of_one_protocol_go_together_and_others_are_named() {
        assert_eq!(knock_of(PROTOCOL_VERSION, "0.0.9"), Ok(()));
        for protocol in [PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1] {
            let refusal = knock_of(protocol, "7.7").unwrap_err();
            assert!(refusal.contains(&format!("protocol {protocol} (lazycopy 7.7)")), "{refusal}");
            assert!(refusal.contains(&format!("protocol {PROTOCOL_VERSION} (")), "{refusal}");
        }
    }
}
