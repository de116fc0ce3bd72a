//! Fenced blocks of Markdown.

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The words behind the fence, separated by commas: `console,fails`.
    info: Vec<String>,
    /// The line of the chapter in which it begins, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
}

impl Block {
    /// Whether its first word, its language, is this.
    pub fn is(&self, kind: &str) -> bool {
        self.info.first().is_some_and(|first| first == kind)
    }

    /// Whether a further word is this.
    pub fn has(&self, word: &str) -> bool {
        self.info.iter().skip(1).any(|each| each == word)
    }

    /// What stands behind `key=` in a further word.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.info.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// Its lines as command lines of the two programs: comments are gone, a backslash at the end
    /// goes on with the next line.
    pub fn command_lines(&self) -> Vec<String> {
        let joined = self.text.replace("\\\n", " ");
        let lines = joined.lines().map(|line| line.split(" #").next().unwrap_or(line).trim());
        let ours = |line: &&str| {
            ["manager ", "server ", "cargo run --release"].iter().any(|word| line.starts_with(word))
        };
        lines.filter(ours).map(str::to_owned).collect()
    }
}

/// The blocks of a chapter, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(info), None) => {
                let info = info.split(',').map(|word| word.trim().to_owned()).collect();
                open = Some(Block { info, line: number, text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    found
}

#[test]
fn blocks_have_their_words_and_their_line() {
    let found = blocks("x\n```console,fails\n$ a\n```\n```toml,file=b.toml\nc = 1\n```\n");
    assert_eq!(found.len(), 2);
    assert!(found[0].is("console") && found[0].has("fails") && found[0].line == 2);
    assert_eq!((found[1].value("file"), found[1].text.as_str()), (Some("b.toml"), "c = 1\n"));
}
