//! The prompt: a line editor on a thread of its own, since reading a line blocks.

mod completion;
mod printer;
mod terminal;

use crate::arguments::Options;
use crate::console::Console;
use crate::display::bars::{self, Awaited, Drawn};
use crate::display::{leave_screen, paint, watch};
use crate::grammar::{Command, Parsed, parse_line};
use crate::manager::Manager;
use crate::session::{ended_by, fail, start};
use completion::CommandHelper;
use printer::Printer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use terminal::TerminalMode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

const PROMPT: &str = "lazycopy> ";

/// Lines of history that are kept.
const HISTORY_LINES: usize = 1_000;

type LineEditor = Editor<CommandHelper, DefaultHistory>;

/// What the editor's thread hands over, and waits for the end of.
struct Entered {
    line: String,
    done: oneshot::Sender<()>,
}

/// Reads commands from the terminal until `quit`, the end of input, or a signal that ends the
/// program. An interrupt (Ctrl-C) is none: at the prompt it clears the line, and while a command
/// is awaited it ends the waiting alone.
pub(crate) async fn run(options: Options) -> ExitCode {
    let mode = TerminalMode::save();
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .history_ignore_space(true)
        .max_history_size(HISTORY_LINES)
        .map(|config| config.auto_add_history(true).build());
    let opened = config.and_then(LineEditor::with_config).and_then(|mut editor| {
        let printer = editor.create_external_printer()?;
        Ok((editor, printer))
    });
    let (mut editor, printer) = match opened {
        Ok(opened) => opened,
        Err(error) => return fail(format!("the terminal cannot be used: {error}")),
    };
    let printer = Arc::new(Printer::start(printer, bars::on_stdout()));
    let colours = paint::has_colours(&stdout());
    let console = {
        let printer = Arc::clone(&printer);
        Console::new(move |text| match colours {
            true => printer.print(&paint::paint(text)),
            false => printer.print(text),
        })
    };
    let manager = match start(&options, console.clone()).await {
        Ok(manager) => manager,
        Err(problem) => return fail(problem),
    };
    manager.open_picture();
    console.print("Type help for the commands, quit to leave.");
    editor.set_helper(Some(CommandHelper::new(manager.clone())));
    // Before the editor, which puts back the handler that it finds.
    let interrupts = signal(SignalKind::interrupt()).ok();
    let (entered, lines) = mpsc::channel(1);
    std::thread::spawn({
        let printer = Arc::clone(&printer);
        move || edit_lines(editor, &printer, &entered)
    });
    let output = Output { console, printer: Arc::clone(&printer), colours };
    let code = tokio::select! {
        () = obey(&manager, &output, lines, interrupts) => ExitCode::SUCCESS,
        () = manager.told_to_quit() => ExitCode::SUCCESS,
        code = ended_by(SignalKind::terminate()) => code,
        code = ended_by(SignalKind::hangup()) => code,
    };
    leave_screen();
    manager.end_children().await;
    printer.flush();
    mode.restore();
    code
}

/// The thread of the editor: reads a line, hands it over, waits until it is carried out.
fn edit_lines(mut editor: LineEditor, printer: &Printer, entered: &mpsc::Sender<Entered>) {
    let history = history_file();
    if let Some(history) = &history {
        // There is none the first time.
        let _ = editor.load_history(history);
    }
    loop {
        printer.flush();
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => "quit".to_owned(),
            Err(_) => return,
        };
        if let Some(history) = &history
            && let Err(error) = editor.append_history(history)
        {
            tracing::debug!("the history cannot be written: {error}");
        }
        let (done, carried_out) = oneshot::channel();
        if entered.blocking_send(Entered { line, done }).is_err() {
            return;
        }
        if carried_out.blocking_recv().is_err() {
            return;
        }
    }
}

/// Where the prompt shows what comes of commands.
struct Output {
    console: Console,
    printer: Arc<Printer>,
    colours: bool,
}

/// Carries out lines until one of them ends the manager, or the editor is gone.
async fn obey(
    manager: &Manager,
    output: &Output,
    mut lines: mpsc::Receiver<Entered>,
    mut interrupts: Option<Signal>,
) {
    while let Some(Entered { line, done }) = lines.recv().await {
        let interrupted = async {
            match &mut interrupts {
                Some(interrupts) => interrupts.recv().await,
                None => std::future::pending().await,
            }
        };
        match parse_line(&line) {
            Ok(Parsed::Command(Command::Watch { vm }))
                if manager.read(|state| state.fleet.vm(&vm).is_ok()) =>
            {
                let _held = output.printer.hold();
                let ended = tokio::select! {
                    ended = watch(manager, &vm, output.colours) => ended,
                    _ = interrupted => Ok(()),
                };
                leave_screen();
                if let Err(error) = ended {
                    output.console.print(&format!("error: the terminal cannot be used: {error}"));
                }
            }
            parsed => {
                let awaited = match &parsed {
                    Ok(Parsed::Command(command)) => Awaited::by(command),
                    _ => None,
                };
                tokio::select! {
                    () = carry_out(manager, output, line, awaited) => {}
                    _ = interrupted => output.console.print(
                        "Not waiting any more; what was begun goes on. To take a migration back: \
                         migrate cancel VM"
                    ),
                }
            }
        }
        if manager.is_quitting() {
            return;
        }
        let _ = done.send(());
    }
}

/// Carries out a line, with bars where it waits for migrations. It goes on if nobody waits for it
/// any more.
async fn carry_out(manager: &Manager, output: &Output, line: String, awaited: Option<Awaited>) {
    let (runner, console) = (manager.clone(), output.console.clone());
    let command = tokio::spawn(async move {
        match runner.run_line(&line).await {
            Ok(reply) => console.print(&reply.text),
            Err(error) => console.print(&format!("error: {error}")),
        }
    });
    match awaited {
        None => drop(command.await),
        Some(awaited) => tokio::select! {
            _ = command => {}
            () = bars::show(manager, awaited, Drawn::on(output.printer.bars())) => {}
        },
    }
}

/// The file of the history, in the user's state directory.
fn history_file() -> Option<PathBuf> {
    let state = match std::env::var_os("XDG_STATE_HOME") {
        Some(state) if !state.is_empty() => PathBuf::from(state),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".local/state"),
    };
    let directory = state.join("lazycopy");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}
