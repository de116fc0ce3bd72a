//! Seeded mutations, for where no fuzzer is: the same inputs on any machine.

/// Numbers that are wrong more often than others.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

/// The same, in text.
const WORDS: [&[u8]; 12] = [
    b"0",
    b"-1",
    b"18446744073709551615",
    b"1e300",
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"\n",
    b"\0",
    b"\xff",
    b"none",
];

/// Draws mutations.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// The mutator of that seed.
    pub fn new(seed: u64) -> Self {
        Mutator { state: seed }
    }

    /// The next number (SplitMix64).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.draw() % limit.max(1) as u64) as usize
    }

    /// A mutation of `input`, one to four steps away from it; `other` lends parts of itself.
    pub fn mutate(&mut self, input: &[u8], other: &[u8], most_bytes: usize) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            self.step(&mut bytes, other);
        }
        bytes.truncate(most_bytes);
        bytes
    }

    fn step(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let end = at + self.below((bytes.len() - at).min(64) + 1);
        match self.below(7) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            3 => {
                let word = WORDS[self.below(WORDS.len())];
                let until = end.min(at + self.below(word.len() + 1));
                drop(bytes.splice(at..until, word.iter().copied()));
            }
            4 => {
                let number = EDGES[self.below(EDGES.len())].to_le_bytes();
                let length = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                bytes[at..at + length].copy_from_slice(&number[..length]);
            }
            5 => {
                let from = self.below(other.len() + 1);
                let until = from + self.below((other.len() - from).min(256) + 1);
                drop(bytes.splice(at..end, other[from..until].iter().copied()));
            }
            _ => {
                let byte = self.draw() as u8;
                bytes.insert(at, byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_are_the_same_for_the_same_seed_and_keep_the_limit() {
        let draw = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..200).map(|_| mutator.mutate(b"some input", b"another", 12)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|mutation| mutation.len() <= 12));
        assert!(draw(3).iter().any(|mutation| mutation != b"some input"));
    }
}
