//! Who is let in by real processes, who is not, and what those are told.

use crate::common::{
    FAST, MANAGER, Manager, SERVER, closed_after, failure, frame, knocked, manager, runs,
};
use lazycopy_protocol::control::{MigrationId, PROTOCOL_VERSION};
use lazycopy_transport::{PageLink, Purpose, raise_descriptor_limit};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A cluster's token and certificates, and another's.
struct Secrets {
    directory: TempDir,
}

impl Secrets {
    fn make() -> Secrets {
        let directory = TempDir::new().unwrap();
        for (token, certificates) in [("token", "tls"), ("other-token", "other-tls")] {
            for arguments in [["token", "--out", token], ["certs", "--out", certificates]] {
                let output = manager(directory.path(), &arguments);
                assert!(output.status.success(), "{output:?}");
            }
        }
        Secrets { directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Options for a token and certificates; an empty name leaves one out.
    fn options(&self, token: &str, certificates: &str) -> Vec<String> {
        let named = [("--token-file", token), ("--tls", certificates)];
        let given = named.iter().filter(|(_, name)| !name.is_empty());
        given.flat_map(|(option, name)| [(*option).to_owned(), self.path(name)]).collect()
    }

    fn token(&self) -> String {
        fs::read_to_string(self.path("token")).unwrap().trim().to_owned()
    }
}

fn words(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

fn ctl_with(address: &str, options: &[String], command: &str) -> Output {
    let mut all = vec!["ctl", "--connect", address];
    all.extend(words(options));
    all.push(command);
    manager(Path::new("."), &all)
}

#[test]
fn guests_move_between_servers_that_prove_token_and_certificates_and_no_secret_is_told() {
    let secrets = Secrets::make();
    let directory = TempDir::new().unwrap();
    let script = format!(
        "server start a\nserver start b\nvm create v --on a {FAST}\nmigrate v --to b --wait\n\
         vm create u --on b --scenario unlimited --set guest.pages=2000 --set guest.frames=2000 \
         --set measured_accesses=3000 --set link.connections=2\nmigrate u --to a --wait\n"
    );
    fs::write(directory.path().join("script"), script).unwrap();
    let output = Command::new(MANAGER)
        .args(["--listen", "127.0.0.1:0", "--event-level", "all"])
        .args(secrets.options("token", "tls"))
        .args(["run", "script"])
        .env("RUST_LOG", "trace")
        .current_dir(directory.path())
        .output()
        .unwrap();
    let mut told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    // A digest that differs would have failed the script.
    for migration in ["Migration 1 of \"v\": completed", "Migration 2 of \"u\": completed"] {
        assert!(told.contains(migration), "{told}");
    }
    told.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("a guest is coming"), "the log is there");
    let runs = runs(directory.path());
    assert_eq!(runs.len(), 2);
    for file in runs.iter().flat_map(|run| fs::read_dir(run).unwrap().flatten()) {
        told.push_str(&String::from_utf8_lossy(&fs::read(file.path()).unwrap()));
    }
    for secret in [&secrets.token()[..], "MigrationKey([", "\"key\":["] {
        assert!(!told.contains(secret), "a secret was told");
    }
}

#[test]
fn who_does_not_belong_here_is_told_what_is_wrong() {
    let secrets = Secrets::make();
    let right = secrets.options("token", "tls");
    let manager = Manager::start(&words(&right));
    for (token, certificates, told) in [
        ("", "tls", "a cluster token is needed here"),
        ("other-token", "tls", "does not prove the same cluster token"),
        ("token", "", "TLS is spoken here"),
        ("token", "other-tls", "is of another authority"),
    ] {
        let options = secrets.options(token, certificates);
        let refusal = failure(&ctl_with(&manager.address, &options, "status"));
        assert!(refusal.contains(told), "{refusal}");
        let server = Command::new(SERVER)
            .args(["--manager", &manager.address, "--name", "stranger"])
            .args(&options)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&server.stderr).into_owned();
        assert!(!server.status.success() && log.contains(told), "{log}");
    }
    let status = ctl_with(&manager.address, &right, "status");
    assert!(status.status.success(), "{status:?}");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_token_file_that_others_can_read_is_refused_with_what_mends_it() {
    use std::os::unix::fs::PermissionsExt;
    let secrets = Secrets::make();
    fs::set_permissions(secrets.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    let options = secrets.options("token", "");
    let refusal = failure(&ctl_with("127.0.0.1:1", &options, "status"));
    let mends = format!("run chmod 600 {}", secrets.path("token"));
    assert!(refusal.contains("(mode 0644)") && refusal.contains(&mends), "{refusal}");
}

#[test]
fn beyond_this_machine_nothing_listens_or_connects_without_a_token() {
    let here = Path::new(".");
    let needed = "where a cluster token is needed";
    for arguments in [
        &["--listen", "0.0.0.0:0"][..],
        &["--listen", "[::]:0"],
        &["--listen", "127.0.0.1:0", "--web=0.0.0.0:0"],
        &["ctl", "--connect", "192.0.2.1:1", "status"],
    ] {
        let refusal = failure(&manager(here, arguments));
        assert!(refusal.contains(needed), "{refusal}");
    }
    for addresses in [["127.0.0.1:1", "0.0.0.0:0"], ["192.0.2.1:1", "127.0.0.1:0"]] {
        let [to, at] = addresses;
        let output = Command::new(SERVER)
            .args(["--manager", to, "--listen", at, "--name", "a"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && log.contains(needed), "{log}");
    }
    let secrets = Secrets::make();
    let mut plain = words(&secrets.options("token", "")).join(" ");
    plain.push_str(" --listen 127.0.0.1:0 --web=0.0.0.0:0");
    let refusal = failure(&manager(here, &plain.split(' ').collect::<Vec<_>>()));
    assert!(refusal.contains("--tls DIR") && refusal.contains("--insecure-web"), "{refusal}");
}

#[test]
fn a_page_with_a_token_shows_nothing_to_who_has_not_shown_it() {
    let secrets = Secrets::make();
    let mut options = secrets.options("token", "");
    options.push("--web".to_owned());
    let mut manager = Manager::start(&words(&options));
    let line = manager.expect("The page is at http://127.0.0.1:");
    let host = line.trim_start_matches("The page is at http://").trim_end_matches('/').to_owned();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(&host).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let read = |path: &str, header: &str| {
        ask(&format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n{header}\r\n"))
    };
    let post = |path: &str, header: &str, body: &str| {
        let length = body.len();
        let ours = "X-Lazycopy: page\r\nContent-Type: application/json";
        ask(&format!(
            "POST {path} HTTP/1.0\r\nHost: {host}\r\n{ours}\r\n{header}Content-Length: {length}\
             \r\n\r\n{body}"
        ))
    };
    let is = |answer: &str, status: &str| answer.starts_with(&format!("HTTP/1.0 {status}"));
    for path in ["/api/state", "/api/live", "/api/runs", "/metrics"] {
        assert!(is(&read(path, ""), "401"), "{path}");
    }
    let command = json!({ "command": "server start a" }).to_string();
    assert!(is(&post("/api/command", "", &command), "401"));
    let login = read("/", "");
    assert!(is(&login, "401") && login.contains("needs the cluster token"), "{login}");
    let shown = |token: &str| json!({ "token": token }).to_string();
    let wrong = post("/api/login", "", &shown(&"0".repeat(64)));
    assert!(is(&wrong, "401") && !wrong.contains("set-cookie"), "{wrong}");
    let right = post("/api/login", "", &shown(&secrets.token()));
    assert!(is(&right, "204"), "{right}");
    let cookie = right.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let (cookie, _) = cookie.split_once(';').unwrap();
    assert!(!cookie.contains(&secrets.token()));
    let bearer = format!("Authorization: Bearer {}\r\n", secrets.token());
    for header in [&format!("Cookie: {cookie}\r\n"), &bearer] {
        assert!(is(&read("/api/state", header), "200"));
        assert!(read("/", header).contains("<h1>Servers</h1>"));
    }
    assert!(is(&post("/api/command", &bearer, &command), "200"));
    assert_eq!(manager.end().code, Some(0));
}

/// Why it is refused, in the form that an older server, source or `ctl` looks for.
fn refusal_in(answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(&answer[4..]).expect("a refusal is a frame");
    assert_eq!((&answer["message"], &answer["peer"]), (&json!("refused"), &json!("refuse")));
    answer["reason"].as_str().expect("it has a reason").to_owned()
}

#[test]
fn processes_of_other_versions_are_refused_with_both_versions() {
    let manager = Manager::with_servers(&["--event-level", "off"]);
    let server = manager.json("server list")["servers"][0]["address"].as_str().unwrap().to_owned();
    let ours = format!("protocol {PROTOCOL_VERSION} (lazycopy ");
    for (address, first, theirs) in [
        (&manager.address, json!({"hello": "server", "protocol": 3, "name": "old"}), "protocol 3 "),
        (&manager.address, json!({"hello": "ctl", "protocol": 3, "command": "s"}), "protocol 3 "),
        (&server, json!({"peer": "offer", "protocol": 3, "migration": 1}), "protocol 3 "),
        (&manager.address, json!({"lazycopy": 99, "version": "9.9"}), "99 (lazycopy 9.9)"),
        (&server, json!({"lazycopy": 99, "version": "9.9"}), "99 (lazycopy 9.9)"),
    ] {
        let told = refusal_in(&closed_after(address, &frame(first.to_string().as_bytes())));
        assert!(told.contains(theirs) && told.contains(&ours), "{told}");
        assert!(told.contains("run the same version on both"), "{told}");
    }
    assert_eq!(manager.end().code, Some(0));
}

/// What `ctl` says of a manager that answers its knock so.
fn ctl_of_a_manager_that_says(answer: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut knock = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut knock).unwrap();
            stream.write_all(answer).unwrap();
        });
        failure(&ctl_with(&address, &[], "status"))
    })
}

