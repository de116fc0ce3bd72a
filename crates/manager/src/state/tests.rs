use super::*;
use std::fs;
use tempfile::TempDir;

fn policy(value: &str) -> Changes {
    let settings = [("migration.scheme".to_owned(), value.to_owned())];
    [(Key::Policy, Some(Record::Policy(settings.into())))].into()
}

fn numbers(last_migration: u64) -> Changes {
    [(Key::Numbers, Some(Record::Numbers { last_migration }))].into()
}

/// What is kept in a directory, and what of it could not be read.
fn kept_in(directory: &Path) -> (Records, Option<Damage>) {
    let (directory, records, damage) = StateDirectory::open(directory).unwrap();
    drop(directory);
    (records, damage)
}

#[tokio::test]
async fn what_is_kept_is_there_for_the_next() {
    let directory = TempDir::new().unwrap();
    let mut state = StateDirectory::open(directory.path()).unwrap().0;
    for changes in [policy("pre-copy"), numbers(3), policy("lazy-copy")] {
        let text = state.take_in(changes);
        state.append(&text).unwrap();
    }
    let gone: Changes = [(Key::Numbers, None)].into();
    let text = state.take_in(gone);
    state.append(&text).unwrap();
    drop(state);
    let (records, damage) = kept_in(directory.path());
    assert_eq!(
        records.into_iter().map(|(key, it)| (key, Some(it))).collect::<Changes>(),
        policy("lazy-copy")
    );
    assert_eq!(damage, None);
}

#[tokio::test]
async fn whoever_waits_goes_on_when_the_disk_has_it() {
    let directory = TempDir::new().unwrap();
    let opened = Store::open(directory.path(), Console::silent()).unwrap();
    opened.store.keep(numbers(7));
    opened.store.kept().await;
    let text = fs::read_to_string(directory.path().join("state.jsonl")).unwrap();
    assert!(
        text.ends_with("{\"key\":\"numbers\",\"record\":{\"numbers\":{\"last_migration\":7}}}\n"),
        "{text}"
    );
}

#[test]
fn a_second_manager_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let first = StateDirectory::open(directory.path()).unwrap();
    let refusal = StateDirectory::open(directory.path()).unwrap_err().to_string();
    let process = format!("(process {})", std::process::id());
    assert!(refusal.contains(&process) && refusal.contains("--state"), "{refusal}");
    drop(first);
    StateDirectory::open(directory.path()).unwrap();
}

#[test]
fn a_damaged_line_is_told_by_its_number_and_kept_aside_and_the_others_count() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state.jsonl");
    let mut state = StateDirectory::open(directory.path()).unwrap().0;
    let text =
        [state.take_in(policy("pre-copy")), b"nonsense\n".to_vec(), state.take_in(numbers(3))];
    state.append(&text.concat()).unwrap();
    state.append(b"{\"key\":\"num").unwrap();
    drop(state);
    let before = fs::read(&path).unwrap();
    let (records, damage) = kept_in(directory.path());
    assert_eq!(records.len(), 2);
    let damage = damage.unwrap();
    let numbers: Vec<usize> = damage.lines.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [3, 5]);
    assert!(damage.to_string().contains("state.jsonl, line 3: "), "{damage}");
    assert!(damage.to_string().contains("line 5: it is cut off"), "{damage}");
    assert_eq!(fs::read(&damage.aside).unwrap(), before);
    assert_eq!(kept_in(directory.path()).1, None, "the file is whole again");
}

#[test]
fn the_state_of_another_version_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state.jsonl");
    fs::write(&path, "{\"lazycopy_state\":2}\nanything\n").unwrap();
    let refusal = StateDirectory::open(directory.path()).unwrap_err().to_string();
    assert!(refusal.contains("version 2"), "{refusal}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"lazycopy_state\":2}\nanything\n");
}

#[test]
fn a_file_that_has_grown_is_written_anew() {
    let directory = TempDir::new().unwrap();
    let mut state = StateDirectory::open(directory.path()).unwrap().0;
    let mut number = 0;
    while !state.has_outgrown() {
        number += 1;
        let text = state.take_in(numbers(number));
        state.append(&text).unwrap();
    }
    assert!(number > 1_000);
    state.write_anew().unwrap();
    let text = state.take_in(policy("pre-copy"));
    state.append(&text).unwrap();
    let lines = fs::read_to_string(directory.path().join("state.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 3, "the version, the number, the policy");
}

#[test]
fn a_scenario_that_was_kept_is_the_same() {
    for name in lazycopy_scenario::SHIPPED.iter().map(|shipped| shipped.name) {
        let draft = crate::definition::draft(name).unwrap();
        let mut scenario = draft.finish().unwrap();
        scenario.seed = u64::MAX;
        let kept = KeptScenario::of(&scenario).unwrap();
        let text = serde_json::to_string(&kept).unwrap();
        let read: KeptScenario = serde_json::from_str(&text).unwrap();
        assert_eq!(read.read().unwrap().1, scenario, "{name}");
    }
}
