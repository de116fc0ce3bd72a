//! Who may ask, and what.

use super::{JSON, OURS, Page};
use crate::common::{failure, manager};
use serde_json::json;
use std::path::Path;

#[test]
fn the_page_is_served_and_may_load_nothing_from_elsewhere() {
    let page = Page::open();
    let index = page.read("/");
    assert_eq!(index.status, 200);
    assert!(index.body.starts_with("<!doctype html>"), "{}", index.body);
    for header in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "content-security-policy: default-src 'self'",
        "x-content-type-options: nosniff",
    ] {
        assert!(index.head.contains(header), "{header} is not in {}", index.head);
    }
    for path in ["/assets/none.js", "/assets/../Cargo.toml", "/assets/%2e%2e/Cargo.toml", "/none"] {
        let answer = page.read(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.error().is_empty());
    }
    page.end();
}

#[test]
fn commands_go_by_the_prompts_grammar_and_say_why_they_fail() {
    let page = Page::with_servers();
    let answer = page.commands("vm create v --on a");
    assert_eq!(answer["vm"], "v");
    let failed = page.says("vm create v --on a");
    assert_eq!((failed.status, &failed.json()["ok"]), (422, &json!(false)));
    assert!(failed.error().contains("\"v\""), "{}", failed.error());
    assert_eq!(page.says("no such command").status, 422);
    let body = "GET /api/command HTTP/1.0\r\nHost: HOST\r\nX-Lazycopy: page\r\n\r\n";
    let by_get = page.ask(&body.replace("HOST", &page.host));
    assert_eq!((by_get.status, by_get.error().contains("no GET")), (405, true));
    for (body, status) in [("{}", 400), ("[", 400), (r#"{"command":"status","x":1}"#, 400)] {
        let answer = page.ask(&format!(
            "POST /api/command HTTP/1.0\r\nHost: {}\r\n{OURS}\r\n{JSON}\r\nContent-Length: {}\r\n\r\n{body}",
            page.host,
            body.len()
        ));
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.error().contains("the body should be"), "{body}");
    }
    page.end();
}

#[test]
fn whoever_is_not_the_page_is_refused_and_changes_nothing() {
    let page = Page::open();
    let port = page.host.rsplit_once(':').unwrap().1;
    let (own, command) = (format!("Origin: http://{}", page.host), "server start a");
    let refused = |host: &str, headers: &[&str], status| {
        let answer = page.post(host, headers, command);
        assert_eq!(answer.status, status, "{host} {headers:?}: {}", answer.body);
        assert!(!answer.error().is_empty());
    };
    for origin in ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"] {
        refused(&page.host, &[&format!("Origin: {origin}"), OURS, JSON], 403);
    }
    // A name that was made to point to this machine.
    let rebound = format!("evil.example:{port}");
    refused(&rebound, &[&format!("Origin: http://{rebound}"), OURS, JSON], 403);
    refused("127.0.0.1:1", &[OURS, JSON], 403);
    refused(&page.host, &[&own, JSON], 403);
    refused(&page.host, &[&own, "X-Lazycopy: other", JSON], 403);
    refused(&page.host, &[&own, OURS], 415);
    refused(&page.host, &[&own, OURS, "Content-Type: text/plain"], 415);
    refused(&page.host, &[&own, OURS, "Content-Type: application/x-www-form-urlencoded"], 415);
    for path in ["/", "/api/state", "/api/live", "/api/runs", "/metrics"] {
        let answer = page.ask(&format!("GET {path} HTTP/1.0\r\nHost: {rebound}\r\n\r\n"));
        assert_eq!(answer.status, 403, "{path}");
        let foreign = format!("Host: {}\r\nOrigin: http://evil.example", page.host);
        let answer = page.ask(&format!("GET {path} HTTP/1.0\r\n{foreign}\r\n\r\n"));
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(page.ask(&format!("GET {path} HTTP/1.0\r\n\r\n")).status, 403, "{path}");
    }
    let by_name = page.ask(&format!("GET / HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n"));
    assert_eq!(by_name.status, 200);
    assert_eq!(page.read("/api/state").json()["servers"], json!([]));
    page.end();
}

#[test]
fn an_address_that_is_none_is_refused_by_name() {
    let here = Path::new(".");
    let output = manager(here, &["--web=nowhere", "--listen", "127.0.0.1:0"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"nowhere\" is no address"));
    let without_fleet = failure(&manager(here, &["simulate", "paper", "--web"]));
    assert!(without_fleet.contains("--web shows servers and guests"), "{without_fleet}");
}

#[test]
fn a_script_has_a_page_as_long_as_it_runs() {
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("script"), "status\n").unwrap();
    let output = manager(directory.path(), &["--listen", "127.0.0.1:0", "--web", "run", "script"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line = said.lines().find(|line| line.starts_with("The page is at http://127.0.0.1:"));
    let address = line.expect("it says where").trim_start_matches("The page is at http://");
    assert!(std::net::TcpStream::connect(address.trim_end_matches('/')).is_err(), "it is over");
}
