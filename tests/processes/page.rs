//! The live page of a manager, asked as a browser asks, and as a browser is made to ask.

use crate::common::{DEADLINE, Manager};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

mod asking;
mod modules;
mod playing;
mod watching;

/// Settings under which the paper's guest takes a second to come, so that it is seen on its way.
const SEEN: &str = "--set time_scale=10";

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
        self.live_at("/api/live")
    }

    fn live_at(&self, path: &str) -> Live {
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.host);
        let mut lines = BufReader::new(self.connect(&request));
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            lines.read_line(&mut line).expect("it has a head");
        }
        Live { lines }
    }

    /// Asks until it is shown what is awaited.
    fn awaits(&self, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let mut live = self.live();
        let (_, shown) =
            live.find(|(name, data)| name == "state" && is_so(data)).expect("it is so");
        shown
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
