//! The picture of a guest and its migration, in as many lines and columns as there are.

mod memory;
mod sides;

use super::line::Line;
use super::palette::{BAD, CAUSES, FAINT, GOOD, TITLE, UNDER_WAY, WARNING, cause};
use crate::picture::Estimate;
use crate::picture::snapshot::{CellCause, MemoryView, MigrationPhase, MigrationView, VmView};
use crate::render::{bytes, percent, phase_name, short_time};
use anstyle::Style;
use lazycopy_migration::Outcome;
use memory::{block, memory};
use sides::Sides;

/// From this width on both memories stand side by side.
const SIDE_BY_SIDE: usize = 100;

/// Rows that the last events are given before memories take all.
const LEAST_EVENTS: usize = 4;

/// A shorter bar says nothing that its words do not say.
const LEAST_BAR: usize = 5;

/// The width of the link's course.
const COURSE: usize = 16;

/// Room for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Letters in a row.
    pub columns: usize,
    /// Rows; `None` where there are as many as are needed.
    pub rows: Option<usize>,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scene {
    /// The guest's name.
    pub name: String,
    /// The guest, as long as there is one.
    pub vm: Option<VmView>,
    /// Its migration that runs, or its last one.
    pub migration: Option<MigrationView>,
    /// How far that is.
    pub estimate: Estimate,
}

/// The picture, no larger than its room.
pub(crate) fn draw(scene: &Scene, room: Room) -> Vec<Line> {
    let mut lines = head(scene, room.columns);
    let events = scene.migration.as_ref().map_or(&[][..], |it| &it.events);
    let rows = room.rows.unwrap_or(usize::MAX);
    let for_events = events.len().min(LEAST_EVENTS);
    let left = rows.saturating_sub(lines.len());
    // Where there is little room, memories go before events.
    let for_events = if left >= 4 * LEAST_EVENTS { for_events } else { 0 };
    lines.extend(memories(scene, room.columns, left - for_events.min(left)));
    let left = rows.saturating_sub(lines.len());
    let shown = events.len().min(if room.rows.is_some() { left } else { 2 * LEAST_EVENTS });
    for event in &events[events.len() - shown..] {
        lines.push(event_line(event));
    }
    lines.truncate(rows);
    lines.into_iter().map(|line| line.cut(room.columns)).collect()
}

fn head(scene: &Scene, columns: usize) -> Vec<Line> {
    let mut lines = vec![title(scene)];
    if let Some(migration) = &scene.migration {
        if migration.phase != MigrationPhase::Ended {
            lines.push(progress(&scene.estimate, migration, columns));
        }
        lines.push(figures(migration));
        lines.extend(contexts(migration));
        lines.push(link(migration));
    }
    if let Some(vm) = scene.vm.as_ref().filter(|vm| vm.miss_ratio.is_some()) {
        let text = format!(
            "{} accesses, miss ratio {} since the start, {} recently",
            vm.accesses,
            percent(vm.miss_ratio),
            percent(vm.recent_miss_ratio)
        );
        lines.push(Line::plain(text));
    }
    lines
}

fn title(scene: &Scene) -> Line {
    let mut line = Line::styled(format!("Guest \"{}\"", scene.name), TITLE);
    match (&scene.migration, &scene.vm) {
        (Some(migration), _) if migration.phase != MigrationPhase::Ended => {
            let MigrationView { source, destination, scheme, .. } = migration;
            line.push(": ", Style::new());
            match migration.fault {
                _ if migration.pause.is_some() => line.push("paused, its link is broken", WARNING),
                Some(fault) => line.push(format!("it waits for Page{}", fault.page), WARNING),
                None => line.push(phase_words(migration.phase), UNDER_WAY),
            }
            line.push(format!(", {source} to {destination} by {scheme}"), Style::new());
            line.push(format!(", model time {}", short_time(migration.model_ns)), FAINT);
        }
        (migration, vm) => {
            match vm {
                Some(vm) => {
                    line.push(format!(" on server {}: ", vm.server), Style::new());
                    line.push(phase_name(vm.phase), GOOD);
                }
                None => line.push(" is no more", BAD),
            }
            if let Some((migration, outcome)) =
                migration.as_ref().and_then(|it| Some((it, it.outcome?)))
            {
                let last = format!("; its migration by {}: ", migration.scheme);
                line.push(last, Style::new());
                let style = if outcome == Outcome::Completed { GOOD } else { BAD };
                line.push(outcome.to_string(), style);
            }
        }
    }
    line
}

