use super::*;
use crate::picture::snapshot::{Causes, Cell, FaultView};
use anstream::adapter::strip_str;
use lazycopy_migration::{PageCounts, Scheme};
use lazycopy_protocol::control::{MigrationId, VmPhase};

fn cell(page: u32, cause: CellCause) -> Cell {
    Cell { page, dirty: page.is_multiple_of(7), cause, sent: None }
}

fn vm(memory: MemoryView) -> VmView {
    VmView {
        name: "web".to_owned(),
        server: "a".to_owned(),
        phase: VmPhase::Running,
        pages: 50,
        frames: 20,
        accesses: 140,
        miss_ratio: Some(0.625),
        recent_miss_ratio: Some(0.5),
        real_memory: false,
        memory: Some(memory),
        migration: None,
    }
}

fn source() -> MemoryView {
    let sent = |page| match page {
        0 => Some(CellCause::Background),
        4 => Some(CellCause::Forward),
        _ => None,
    };
    let own = |page| Cell { sent: sent(page), ..cell(page, CellCause::Own) };
    let cells = (0..20).map(|index| own(2 * index)).collect();
    MemoryView::Cells { frames: 20, cells }
}

fn destination() -> MemoryView {
    let causes = [CellCause::Background, CellCause::Forward, CellCause::Demand, CellCause::Disk];
    let cells = (0..8).map(|index| cell(4 * index, causes[index as usize % 4])).collect();
    MemoryView::Cells { frames: 20, cells }
}

/// A lazy-copy that is under way.
pub(in crate::display) fn migration() -> MigrationView {
    MigrationView {
        id: MigrationId(3),
        vm: "web".to_owned(),
        source: "a".to_owned(),
        destination: "b".to_owned(),
        scheme: Scheme::LazyCopy,
        time_scale: 1000,
        phase: MigrationPhase::Pushing,
        outcome: None,
        reason: None,
        pause: None,
        started_unix_ms: 0,
        model_ns: 12_345_000_000,
        arrived: PageCounts { background: 2, forward: 2, demand: 2, ..PageCounts::default() },
        expected: Some(20),
        bytes: 24_672,
        faults_remote: 1,
        faults_disk: 2,
        stall_ns: 4_200_000_000,
        fault: None,
        progress: 0.3,
        left_ns: Some(21_000_000_000),
        forward_accesses: Some(146),
        following_accesses: Some(142),
        link: (1..=8).map(|at| (at, 1000.0 * at as f64)).collect(),
        misses: Vec::new(),
        source_memory: Some(source()),
        destination_memory: Some(destination()),
        directory: None,
        events: (1..=9).map(|at| format!("[    {at}.000 s] web: Event {at}.")).collect(),
    }
}

fn moving() -> Scene {
    let mut estimate = Estimate::default();
    estimate.take(0.3, Some(21_000_000_000));
    Scene { name: "web".to_owned(), vm: Some(vm(source())), migration: Some(migration()), estimate }
}

fn text(scene: &Scene, columns: usize, rows: Option<usize>) -> String {
    draw(scene, Room { columns, rows }).iter().map(|line| line.text() + "\n").collect()
}

#[test]
fn a_migration_at_80_columns_shows_both_memories_below_each_other() {
    let expected = "\
Guest \"web\": pages are missing, a to b by lazy-copy, model time 12 s
━━━━━━━━━━━━────────────────────────────  30 %, 6 of 20 pages, about 21 s left
Page faults 3 (source 1, disk 2), stalled 4.2 s; arrived: 2B 2F 2D
Forward context at 146, following context at 142: lead 4
Link ▁▂▃▄▅▆▇█ 8.0 kB/s, 24.7 kB so far
140 accesses, miss ratio 62.5 % since the start, 50.0 % recently
Source a: 20 of 20 frames, least recently used first
  0B*  2    4F   6    8   10   12   14 * 16   18   20   22   24   26   28 * 30
 32   34   36   38
Destination b: 8 of 20 frames, least recently used first
  0B*  4F   8D  12K  16B  20F  24D  28K*  ·    ·    ·    ·    ·    ·    ·    ·
  ·    ·    ·    ·
B background  F forward  D demand  K disk  * dirty
[    2.000 s] web: Event 2.
[    3.000 s] web: Event 3.
[    4.000 s] web: Event 4.
[    5.000 s] web: Event 5.
[    6.000 s] web: Event 6.
[    7.000 s] web: Event 7.
[    8.000 s] web: Event 8.
[    9.000 s] web: Event 9.
";
    assert_eq!(text(&moving(), 80, None), expected);
}

