//! A guest as the paper prints it before and after a migration: memory in LRU order, page table,
//! registers, miss ratio.

use super::percent;
use lazycopy_guest::GuestSnapshot;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Entries of memory and page table in one line.
const PER_LINE: usize = 10;

/// The most entries of the page table that are printed.
const MAX_TABLE_ENTRIES: u32 = 500;

/// A guest's state in text.
pub fn guest_figure(guest: &GuestSnapshot) -> String {
    let mut text = String::new();
    let registers = &guest.registers;
    let _ = writeln!(
        text,
        "Registers: pc {}, digest {:016x}, misses {}",
        registers.accesses, registers.digest, registers.misses
    );
    let _ = writeln!(
        text,
        "Miss ratio: {} since the start, {} recently",
        percent(guest.miss_ratio),
        percent(guest.recent_miss_ratio)
    );
    let _ = writeln!(
        text,
        "Memory, least recently used first ({} of {} frames; * dirty):",
        guest.resident_count, guest.frames
    );
    text.push_str(&memory(guest));
    let _ = writeln!(text, "Page table, page to position in memory ({} pages):", guest.pages);
    text.push_str(&page_table(guest));
    text
}

fn memory(guest: &GuestSnapshot) -> String {
    let width = digits(guest.pages) + 1;
    let mut text = String::new();
    for line in guest.resident.chunks(PER_LINE) {
        let entry = |page: &lazycopy_guest::ResidentPage| {
            format!("{:>width$}", format!("{}{}", page.page, if page.dirty { "*" } else { " " }))
        };
        let entries: Vec<String> = line.iter().map(entry).collect();
        let _ = writeln!(text, "  {}", entries.join(" ").trim_end());
    }
    let hidden = u64::from(guest.resident_count) - guest.resident.len() as u64;
    if hidden > 0 {
        let _ = writeln!(text, "  and {hidden} more");
    }
    if guest.resident_count == 0 {
        text.push_str("  (empty)\n");
    }
    text
}

fn page_table(guest: &GuestSnapshot) -> String {
    let positions: BTreeMap<u32, usize> =
        guest.resident.iter().enumerate().map(|(place, page)| (page.page.0, place)).collect();
    let (page_width, place_width) = (digits(guest.pages), digits(guest.frames));
    let mut text = String::new();
    let shown = guest.pages.min(MAX_TABLE_ENTRIES);
    for first in (0..shown).step_by(PER_LINE) {
        let end = shown.min(first + PER_LINE as u32);
        let entries: Vec<String> = (first..end)
            .map(|page| match positions.get(&page) {
                Some(place) => format!("{place:>place_width$}"),
                None => format!("{:>place_width$}", "-"),
            })
            .collect();
        let _ = writeln!(text, "  {first:>page_width$}: {}", entries.join(" "));
    }
    if guest.pages > shown {
        let _ = writeln!(text, "  and {} more", guest.pages - shown);
    }
    text
}

fn digits(number: u32) -> usize {
    number.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_guest::{Registers, ResidentPage};
    use lazycopy_units::PageNumber;

    fn snapshot() -> GuestSnapshot {
        let resident = |page, dirty| ResidentPage { page: PageNumber(page), stamp: 1, dirty };
        GuestSnapshot {
            registers: Registers { accesses: 4, digest: 0xabc, misses: 3 },
            pages: 12,
            frames: 3,
            resident_count: 2,
            resident: vec![resident(11, false), resident(0, true)],
            miss_ratio: Some(0.75),
            recent_miss_ratio: None,
        }
    }

    #[test]
    fn a_guest_is_printed_with_all_that_the_paper_prints() {
        let expected = "\
Registers: pc 4, digest 0000000000000abc, misses 3
Miss ratio: 75.0 % since the start, - recently
Memory, least recently used first (2 of 3 frames; * dirty):
  11   0*
Page table, page to position in memory (12 pages):
   0: 1 - - - - - - - - -
  10: - 0
";
        assert_eq!(guest_figure(&snapshot()), expected);
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let mut large = snapshot();
        (large.pages, large.frames, large.resident_count) = (2_000, 1_000, 900);
        let text = guest_figure(&large);
        assert!(text.contains("and 898 more") && text.contains("and 1500 more"), "{text}");
    }
}
