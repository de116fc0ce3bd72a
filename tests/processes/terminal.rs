//! What a person at a terminal and a script that reads JSON are given.

use crate::common::{DEADLINE, FAST, MANAGER, Manager, await_no_servers, failure, manager, result};
use lazycopy_manager::grammar::language;
use lazycopy_manager::render::time;
use rexpect::session::spawn_command;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("it is text")
}

/// Every command of the prompt that can be said, in words.
fn commands() -> BTreeSet<String> {
    fn add(before: &str, command: &clap::Command, all: &mut BTreeSet<String>) {
        for inner in command.get_subcommands().filter(|it| it.get_name() != "help") {
            let name = format!("{before}{}", inner.get_name());
            add(&format!("{name} "), inner, all);
            if !inner.is_subcommand_required_set() {
                all.insert(name);
            }
        }
    }
    let mut all = BTreeSet::new();
    add("", &language(), &mut all);
    all
}

#[test]
fn the_tutorial_goes_through_by_itself_and_its_figures_are_those_of_its_results() {
    let directory = TempDir::new().unwrap();
    let output = manager(directory.path(), &["tutorial", "--out", "lessons"]);
    let text = stdout(&output);
    assert!(output.stderr.is_empty(), "{output:?}");
    let prose = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = |part: &str| assert!(prose.contains(part), "no \"{part}\" in:\n{text}");
    let run = |vm: &str| {
        let mut runs = fs::read_dir(directory.path().join("lessons")).unwrap().flatten();
        let run = runs.find(|run| run.file_name().to_string_lossy().contains(&format!("-{vm}-")));
        result(&run.unwrap_or_else(|| panic!("no run of {vm}: {text}")).path())
    };
    let of = |result: &Value, name: &str| time(result[name].as_u64());
    let (post_copy, lazy_copy) = (run("slow"), run("quick"));
    assert_eq!(post_copy["seed"], lazy_copy["seed"]);
    for run in [&post_copy, &lazy_copy, &run("still"), &run("rounds"), &run("seen")] {
        assert_eq!(run["outcome"], "completed");
    }
    says(&format!("Post-copy: the guest was down for {},", of(&post_copy, "downtime_ns")));
    says(&format!(
        "met {} page faults of the migration ({} ended by the source, {} by the disk) and was \
         stalled for {}.",
        post_copy["faults"],
        post_copy["faults_remote"],
        post_copy["faults_disk"],
        of(&post_copy, "stall_time_ns")
    ));
    says(&format!(
        "Lazy-copy: {} page faults instead of {}, stalled for {} instead of {},",
        lazy_copy["faults"],
        post_copy["faults"],
        of(&lazy_copy, "stall_time_ns"),
        of(&post_copy, "stall_time_ns")
    ));
    says(&format!("but a downtime of {}.", of(&run("still"), "downtime_ns")));
    let rounds = run("rounds");
    says(&format!(
        "{} of preparation, {} pages before the hand-over ({} of them again,",
        of(&rounds, "preparation_time_ns"),
        rounds["pages_round"],
        rounds["pages_resent"]
    ));
    for step in 1..=8 {
        says(&format!("Step {step}: "));
    }
    let pids = text.lines().filter_map(|line| line.split("runs: process ").nth(1));
    let pids: Vec<&str> = pids.filter_map(|rest| rest.split(',').next()).collect();
    assert_eq!(pids.len(), 2, "{text}");
    assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "{pids:?}");
}

#[test]
fn completions_name_every_command_and_bash_accepts_its_own() {
    let directory = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let text = stdout(&manager(directory.path(), &["completions", shell]));
        for command in ["tutorial", "simulate", "completions", "ctl"] {
            assert!(text.contains(command), "{shell}: {command}");
        }
        for command in commands() {
            for word in command.split(' ') {
                assert!(text.contains(word), "{shell}: {command}");
            }
        }
        assert!(text.contains("advertise"), "the server's: {shell}");
        if shell == "bash" {
            let file = directory.path().join("completions.bash");
            fs::write(&file, &text).unwrap();
            let file = file.display();
            // The prompt's commands behind ctl, completed as the shell does it.
            let script = format!(
                "source {file}; COMP_WORDS=(manager ctl migr); COMP_CWORD=2; \
                 _manager manager migr ctl; echo \"${{COMPREPLY[@]}}\""
            );
            assert!(
                Command::new("bash").arg("-n").arg(file.to_string()).status().unwrap().success()
            );
            let completed = Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(stdout(&completed).trim(), "migrate");
        }
    }
    assert!(!manager(directory.path(), &["completions", "cobol"]).status.success());
}

