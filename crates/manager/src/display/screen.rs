//! The terminal's other screen, for as long as a live picture is on it.

use super::scene::{Room, Scene, draw};
use crate::manager::Manager;
use crate::picture::snapshot::{MigrationPhase, Snapshot};
use crate::picture::{Estimate, PERIOD};
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, poll, read};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use lazycopy_protocol::control::MigrationId;
use std::io::{self, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long a key is waited for before the picture is looked at again.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// Columns and rows of a terminal that does not tell.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// The last row.
const KEYS: &str = "q, Esc or Ctrl-C: back to the prompt";

/// Whether the other screen is on: a program that ends by a signal has it off before.
static ON: AtomicBool = AtomicBool::new(false);

fn enter() -> io::Result<()> {
    ON.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, Hide)
}

/// The screen as it was, if another is on.
pub(crate) fn leave() {
    if ON.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs nothing.
        let _ = execute!(stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// Leaves the screen, however the view ends.
struct Left;

impl Drop for Left {
    fn drop(&mut self) {
        leave();
    }
}

/// Shows a guest until the user has seen enough, or the program ends.
///
/// # Errors
/// When the terminal cannot be used.
pub(crate) async fn watch(manager: &Manager, name: &str, colours: bool) -> io::Result<()> {
    let picture = manager.open_picture();
    let _pick = picture.pick(name);
    let mut estimates = (None, Estimate::default());
    let first = scene_of(name, &*picture.look(manager).await, &mut estimates);
    let (scenes, newest) = watch::channel(first);
    let view = tokio::task::spawn_blocking(move || show(newest, colours));
    tokio::pin!(view);
    loop {
        tokio::select! {
            ended = &mut view => return ended.map_err(io::Error::other)?,
            () = tokio::time::sleep(PERIOD) => {
                let snapshot = picture.look(manager).await;
                scenes.send_replace(scene_of(name, &snapshot, &mut estimates));
            }
        }
    }
}

/// What there is to see of a guest.
pub(crate) fn scene_of(
    name: &str,
    snapshot: &Snapshot,
    (of, estimate): &mut (Option<MigrationId>, Estimate),
) -> Scene {
    let vm = snapshot.vms.iter().find(|vm| vm.name == name).cloned();
    let mut own = snapshot.migrations.iter().filter(|migration| migration.vm == name);
    let migration = own.next_back().cloned();
    if *of != migration.as_ref().map(|migration| migration.id) {
        *of = migration.as_ref().map(|migration| migration.id);
        *estimate = Estimate::default();
    }
    if let Some(migration) = migration.as_ref().filter(|it| it.phase != MigrationPhase::Ended) {
        estimate.take(migration.progress, migration.left_ns);
    }
    Scene { name: name.to_owned(), vm, migration, estimate: *estimate }
}

/// The thread of the view.
fn show(mut newest: watch::Receiver<Scene>, colours: bool) -> io::Result<()> {
    enter()?;
    let _left = Left;
    let mut drawn = None;
    loop {
        let room = room()?;
        let scene = newest.borrow_and_update().clone();
        let picture = (scene, room);
        if drawn.as_ref() != Some(&picture) {
            put(&picture.0, room, colours)?;
            drawn = Some(picture);
        }
        if newest.has_changed().is_err() {
            return Ok(());
        }
        if poll(KEY_WAIT)? && ends(&read()?) {
            return Ok(());
        }
    }
}

/// The terminal's columns and rows; one that does not know its size has the usual one.
fn room() -> io::Result<(usize, usize)> {
    Ok(match size()? {
        (0, _) | (_, 0) => USUAL_SIZE,
        (columns, rows) => (usize::from(columns), usize::from(rows)),
    })
}

fn put(scene: &Scene, (columns, rows): (usize, usize), colours: bool) -> io::Result<()> {
    let above = rows.saturating_sub(1);
    // The last column is left free: what is put there makes some terminals begin a row.
    let room = Room { columns: columns.saturating_sub(1), rows: Some(above) };
    let mut out = Vec::new();
    queue!(out, BeginSynchronizedUpdate)?;
    let mut row = 0;
    for line in draw(scene, room) {
        queue!(out, MoveTo(0, row))?;
        let text = if colours { line.painted() } else { line.text() };
        out.write_all(text.as_bytes())?;
        queue!(out, Clear(ClearType::UntilNewLine))?;
        row += 1;
    }
    queue!(out, MoveTo(0, row), Clear(ClearType::FromCursorDown))?;
    queue!(out, MoveTo(0, u16::try_from(above).unwrap_or(u16::MAX)))?;
    let keys: String = KEYS.chars().take(room.columns).collect();
    out.write_all(keys.as_bytes())?;
    queue!(out, EndSynchronizedUpdate)?;
    let mut terminal = stdout().lock();
    terminal.write_all(&out)?;
    terminal.flush()
}

/// Whether the user has seen enough.
fn ends(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return false;
    };
    match code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        KeyCode::Char('c' | 'd') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}
