//! Sweeps by the command: `sweep` computes one or a shard of it, `merge` puts shards together.

mod progress;

use crate::arguments::{DEFAULT_OUT, Options};
use crate::definition::recordings_directory;
use crate::session::{INTERRUPTED, cancellable, fail, print};
use lazycopy_results::{SWEEP_RESULTS_FILE, SweepAnalysis};
use lazycopy_sweep::{Computed, Shard, Sweep, SweepError, Work, compute, merge, on_threads};
use progress::Progress;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// The most threads: more than any machine has cores.
const MAX_THREADS: u64 = 4_096;

/// Which sweep to compute.
#[derive(clap::Args, Clone, Debug)]
pub struct SweepArguments {
    /// The sweep: a file that names a scenario, axes, contenders and seeds
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Compute the blocks of shard i of N alone, i from 0 to N-1; `merge` puts them together
    #[arg(long, value_name = "i/N", default_value_t = Shard::WHOLE)]
    pub shard: Shard,
    /// Seeds of each cell and contender, instead of the file's number
    #[arg(long, value_name = "NUMBER")]
    pub seeds: Option<u64>,
    /// Threads; without it as many as there are cores
    #[arg(long, value_name = "NUMBER")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MAX_THREADS))]
    pub threads: Option<u64>,
}

/// Which sweep to put together.
#[derive(clap::Args, Clone, Debug)]
pub struct MergeArguments {
    /// The directory that `sweep FILE --out DIR` wrote
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Computes a sweep, or a shard of it. A signal ends it after the runs that are under way.
pub(crate) async fn run(options: &Options, arguments: SweepArguments) -> ExitCode {
    let directory = directory(&options.out, &arguments.file);
    let json = options.json;
    let work = move |cancelled: &AtomicBool| {
        sweep(&directory, &arguments, json, cancelled).unwrap_or_else(fail)
    };
    cancellable(work).await
}

/// Where the results go: a directory of its own below the default one.
fn directory(out: &Path, file: &Path) -> PathBuf {
    match file.file_stem() {
        Some(stem) if out == Path::new(DEFAULT_OUT) => out.join(stem),
        _ => out.to_owned(),
    }
}

fn sweep(
    directory: &Path,
    arguments: &SweepArguments,
    json: bool,
    cancelled: &AtomicBool,
) -> Result<ExitCode, SweepError> {
    let threads = arguments.threads.and_then(|threads| usize::try_from(threads).ok());
    on_threads(threads, || {
        let sweep = Sweep::open(&arguments.file, arguments.seeds, &recordings_directory())?;
        let progress = Progress::new();
        let begun = Instant::now();
        let work = Work { shard: arguments.shard, cancelled, observer: &progress };
        let computed = compute(&sweep, directory, work);
        progress.finish();
        let computed = computed?;
        let seconds = begun.elapsed().as_secs_f64();
        if !computed.is_whole() {
            let Computed { blocks, finished, .. } = computed;
            let _ = writeln!(
                std::io::stderr(),
                "Interrupted: {finished} of {blocks} blocks are finished and kept. To go on: {}",
                arguments.command(directory)
            );
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let (text, mut found) = match arguments.shard.is_whole() {
            true => told(&merge(directory)?, directory),
            false => (
                format!(
                    "Shard {} is there, {} of the {} blocks. When all shards are: manager merge {}",
                    arguments.shard,
                    computed.blocks,
                    sweep.manifest().blocks,
                    directory.display()
                ),
                json!({ "shard": arguments.shard.to_string(), "directory": directory }),
            ),
        };
        found["blocks"] = computed.blocks.into();
        found["runs_computed"] = computed.runs.into();
        found["seconds"] = seconds.into();
        let text = format!("{text}\n{}", speed(&computed, seconds));
        Ok(print(&text, json.then_some(found)))
    })?
}

/// What a sweep says, what it says on the paper's claims where it can, and where it lies: for
/// people and for machines.
fn told(analysis: &SweepAnalysis, directory: &Path) -> (String, Value) {
    let results = directory.join(SWEEP_RESULTS_FILE);
    let mut text = format!("{analysis}\n");
    for claims in analysis.claims() {
        text.push_str(&format!("{}\n\n", claims.words().join("\n")));
    }
    text.push_str(&format!("The results are in {}.", results.display()));
    let json = json!({
        "results": results, "directory": directory, "analysis": analysis,
        "claims": analysis.claims(),
    });
    (text, json)
}

fn speed(computed: &Computed, seconds: f64) -> String {
    match computed.runs {
        0 => "Every run was there already.".to_owned(),
        runs => {
            let rate = runs as f64 / seconds.max(f64::MIN_POSITIVE);
            format!("{runs} runs in {seconds:.1} s: {rate:.0} a second.")
        }
    }
}

impl SweepArguments {
    /// The command line that goes on with it.
    fn command(&self, directory: &Path) -> String {
        let mut command = format!("manager sweep {}", self.file.display());
        if !self.shard.is_whole() {
            command += &format!(" --shard {}", self.shard);
        }
        if let Some(seeds) = self.seeds {
            command += &format!(" --seeds {seeds}");
        }
        command + &format!(" --out {}", directory.display())
    }
}

/// Puts the blocks of a sweep together.
pub(crate) fn run_merge(arguments: &MergeArguments, json: bool) -> ExitCode {
    match merge(&arguments.directory) {
        Ok(analysis) => {
            let (text, found) = told(&analysis, &arguments.directory);
            print(&text, json.then_some(found))
        }
        Err(error) => fail(error),
    }
}