#[test]
fn a_guest_that_is_blocked_is_said_to_wait_for_its_page() {
    let mut waiting = moving();
    let fault = Some(FaultView { page: 44, since_ns: 11_000_000_000 });
    waiting.migration = Some(MigrationView { fault, ..migration() });
    let drawn = text(&waiting, 80, Some(23));
    assert!(
        drawn.starts_with("Guest \"web\": it waits for Page44, a to b by lazy-copy"),
        "{drawn}"
    );
}

#[test]
fn at_120_columns_both_memories_stand_side_by_side() {
    let drawn = text(&moving(), 120, Some(23));
    assert!(
        drawn.lines().any(|line| {
            line.starts_with("Source a: 20 of 20 frames")
                && line.contains("  Destination b: 8 of 20 frames")
        }),
        "{drawn}"
    );
    assert!(drawn.contains("  0B*  2    4F   6"), "{drawn}");
}

#[test]
fn no_picture_is_larger_than_its_room() {
    let mut large = moving();
    let shares = vec![0.5; 256];
    let by_cause = Causes { background: shares.clone(), ..Causes::default() };
    let density =
        MemoryView::Density { pages: 1 << 20, frames: 1 << 19, resident: shares, by_cause };
    large.migration.as_mut().unwrap().destination_memory = Some(density.clone());
    let resting = Scene { migration: None, vm: Some(vm(density)), ..moving() };
    let gone = Scene { migration: None, vm: None, ..moving() };
    for scene in [&moving(), &large, &resting, &gone] {
        for columns in [1, 12, 39, 40, 79, 80, 99, 100, 101, 120, 300] {
            for rows in [0, 1, 3, 11, 12, 23, 24, 60] {
                let lines = draw(scene, Room { columns, rows: Some(rows) });
                assert!(lines.len() <= rows, "{columns}x{rows}: {}", lines.len());
                let widest = lines.iter().map(Line::width).max().unwrap_or(0);
                assert!(widest <= columns, "{columns}x{rows}: {widest}");
            }
        }
    }
}

#[test]
fn a_small_terminal_still_shows_how_far_it_is_and_what_is_not_shown() {
    let drawn = text(&moving(), 39, Some(11));
    assert!(drawn.contains("30 %, 6 of 20 pages, about 21 s left"), "{drawn}");
    assert!(drawn.contains("frames more"), "{drawn}");
}

#[test]
fn a_large_memory_is_a_line_of_shares_with_the_letters_of_causes() {
    let resident = (0..64).map(|range| range as f32 / 63.0).collect();
    let forward = (0..64).map(|range| if range < 32 { 0.5 } else { 0.0 }).collect();
    let by_cause = Causes { forward, ..Causes::default() };
    let memory = MemoryView::Density { pages: 1_000, frames: 600, resident, by_cause };
    let resting = Scene { migration: None, vm: Some(vm(memory)), ..moving() };
    let drawn = text(&resting, 80, None);
    assert!(drawn.contains(": about 500 of 600 frames"), "{drawn}");
    assert!(drawn.contains(&format!("\n{}\n", "F".repeat(32))), "{drawn}");
    assert!(drawn.contains("█\n") && drawn.contains("page 0"), "{drawn}");
    assert!(drawn.contains("F forward"), "{drawn}");
}

#[test]
fn a_guest_at_rest_is_drawn_whole_where_there_is_room_without_end() {
    let resting = Scene { migration: None, ..moving() };
    let drawn = text(&resting, 80, None);
    assert!(drawn.contains("\n 32   34   36   38\n"), "{drawn}");
}

#[test]
fn an_ended_migration_is_told_with_its_outcome_and_without_a_bar() {
    let mut ended = moving();
    let migration = ended.migration.as_mut().unwrap();
    (migration.phase, migration.outcome) = (MigrationPhase::Ended, Some(Outcome::Completed));
    let drawn = text(&ended, 80, Some(24));
    let title = "Guest \"web\" on server a: running; its migration by lazy-copy: completed";
    assert!(drawn.starts_with(title), "{drawn}");
    assert!(!drawn.contains('━'), "{drawn}");
}

#[test]
fn colours_add_nothing_to_the_words() {
    for line in draw(&moving(), Room { columns: 80, rows: None }) {
        assert_eq!(strip_str(&line.painted()).to_string().trim_end(), line.text());
    }
}
