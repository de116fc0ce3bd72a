//! The modes of the manager, from their beginning to an exit code.

use crate::arguments::{CtlArguments, ManagerProcess, Mode, Options};
use crate::children::Launcher;
use crate::commands::ScriptSource;
use crate::console::Console;
use crate::display::bars::{self, Awaited, Drawn};
use crate::display::paint;
use crate::fleet::Ended;
use crate::manager::{Manager, Settings};
use crate::presence::RETURN_DEADLINE;
use crate::reply::{CommandError, Reply};
use crate::{ctl, demo, faults, repl, report, shell, simulate, sweep, trace, tutorial};
use lazycopy_migration::Outcome;
use lazycopy_transport::{
    Door, DoorArguments, Role, Token, make_certificates, raise_descriptor_limit,
};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncBufRead, BufReader};
use tokio::signal::unix::{SignalKind, signal};

/// What a process that a signal ends gives back to its shell: 128 and the signal's number.
const ENDED_BY_SIGNAL: u8 = 128;

/// Whether `--json` was given.
static DOCUMENTS: OnceLock<bool> = OnceLock::new();

/// Runs the manager in a mode; without one it reads commands, from a prompt where standard input
/// and output are a terminal. `server` is the command line of the other program, whose completions
/// and manual page the manager makes, too.
pub async fn run(process: ManagerProcess, server: clap::Command) -> ExitCode {
    let ManagerProcess { options, mode } = process;
    paint::choose(options.color);
    let _ = DOCUMENTS.set(options.json);
    let has_fleet = matches!(
        mode,
        None | Some(Mode::Run { .. } | Mode::Serve | Mode::Demo(_) | Mode::Tutorial(_))
    );
    if options.web.is_some() && !has_fleet {
        return fail("--web shows servers and guests, and this mode has none: leave it out");
    }
    raise_descriptor_limit();
    let options = match mode {
        // What a script and a demonstration do depends on nothing that was before.
        None | Some(Mode::Serve) => Options { state: Some(options.state_directory()), ..options },
        Some(_) => options,
    };
    match mode {
        Some(Mode::Token { out }) => make_token(&out, options.json),
        Some(Mode::Certs { out, names }) => make_certs(&out, &names, options.json),
        Some(Mode::Ctl(arguments)) => run_ctl(&arguments, options.json, &options.door).await,
        Some(Mode::Tutorial(arguments)) => tutorial::run(&options, arguments).await,
        Some(Mode::Completions { shell }) => shell::completions(shell, server),
        Some(Mode::Man(arguments)) => shell::man(&arguments, options.json, server),
        Some(Mode::Simulate(arguments)) => {
            cancellable(move |cancelled| simulate::run(&options, &arguments, cancelled)).await
        }
        Some(Mode::Faults(arguments)) => {
            cancellable(move |cancelled| faults::run(&arguments, options.json, cancelled)).await
        }
        Some(Mode::Sweep(arguments)) => sweep::run(&options, arguments).await,
        Some(Mode::Merge(arguments)) => {
            let work =
                tokio::task::spawn_blocking(move || sweep::run_merge(&arguments, options.json));
            work.await.unwrap_or_else(fail)
        }
        Some(Mode::Report(arguments)) => {
            let work = tokio::task::spawn_blocking(move || report::run(&arguments, options.json));
            work.await.unwrap_or_else(fail)
        }
        Some(Mode::Trace(arguments)) => {
            let work = tokio::task::spawn_blocking(move || trace::run(&arguments, options.json));
            work.await.unwrap_or_else(fail)
        }
        Some(Mode::Demo(arguments)) => demo::run(&options, arguments).await,
        Some(Mode::Run { script }) => run_file(options, &script).await,
        Some(Mode::Serve) => serve(options).await,
        None if !options.json && is_at_terminal() => repl::run(options).await,
        None => {
            let lines = ScriptSource::unnamed(BufReader::new(tokio::io::stdin()));
            run_lines(options, lines).await
        }
    }
}

/// Whether a person sits there: standard input and output are a terminal.
pub(crate) fn is_at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Prints what a mode has found: the text, or the document where one is asked for.
pub(crate) fn print(text: &str, json: Option<Value>) -> ExitCode {
    let console = match &json {
        Some(_) => Console::json(),
        None => Console::stdout(),
    };
    match json {
        Some(json) => console.print_json(&json),
        None => console.print(text),
    }
    printed(&console, ExitCode::SUCCESS)
}

