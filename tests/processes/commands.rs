//! Scripts, pipes and `ctl`.

use crate::common::{FAST, Manager, ctl, failure, manager, runs};
use tempfile::TempDir;

#[test]
fn ctl_commands_a_running_manager_and_prints_json() {
    let mut manager = Manager::with_servers(&["--event-level", "off"]);
    let created = manager.json(&format!("vm create v --on a {FAST}"));
    assert_eq!((&created["vm"], &created["frames"]), (&"v".into(), &20.into()));
    let result = manager.json("migrate v --to b --scheme post-copy --wait");
    assert_eq!(result["outcome"], "completed");
    assert_eq!(result["destination_server"], "b");
    let status = manager.json("status");
    assert_eq!(status["vms"][0]["server"], "b");
    assert_eq!(status["servers"].as_array().map(Vec::len), Some(2));
    let text = manager.ctl("vm list");
    assert!(String::from_utf8_lossy(&text.stdout).contains("On server \"b\""));
    manager.expect("Migration 1 of \"v\": completed");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn ctl_fails_where_its_command_fails() {
    let manager = Manager::start(&[]);
    let refusal = failure(&manager.ctl("vm show nobody"));
    assert!(refusal.contains("there is no guest \"nobody\""), "{refusal}");
    let refusal = ctl(&manager.address, &["--json", "frobnicate"]);
    assert_eq!(refusal.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&refusal.stdout).expect("still JSON");
    assert!(json["error"].as_str().is_some_and(|error| error.contains("frobnicate")));
    let address = manager.address.clone();
    assert_eq!(manager.end().code, Some(0));
    assert!(failure(&ctl(&address, &["status"])).contains("no manager at"));
}

/// One document, whatever the mode, and the sentence for people beside it.
#[test]
fn what_fails_with_json_says_why_in_json() {
    let directory = TempDir::new().unwrap();
    let ctl = ["ctl", "--connect", "127.0.0.1:1", "status"];
    let modes: [(&[&str], &str); 7] = [
        (&["report", "nowhere"], "nowhere"),
        (&["trace", "nowhere"], "nowhere"),
        (&["simulate", "nowhere"], "nowhere"),
        (&["sweep", "nowhere"], "nowhere"),
        (&["merge", "nowhere"], "nowhere"),
        (&["run", "nowhere"], "nowhere"),
        (&ctl, "no manager at"),
    ];
    for (words, named) in modes {
        let output = manager(directory.path(), &[&["--json"], words].concat());
        let text = failure(&output);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one document");
        let error = json["error"].as_str().unwrap_or_default();
        assert!(error.contains(named) && text.contains(error), "{words:?}: {json} {text}");
    }
}

#[test]
fn a_manager_ends_when_ctl_tells_it_to() {
    let manager = Manager::with_servers(&[]);
    assert!(manager.ctl("quit").status.success());
    assert_eq!(manager.ended_by_itself().code, Some(0));
}

#[test]
fn the_end_of_piped_input_waits_for_migrations_that_run() {
    let mut manager = Manager::with_servers(&["--event-level", "off"]);
    manager.say(&format!("vm create v --on a {FAST}"));
    manager.say("migrate v --to b");
    let ended = manager.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("Migration 1 of \"v\": completed"), "{}", ended.stdout);
    assert_eq!(runs(ended.directory.path()).len(), 1);
}

#[test]
fn a_script_stops_at_its_first_failing_line_and_names_it() {
    let directory = TempDir::new().unwrap();
    let script = "# two servers\n\nserver start a\nvm create v --on nowhere\nserver start never\n";
    std::fs::write(directory.path().join("bad.script"), script).unwrap();
    let output = manager(directory.path(), &["--listen", "127.0.0.1:0", "run", "bad.script"]);
    let refusal = failure(&output);
    assert!(refusal.contains("bad.script, line 4: there is no server \"nowhere\""), "{refusal}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("\"a\" runs") && !stdout.contains("never"), "{stdout}");
}

#[test]
fn malformed_lines_are_named_and_nothing_after_them_is_done() {
    for (line, part) in [
        ("server strat a", "'strat'"),
        ("vm create v --on a 'x", "quotation mark"),
        ("migrate v", "--to"),
        ("vm create a/b --on a", "letters, digits"),
        ("script nowhere.script", "nowhere.script"),
    ] {
        let mut manager = Manager::start(&[]);
        manager.say("# a comment");
        manager.say(line);
        let ended = manager.ended_by_itself();
        assert_eq!(ended.code, Some(1), "{line}");
        assert!(
            ended.stderr.contains("line 2: ") && ended.stderr.contains(part),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn scripts_run_scripts_but_not_themselves_for_ever() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("outer"), "script inner\n").unwrap();
    std::fs::write(directory.path().join("inner"), "events off\n").unwrap();
    std::fs::write(directory.path().join("loop"), "script loop\n").unwrap();
    let run = |script| manager(directory.path(), &["--listen", "127.0.0.1:0", "run", script]);
    assert!(run("outer").status.success());
    assert!(failure(&run("loop")).contains("does one run itself?"));
}

#[test]
fn wrong_scenarios_are_refused_by_key() {
    let mut manager = Manager::with_servers(&[]);
    for (command, part) in [
        ("vm create v --on a --set guest.frams=3", "`frams`"),
        ("vm create v --on a --set guest.frames=51", "guest.frames"),
        ("vm create v --on a --set link.bandwidth=1Gb", "1Gb"),
        ("vm create v --on a --scenario nowhere.toml", "nowhere.toml"),
        ("policy set scheme=pre-copied", "pre-copied"),
        ("policy set guest.frames=3", "belongs to the guest"),
    ] {
        let refusal = failure(&manager.ctl(command));
        assert!(refusal.contains(part), "{command}: {refusal}");
    }
    manager.say("vm create v --on a");
    manager.expect("Guest \"v\" is on server \"a\"");
    assert_eq!(manager.end().code, Some(0));
}

#[test]
fn a_broken_trace_is_refused_with_its_line() {
    let manager = Manager::with_servers(&[]);
    let trace = manager.directory.path().join("broken.lackey");
    std::fs::write(&trace, "I  04000000,4\n L 1ffe000,8\nnonsense\n").unwrap();
    let scenario = manager.directory.path().join("broken.toml");
    let text = "seed = 1\nwarmup_accesses = 10\nmeasured_accesses = 10\ntime_scale = 1\n[guest]\n\
                frames = 2\nworkload = { kind = \"trace\", file = \"broken.lackey\", \
                instruction_time = \"1us\" }\n[link]\nbandwidth = \"1MB/s\"\nlatency = \"5ms\"\n\
                [disk]\nlatency_source = \"1ms\"\nlatency_destination = \"1ms\"\n[migration]\n\
                scheme = \"lazy-copy\"\n";
    std::fs::write(&scenario, text).unwrap();
    let command = format!("vm create v --on a --scenario {}", scenario.display());
    let refusal = failure(&manager.ctl(&command));
    assert!(refusal.contains("broken.lackey, line 3"), "{refusal}");
    assert_eq!(manager.end().code, Some(0));
}
