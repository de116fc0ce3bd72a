//! A guided first session: real commands to real servers, and what their results mean.

mod lesson;
mod steps;

use crate::arguments::{DEFAULT_OUT, Options};
use crate::console::Console;
use crate::grammar::EventLevel;
use crate::session::{fail, is_at_terminal, print, printed, start, until_signal};
use lesson::{Leave, Lesson};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How the tutorial goes.
#[derive(clap::Args, Clone, Debug)]
pub struct TutorialArguments {
    /// Go on by itself, as where standard input or output is no terminal
    #[arg(long)]
    pub yes: bool,
}

/// Goes through the tutorial. However it ends, its servers end with it; its results stay.
pub(crate) async fn run(options: &Options, arguments: TutorialArguments) -> ExitCode {
    let out = match results_directory(&options.out) {
        Ok(out) => out,
        Err(error) => return fail(format!("there is no place for results: {error}")),
    };
    let options = Options {
        // Its own: a manager that runs already is none of its business.
        listen: "127.0.0.1:0".to_owned(),
        events: EventLevel::Off,
        out,
        ..options.clone()
    };
    let console = if options.json { Console::silent() } else { Console::stdout() };
    let manager = match start(&options, Console::silent()).await {
        Ok(manager) => manager,
        Err(problem) => return fail(problem),
    };
    let waits = is_at_terminal() && !arguments.yes && !options.json;
    let mut lesson = Lesson::new(manager.clone(), console.clone(), waits);
    let outcome = until_signal(steps::all(&mut lesson, &options)).await;
    crate::display::leave_screen();
    manager.end_children().await;
    match outcome {
        Ok(Ok(())) => {
            let code = printed(&console, ExitCode::SUCCESS);
            if options.json { print("", Some(lesson.document())) } else { code }
        }
        Ok(Err(Leave::Wanted)) => {
            console.print("The servers have ended. To begin again: manager tutorial");
            printed(&console, ExitCode::SUCCESS)
        }
        Ok(Err(Leave::Failed(error))) => fail(error),
        Err(code) => code,
    }
}

/// The directory that was asked for, or a new one in the system's place for such.
fn results_directory(asked: &Path) -> std::io::Result<PathBuf> {
    if asked != Path::new(DEFAULT_OUT) {
        return Ok(asked.to_owned());
    }
    Ok(tempfile::Builder::new().prefix("lazycopy-tutorial-").tempdir()?.keep())
}