#[test]
fn there_is_a_manual_page_of_every_command_with_its_example() {
    let directory = TempDir::new().unwrap();
    let text = stdout(&manager(directory.path(), &["man", "--out", "pages"]));
    assert!(text.contains("manual pages are in pages"), "{text}");
    let page = |name: &str| {
        let path = directory.path().join("pages").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for mode in ["run", "demo", "simulate", "sweep", "merge", "report", "ctl", "tutorial"] {
        assert!(page(&format!("manager-{mode}.1")).contains(".SH SYNOPSIS"), "{mode}");
    }
    for command in commands() {
        let page = page(&format!("manager-commands-{}.1", command.replace(' ', "-")));
        assert!(page.contains("Example: "), "{command}: {page}");
        assert!(!page.contains("\\-\\-listen"), "an option of the program: {command}: {page}");
    }
    assert!(page("manager.1").contains("event") && page("server.1").contains("advertise"));
}

#[test]
fn every_command_has_json_that_carries_what_its_text_does() {
    let manager = Manager::start(&["--event-level", "off"]);
    let script = manager.directory.path().join("inner");
    fs::write(&script, "events off\nstatus\n").unwrap();
    let mut said = BTreeSet::new();
    let fast = "--set time_scale=1000 --set link.latency=4s --set measured_accesses=10";
    let commands_and_parts = [
        ("server start a", "/name"),
        ("server start b", "/name"),
        ("server list", "/servers/1/name"),
        ("server show a", "/host/frames"),
        (&format!("vm create v --on a {fast}"), "/frames"),
        (&format!("vm create w --on a {fast}"), "/pages"),
        ("vm start v", "/phase"),
        ("vm suspend v", "/phase"),
        ("vm resume v", "/phase"),
        ("vm show v", "/vm/snapshot/registers/accesses"),
        ("vm list", "/vms/0/vm/frames"),
        ("watch v", "/vm/memory/frames"),
        ("status", "/servers/0/address"),
        ("policy set scheme=post-copy", "/policy/migration.scheme"),
        ("policy show", "/policy/migration.scheme"),
        ("events off", "/events"),
        ("migrate v --to b", "/destination"),
        ("wait v", "/results/0/faults"),
        ("results", "/results/0/result/total_migration_time_ns"),
        ("vm stop v", "/phase"),
        ("vm delete v", "/message"),
        (
            "migrate w --to b --scheme stop-and-copy --set link.bandwidth=80B/s",
            "/parameters/scheme",
        ),
        ("migrate cancel w", "/message"),
        ("time slow 2", "/pace/slower"),
        ("time freeze", "/pace/frozen"),
        ("time step 5ms", "/pace/frozen"),
        ("time go", "/pace/frozen"),
        ("time", "/pace/slower"),
        ("server evacuate b", "/totals"),
        ("server drain b", "/draining"),
        ("server undrain b", "/message"),
        ("server rebalance --dry-run", "/plan/servers/1/share"),
        (&format!("script {}", script.display()), "/replies/1/servers/0/name"),
        ("help migrate", "/help"),
        ("server stop b --force", "/message"),
        ("quit --force", "/message"),
    ];
    for (line, part) in commands_and_parts {
        let output = crate::common::ctl(&manager.address, &["--json", line]);
        let text = String::from_utf8_lossy(&output.stdout);
        let json: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{line}: {output:?}"));
        assert!(output.status.success(), "{line}: {text}");
        assert!(json.pointer(part).is_some_and(|it| !it.is_null()), "{line}: {text}");
        said.insert(line.to_owned());
    }
    // Of a link that is broken, elsewhere.
    let elsewhere = ["migrate recover", "migrate reclaim"];
    for command in commands().into_iter().filter(|it| !elsewhere.contains(&it.as_str())) {
        let is_it = |line: &String| line == &command || line.starts_with(&format!("{command} "));
        assert!(said.iter().any(is_it), "{command} was not tried");
    }
    assert_eq!(manager.ended_by_itself().code, Some(0));
}

#[test]
fn piped_commands_reply_one_document_a_line() {
    let directory = TempDir::new().unwrap();
    let script = directory.path().join("lines");
    fs::write(&script, format!("server start a\nvm create v --on a {FAST}\nvm list\nvm show x\n"))
        .unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--json", "run", "lines"];
    let output = manager(directory.path(), &arguments);
    assert!(failure(&output).contains("line 4: there is no guest \"x\""));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let replies: Vec<&Value> = documents.iter().filter_map(|it| it.get("reply")).collect();
    assert_eq!(replies[0]["name"], "a");
    assert_eq!(replies[2]["vms"][0]["vm"]["vm"], "v");
    assert!(documents.iter().any(|it| it["notice"].is_string()), "{text}");
    assert!(documents.last().unwrap()["error"].as_str().unwrap().contains("\"x\""), "{text}");
}

#[test]
fn the_other_modes_print_one_document() {
    let directory = TempDir::new().unwrap();
    let json = |arguments: &[&str]| -> Value {
        let output = manager(directory.path(), &[&["--json"], arguments].concat());
        serde_json::from_str(&stdout(&output))
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    };
    let simulated = json(&["simulate", "paper", "--out", "simulated", "--seeds", "2"]);
    assert_eq!(simulated["runs"].as_array().map(Vec::len), Some(2));
    let written = fs::read_to_string(directory.path().join("simulated/results.jsonl")).unwrap();
    let first: Value = serde_json::from_str(written.lines().next().unwrap()).unwrap();
    assert_eq!(simulated["runs"][0]["faults"], first["faults"]);
    assert_eq!(json(&["report", "simulated"])["report"], "simulated/report.html");
    let demo = ["demo", "--scenario", "paper", "--seeds", "1", "--quiet"];
    let fast = ["--set", "time_scale=1000", "--set", "link.latency=4s", "--scheme", "post-copy"];
    let shown = json(&[&demo[..], &fast[..]].concat());
    assert_eq!((&shown["completed"], &shown["migrations"]), (&1.into(), &1.into()));
    assert_eq!(shown["groups"][0]["runs"][0]["scheme"], "post-copy");
    assert!(json(&["man"])["pages"].as_array().is_some_and(|pages| pages.len() > 20));
}

#[test]
fn colours_come_where_they_are_asked_for_and_add_nothing() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("lines"), "server list\nhelp vm show\n").unwrap();
    fs::write(directory.path().join("wrong"), "server lits\n").unwrap();
    let run = |arguments: &[&str], variable: Option<(&str, &str)>| {
        let mut command = Command::new(MANAGER);
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).current_dir(directory.path());
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(variable);
        let output = command.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let has_colours = |text: &str| text.contains('\u{1b}');
    assert!(!has_colours(&run(&["run", "lines"], None)));
    assert!(has_colours(&run(&["--color", "always", "run", "lines"], None)));
    assert!(has_colours(&run(&["run", "wrong"], Some(("CLICOLOR_FORCE", "1")))));
    assert!(!has_colours(&run(
        &["--color", "never", "run", "wrong"],
        Some(("CLICOLOR_FORCE", "1"))
    )));
    assert!(!has_colours(&run(&["run", "wrong"], Some(("NO_COLOR", "1")))));
    assert!(run(&["run", "wrong"], None).contains("did you mean \"list\"?"));
}

