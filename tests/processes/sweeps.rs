//! Sweeps by the command: sharded, interrupted, killed, on a disk that is full.

use crate::common::{DEADLINE, LOOK_AGAIN, MANAGER, failure, manager};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// 2 cells x 2 contenders x 100 seeds are 400 runs in 6 blocks of 66 or 67.
const SMALL: &str = r#"# Does it end?
scenario = "paper"
seeds = 100
schemes = ["post-copy"]
[[contenders]]
name = "CONTENDER"
set = { "migration.scheme" = "lazy-copy" }
[[axes]]
key = "link.bandwidth"
values = ["1028B/s", "8224B/s"]
"#;

/// A thousand blocks of a thousand runs: the first is soon finished, the last is not.
const LONG: &str = "# When does it end?\nscenario = \"paper\"\nseeds = 1_000_000\n";

fn place(sweep: &str) -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("small.toml"), sweep).unwrap();
    directory
}

fn sweep(directory: &Path, words: &[&str]) -> Output {
    manager(directory, &[&["sweep", "small.toml"], words].concat())
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every file of the results, hidden ones and blocks, too, by its path.
fn files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [out.to_owned(), out.join("parts")] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_file() {
                let name = path.strip_prefix(out).unwrap().display().to_string();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn serial(directory: &TempDir) -> BTreeMap<String, Vec<u8>> {
    succeeds(&sweep(directory.path(), &["--out", "serial", "--threads", "1"]));
    files(&directory.path().join("serial"))
}

#[test]
fn shards_at_the_same_time_give_the_bytes_of_the_serial_sweep() {
    let directory = place(SMALL);
    let serial = serial(&directory);
    assert_eq!(serial.len(), 6 + 3, "{:?}", serial.keys());
    let shards = ["0/3", "1/3", "2/3", "1/3"].map(|shard| {
        Command::new(MANAGER)
            .args(["sweep", "small.toml", "--shard", shard, "--out", "sharded"])
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for shard in shards {
        let text = succeeds(&shard.wait_with_output().unwrap());
        assert!(text.contains("2 of the 6 blocks. When all shards are: manager merge"), "{text}");
    }
    let sharded = directory.path().join("sharded");
    assert!(!sharded.join("results.jsonl").exists());
    let text = succeeds(&manager(directory.path(), &["merge", "sharded"]));
    assert!(text.contains("Does it end?") && text.contains("post-copy"), "{text}");
    assert_eq!(files(&sharded), serial);
    succeeds(&sweep(directory.path(), &["--out", "threads", "--threads", "3"]));
    assert_eq!(files(&directory.path().join("threads")), serial);
    let again = succeeds(&sweep(directory.path(), &["--out", "threads"]));
    assert!(again.contains("Every run was there already."), "{again}");
    assert_eq!(files(&directory.path().join("threads")), serial);
}

#[test]
fn results_go_below_results_unless_it_is_told_otherwise() {
    let directory = place(SMALL);
    let text = succeeds(&sweep(directory.path(), &["--seeds", "2"]));
    assert!(text.contains("The results are in results/small/results.jsonl."), "{text}");
    let results = fs::read_to_string(directory.path().join("results/small/results.jsonl")).unwrap();
    assert_eq!(results.lines().count(), 2 * 2 * 2);
}

/// Runs it with a bound on the size of a file: writing beyond it kills the process in the midst,
/// or, where the signal is ignored, fails as on a disk that is full.
fn bounded(directory: &Path, bytes: usize, ignored: bool) -> Output {
    let ignore = if ignored { "trap '' XFSZ;" } else { "" };
    // The shell counts in blocks of 512 bytes.
    let script = format!("{ignore} ulimit -c 0; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    Command::new("sh")
        .args(["-c", &script, MANAGER, "sweep", "small.toml", "--out", "out", "--threads", "1"])
        .current_dir(directory)
        .output()
        .unwrap()
}

/// A sweep whose second contender's blocks are larger, and the most bytes of a block of the
/// first.
fn uneven() -> (TempDir, BTreeMap<String, Vec<u8>>, usize) {
    let directory = place(&SMALL.replace("CONTENDER", &"long".repeat(100)));
    let serial = serial(&directory);
    let small = serial["parts/0.jsonl"].len();
    assert!(serial["parts/2.jsonl"].len() > small + 16_384);
    (directory, serial, small + 8_192)
}

#[test]
fn a_sweep_that_is_killed_while_it_writes_goes_on_where_it_was() {
    let (directory, serial, bound) = uneven();
    let out = directory.path().join("out");
    let killed = bounded(directory.path(), bound, false);
    assert_eq!(killed.status.code(), None, "a signal killed it: {killed:?}");
    let left = files(&out);
    let leftovers: Vec<&String> = left.keys().filter(|name| name.contains(".partial")).collect();
    assert_eq!(leftovers.len(), 1, "{:?}", left.keys());
    assert_eq!(left["parts/0.jsonl"], serial["parts/0.jsonl"]);
    let refusal = failure(&manager(directory.path(), &["merge", "out"]));
    assert!(refusal.contains("blocks are missing"), "{refusal}");
    let modified = fs::metadata(out.join("parts/0.jsonl")).unwrap().modified().unwrap();

    // All blocks can be written now, but not the results.
    let largest = serial.iter().filter(|(name, _)| name.starts_with("parts"));
    let bound = largest.map(|(_, bytes)| bytes.len()).max().unwrap() + 8_192;
    let killed = bounded(directory.path(), bound, false);
    assert_eq!(killed.status.code(), None, "a signal killed it: {killed:?}");
    let left = files(&out);
    assert_eq!(left.keys().filter(|name| name.starts_with("parts/")).count(), 6);
    assert!(left.keys().any(|name| name.starts_with(".results")), "{:?}", left.keys());
    assert!(!left.contains_key("results.jsonl"));

    let text = succeeds(&sweep(directory.path(), &["--out", "out"]));
    assert!(text.contains("Every run was there already."), "{text}");
    assert_eq!(files(&out), serial);
    let kept = fs::metadata(out.join("parts/0.jsonl")).unwrap().modified().unwrap();
    assert_eq!(kept, modified, "a finished block was written again");
}

#[test]
fn a_write_that_fails_is_told_and_leaves_nothing_half_written() {
    let (directory, serial, bound) = uneven();
    let refusal = failure(&bounded(directory.path(), bound, true));
    // The second to be computed is the last one.
    assert!(refusal.contains("out/parts/5.jsonl: File too large"), "{refusal}");
    let left = files(&directory.path().join("out"));
    assert_eq!(left.keys().collect::<Vec<_>>(), ["parts/0.jsonl", "sweep.json"]);
    succeeds(&sweep(directory.path(), &["--out", "out"]));
    assert_eq!(files(&directory.path().join("out")), serial);
}

/// A long sweep that has finished a block that was not there before.
fn under_way(directory: &Path) -> Child {
    let parts = directory.join("out/parts");
    let blocks = || {
        let entries = fs::read_dir(&parts).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).count()
    };
    let before = blocks();
    let mut child = Command::new(MANAGER)
        .args(["sweep", "small.toml", "--out", "out"])
        .current_dir(directory)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    while blocks() == before {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(Instant::now() < deadline, "no block is finished");
        std::thread::sleep(LOOK_AGAIN);
    }
    child
}

#[test]
fn a_signal_ends_a_sweep_in_good_order_and_it_says_how_to_go_on() {
    let directory = place(LONG);
    let mut finished = 0;
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let child = under_way(directory.path());
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let text = String::from_utf8_lossy(&output.stderr);
        let left = files(&directory.path().join("out"));
        let blocks = left.keys().filter(|name| name.starts_with("parts/")).count();
        let said = format!(
            "Interrupted: {blocks} of 1024 blocks are finished and kept. To go on: manager sweep \
             small.toml --out out"
        );
        assert!(text.contains(&said), "{text}");
        assert!(blocks > finished);
        finished = blocks;
        assert!(!left.keys().any(|name| name.contains(".partial")), "{:?}", left.keys());
        assert!(!left.contains_key("results.jsonl"));
    }
}

#[test]
fn what_is_missing_is_named_with_a_command_that_computes_it() {
    let directory = place(SMALL);
    let serial = serial(&directory);
    let out = directory.path().join("serial");
    fs::remove_file(out.join("parts/2.jsonl")).unwrap();
    fs::remove_file(out.join("parts/3.jsonl")).unwrap();
    let refusal = failure(&manager(directory.path(), &["merge", "serial"]));
    assert!(refusal.contains("2 of 6 blocks are missing: 2 to 3; to compute them: "), "{refusal}");
    let (_, command) = refusal.trim().rsplit_once("manager ").unwrap();
    let text = succeeds(&manager(directory.path(), &command.split(' ').collect::<Vec<_>>()));
    assert!(text.contains("134 runs in") || text.contains("133 runs in"), "{text}");
    assert_eq!(files(&out), serial);
}

#[test]
fn what_is_no_sweep_is_refused_and_leaves_nothing_behind() {
    let directory = place(SMALL);
    for (words, problem) in [
        (&["--seeds", "0"][..], "--seeds: 0 seeds give no run"),
        (&["--seeds", "99999999999"], "more than 100000000 runs"),
        (&["--shard", "3/3"], "the last of 3 is 2/3"),
        (&["--shard", "x/2"], "write i/N"),
        (&["--shard", "0/0"], "not 0"),
        (&["--threads", "0"], "--threads"),
    ] {
        let output = sweep(directory.path(), &[words, &["--out", "out"]].concat());
        assert!(!output.status.success());
        let refusal = String::from_utf8_lossy(&output.stderr);
        assert!(refusal.contains(problem), "{words:?}: {refusal}");
        assert!(!directory.path().join("out").exists(), "{words:?} left something behind");
    }
    let refusal = failure(&manager(directory.path(), &["sweep", "nothing.toml"]));
    assert!(refusal.contains("nothing.toml: No such file"), "{refusal}");
    let refusal = failure(&manager(directory.path(), &["merge", "nothing"]));
    assert!(refusal.contains("nothing: there is no sweep here"), "{refusal}");
}
