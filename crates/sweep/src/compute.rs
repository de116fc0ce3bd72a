//! Computing the blocks of a shard.

use crate::directory::SweepDirectory;
use crate::error::SweepError;
use crate::merge::check_block;
use crate::plan::Sweep;
use crate::shard::Shard;
use rayon::prelude::*;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Blocks are computed in the order of their products with this number (2^64 by the golden ratio),
/// which scatters them: neighbours take about as long as each other, and the time that is left is
/// to be told from those that are finished.
const SCATTER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Is told how a sweep goes, from many threads.
pub trait Observer: Sync {
    /// It begins: so many of the shard's runs are there already.
    fn begins(&self, there: u64, runs: u64);
    /// One more run was simulated.
    fn ran(&self);
    /// A block that was there is not what it should be, and is computed again.
    fn replaces(&self, problem: &SweepError);
}

/// What is to be computed, and how.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// The share of the sweep.
    pub shard: Shard,
    /// Once it is true, no further run begins.
    pub cancelled: &'a AtomicBool,
    /// Who is told of it.
    pub observer: &'a dyn Observer,
}

/// What was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Blocks of the shard.
    pub blocks: u64,
    /// Of these, those that are there now.
    pub finished: u64,
    /// Runs that were simulated and kept.
    pub runs: u64,
}

impl Computed {
    /// Whether the whole shard is there.
    pub fn is_whole(&self) -> bool {
        self.finished == self.blocks
    }
}

/// Computes the blocks of a shard that are not in the directory yet, on all threads. What was
/// finished stays, whatever happens: started again, it goes on.
///
/// # Errors
/// When the directory holds something else, the system refuses to write, or a run fails.
pub fn compute(sweep: &Sweep, directory: &Path, work: Work<'_>) -> Result<Computed, SweepError> {
    let manifest = sweep.manifest();
    let directory = SweepDirectory::begin(directory, manifest)?;
    let there = directory.blocks(manifest.blocks)?;
    let own: Vec<u64> = (0..manifest.blocks).filter(|block| work.shard.has(*block)).collect();
    let is_whole = |block: &u64| -> Result<bool, SweepError> {
        if !there[*block as usize] {
            return Ok(false);
        }
        match check_block(&directory, manifest, *block, |_| ()) {
            Ok(_) => Ok(true),
            Err(problem @ SweepError::Block { .. }) => {
                work.observer.replaces(&problem);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    };
    let whole = own.par_iter().map(is_whole).collect::<Result<Vec<bool>, SweepError>>()?;
    let runs = |block: &u64| {
        let runs = manifest.block(*block);
        runs.end - runs.start
    };
    let mut missing: Vec<u64> =
        own.iter().zip(&whole).filter(|(_, whole)| !**whole).map(|(block, _)| *block).collect();
    missing.sort_by_key(|block| block.wrapping_mul(SCATTER));
    let all: u64 = own.iter().map(runs).sum();
    work.observer.begins(all - missing.iter().map(runs).sum::<u64>(), all);
    let compute = |block: &u64| -> Result<(u64, u64), SweepError> {
        match sweep.block(*block, work.cancelled, &|| work.observer.ran())? {
            Some(text) => {
                directory.write_block(*block, &text)?;
                Ok((1, runs(block)))
            }
            None => Ok((0, 0)),
        }
    };
    let (finished, computed) = missing
        .par_iter()
        // One block after another, so that no thread waits for the last one's share.
        .with_max_len(1)
        .map(compute)
        .try_reduce(|| (0, 0), |one, other| Ok((one.0 + other.0, one.1 + other.1)))?;
    let kept = (own.len() - missing.len()) as u64;
    Ok(Computed { blocks: own.len() as u64, finished: kept + finished, runs: computed })
}

/// Does work on so many threads; `None`: as many as there are cores.
///
/// # Errors
/// When they cannot be started.
pub fn on_threads<T: Send>(
    threads: Option<usize>,
    work: impl FnOnce() -> T + Send,
) -> Result<T, SweepError> {
    let count = threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
    let failed = |problem: rayon::ThreadPoolBuildError| SweepError::Threads {
        threads: count,
        problem: problem.to_string(),
    };
    Ok(pool.map_err(failed)?.install(work))
}