#[test]
fn a_live_picture_takes_the_screen_and_gives_it_back() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new(MANAGER);
    command
        .args(["--listen", "127.0.0.1:0", "--event-level", "milestones"])
        .current_dir(directory.path())
        .env("XDG_STATE_HOME", directory.path())
        .env_remove("NO_COLOR")
        .env("TERM", "xterm");
    let timeout = u64::try_from(DEADLINE.as_millis()).unwrap();
    let mut session = spawn_command(command, Some(timeout)).expect("a terminal");
    let (_, address) = session.exp_regex("127[.]0[.]0[.]1:[0-9]+").unwrap();
    for server in ["a", "b"] {
        session.send_line(&format!("server start {server}")).unwrap();
        session.exp_string(&format!("Server \"{server}\" runs")).unwrap();
    }
    session.send_line("vm create v --on a --set time_scale=10 --set measured_accesses=40").unwrap();
    session.exp_string("Guest \"v\" is on server \"a\"").unwrap();
    session.send_line("migrate v --to b --scheme stop-and-copy").unwrap();
    session.exp_string("Suspended at the source").unwrap();
    session.send_line("watch v").unwrap();
    // The other screen, the picture, the keys; and, when the user has seen enough, the first one.
    session.exp_string("\u{1b}[?1049h").unwrap();
    session.exp_string("a to b by stop-and-copy").unwrap();
    session.exp_string("q, Esc or Ctrl-C").unwrap();
    session.send("q").unwrap();
    session.flush().unwrap();
    session.exp_string("\u{1b}[?1049l").unwrap();
    session.send_line("watch nobody").unwrap();
    session.exp_string("error:\u{1b}[0m there is no guest \"nobody\"").unwrap();
    session.send_line("wait v").unwrap();
    session.exp_string(" pages").unwrap();
    session.exp_string("completed").unwrap();
    session.send_line("quit --force").unwrap();
    session.exp_eof().unwrap();
    await_no_servers(&address);
}
