//! Who may ask: the page that this manager serves, and nobody else's.
//!
//! A page of another origin reaches a loopback address, too, by itself or by a name that is made to
//! point there. The first is seen by its `Origin`, the second by its `Host`; a form or an image,
//! which need no leave to be sent, can set neither the content type nor a header of ours.

use super::failure::Failure;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use std::net::IpAddr;

/// The header without which nothing is commanded.
const OURS: HeaderName = HeaderName::from_static("x-lazycopy");

/// What it says.
const PAGE: &str = "page";

/// Lets a request pass, or answers it.
pub(super) async fn guard(
    State(port): State<u16>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    check(port, request.method(), request.uri(), request.headers())?;
    Ok(next.run(request).await)
}

pub(super) fn check(
    port: u16,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), Failure> {
    let host = only(headers, &HOST)?
        .ok_or_else(|| Failure::forbidden("the request names no host: send one Host header"))?;
    let named = uri.authority().map_or(host, |authority| authority.as_str());
    if !is_here(host, port) || !is_here(named, port) {
        return Err(Failure::forbidden(format!(
            "this is not {named}: the page is at 127.0.0.1:{port} or localhost:{port}"
        )));
    }
    if let Some(origin) = only(headers, &ORIGIN)?
        && !origin.eq_ignore_ascii_case(&format!("http://{host}"))
    {
        return Err(Failure::forbidden(format!(
            "a page of {origin} must not ask here: open http://{host}/"
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
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match (first.map(|value| value.to_str()), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        _ => Err(Failure::forbidden(format!("the header {name} is there twice, or is no text"))),
    }
}

/// Whether `host` is an address of this machine alone, with that port.
fn is_here(host: &str, port: u16) -> bool {
    let (name, of_host) = match host.rsplit_once(':') {
        Some((name, of_host)) if !of_host.ends_with(']') => (name, of_host.parse().ok()),
        _ => (host, Some(80)),
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = name.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    is_loopback && of_host == Some(port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn asks(method: Method, headers: &[(&'static str, &'static str)]) -> Result<(), u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let asked = check(7, &method, &Uri::from_static("/api/state"), &map);
        asked.map_err(|failure| failure.status().as_u16())
    }

    #[test]
    fn the_hosts_of_the_page_are_loopback_addresses_with_its_port() {
        for host in ["127.0.0.1:7", "localhost:7", "LOCALHOST:7", "[::1]:7", "127.9.9.9:7"] {
            assert!(is_here(host, 7), "{host}");
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
            assert!(!is_here(host, 7), "{host}");
        }
        assert!(is_here("localhost", 80) && is_here("[::1]", 80));
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
