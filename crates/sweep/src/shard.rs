//! A share of a sweep.

use std::fmt;
use std::str::FromStr;

/// The most shards: a batch system numbers its tasks well below this.
pub const MAX_SHARDS: u64 = 1_000_000;

/// Shard i of N: the blocks whose number leaves i when divided by N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// Why a text names no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no shard: {problem}")]
pub struct ShardError {
    text: String,
    problem: String,
}

impl Shard {
    /// The whole sweep.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// Whether it is the whole sweep.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Whether a block is one of its own.
    pub fn has(self, block: u64) -> bool {
        block % self.count == self.index
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    /// From `i/N`, i from 0 to N - 1.
    fn from_str(text: &str) -> Result<Shard, ShardError> {
        let wrong = |problem: String| ShardError { text: text.to_owned(), problem };
        let numbers = text.split_once('/').and_then(|(index, count)| {
            Some((index.parse::<u64>().ok()?, count.parse::<u64>().ok()?))
        });
        let Some((index, count)) = numbers else {
            return Err(wrong("write i/N, for example 0/4 for the first of four".to_owned()));
        };
        if count == 0 || count > MAX_SHARDS {
            return Err(wrong(format!("there are 1 to {MAX_SHARDS} shards, not {count}")));
        }
        if index >= count {
            let last = count - 1;
            return Err(wrong(format!(
                "they are numbered from 0: the last of {count} is {last}/{count}"
            )));
        }
        Ok(Shard { index, count })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_shard_is_refused_with_what_would_be_right() {
        for (text, problem) in [
            ("3/3", "the last of 3 is 2/3"),
            ("0/0", "not 0"),
            ("x/2", "write i/N"),
            ("1", "write i/N"),
            ("-1/2", "write i/N"),
            ("1/2/3", "write i/N"),
            ("0/99999999", "1000000 shards"),
        ] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\" is no shard")), "{error}");
            assert!(error.contains(problem), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_block_belongs_to_one_shard(count in 1u64..50, block in 0u64..10_000) {
            let owners = (0..count).filter(|index| {
                let shard: Shard = format!("{index}/{count}").parse().unwrap();
                shard.has(block)
            });
            prop_assert_eq!(owners.count(), 1);
        }
    }
}