/// Says on standard error why nothing came of it, and where documents are asked for in one of
/// them, too.
pub(crate) fn fail(problem: impl std::fmt::Display) -> ExitCode {
    let problem = problem.to_string();
    if DOCUMENTS.get().is_some_and(|asked| *asked) {
        Console::json().print_json(&json!({ "error": problem }));
    }
    complain(problem)
}

/// As [`fail`], where documents have told it already, or cannot be written.
pub(crate) fn complain(problem: impl std::fmt::Display) -> ExitCode {
    let text = format!("error: {problem}");
    let painted = paint::has_colours(&std::io::stderr()).then(|| paint::paint(&text));
    let _ = writeln!(std::io::stderr(), "{}", painted.unwrap_or(text));
    ExitCode::FAILURE
}

fn make_token(out: &Path, json: bool) -> ExitCode {
    if let Err(problem) = Token::create(out) {
        return fail(problem);
    }
    let text = format!(
        "{} holds a new cluster token: give every process of the cluster a copy of it.",
        out.display()
    );
    print(&text, json.then(|| json!({ "file": out })))
}

fn make_certs(out: &Path, names: &[String], json: bool) -> ExitCode {
    let files = match make_certificates(out, names) {
        Ok(files) => files,
        Err(problem) => return fail(problem),
    };
    let text = format!(
        "{} holds an authority and certificates of manager, server and ctl. Give each host \
         authority.pem and the two files of what runs there; authority.key none.",
        out.display()
    );
    print(&text, json.then(|| json!({ "directory": out, "files": files })))
}

/// The exit code of a mode that is over, all being printed: a failure where that was not possible.
pub(crate) fn printed(console: &Console, code: ExitCode) -> ExitCode {
    match console.problem() {
        Some(problem) if code == ExitCode::SUCCESS => {
            complain(format!("standard output: {problem}"))
        }
        _ => code,
    }
}

/// Starts a manager that prints to `console`.
pub(crate) async fn start(options: &Options, console: Console) -> Result<Manager, String> {
    let mut launcher = Launcher::beside_this_program().map_err(|error| error.to_string())?;
    launcher.arguments.extend(options.door.words());
    let door = Door::open(&options.door, Role::Manager).map_err(|error| error.to_string())?;
    let settings = Settings {
        listen: options.listen.clone(),
        out: options.out.clone(),
        state: options.state.clone(),
        patience: RETURN_DEADLINE,
        launcher,
        level: options.events,
        door,
    };
    let manager = Manager::start(settings, console).await.map_err(|error| error.to_string())?;
    manager.notice(&format!("The manager listens on {}.", manager.address()));
    if let Some(address) = options.web {
        manager
            .serve_page(address, options.insecure_web)
            .await
            .map_err(|error| error.to_string())?;
        manager.notice(&page_line(&manager));
    }
    Ok(manager)
}

/// Where the page is.
pub(crate) fn page_line(manager: &Manager) -> String {
    let url = manager.page_url().unwrap_or_default();
    format!("The page is at {url}")
}

