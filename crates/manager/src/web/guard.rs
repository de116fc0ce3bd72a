//! Who may ask: the page that this manager serves, and nobody else's.
//!
//! A page of another origin reaches a loopback address, too, by itself or by a name that is made to
//! point there. The first is seen by its `Origin`, the second by its `Host`; a form or an image,
//! which need no leave to be sent, can set neither the content type nor a header of ours.

use super::command::MAX_BODY_BYTES;
use super::failure::Failure;
use super::listener::Known;
use super::{Web, assets};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The header without which nothing is commanded.
const OURS: HeaderName = HeaderName::from_static("x-lazycopy");

/// Where a browser shows the token.
pub(super) const LOGIN: &str = "/api/login";

/// How long a body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// What it says.
const PAGE: &str = "page";

/// Lets a request pass, or answers it.
pub(super) async fn guard(
    State(web): State<Arc<Web>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let (door, headers) = (FrontDoor::of(&web), &parts.headers);
    check(door, &parts.method, &parts.uri, headers)?;
    let path = parts.uri.path();
    // The program's own files tell nobody anything; what is shown is looked at where it is shown.
    let is_for_all = path.starts_with("/assets/") || path == LOGIN;
    if web.access.is_shown(headers)? {
        if let Some(known) = parts.extensions.get::<Known>() {
            known.now();
        }
    } else if path == "/" {
        return assets::login();
    } else if !is_for_all {
        return Err(Failure::unauthorized(
            "the cluster token is needed: open the page to show it, or send Authorization: Bearer \
             TOKEN",
        ));
    }
    let body = tokio::time::timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY_BYTES))
        .await
        .map_err(|_| Failure::late("the body took too long"))?
        .map_err(|_| Failure::too_large(format!("a body has at most {MAX_BODY_BYTES} bytes")))?;
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

/// Where the page is, and how it is spoken to.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrontDoor {
    pub(super) address: SocketAddr,
    pub(super) scheme: &'static str,
}

impl FrontDoor {
    fn of(web: &Web) -> Self {
        let scheme = if web.access.is_secure { "https" } else { "http" };
        FrontDoor { address: web.address(), scheme }
    }
}

pub(super) fn check(
    door: FrontDoor,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Failure> {
    let FrontDoor { address, scheme } = door;
    let port = address.port();
    let host = only(headers, &HOST)?
        .ok_or_else(|| Failure::forbidden("the request names no host: send one Host header"))?;
    let named = uri.authority().map_or(host, |authority| authority.as_str());
    if !is_here(host, door) || !is_here(named, door) {
        let right = match address.ip().is_loopback() {
            true => format!("127.0.0.1:{port} or localhost:{port}"),
            false => format!("port {port} of this machine's IP addresses, and at no name"),
        };
        return Err(Failure::forbidden(format!("this is not {named}: the page is at {right}")));
    }
    if let Some(origin) = only(headers, &ORIGIN)?
        && !origin.eq_ignore_ascii_case(&format!("{scheme}://{host}"))
    {
        return Err(Failure::forbidden(format!(
            "a page of {origin} must not ask here: open {scheme}://{host}/"
        )));
    }
    if *method == Method::GET || *method == Method::HEAD {
        return Ok(());
    }
    if only(headers, &OURS)? != Some(PAGE) {
        return Err(Failure::forbidden(format!("it needs the header X-Lazycopy: {PAGE}")));
    }
    let essence = only(headers, &CONTENT_TYPE)?.unwrap_or_default();
    let essence = essence.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Failure::not_json(essence)),
    }
}

/// The value of a header that may be there once.
pub(super) fn only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match (first.map(|value| value.to_str()), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(Failure::forbidden(format!("the header {name} is there twice, or is no text"))),
    }
}

