//! Random choices of synthetic workloads: one ChaCha8 stream per purpose, seekable by the index
//! of the access and the same on every machine.

use chacha20::ChaCha8Rng;
use lazycopy_units::PageNumber;
use rand::{Rng, SeedableRng};

/// What a stream of random numbers is for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Queue = 1,
    Writes = 2,
    Zipf = 3,
}

/// The stream for that purpose, from its word number `word` on.
pub(crate) fn stream(seed: u64, purpose: Purpose, word: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose as u64);
    rng.set_word_pos(u128::from(word));
    rng
}

/// A number below `bound`, uniform but for a bias below bound / 2^32.
#[inline]
pub(crate) fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(bound)) >> 32) as u32
}

/// The paper's page queue: `length` page numbers, uniform below `pages`.
pub(crate) fn page_queue(seed: u64, length: u32, pages: u32) -> Vec<PageNumber> {
    let mut rng = stream(seed, Purpose::Queue, 0);
    (0..length).map(|_| PageNumber(below(&mut rng, pages))).collect()
}

/// Decides which accesses write.
pub(crate) enum WriteMix {
    Never,
    Always,
    Sometimes { rng: Box<ChaCha8Rng>, threshold: u32 },
}

impl WriteMix {
    pub(crate) fn new(seed: u64, fraction: f64, position: u64) -> Self {
        if fraction <= 0.0 {
            WriteMix::Never
        } else if fraction >= 1.0 {
            WriteMix::Always
        } else {
            let rng = Box::new(stream(seed, Purpose::Writes, position));
            WriteMix::Sometimes { rng, threshold: (fraction * 4_294_967_296.0) as u32 }
        }
    }

    #[inline]
    pub(crate) fn next_writes(&mut self) -> bool {
        match self {
            WriteMix::Never => false,
            WriteMix::Always => true,
            WriteMix::Sometimes { rng, threshold } => rng.next_u32() < *threshold,
        }
    }
}