/// A phase, in words.
fn phase_words(phase: MigrationPhase) -> &'static str {
    match phase {
        MigrationPhase::Preparing => "the servers prepare",
        MigrationPhase::Rounds => "rounds of copying",
        MigrationPhase::Down => "it runs nowhere",
        MigrationPhase::Pushing => "pages are missing",
        MigrationPhase::Measuring => "all there",
        MigrationPhase::Ended => "ended",
    }
}

fn progress(estimate: &Estimate, migration: &MigrationView, columns: usize) -> Line {
    let words = words_of_progress(estimate, migration);
    let width = columns.saturating_sub(words.chars().count() + 3).min(40);
    let full = (estimate.progress() * width as f64) as usize;
    if width < LEAST_BAR {
        return Line::plain(words.trim_start());
    }
    let mut line = Line::styled("━".repeat(full), UNDER_WAY);
    line.push("─".repeat(width - full), FAINT);
    line.push(format!(" {words}"), Style::new());
    line
}

/// How far a migration is, in words: the share, the pages, and the time left.
pub(crate) fn words_of_progress(estimate: &Estimate, migration: &MigrationView) -> String {
    let arrived = migration.arrived.total();
    let pages = match migration.expected {
        Some(expected) => format!("{arrived} of {} pages", expected.max(arrived)),
        None => format!("{arrived} pages"),
    };
    let left = match estimate.left_ns() {
        _ if migration.pause.is_some() => ", paused: the link is broken".to_owned(),
        _ if migration.phase == MigrationPhase::Measuring => ", it is measured".to_owned(),
        None => String::new(),
        Some(0) => ", nothing left".to_owned(),
        Some(left) => format!(", about {} left", short_time(left)),
    };
    format!("{:>3.0} %, {pages}{left}", (estimate.progress() * 100.0).floor())
}

fn figures(migration: &MigrationView) -> Line {
    let faults = migration.faults_remote + migration.faults_disk;
    let mut line = Line::plain("Page faults ");
    line.push(faults.to_string(), if faults > 0 { WARNING } else { Style::new() });
    line.push(
        format!(
            " (source {}, disk {}), stalled {}; arrived:",
            migration.faults_remote,
            migration.faults_disk,
            short_time(migration.stall_ns)
        ),
        Style::new(),
    );
    let arrived = migration.arrived;
    for (lane, count) in [
        (CellCause::Round, arrived.round),
        (CellCause::Background, arrived.background),
        (CellCause::Forward, arrived.forward),
        (CellCause::Demand, arrived.demand),
    ] {
        if count > 0 {
            let (letter, style) = cause(lane);
            line.push(format!(" {count}{letter}"), style);
        }
    }
    line
}

/// Where both contexts are.
fn contexts(migration: &MigrationView) -> Option<Line> {
    let following = migration.following_accesses;
    match (migration.forward_accesses, following) {
        (Some(forward), Some(following)) if migration.phase > MigrationPhase::Pushing => {
            let words = "The forward context ended at access";
            Some(Line::plain(format!("{words} {forward}; the guest is at access {following}")))
        }
        (Some(forward), Some(following)) => {
            // Both servers were asked at once, and answer when they can.
            let lead = match forward.checked_sub(following) {
                Some(lead) => format!("lead {lead}"),
                None => "lead not known yet".to_owned(),
            };
            let mut line =
                Line::styled(format!("Forward context at {forward}"), cause(CellCause::Forward).1);
            line.push(format!(", following context at {following}: {lead}"), Style::new());
            Some(line)
        }
        (Some(forward), None) => {
            Some(Line::styled(format!("Forward context at {forward}"), cause(CellCause::Forward).1))
        }
        (None, Some(following)) => Some(Line::plain(format!("The guest is at access {following}"))),
        (None, None) => None,
    }
}

