//! The book and the README: what they show is run, what they name exists, and what exists is named.

mod block;
mod matching;
mod names;
mod patches;
mod reference;
mod session;

use block::{Block, blocks};
use session::{Programs, run_chapter};
use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and every chapter, with its text.
fn chapters() -> Vec<(PathBuf, String)> {
    let docs = std::fs::read_dir(root().join("docs")).expect("the book is in docs");
    let mut paths: Vec<PathBuf> = docs.map(|entry| entry.expect("it is listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.push(root().join("README.md"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a chapter is text");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// The name of a chapter's file, for what a test says.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn what_the_book_and_the_readme_show_is_what_the_programs_do() {
    let programs = Programs::new();
    let chapters = chapters();
    // Side by side: most of a session is waiting.
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = chapters
            .iter()
            .map(|(path, text)| {
                let programs = &programs;
                scope.spawn(move || run_chapter(programs, &name_of(path), &blocks(text)))
            })
            .collect();
        running.into_iter().flat_map(|chapter| chapter.join().expect("it ran")).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[test]
fn command_lines_that_are_not_run_are_command_lines_of_the_programs() {
    let programs = Programs::new();
    let mut lines = 0;
    for (path, text) in chapters() {
        for block in blocks(&text).iter().filter(|block| block.is("sh")) {
            for line in block.command_lines() {
                lines += 1;
                if let Some(problem) = programs.refuses(&line) {
                    panic!("{}, line {}: {line}\n{problem}", name_of(&path), block.line);
                }
            }
        }
    }
    assert!(lines > 0, "the book shows command lines");
}

#[test]
fn every_chapter_is_in_the_summary() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).expect("it is there");
    for (path, _) in chapters() {
        let name = name_of(&path);
        let is_chapter = !["README.md", "SUMMARY.md"].contains(&name.as_str());
        assert!(
            !is_chapter || summary.contains(&format!("({name})")),
            "{name} is not in SUMMARY.md"
        );
    }
}

/// Blocks of a kind, for modules of this test.
fn of_kind<'a>(blocks: &'a [Block], kind: &'a str) -> impl Iterator<Item = &'a Block> {
    blocks.iter().filter(move |block| block.is(kind))
}