/// Whether `host` is an address of the page: of this machine alone where the page is there alone,
/// else any IP address. A name that somebody else makes point here is neither.
fn is_here(host: &str, door: FrontDoor) -> bool {
    let usual = if door.scheme == "https" { 443 } else { 80 };
    let (name, of_host) = match host.rsplit_once(':') {
        Some((name, of_host)) if !of_host.ends_with(']') => (name, of_host.parse().ok()),
        _ => (host, Some(usual)),
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let beyond = !door.address.ip().is_loopback();
    let is_ours = name.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| beyond || address.is_loopback());
    is_ours && of_host == Some(door.address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn door(address: &str) -> FrontDoor {
        FrontDoor { address: address.parse().unwrap(), scheme: "http" }
    }

    #[test]
    fn beyond_this_machine_the_hosts_are_ip_addresses_and_no_names() {
        for host in ["192.0.2.1:7", "[2001:db8::1]:7", "127.0.0.1:7", "localhost:7"] {
            assert!(is_here(host, door("0.0.0.0:7")), "{host}");
            assert!(is_here(host, door("192.0.2.1:7")), "{host}");
        }
        for host in ["evil.example:7", "192.0.2.1:8", "192.0.2.1", "192.0.2.1.evil.example:7", ""] {
            assert!(!is_here(host, door("0.0.0.0:7")), "{host}");
        }
        let secure = FrontDoor { scheme: "https", ..door("192.0.2.1:443") };
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("192.0.2.1"));
        for (origin, may) in [("https://192.0.2.1", true), ("http://192.0.2.1", false)] {
            headers.insert("origin", HeaderValue::from_static(origin));
            let asked = check(secure, &Method::GET, &Uri::from_static("/"), &headers);
            assert_eq!(asked.is_ok(), may, "{origin}");
        }
    }

    fn asks(method: Method, headers: &[(&'static str, &'static str)]) -> Result<(), u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let asked = check(door("127.0.0.1:7"), &method, &Uri::from_static("/api/state"), &map);
        asked.map_err(|failure| failure.status().as_u16())
    }

    #[test]
    fn the_hosts_of_the_page_are_loopback_addresses_with_its_port() {
        for host in ["127.0.0.1:7", "localhost:7", "LOCALHOST:7", "[::1]:7", "127.9.9.9:7"] {
            assert!(is_here(host, door("127.0.0.1:7")), "{host}");
        }
        for host in [
            "127.0.0.1",
            "localhost:8",
            "evil.example:7",
            "localhost.evil.example:7",
            "10.0.0.1:7",
            "",
            ":7",
            "127.0.0.1:",
            "127.0.0.1:7:7",
            "[::1]",
            "0.0.0.0:7",
        ] {
            assert!(!is_here(host, door("127.0.0.1:7")), "{host}");
        }
        assert!(is_here("localhost", door("[::1]:80")) && is_here("[::1]", door("127.0.0.1:80")));
    }

    #[test]
    fn a_request_names_the_page_itself_as_host_and_as_origin() {
        let host = ("host", "localhost:7");
        assert_eq!(asks(Method::GET, &[host]), Ok(()));
        assert_eq!(asks(Method::GET, &[]), Err(403));
        assert_eq!(asks(Method::GET, &[host, host]), Err(403));
        assert_eq!(asks(Method::GET, &[("host", "evil.example:7")]), Err(403));
        assert_eq!(asks(Method::GET, &[host, ("origin", "http://localhost:7")]), Ok(()));
        for origin in ["http://127.0.0.1:7", "http://localhost:8", "https://localhost:7", "null"] {
            assert_eq!(asks(Method::GET, &[host, ("origin", origin)]), Err(403), "{origin}");
        }
    }

    #[test]
    fn what_commands_needs_the_header_and_json() {
        let (host, ours) = (("host", "localhost:7"), ("x-lazycopy", "page"));
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(asks(Method::POST, &[host, ours, json]), Ok(()));
        assert_eq!(asks(Method::POST, &[host, json]), Err(403));
        assert_eq!(asks(Method::POST, &[host, ours]), Err(415));
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(asks(Method::POST, &[host, ours, form]), Err(415));
        assert_eq!(asks(Method::DELETE, &[host]), Err(403));
    }
}
