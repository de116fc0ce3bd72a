//! What reads bytes from outside, under fuzzing.
//!
//! A target is a function that takes any bytes: it must not panic, it must not take more memory
//! than its limit, and where there is an inverse, what was decoded and encoded again is what was
//! decoded. To add one: write the function in a module of [`targets`], and a line in [`TARGETS`].
//!
//! Two drivers share the targets and the corpus (`corpus/TARGET/*`): the tests, which give each
//! kept input and so many seeded mutations of it to its target, and the program `fuzz`
//! (`.ci/fuzz`), which is guided by coverage.

pub mod mutation;
pub mod targets;

use peak_alloc::PeakAlloc;
use std::path::{Path, PathBuf};

/// Tells how much memory a target takes.
#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// The longest input: longer ones are slow, and find little that shorter ones do not.
pub const MAX_INPUT_BYTES: usize = 1 << 15;

/// A function that takes any bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its directory in the corpus.
    pub name: &'static str,
    /// The most bytes of memory that it may take at once.
    pub memory: usize,
    /// It.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, memory: usize, run: fn(&[u8])) -> Target {
    Target { name, memory, run }
}

const MIB: usize = 1 << 20;

/// A frame that is announced, and what is made of one as long as an input.
const FRAME: usize = lazycopy_protocol::frame::MAX_CONTROL_FRAME + 8 * MIB;

/// A guest that runs logs its faults, up to the log's own limit: here as many as its turns give.
const LOG: usize = 128 * MIB;

/// Every target.
pub const TARGETS: &[Target] = &[
    target("control", FRAME, targets::control::control),
    target("peer", FRAME, targets::peer::peer),
    target("offer", 8 * MIB, targets::peer::offer),
    target("plane", 8 * MIB, targets::plane::plane),
    target("destination", LOG, targets::sides::destination),
    target("source", LOG, targets::sides::source),
    target("sides", LOG, targets::sides::sides),
    target("machines", 32 * MIB, targets::machines::machines),
    target("grammar", 16 * MIB, targets::text::grammar),
    target("values", 8 * MIB, targets::text::values),
    target("scenario", 32 * MIB, targets::scenario::scenario),
    target("sweep", 64 * MIB, targets::scenario::sweep),
    target("trace", 64 * MIB, targets::trace::trace),
    target("results", 32 * MIB, targets::results::results),
    target("run", 64 * MIB, targets::results::run),
    target("state", 16 * MIB, targets::manager::state),
    target("web", 8 * MIB, targets::manager::web),
    target("picture", 32 * MIB, targets::manager::picture),
];

impl Target {
    /// The target of that name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Runs it, and holds what it takes against its limit: right only while nothing else runs.
    ///
    /// # Panics
    /// When the target does, or takes more memory than it may.
    pub fn check(&self, data: &[u8]) {
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        (self.run)(data);
        let taken = ALLOCATED.peak_usage().saturating_sub(before);
        assert!(
            taken <= self.memory,
            "{} took {taken} bytes of memory, {} are allowed",
            self.name,
            self.memory
        );
    }

    /// Where its inputs are kept.
    pub fn corpus(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(self.name)
    }
}