/// The link's use over time, and how much has come by it.
fn link(migration: &MigrationView) -> Line {
    let rates: Vec<f64> = migration.link.iter().map(|(_, rate)| *rate).collect();
    let peak = rates.iter().copied().fold(0.0, f64::max);
    let course: String = (0..COURSE.min(rates.len()))
        .map(|column| {
            let width = COURSE.min(rates.len());
            let range = &rates[column * rates.len() / width..(column + 1) * rates.len() / width];
            let mean = range.iter().sum::<f64>() / range.len().max(1) as f64;
            block(if peak > 0.0 { mean / peak } else { 0.0 })
        })
        .collect();
    let mut line = Line::plain("Link ");
    line.push(course, UNDER_WAY);
    let now = rates.last().map(|rate| format!(" {}/s,", bytes(*rate as u64))).unwrap_or_default();
    line.push(format!("{now} {} so far", bytes(migration.bytes)), Style::new());
    line
}

/// Both memories of a migration that runs, or the guest's.
fn memories(scene: &Scene, columns: usize, rows: usize) -> Vec<Line> {
    let running = scene.migration.as_ref().filter(|it| it.phase != MigrationPhase::Ended);
    let mut lines = Vec::new();
    let mut shown: Vec<&MemoryView> = Vec::new();
    match (running, &scene.vm) {
        (Some(migration), _) => {
            let sides = Sides::of(migration);
            shown.extend(sides.views());
            let rows = rows.saturating_sub(1);
            match columns >= SIDE_BY_SIDE {
                true => lines.extend(sides.beside(columns, rows)),
                false => lines.extend(sides.below(columns, rows)),
            }
        }
        (None, Some(vm)) => {
            let view = vm.memory.as_ref();
            shown.extend(view);
            let title = "Memory";
            lines.extend(memory(title, view, |cell| cell.cause, (columns, rows.saturating_sub(1))));
        }
        (None, None) => {}
    }
    let legend = legend(&shown);
    if rows > lines.len() && legend.width() > 0 {
        lines.push(legend);
    }
    lines
}

/// The letters that are to be seen, and a star where something is dirty.
fn legend(shown: &[&MemoryView]) -> Line {
    let mut line = Line::default();
    let has = |it: CellCause| {
        shown.iter().any(|view| match view {
            MemoryView::Cells { cells, .. } => {
                cells.iter().any(|cell| cell.cause == it || cell.sent == Some(it))
            }
            MemoryView::Density { by_cause, .. } => !match it {
                CellCause::Round => by_cause.round.is_empty(),
                CellCause::Background => by_cause.background.is_empty(),
                CellCause::Forward => by_cause.forward.is_empty(),
                CellCause::Demand => by_cause.demand.is_empty(),
                CellCause::Own | CellCause::Disk => true,
            },
        })
    };
    for (it, name) in CAUSES {
        if has(it) {
            let (letter, style) = cause(it);
            line.push(format!("{letter} {name}  "), style);
        }
    }
    let dirty = |view: &&MemoryView| matches!(view, MemoryView::Cells { cells, .. } if cells.iter().any(|cell| cell.dirty));
    if shown.iter().any(dirty) {
        line.push("* dirty", FAINT);
    }
    line
}

fn event_line(event: &str) -> Line {
    match event.split_once("] ") {
        Some((time, said)) => {
            let mut line = Line::styled(format!("{time}] "), FAINT);
            line.push(said, super::paint::event_style(said).unwrap_or_default());
            line
        }
        None => Line::plain(event),
    }
}

#[cfg(test)]
pub(super) mod tests;