#[test]
fn a_ctl_tells_what_is_wrong_with_a_manager_of_another_version() {
    let newer = json!({"lazycopy": 99, "version": "9.9", "challenge": "of another kind"});
    let told = ctl_of_a_manager_that_says(&frame(newer.to_string().as_bytes()));
    assert!(told.contains("99 (lazycopy 9.9)"), "{told}");
    assert!(told.contains(&format!("protocol {PROTOCOL_VERSION} (")), "{told}");
    let told = ctl_of_a_manager_that_says(b"");
    assert!(told.contains("without a word: perhaps it is of an older version"), "{told}");
}

#[test]
fn who_knocks_at_the_wrong_door_is_told_whose_it_is() {
    let manager = Manager::with_servers(&["--event-level", "off"]);
    let server = manager.json("server list")["servers"][0]["address"].as_str().unwrap().to_owned();
    let refusal = failure(&ctl_with(&server, &[], "status"));
    assert!(refusal.contains("this is server \"a\", not the manager"), "{refusal}");
    let uninvited =
        Purpose::Pages { link: PageLink::Offer, migration: MigrationId(1), source: "b".to_owned() };
    let told = std::panic::catch_unwind(|| knocked(&server, uninvited, async |_| ())).unwrap_err();
    let told = told.downcast_ref::<String>().expect("it says why");
    assert!(told.contains("is not expected here"), "{told}");
    assert_eq!(manager.end().code, Some(0));
}

