//! Random choices of synthetic workloads: one ChaCha8 stream per purpose, seekable by the index
//! of the access and the same on every machine.

use super::Write;
use crate::spec::GuestSpec;
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

/// Decides which accesses write, and what.
pub(crate) enum WriteMix {
    Never,
    Always(Write),
    /// One random word per access: below `whole` it writes the whole page, below `any` a part.
    Sometimes {
        rng: Box<ChaCha8Rng>,
        whole: u64,
        any: u64,
    },
}

impl WriteMix {
    pub(crate) fn new(spec: &GuestSpec, position: u64) -> Self {
        let (fraction, whole) = (spec.write_fraction, spec.whole_page_fraction);
        match (fraction, whole) {
            (0.0, _) => WriteMix::Never,
            (1.0, 0.0) => WriteMix::Always(Write::Part),
            (1.0, 1.0) => WriteMix::Always(Write::WholePage),
            _ => WriteMix::Sometimes {
                rng: Box::new(stream(spec.seed, Purpose::Writes, position)),
                whole: (fraction * whole * 4_294_967_296.0) as u64,
                any: (fraction * 4_294_967_296.0) as u64,
            },
        }
    }

    #[inline]
    pub(crate) fn next_write(&mut self) -> Write {
        match self {
            WriteMix::Never => Write::None,
            WriteMix::Always(write) => *write,
            WriteMix::Sometimes { rng, whole, any } => match u64::from(rng.next_u32()) {
                word if word < *whole => Write::WholePage,
                word if word < *any => Write::Part,
                _ => Write::None,
            },
        }
    }
}
