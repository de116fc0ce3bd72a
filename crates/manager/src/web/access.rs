//! Who may look and command where there is a cluster token: who has shown it.
//!
//! A script shows the token with each request, as `Authorization: Bearer`. A browser shows it once
//! and gets a cookie for it, which the page's own scripts cannot read and no other page can have
//! sent along.

use super::failure::Failure;
use super::guard::only;
use super::serving::Serving;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use lazycopy_transport::{Token, random_bytes};
use serde::Deserialize;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// Browsers that have shown the token and are remembered; where another one comes, the first is
/// forgotten.
const MAX_SESSIONS: usize = 64;

/// How long a browser is remembered: a working day.
const SESSION_FOR: Duration = Duration::from_secs(12 * 60 * 60);

/// Who has shown the token.
pub(super) struct Access {
    token: Option<Token>,
    /// Whether the page speaks TLS.
    pub(super) is_secure: bool,
    /// Its port: cookies do not tell the ports of a host apart.
    port: u16,
    sessions: Mutex<VecDeque<([u8; 32], Instant)>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Access(..)")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    token: String,
}

impl Access {
    /// For whoever has the token; without one, for everybody who reaches the page.
    pub(super) fn new(token: Option<Token>, is_secure: bool, port: u16) -> Self {
        Access { token, is_secure, port, sessions: Mutex::default() }
    }

    fn sessions(&self) -> MutexGuard<'_, VecDeque<([u8; 32], Instant)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether who asks has shown the token, if there is one.
    ///
    /// # Errors
    /// When a header is there twice.
    pub(super) fn is_shown(&self, headers: &HeaderMap) -> Result<bool, Failure> {
        if self.token.is_none() {
            return Ok(true);
        }
        if let Some(value) = only(headers, &AUTHORIZATION)? {
            let shown = value.strip_prefix("Bearer ").unwrap_or_default();
            return Ok(self.is_token(shown));
        }
        let name = self.cookie_name();
        let cookies = only(headers, &COOKIE)?.unwrap_or_default();
        let ours = cookies
            .split(';')
            .filter_map(|cookie| cookie.trim().strip_prefix(&name)?.strip_prefix('='));
        Ok(ours.filter_map(|value| hex::decode(value).ok()).any(|id| self.is_remembered(&id)))
    }

    fn is_token(&self, text: &str) -> bool {
        let shown = Token::of_text(text);
        self.token.as_ref().zip(shown.ok()).is_some_and(|(token, shown)| token.is(&shown))
    }

    fn is_remembered(&self, id: &[u8]) -> bool {
        let mut sessions = self.sessions();
        sessions.retain(|(_, since)| since.elapsed() < SESSION_FOR);
        sessions.iter().any(|(known, _)| known[..].ct_eq(id).into())
    }

    fn cookie_name(&self) -> String {
        format!("lazycopy-{}", self.port)
    }

    /// Remembers a browser: the cookie for it.
    fn remember(&self) -> String {
        let id = random_bytes::<32>();
        let mut sessions = self.sessions();
        if sessions.len() == MAX_SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back((id, Instant::now()));
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!(
            "{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
            self.cookie_name(),
            hex::encode(id),
            SESSION_FOR.as_secs(),
        )
    }
}

/// A browser shows the token.
pub(super) async fn show(
    State(Serving { web, .. }): State<Serving>,
    body: Bytes,
) -> Result<Response, Failure> {
    // What is wrong with it is not repeated: it may be the token, cut or typed twice.
    let shown: Shown = serde_json::from_slice(&body)
        .map_err(|_| Failure::malformed("the body should be {\"token\": \"...\"}"))?;
    if !web.access.is_token(&shown.token) {
        return Err(Failure::unauthorized("this is not the cluster token of this manager"));
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, web.access.remember())]).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn asks(access: &Access, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        access.is_shown(&map).unwrap_or(false)
    }

    #[test]
    fn without_a_token_nothing_is_to_be_shown() {
        assert!(asks(&Access::new(None, false, 7), &[]));
    }

    #[test]
    fn the_token_or_a_cookie_for_it_lets_in_and_nothing_else() {
        let text = "0f".repeat(32);
        let access = Access::new(Some(Token::of_text(&text).unwrap()), true, 7);
        let bearer = format!("Bearer {text}");
        assert!(asks(&access, &[("authorization", &bearer)]));
        let other = format!("Bearer {}", "0e".repeat(32));
        for wrong in [&other[..], "Bearer ", "Bearer", &text, "Basic eDp5"] {
            assert!(!asks(&access, &[("authorization", wrong)]), "{wrong}");
        }
        assert!(!asks(&access, &[("authorization", &bearer), ("authorization", &bearer)]));
        let cookie = access.remember();
        assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        assert!(asks(&access, &[("cookie", &format!("theme=dark; {pair}"))]));
        for wrong in ["", "lazycopy-7=", &format!("lazycopy-7={}", "00".repeat(32))] {
            assert!(!asks(&access, &[("cookie", wrong)]), "{wrong}");
        }
        assert!(!asks(&access, &[]));
    }

    #[test]
    fn of_too_many_browsers_the_first_is_forgotten() {
        let access = Access::new(Some(Token::of_text(&"0f".repeat(32)).unwrap()), false, 7);
        let cookies: Vec<String> = (0..=MAX_SESSIONS).map(|_| access.remember()).collect();
        let is_known =
            |cookie: &String| asks(&access, &[("cookie", cookie.split(';').next().unwrap())]);
        assert!(!is_known(&cookies[0]));
        assert!(cookies[1..].iter().all(is_known));
    }
}