async fn run_ctl(arguments: &CtlArguments, json: bool, door: &DoorArguments) -> ExitCode {
    let door = match Door::open(door, Role::Ctl) {
        Ok(door) => door,
        Err(problem) => return fail(problem),
    };
    match ctl::send(arguments, json, &door).await {
        Ok(reply) if reply.ok || json => {
            let console = if json { Console::plain() } else { Console::stdout() };
            console.print(&reply.output);
            printed(&console, if reply.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Ok(reply) => fail(reply.output),
        Err(error) => fail(error),
    }
}

async fn run_file(options: Options, script: &Path) -> ExitCode {
    match ScriptSource::open(script).await {
        Ok(lines) => run_lines(options, lines).await,
        Err(error) => fail(error),
    }
}

/// Obeys others than its standard input: it reads from a pipe whose other end nobody writes to and
/// that stays open.
async fn serve(options: Options) -> ExitCode {
    let (_open, input) = tokio::io::duplex(1);
    run_lines(options, ScriptSource::unnamed(BufReader::new(input))).await
}

async fn run_lines<R: AsyncBufRead + Unpin + Send>(
    options: Options,
    lines: ScriptSource<R>,
) -> ExitCode {
    let bars = bars::on_stdout();
    let console = if options.json { Console::json() } else { Console::stdout() };
    let console = console.above(bars.clone());
    let manager = match start(&options, console.clone()).await {
        Ok(manager) => manager,
        Err(problem) => return fail(problem),
    };
    let each = |reply: &Reply| match options.json {
        true => console.print_json(&json!({ "reply": reply.json })),
        false => console.print(&reply.text),
    };
    let work = async {
        tokio::select! {
            biased;
            done = manager.run_script(lines, 0, each) => {
                // A line that failed is no reason to lose guests that are on their way.
                let settled = manager.settle().await;
                return done.and(settled);
            }
            // Through `ctl`, while the next line is waited for.
            () = manager.told_to_quit() => {}
        }
        manager.settle().await
    };
    let has_bars = !options.json && std::io::stdout().is_terminal();
    let work = async {
        tokio::select! {
            done = work => done,
            () = bars::show(&manager, Awaited::All, Drawn::on(bars)), if has_bars => Ok(()),
        }
    };
    let outcome = until_signal(work).await;
    manager.end_children().await;
    match outcome {
        Ok(Ok(())) => printed(&console, ExitCode::SUCCESS),
        Ok(Err(error)) => {
            if options.json {
                console.print_json(&error.json());
            }
            complain(error)
        }
        Err(code) => code,
    }
}

impl Manager {
    /// Waits until no migration runs and no command begins further ones.
    ///
    /// # Errors
    /// The first migration that nobody has waited for and that neither completed nor was taken
    /// back.
    pub(crate) async fn settle(&self) -> Result<(), CommandError> {
        self.tell_of_standstill();
        let quiet = self.until(|state| {
            let moves = state.fleet.running().any(|(_, migration)| !migration.awaits_a_word());
            (state.quitting || !(state.fleet.is_moving_gangs() || moves)).then_some(())
        });
        quiet.await;
        let waits = self.read(|state| {
            let mut running = state.fleet.running();
            running.find(|(_, migration)| migration.awaits_a_word()).map(|(id, _)| id)
        });
        if let Some(id) = waits {
            return self.wait_for(id).await.map(drop);
        }
        let failed = self.read(|state| {
            let failed = |ended: &Ended| {
                !matches!(ended.verdict.outcome, Outcome::Completed | Outcome::Cancelled)
            };
            let mut untold = state.fleet.untold();
            untold.find(|(_, migration)| migration.ended().is_some_and(failed)).map(|(id, _)| id)
        });
        match failed {
            Some(id) => self.wait_for(id).await.map(drop),
            None => Ok(()),
        }
    }
}

/// Does the work, unless a signal ends the program before: then the exit code for it.
pub(crate) async fn until_signal<T>(work: impl Future<Output = T>) -> Result<T, ExitCode> {
    // All are watched before the work begins: what it starts is to be ended in good order.
    let interrupted = ended_by(SignalKind::interrupt());
    let terminated = ended_by(SignalKind::terminate());
    let hung_up = ended_by(SignalKind::hangup());
    tokio::select! {
        done = work => Ok(done),
        code = interrupted => Err(code),
        code = terminated => Err(code),
        code = hung_up => Err(code),
    }
}

/// Stands for "not finished" until the signal's own code takes its place.
pub(crate) const INTERRUPTED: u8 = 75;

/// Does work that looks now and then whether it is cancelled, and then ends by [`INTERRUPTED`].
/// A signal cancels it; a second interrupt does not wait for that.
pub(crate) async fn cancellable(
    work: impl FnOnce(&AtomicBool) -> ExitCode + Send + 'static,
) -> ExitCode {
    let interrupted = ended_by(SignalKind::interrupt());
    let terminated = ended_by(SignalKind::terminate());
    let hung_up = ended_by(SignalKind::hangup());
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    let work = tokio::task::spawn_blocking(move || work(&flag));
    tokio::pin!(work);
    let code = tokio::select! {
        done = &mut work => return done.unwrap_or_else(fail),
        code = interrupted => code,
        code = terminated => code,
        code = hung_up => code,
    };
    cancelled.store(true, Ordering::Relaxed);
    let again = ended_by(SignalKind::interrupt());
    tokio::select! {
        // All was done already, or it failed: then that is what to tell.
        done = work => match done {
            Ok(done) if done == ExitCode::from(INTERRUPTED) => code,
            Ok(done) => done,
            Err(problem) => fail(problem),
        },
        // What is half written has no name yet, and is removed by the next run.
        _ = again => code,
    }
}

/// Begins to watch for a signal that ends the program, and gives the exit code for it.
pub(crate) fn ended_by(kind: SignalKind) -> impl Future<Output = ExitCode> {
    let watched = signal(kind);
    async move {
        match watched {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(error) => {
                tracing::warn!("signals cannot be watched: {error}");
                std::future::pending::<()>().await;
            }
        }
        ExitCode::from(ENDED_BY_SIGNAL + kind.as_raw_value() as u8)
    }
}
