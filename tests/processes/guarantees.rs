//! The fault simulation, by the command.

use crate::common::manager;
use serde_json::Value;
use tempfile::TempDir;

fn printed(words: &[&str]) -> String {
    let directory = TempDir::new().unwrap();
    let output = manager(directory.path(), words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_fails_is_said_first_counted_last_and_the_same_each_time() {
    let words = ["faults", "--seeds", "400", "--from", "1000"];
    let text = printed(&words);
    assert!(text.starts_with("Fault simulation, seeds 1000 to 1399."), "{text}");
    assert!(text.contains("single-owner"), "{text}");
    assert!(text.contains("(400 runs)"), "{text}");
    assert!(text.contains("Every guarantee held in every run"), "{text}");
    assert_eq!(text, printed(&words), "on however many threads");
}

#[test]
fn one_seed_tells_its_story() {
    // Not in every case does what is planned come to pass.
    let stories =
        (0..50).map(|seed: u64| (seed, printed(&["faults", "--seed", &seed.to_string()])));
    let (seed, text) = stories.into_iter().find(|(_, text)| text.contains("FAULT: ")).unwrap();
    assert!(text.starts_with(&format!("seed {seed}: ")), "{text}");
    for word in ["  fault: ", "source: Migration requested."] {
        assert!(text.contains(word), "{word} is missing: {text}");
    }
}

#[test]
fn what_many_seeds_and_one_come_to_is_one_document() {
    let document = |words: &[&str]| -> Value {
        let text = printed(&[&["--json", "faults"], words].concat());
        serde_json::from_str(&text).expect("one document")
    };
    let many = document(&["--seeds", "200", "--from", "1000"]);
    assert_eq!((&many["runs"], &many["last_seed"]), (&200.into(), &1199.into()));
    assert_eq!(many["broken"], Value::Null);
    let sum = |key: &str| -> u64 {
        let all = many[key].as_array().expect("a list");
        all.iter().filter_map(|it| it["count"].as_u64()).sum()
    };
    assert_eq!(sum("outcomes"), 200);
    assert!(sum("hits") > 0 && many["tally"]["pauses"].as_u64() > Some(0), "{many}");
    assert!(many["guarantees"].as_array().unwrap().iter().any(|it| it["name"] == "single-owner"));
    let one = document(&["--seed", "1000"]);
    assert_eq!((&one["seed"], &one["again"]), (&1000.into(), &"manager faults --seed 1000".into()));
    assert_eq!(one["violations"], Value::Array(Vec::new()));
    assert!(!one["story"].as_array().unwrap().is_empty() && one["outcome"].is_string(), "{one}");
}

#[test]
fn one_seed_and_many_seeds_are_not_asked_for_at_once() {
    let directory = TempDir::new().unwrap();
    let output = manager(directory.path(), &["faults", "--seed", "1", "--seeds", "5"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("cannot be used with"), "{said}");
}
