//! The scripted demonstration: two servers on this machine, every scheme on equal guests, and what
//! came of it.

mod plan;
mod progress;

pub use plan::{Group, Plan, PlannedRun};

use crate::arguments::Options;
use crate::console::Console;
use crate::grammar::EventLevel;
use crate::manager::Manager;
use crate::reply::CommandError;
use crate::session::{fail, page_line, print, start, until_signal};
use futures_util::StreamExt;
use futures_util::stream;
use lazycopy_migration::Scheme;
use lazycopy_results::{Comparison, RunRecord};
use lazycopy_scenario::Preset;
use progress::Progress;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use tokio::sync::Semaphore;

/// Runs that begin at a time. A guest's warm-up keeps a core busy; with one at a time another is
/// left for the migrations that run.
const BEGINNING_AT_ONCE: usize = 1;

const SOURCE: &str = "source";
const DESTINATION: &str = "destination";

/// The schemes that the paper compares, and the simplest one.
pub(crate) const PAPER_SCHEMES: [Scheme; 3] =
    [Scheme::StopAndCopy, Scheme::PostCopy, Scheme::LazyCopy];

/// Which demonstration.
#[derive(clap::Args, Clone, Debug)]
pub struct DemoArguments {
    /// paper or fair: sets both disk latencies and migration.head_start. Without it the paper's
    /// scenario runs in both, and another scenario as it is written
    #[arg(long)]
    pub preset: Option<Preset>,
    /// A scenario file, or the name of a shipped scenario, instead of the paper's
    #[arg(long, value_name = "FILE|NAME")]
    pub scenario: Option<String>,
    /// Seeds of each combination
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// The schemes, separated by commas
    #[arg(long, value_name = "SCHEME,...", value_delimiter = ',')]
    #[arg(default_values_t = PAPER_SCHEMES)]
    pub scheme: Vec<Scheme>,
    /// Another value for a key of the scenario
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Runs the demonstration; fails when a migration did not complete or a result is wrong. However
/// it ends, the servers end with it.
pub(crate) async fn run(options: &Options, arguments: DemoArguments) -> ExitCode {
    let quiet = arguments.quiet;
    let planned = tokio::task::spawn_blocking(move || Plan::of(&arguments)).await;
    let plan = match planned {
        Ok(Ok(plan)) => plan,
        Ok(Err(error)) => return fail(error),
        Err(panicked) => return fail(panicked),
    };
    let writable = std::fs::create_dir_all(&options.out)
        .and_then(|()| tempfile::NamedTempFile::new_in(&options.out));
    if let Err(error) = writable {
        return fail(format!("--out {}: {error}", options.out.display()));
    }
    let options = Options {
        // Its own: a manager that runs already is none of its business.
        listen: "127.0.0.1:0".to_owned(),
        events: EventLevel::Off,
        state: None,
        ..options.clone()
    };
    let manager = match start(&options, Console::silent()).await {
        Ok(manager) => manager,
        Err(problem) => return fail(problem),
    };
    if manager.page_url().is_some() {
        let _ = writeln!(std::io::stderr(), "{}", page_line(&manager));
    }
    let progress = Progress::new(&plan, quiet);
    let outcome = until_signal(demonstrate(&manager, &plan, &progress)).await;
    progress.finish();
    manager.end_children().await;
    match outcome {
        Ok(Ok(done)) => report(&options, &plan, &done),
        Ok(Err(error)) => fail(error),
        Err(code) => code,
    }
}

/// What came of a planned run.
type Outcome = Result<RunRecord, String>;

/// Carries out the plan: the outcomes in its order.
async fn demonstrate(
    manager: &Manager,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<Outcome>, CommandError> {
    let frames = Some(plan.frames());
    tokio::try_join!(
        manager.start_server(SOURCE, frames),
        manager.start_server(DESTINATION, frames)
    )?;
    let beginning = Semaphore::new(BEGINNING_AT_ONCE);
    let mut outcomes = Vec::new();
    for group in &plan.groups {
        let runs = group.runs.iter().map(|run| async {
            let outcome =
                migrate(manager, run, &beginning).await.map_err(|error| error.to_string());
            progress.ended(&run.vm, &outcome);
            outcome
        });
        outcomes.extend(stream::iter(runs).buffered(group.at_once()).collect::<Vec<_>>().await);
    }
    Ok(outcomes)
}

/// One run: the guest is created, migrates at the instant when its time begins, and is deleted.
async fn migrate(
    manager: &Manager,
    run: &PlannedRun,
    beginning: &Semaphore,
) -> Result<RunRecord, CommandError> {
    let turn = beginning.acquire().await;
    manager.create_vm(&run.vm, SOURCE, run.definition.clone()).await?;
    let id = manager.migrate(&run.vm, DESTINATION, &[]).await?;
    drop(turn);
    let waited = manager.wait_for(id).await;
    let record = manager.read(|state| state.fleet.migration(id)?.ended()?.record.clone());
    manager.run_line(&format!("vm delete {} --force", run.vm)).await.map(drop).or_else(
        |error| {
            // A guest that was lost is gone already; what came of the migration is told.
            if waited.is_ok() { Err(error) } else { Ok(()) }
        },
    )?;
    waited?;
    record.map(|record| *record).ok_or(CommandError::Ending)
}

/// Prints the comparisons; fails when a run has failed.
fn report(options: &Options, plan: &Plan, outcomes: &[Outcome]) -> ExitCode {
    let mut outcomes = outcomes.iter();
    let (mut texts, mut groups, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for group in &plan.groups {
        let of_group: Vec<&Outcome> = outcomes.by_ref().take(group.runs.len()).collect();
        let records = || of_group.iter().filter_map(|outcome| outcome.as_ref().ok());
        let comparison = Comparison::of(&group.title, records());
        texts.push(comparison.to_string());
        groups.push(json!({ "comparison": comparison, "runs": records().collect::<Vec<_>>() }));
        for (run, outcome) in group.runs.iter().zip(of_group) {
            if let Err(problem) = outcome {
                failures.push(json!({ "run": run.vm, "error": problem }));
            }
        }
    }
    let total: usize = plan.groups.iter().map(|group| group.runs.len()).sum();
    texts.push(format!(
        "{} of {total} migrations completed; each has a directory below {}.",
        total - failures.len(),
        options.out.display()
    ));
    let has_failed = !failures.is_empty();
    let json = options.json.then(|| {
        json!({
            "groups": groups, "failures": failures, "completed": total - failures.len(),
            "migrations": total, "directory": options.out,
        })
    });
    let code = print(&texts.join("\n"), json);
    if has_failed { ExitCode::FAILURE } else { code }
}
