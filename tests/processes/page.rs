//! The live page of a manager, asked as a browser asks, and as a browser is made to ask.

use crate::common::{DEADLINE, Manager, failure, manager, runs};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// A migration of the paper's guest takes two seconds, so that it is seen on its way.
const SEEN: &str = "--set time_scale=50";

/// A manager with a page.
struct Page {
    manager: Manager,
    /// The page's address.
    host: String,
}

/// What was answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().expect("it is an error").to_owned()
    }
}

impl Page {
    fn open() -> Page {
        let mut manager = Manager::start(&["--web"]);
        let line = manager.expect("The page is at http://127.0.0.1:");
        let host = line.trim_start_matches("The page is at http://").trim_end_matches('/');
        Page { host: host.to_owned(), manager }
    }

    fn with_servers() -> Page {
        let page = Page::open();
        page.commands("server start a");
        page.commands("server start b");
        page
    }

    /// Sends a request as it is written. By version 1.0, so that what comes is the body itself.
    fn connect(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.host).expect("the page is there");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is a socket");
        stream.write_all(request.as_bytes()).expect("the page reads");
        stream
    }

    fn ask(&self, request: &str) -> Answer {
        let mut text = String::new();
        self.connect(request).read_to_string(&mut text).expect("the page answers");
        let (head, body) = text.split_once("\r\n\r\n").expect("it is HTTP");
        let status = head.split(' ').nth(1).expect("it has a status").parse().expect("a number");
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn read(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.host))
    }

    /// Posts a command with these headers besides.
    fn post(&self, host: &str, headers: &[&str], command: &str) -> Answer {
        let body = json!({ "command": command }).to_string();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        self.ask(&format!(
            "POST /api/command HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Posts a command as the page does.
    fn says(&self, command: &str) -> Answer {
        let origin = format!("Origin: http://{}", self.host);
        self.post(&self.host, &[&origin, OURS, JSON], command)
    }

    /// Posts a command that succeeds.
    fn commands(&self, command: &str) -> Value {
        let answer = self.says(command);
        assert_eq!(answer.status, 200, "{command}: {}", answer.body);
        let answer = answer.json();
        assert_eq!(answer["ok"], true);
        answer["output"].clone()
    }

    fn live(&self) -> Live {
        let request = format!("GET /api/live HTTP/1.0\r\nHost: {}\r\n\r\n", self.host);
        let mut lines = BufReader::new(self.connect(&request));
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            lines.read_line(&mut line).expect("it has a head");
        }
        Live { lines }
    }

    fn end(self) {
        self.commands("quit --force");
        assert_eq!(self.manager.ended_by_itself().code, Some(0));
    }
}

const OURS: &str = "X-Lazycopy: page";
const JSON: &str = "Content-Type: application/json";

/// What a viewer is sent.
struct Live {
    lines: BufReader<TcpStream>,
}

impl Iterator for Live {
    type Item = (String, Value);

    /// The next event; `None` when the stream has ended.
    fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("it goes on") == 0 {
                return None;
            }
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.trim_end().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).expect("it is JSON")));
            }
        }
    }
}

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
fn a_snapshot_shows_servers_and_guests_and_their_memory() {
    let page = Page::with_servers();
    page.commands(&format!("vm create v --on a {SEEN}"));
    page.commands("vm start v");
    let large = "--set guest.pages=8000 --set guest.frames=4000";
    page.commands(&format!("vm create w --on b {large} {SEEN}"));
    let shown = page.read("/api/state");
    assert!(shown.head.contains("content-type: application/json"), "{}", shown.head);
    let shown = page.awaits(|shown| !shown["vms"][1]["memory"].is_null());
    let servers = shown["servers"].as_array().unwrap();
    assert_eq!((servers.len(), &servers[0]["name"]), (2, &json!("a")));
    assert_eq!((&servers[0]["state"], &servers[0]["frames_taken"]), (&json!("ready"), &json!(20)));
    let v = &shown["vms"][0];
    assert_eq!((&v["server"], &v["phase"]), (&json!("a"), &json!("running")));
    assert!(v["accesses"].as_u64().unwrap() > 0);
    assert_eq!((&v["memory"]["kind"], &v["memory"]["frames"]), (&json!("cells"), &json!(20)));
    assert_eq!(v["memory"]["cells"].as_array().unwrap().len(), 20);
    assert_eq!(v["memory"]["cells"][0]["cause"], "own");
    let w = &shown["vms"][1]["memory"];
    assert_eq!((&w["kind"], &w["pages"]), (&json!("density"), &json!(8000)));
    assert_eq!(w["resident"].as_array().unwrap().len(), 256);
    page.end();
}

