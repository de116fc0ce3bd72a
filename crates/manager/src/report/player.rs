//! The live page's playback as one script, for a page that has no server to fetch modules from.

use crate::web::page_file;
use lazycopy_report::Player;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The module that shows a report's runs.
const ENTRY: &str = "replay.js";

/// The player, from the files of the live page.
pub(super) fn player() -> Player {
    Player {
        script: bundle(ENTRY),
        colours: page_file("colours.css"),
        style: page_file("style.css"),
    }
}

/// A module and all that it imports as one script: each in a function of its own, those that are
/// imported first.
fn bundle(entry: &str) -> String {
    let mut script = String::from("\"use strict\";\nconst modules = {};\n");
    add(entry, &mut BTreeSet::new(), &mut script);
    script
}

fn add(name: &str, added: &mut BTreeSet<String>, script: &mut String) {
    if !added.insert(name.to_owned()) {
        return;
    }
    let text = page_file(name);
    let (mut body, mut exports) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some((names, module)) = import(line) {
            add(module, added, script);
            let names = names.replace(" as ", ": ");
            let _ = writeln!(body, "const {names} = modules[\"{module}\"];");
        } else if let Some(rest) = line.strip_prefix("export ") {
            exports.extend(declared(rest));
            let _ = writeln!(body, "{rest}");
        } else {
            let _ = writeln!(body, "{line}");
        }
    }
    let exports = exports.join(", ");
    let _ = writeln!(script, "(() => {{\n{body}modules[\"{name}\"] = {{ {exports} }};\n}})();");
}

/// The names in braces and the module of `import { a, b } from "./module.js";`.
fn import(line: &str) -> Option<(&str, &str)> {
    let (names, module) = line.strip_prefix("import ")?.split_once(" from \"./")?;
    Some((names, module.strip_suffix("\";")?))
}

/// The name that `function name(..`, `async function name(..`, `class name ..` or `const name ..`
/// declares.
fn declared(text: &str) -> Option<&str> {
    let text = text.strip_prefix("async ").unwrap_or(text);
    let (_, rest) = text.split_once(' ')?;
    rest.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_player_is_one_script_with_all_that_it_needs() {
        let player = player();
        for line in player.script.lines() {
            let left = ["import ", "export ", "export{", "import("];
            assert!(!left.iter().any(|word| line.trim_start().starts_with(word)), "{line}");
        }
        for module in ["reducer.js", "grid.js", "stage.js", "timeline.js", "run_view.js"] {
            let made = format!("modules[\"{module}\"] = {{ ");
            assert_eq!(player.script.matches(&made).count(), 1, "{module}");
        }
        // What is imported is there before.
        for (index, _) in player.script.match_indices("} = modules[") {
            let module = player.script[index..].split('"').nth(1).unwrap();
            let made = player.script.find(&format!("modules[\"{module}\"] = {{"));
            assert!(made.is_some_and(|made| made < index), "{module}");
        }
        // Nothing ends the element that it stands in, and nothing is fetched.
        for word in ["</script", "]]>", "fetch(", "EventSource", "/assets/", "/api/"] {
            assert!(!player.script.contains(word), "{word}");
        }
        assert!(!player.style.contains("@import") && player.colours.contains("--background"));
    }
}
