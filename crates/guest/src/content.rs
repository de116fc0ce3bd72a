//! The bytes of a guest's pages.
//!
//! They are given by the guest's seed, the page's number and its stamp alone: whoever knows these
//! can make them, and check every one of them. The first and the last word of a page tell its
//! stamp; the words between are filler, which no write changes.

use crate::spec::GuestSpec;
use crate::stamp::{GOLDEN, first_stamp, spread};
use lazycopy_units::{PAGE_BYTES, PageNumber};

const PAGE: usize = PAGE_BYTES as usize;
const WORD: usize = size_of::<u64>();
/// The words of a page are numbered from 0; the last is the second that tells the stamp.
const LAST: usize = PAGE / WORD - 1;

/// Fractions are compared with numbers of so many bits, as a float has them.
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS;

/// Pages that compress well have one of so many fillers: few enough that equal pages are found.
const PATTERNS: u32 = 16;
/// Words of such a filler, which is repeated through the page.
const PATTERN_WORDS: usize = 8;

/// What the pages of a guest consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageContents {
    seed: u64,
    /// Of all numbers of [`FRACTION_BITS`] bits, those below make a page of zeros.
    zero_below: u64,
    /// And those from there on to below this one a page that compresses well.
    compressible_below: u64,
}

/// What is between the stamp words of a page.
enum Filler {
    Zeros,
    /// Random words drawn from that seed.
    Random(u64),
    Pattern([u64; PATTERN_WORDS]),
}

impl Filler {
    /// The word with that number.
    #[inline]
    fn word(&self, number: usize) -> u64 {
        match self {
            Filler::Zeros => 0,
            Filler::Random(seed) => random_word(*seed, number),
            Filler::Pattern(pattern) => pattern[number % PATTERN_WORDS],
        }
    }
}

/// A word of the generator wyrand (Wang Yi 2019) with that seed: one multiplication, where pages
/// are made as fast as they are sent.
#[inline]
fn random_word(seed: u64, number: usize) -> u64 {
    let state = seed.wrapping_add((number as u64).wrapping_mul(0xa076_1d64_78bd_642f));
    let product = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
    (product >> 64) as u64 ^ product as u64
}

impl PageContents {
    /// The contents of the pages of a guest.
    pub fn of(spec: &GuestSpec) -> Self {
        let numbers = |fraction: f64| (fraction * (1u64 << FRACTION_BITS) as f64) as u64;
        PageContents {
            seed: spec.seed,
            zero_below: numbers(spec.zero_fraction),
            compressible_below: numbers(spec.zero_fraction + spec.compressible_fraction),
        }
    }

    /// The filler of a page; its first stamp is the seed.
    #[inline]
    fn filler(&self, page_seed: u64) -> Filler {
        let drawn = spread(page_seed.wrapping_add(GOLDEN));
        let number = drawn >> (u64::BITS - FRACTION_BITS);
        if number < self.zero_below {
            Filler::Zeros
        } else if number < self.compressible_below {
            // Seeds that are near each other have nothing in common.
            let seed = first_stamp(!self.seed, PageNumber(drawn as u32 % PATTERNS));
            Filler::Pattern(std::array::from_fn(|number| random_word(seed, number)))
        } else {
            Filler::Random(!page_seed)
        }
    }

    /// Writes the whole page.
    pub fn fill(&self, page: PageNumber, stamp: u64, bytes: &mut [u8; PAGE]) {
        let first_stamp = first_stamp(self.seed, page);
        let (words, _) = bytes.as_chunks_mut::<WORD>();
        match self.filler(first_stamp) {
            Filler::Zeros => words.fill([0; WORD]),
            Filler::Random(seed) => {
                for (number, word) in words.iter_mut().enumerate() {
                    *word = random_word(seed, number).to_le_bytes();
                }
            }
            Filler::Pattern(pattern) => {
                let pattern = pattern.map(u64::to_le_bytes);
                let (blocks, _) = words.as_chunks_mut();
                blocks.fill(pattern);
            }
        }
        let word = stamp_word(stamp, first_stamp);
        (words[0], words[LAST]) = (word, word);
    }

    /// The stamp that a page's bytes tell; `None` when its two stamp words disagree: it is torn.
    pub fn stamp_in(&self, page: PageNumber, bytes: &[u8; PAGE]) -> Option<u64> {
        (!PageContents::is_torn(bytes)).then(|| self.first_stamp_in(page, bytes))
    }

    /// Whether the two stamp words of a page's bytes disagree.
    #[inline]
    pub fn is_torn(bytes: &[u8; PAGE]) -> bool {
        let (words, _) = bytes.as_chunks::<WORD>();
        words[0] != words[LAST]
    }

    /// Whether these are the bytes of the page with that stamp, every one of them.
    pub fn matches(&self, page: PageNumber, stamp: u64, bytes: &[u8; PAGE]) -> bool {
        let first_stamp = first_stamp(self.seed, page);
        let (words, _) = bytes.as_chunks::<WORD>();
        let expected = stamp_word(stamp, first_stamp);
        if words[0] != expected || words[LAST] != expected {
            return false;
        }
        let filler = &words[1..LAST];
        // No early end: the loops are free of branches, and pages are right nearly always.
        let differences = match self.filler(first_stamp) {
            Filler::Zeros => filler.iter().fold(0, |seen, word| seen | u64::from_le_bytes(*word)),
            Filler::Random(seed) => filler.iter().zip(1..).fold(0, |seen, (word, number)| {
                seen | (u64::from_le_bytes(*word) ^ random_word(seed, number))
            }),
            Filler::Pattern(pattern) => filler.iter().zip(1..).fold(0, |seen, (word, number)| {
                seen | (u64::from_le_bytes(*word) ^ pattern[number % PATTERN_WORDS])
            }),
        };
        differences == 0
    }

    /// The stamp that the first stamp word of a page tells.
    #[inline]
    pub(crate) fn first_stamp_in(&self, page: PageNumber, bytes: &[u8; PAGE]) -> u64 {
        let (words, _) = bytes.as_chunks::<WORD>();
        u64::from_le_bytes(words[0]) ^ first_stamp(self.seed, page)
    }

    /// Writes both stamp words of a page.
    #[inline]
    pub(crate) fn put_stamp(&self, page: PageNumber, stamp: u64, bytes: &mut [u8; PAGE]) {
        let word = stamp_word(stamp, first_stamp(self.seed, page));
        let (words, _) = bytes.as_chunks_mut::<WORD>();
        (words[0], words[LAST]) = (word, word);
    }

    /// Whether the filler of a page is there, of bytes that are either this page's, or zeros, or
    /// this page's up to a point and zeros from there on: the last word tells.
    #[inline]
    pub(crate) fn is_filled(&self, page: PageNumber, bytes: &[u8; PAGE]) -> bool {
        let (words, _) = bytes.as_chunks::<WORD>();
        let filler = self.filler(first_stamp(self.seed, page));
        words[LAST - 1] == filler.word(LAST - 1).to_le_bytes()
    }
}

/// A page that was never written has zeros here, so that a page of zeros is all zeros.
#[inline]
fn stamp_word(stamp: u64, first_stamp: u64) -> [u8; WORD] {
    (stamp ^ first_stamp).to_le_bytes()
}