/// Connections that say nothing, or not enough, in the ordinary suite; the benchmark `doors` opens
/// ten thousand.
const FLOOD: usize = 1_500;

#[test]
fn idle_and_slow_connections_do_not_stop_the_manager() {
    raise_descriptor_limit();
    let mut manager = Manager::with_servers(&["--event-level", "off"]);
    let mut flood = Vec::new();
    for number in 0..FLOOD {
        let mut stream = TcpStream::connect(&manager.address).unwrap();
        if number % 2 == 0 {
            stream.write_all(&frame(b"{")[..3]).unwrap();
        }
        flood.push(stream);
    }
    let asked = Instant::now();
    assert!(manager.ctl("status").status.success());
    // The strangers ahead of it are given up after ten seconds: it has not waited for them.
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
    manager.say(&format!("vm create v --on a {FAST}"));
    manager.say("migrate v --to b --wait");
    manager.expect("Migration 1 of \"v\": completed");
    drop(flood);
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn idle_connections_do_not_stop_the_page() {
    raise_descriptor_limit();
    let mut manager = Manager::start(&["--web"]);
    let line = manager.expect("The page is at http://127.0.0.1:");
    let host = line.trim_start_matches("The page is at http://").trim_end_matches('/').to_owned();
    let flood: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(&host).unwrap()).collect();
    let asked = Instant::now();
    let mut stream = TcpStream::connect(&host).unwrap();
    write!(stream, "GET /api/state HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
    drop(flood);
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_manager_without_file_descriptors_has_strangers_leave_and_goes_on() {
    let directory = TempDir::new().unwrap();
    let mut process = Command::new("sh")
        .args(["-c", "ulimit -n 48 && exec \"$0\" \"$@\"", MANAGER, "--listen", "127.0.0.1:0"])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let (_, address) = line.rsplit_once(' ').unwrap();
    let address = address.trim_end_matches('.');
    let flood: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let asked = Instant::now();
    let status = ctl_with(address, &[], "status");
    assert!(status.status.success(), "{status:?}");
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
    drop(flood);
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}