#[test]
fn a_viewer_sees_the_fleet_then_the_log_and_progress_that_does_not_go_back() {
    let page = Page::with_servers();
    page.commands(&format!("vm create v --on a {SEEN}"));
    let mut live = page.live();
    let (first, shown) = live.next().unwrap();
    assert_eq!((first.as_str(), &shown["migrations"]), ("state", &json!([])));
    page.commands("migrate v --to b --scheme lazy-copy");
    let (mut progress, mut version, mut events) = (0.0, 0, Vec::new());
    let (mut filling, mut leading) = (0, false);
    let last = loop {
        let (name, data) = live.next().expect("the manager goes on");
        if name == "log" {
            events.extend(data.as_array().unwrap().clone());
            continue;
        }
        assert!(data["version"].as_u64().unwrap() > version, "each is newer");
        version = data["version"].as_u64().unwrap();
        let migration = data["migrations"][0].clone();
        let now = migration["progress"].as_f64().unwrap_or(progress);
        assert!((progress..=1.0).contains(&now), "{progress} and then {now}");
        progress = now;
        let cells = migration["destination_memory"]["cells"].as_array().map_or(0, Vec::len);
        filling += u32::from(0 < cells && cells < 20 && progress < 1.0);
        leading |=
            migration["forward_accesses"].as_u64() > migration["following_accesses"].as_u64();
        if migration["outcome"] == "completed" {
            break migration;
        }
    };
    assert_eq!((progress, &last["phase"], &last["left_ns"]), (1.0, &json!("ended"), &Value::Null));
    assert!(filling > 0, "the destination was seen while it filled");
    assert!(leading, "the forward context was seen ahead");
    let sequence: Vec<u64> = events.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert!(sequence.is_sorted_by(|one, other| one < other), "{sequence:?}");
    let arrived = |cause: &str| {
        let of_cause = |entry: &&Value| {
            entry["event"]["event"] == "page_arrived" && entry["event"]["cause"] == cause
        };
        events.iter().filter(of_cause).count() as u64
    };
    for cause in ["background", "forward", "demand"] {
        assert_eq!(last["arrived"][cause], arrived(cause), "{cause}");
    }
    assert!(arrived("background") > 0);
    assert_eq!((&events[0]["vm"], &events[0]["migration"]), (&json!("v"), &json!(1)));
    let directory = last["directory"].as_str().expect("its result is written");
    assert!(page.manager.directory.path().join("results").join(directory).is_dir());
    page.commands("quit --force");
    assert!(live.all(|(name, _)| !name.is_empty()), "the stream ends with the manager");
    assert_eq!(page.manager.ended_by_itself().code, Some(0));
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
fn an_address_that_others_reach_is_refused_by_name() {
    let here = Path::new(".");
    for address in ["0.0.0.0:0", "192.0.2.1:8080", "[::]:0"] {
        let output = manager(here, &["--listen", "127.0.0.1:0", &format!("--web={address}")]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(address) && said.contains("until there is authentication"), "{said}");
    }
    let output = manager(here, &["--web=nowhere", "--listen", "127.0.0.1:0"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"nowhere\" is no address"));
    let without_fleet = failure(&manager(here, &["simulate", "--web"]));
    assert!(without_fleet.contains("--web shows servers and guests"), "{without_fleet}");
}

#[test]
fn finished_runs_are_listed_and_read_and_broken_ones_are_told_by_name_and_line() {
    let page = Page::with_servers();
    assert_eq!(page.read("/api/runs").json(), json!([]));
    page.commands(&format!("vm create v --on a {}", crate::common::FAST));
    page.commands("migrate v --to b --scheme post-copy --wait");
    let directory = page.manager.directory.path();
    let run = runs(directory).remove(0);
    let name = run.file_name().unwrap().to_str().unwrap().to_owned();
    let broken = run.with_file_name("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("result.json"), "{").unwrap();

    let listed = page.read("/api/runs").json();
    let whole = listed.as_array().unwrap().iter().find(|run| run["name"] == *name).unwrap();
    assert_eq!((&whole["vm"], &whole["scheme"]), (&json!("v"), &json!("post-copy")));
    assert_eq!((&whole["frames"], &whole["outcome"]), (&json!(20), &json!("completed")));
    let told = listed.as_array().unwrap().iter().find(|run| run["name"] == "broken").unwrap();
    assert!(told["error"].as_str().unwrap().contains("results/broken/result.json"), "{told}");

    let result = page.read(&format!("/api/runs/{name}"));
    assert_eq!(result.json()["total_migration_time_ns"], whole["total_migration_time_ns"]);
    let path = format!("/api/runs/{name}/events");
    let events = page.read(&path);
    assert_eq!(events.body, fs::read_to_string(run.join("events.jsonl")).unwrap());
    assert!(events.head.contains("content-type: text/plain"), "{}", events.head);

    for unknown in ["none", "..", "%2e%2e", "..%2f..%2fetc", "%2e%2e%2f", ".hidden", "a%00b"] {
        for path in [format!("/api/runs/{unknown}"), format!("/api/runs/{unknown}/events")] {
            let answer = page.read(&path);
            assert_eq!(answer.status, 404, "{path}: {}", answer.body);
            assert!(!answer.error().is_empty());
        }
    }
    let lines: Vec<&str> = events.body.lines().collect();
    let count = lines.len();
    let written = |text: &str| {
        fs::write(run.join("events.jsonl"), text).unwrap();
        let answer = page.read(&path);
        assert_eq!(answer.status, 422, "{}", answer.body);
        answer.error()
    };
    let told = |line: usize| format!("results/{name}/events.jsonl, line {line}: ");
    let cut = written(&events.body[..events.body.len() - 5]);
    assert!(cut.starts_with(&told(count)), "{cut}");
    let cut_between_lines = written(&format!("{}\n", lines[..10].join("\n")));
    assert!(cut_between_lines.starts_with(&told(11)), "{cut_between_lines}");
    let edited = written(&events.body.replacen(lines[16], "{\"at_ns\": \"soon\"}", 1));
    assert!(edited.starts_with(&told(17)), "{edited}");
    let mut swapped = lines.clone();
    swapped.swap(0, count - 1);
    let swapped = written(&format!("{}\n", swapped.join("\n")));
    assert!(swapped.starts_with(&told(2)) && swapped.contains("earlier"), "{swapped}");
    assert!(written("").contains("line 1: "));
    page.end();
}

#[test]
fn metrics_count_what_has_been_migrated() {
    let page = Page::with_servers();
    page.commands(&format!("vm create v --on a {}", crate::common::FAST));
    let result = page.commands("migrate v --to b --scheme post-copy --wait");
    let answer = page.read("/metrics");
    assert!(answer.head.contains("content-type: application/openmetrics-text"), "{}", answer.head);
    assert!(answer.body.ends_with("# EOF\n"));
    let value = |name: &str| -> f64 {
        let mut samples = answer.body.lines().filter(|line| !line.starts_with('#'));
        let sample = samples.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        sample.unwrap_or_else(|| panic!("no {name} in {}", answer.body)).parse().expect("a number")
    };
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("lazycopy_"), "{line}");
        assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
    }
    assert_eq!(value("lazycopy_servers{state=\"ready\"}"), 2.0);
    assert_eq!(value("lazycopy_guests{phase=\"running\"}"), 1.0);
    let completed = "lazycopy_migrations_total{scheme=\"post-copy\",outcome=\"completed\"}";
    assert_eq!(value(completed), 1.0);
    let number = |key: &str| result[key].as_f64().unwrap_or_else(|| panic!("{key}: {result}"));
    for (cause, key) in [("background", "pages_background"), ("demand", "pages_demand")] {
        let name = format!("lazycopy_pages_arrived_total{{cause=\"{cause}\"}}");
        assert_eq!(value(&name), number(key), "{name}");
    }
    for (end, key) in [("remote", "faults_remote"), ("disk", "faults_disk")] {
        let name = format!("lazycopy_page_faults_total{{ended_by=\"{end}\"}}");
        assert_eq!(value(&name), number(key), "{name}");
    }
    let stall = value("lazycopy_stall_seconds_total");
    assert!((stall - number("stall_time_ns") / 1e9).abs() < 1e-6, "{stall}");
    assert_eq!(value("lazycopy_transferred_bytes_total"), number("bytes_transferred"));
    page.end();
}

#[test]
fn a_viewer_that_never_reads_keeps_nobody_waiting() {
    let page = Page::with_servers();
    let _deaf: Vec<Live> = (0..3).map(|_| page.live()).collect();
    let mut reading = page.live();
    for round in 0..8 {
        page.commands(&format!("vm create v --on a {}", crate::common::FAST));
        page.commands("migrate v --to b --scheme lazy-copy --wait");
        page.commands("vm delete v --force");
        let ended = |data: &Value| data["migrations"][round]["outcome"] == "completed";
        reading.find(|(_, data)| ended(data)).expect("others are shown what there is");
    }
    page.end();
}

impl Page {
    /// Asks until it is shown what is awaited.
    fn awaits(&self, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let mut live = self.live();
        let (_, shown) =
            live.find(|(name, data)| name == "state" && is_so(data)).expect("it is so");
        shown
    }
}
