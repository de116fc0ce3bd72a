//! The patches of the worked examples still fit the sources. That they compile and do what the book
//! shows, `.ci/book` tries.

use super::root;

/// The hunks of a patch that change a file: its path, and the lines that must be there.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut path = String::new();
    for line in patch.lines() {
        if let Some(file) = line.strip_prefix("+++ b/") {
            file.clone_into(&mut path);
        } else if line.starts_with("@@") {
            found.push((path.clone(), String::new()));
        } else if !line.starts_with("---")
            && let Some(kept) = line.strip_prefix([' ', '-'])
            && let Some((_, lines)) = found.last_mut()
        {
            lines.push_str(kept);
            lines.push('\n');
        }
    }
    found
}

#[test]
fn the_worked_examples_fit_the_sources() {
    for name in ["new-scheme", "new-workload"] {
        let path = root().join(format!("docs/examples/{name}.patch"));
        let hunks = hunks(&std::fs::read_to_string(path).expect("the patch is there"));
        assert!(hunks.len() > 3, "{name} changes something");
        for (file, lines) in hunks.iter().filter(|(_, lines)| !lines.is_empty()) {
            let text = std::fs::read_to_string(root().join(file)).expect("the file is there");
            assert!(text.contains(lines), "{name}.patch no longer fits {file}:\n{lines}");
        }
    }
}
