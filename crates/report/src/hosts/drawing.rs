//! Both hosts before and after a migration, drawn as in the paper's figures 1 and 2: the guest's
//! memory frame by frame, its page table, and the page numbers that it touches next.

use super::{Guest, Host, Hosts, OWN};
use crate::figure::Figure;
use crate::legend::{self, Sign};
use crate::svg::{Anchor, Drawing};
use lazycopy_units::PageNumber;
use std::collections::BTreeMap;

const WIDTH: f64 = 960.0;

/// One host's part of the paper, and where the second begins.
const PANEL: f64 = 456.0;
const SECOND: f64 = 492.0;
const LEFT: f64 = 12.0;

/// Frames in a row, and a frame's size.
const FRAMES_PER_ROW: usize = 10;
const FRAME: (f64, f64) = (42.0, 26.0);

/// Frames that are drawn: more are no picture of single pages any more, and are counted.
const MOST_FRAMES: usize = 60;

/// Entries of the page table that are drawn, and how many stand in a row.
const MOST_ENTRIES: u32 = 100;
const ENTRIES_PER_ROW: u32 = 20;
const ENTRY: (f64, f64) = (20.0, 17.0);

/// What brings pages: the series, which are those of the timeline, and the letters of the replay.
const ORIGINS: [(usize, &str, &str); 6] = [
    (OWN, "", "there before, or by ordinary paging"),
    (5, "R", "copied before the hand-over"),
    (0, "B", "in the background"),
    (1, "F", "for the forward context"),
    (3, "D", "on demand"),
    (4, "K", "from the disk"),
];

fn letter(series: usize) -> &'static str {
    ORIGINS.iter().find(|origin| origin.0 == series).map_or("", |origin| origin.1)
}

/// Which instant a picture is of.
pub(crate) struct Moment<'a> {
    /// `before` or `after`.
    pub when: &'static str,
    pub hosts: &'a Hosts,
    /// Page numbers that the guest touches next; empty where they are not known.
    pub next: &'a [u32],
    /// What brought the pages at the destination.
    pub origins: &'a BTreeMap<PageNumber, usize>,
}

/// Draws both hosts side by side.
pub(crate) fn hosts_figure(moment: &Moment<'_>) -> Figure {
    let Moment { when, hosts, next, .. } = moment;
    let title = match *when {
        "before" => "Both hosts before the migration",
        _ => "Both hosts after the migration",
    };
    let panels = [(&hosts.source, LEFT), (&hosts.destination, SECOND)];
    let height = panels.map(|(host, _)| panel_height(host, next)).into_iter().fold(0.0, f64::max);
    let top = 62.0;
    let mut drawing = Drawing::new(WIDTH, top + height + 14.0);
    drawing.text("title", (LEFT, 22.0), Anchor::Start, title);
    let used: Vec<usize> = hosts
        .destination
        .guest
        .iter()
        .flat_map(|guest| &guest.memory)
        .map(|(page, _)| moment.origins.get(page).copied().unwrap_or(OWN))
        .collect();
    let entries: Vec<(Sign, String)> = ORIGINS
        .into_iter()
        .filter(|(series, ..)| *series == OWN || used.contains(series))
        .map(|(series, letter, text)| {
            (Sign::Fill(series, 1.0), format!("{letter} {text}").trim_start().to_owned())
        })
        .collect();
    legend::draw(&mut drawing, &entries, (LEFT, 32.0), WIDTH - LEFT);
    for ((host, left), (role, at_destination)) in
        panels.into_iter().zip([("(a) Source host", false), ("(b) Destination host", true)])
    {
        let mut panel = Panel { drawing: &mut drawing, left, y: top, moment, at_destination };
        panel.host(role, host, height);
    }
    Figure::wide(&format!("hosts-{when}"), title, caption(when, hosts), drawing)
}

fn caption(when: &str, hosts: &Hosts) -> String {
    let side = |host: &Host| match &host.guest {
        Some(guest) => format!("{} of {} frames taken", guest.resident, guest.frames),
        None if host.server.is_empty() => "not known".to_owned(),
        None => "the guest is not there".to_owned(),
    };
    format!(
        "As in the paper's figures 1 and 2, {when} the migration: the guest's memory frame by frame, \
         least recently used first (a corner: dirty), its page table, and the page numbers that it \
         touches next. Source: {}. Destination: {}.",
        side(&hosts.source),
        side(&hosts.destination)
    )
}

/// Rows that so many things take.
fn rows(count: usize, per_row: usize) -> f64 {
    count.div_ceil(per_row) as f64
}

fn shown_frames(guest: &Guest) -> usize {
    (guest.frames as usize).min(MOST_FRAMES)
}

const HEADING: f64 = 22.0;

fn panel_height(host: &Host, next: &[u32]) -> f64 {
    let Some(guest) = &host.guest else { return 96.0 };
    let more = if guest.frames as usize > MOST_FRAMES { HEADING } else { 0.0 };
    let entries = guest.pages.min(MOST_ENTRIES) as usize;
    let hidden = if guest.pages > MOST_ENTRIES { HEADING } else { 0.0 };
    let queue =
        if next.is_empty() { 0.0 } else { 32.0 + rows(next.len(), FRAMES_PER_ROW) * FRAME.1 };
    92.0 + HEADING
        + rows(shown_frames(guest), FRAMES_PER_ROW) * FRAME.1
        + more
        + 14.0
        + HEADING
        + rows(entries, ENTRIES_PER_ROW as usize) * ENTRY.1
        + hidden
        + queue
        + 10.0
}

struct Panel<'a, 'b> {
    drawing: &'a mut Drawing,
    left: f64,
    y: f64,
    moment: &'a Moment<'b>,
    at_destination: bool,
}

impl Panel<'_, '_> {
    fn line(&mut self, class: &str, text: &str, height: f64) {
        self.drawing.text(class, (self.left + 12.0, self.y + height * 0.72), Anchor::Start, text);
        self.y += height;
    }

    fn host(&mut self, role: &str, host: &Host, height: f64) {
        self.drawing.rect("panel", (self.left, self.y), (PANEL, height), "");
        self.y += 6.0;
        self.line("title", role, 26.0);
        let server =
            if host.server.is_empty() { "Not known: the server is gone" } else { &host.server };
        self.line("tick", server, 20.0);
        let Some(guest) = &host.guest else {
            if !host.server.is_empty() {
                self.line("", "The guest is not in this server's memory.", 24.0);
            }
            return;
        };
        let registers = guest.registers.split(", digest").next().unwrap_or_default();
        let ratio = &guest.miss_ratio;
        self.line("tick", &format!("Guest: {registers}; misses {ratio}"), 20.0);
        self.y += 14.0;
        self.memory(guest);
        self.y += 14.0;
        self.table(guest);
        if !self.moment.next.is_empty() {
            self.y += 10.0;
            self.line("", "Next page numbers", HEADING);
            self.queue();
        }
    }

    fn series(&self, page: PageNumber) -> usize {
        match self.at_destination {
            true => self.moment.origins.get(&page).copied().unwrap_or(OWN),
            false => OWN,
        }
    }

    fn memory(&mut self, guest: &Guest) {
        let heading = format!("Memory: {} of {} frames", guest.resident, guest.frames);
        self.line("", &heading, HEADING);
        let shown = shown_frames(guest);
        for frame in 0..shown {
            let (column, row) = (frame % FRAMES_PER_ROW, frame / FRAMES_PER_ROW);
            let at = (self.left + 12.0 + column as f64 * FRAME.0, self.y + row as f64 * FRAME.1);
            let size = (FRAME.0 - 3.0, FRAME.1 - 3.0);
            match guest.memory.get(frame) {
                Some((page, dirty)) => self.frame(at, size, *page, *dirty),
                None => self.drawing.rect("nobody", at, size, "free"),
            }
        }
        self.y += rows(shown, FRAMES_PER_ROW) * FRAME.1;
        if guest.frames as usize > shown {
            let more = format!("and {} frames more", guest.frames as usize - shown);
            self.line("tick", &more, HEADING);
        }
    }

    fn frame(&mut self, (x, y): (f64, f64), size: (f64, f64), page: PageNumber, dirty: bool) {
        let class = format!("fill faint s{}", self.series(page));
        let note = if dirty { format!("Page{page}, dirty") } else { format!("Page{page}") };
        self.drawing.rect(&class, (x, y), size, &note);
        let class = format!("fill s{}", self.series(page));
        self.drawing.rect(&class, (x, y + size.1 - 3.0), (size.0, 3.0), "");
        if dirty {
            self.drawing.polygon("corner", &[(x, y), (x + 8.0, y), (x, y + 8.0)], "dirty");
        }
        let middle = (x + size.0 / 2.0 - 2.0, y + 15.0);
        self.drawing.text("", middle, Anchor::Middle, &page.to_string());
        let corner = (x + size.0 - 2.0, y + 9.0);
        self.drawing.text("tick small", corner, Anchor::End, letter(self.series(page)));
    }

    fn table(&mut self, guest: &Guest) {
        let heading = format!("Page table: position in memory of {} pages, by number", guest.pages);
        self.line("", &heading, HEADING);
        let places: BTreeMap<PageNumber, usize> =
            guest.memory.iter().enumerate().map(|(place, (page, _))| (*page, place)).collect();
        let shown = guest.pages.min(MOST_ENTRIES);
        for page in 0..shown {
            let x = self.left + 34.0 + f64::from(page % ENTRIES_PER_ROW) * ENTRY.0;
            let y = self.y + f64::from(page / ENTRIES_PER_ROW) * ENTRY.1;
            if page % ENTRIES_PER_ROW == 0 {
                let at = (self.left + 30.0, y + 12.0);
                self.drawing.text("tick small", at, Anchor::End, &page.to_string());
            }
            let size = (ENTRY.0 - 1.0, ENTRY.1 - 1.0);
            let note = format!("Page{page}");
            match places.get(&PageNumber(page)) {
                Some(place) => {
                    let class = format!("fill faint s{}", self.series(PageNumber(page)));
                    self.drawing.rect(&class, (x, y), size, &note);
                    let middle = (x + size.0 / 2.0, y + 12.0);
                    self.drawing.text("tick small", middle, Anchor::Middle, &place.to_string());
                }
                None => self.drawing.rect("nobody", (x, y), size, &note),
            }
        }
        self.y += rows(shown as usize, ENTRIES_PER_ROW as usize) * ENTRY.1;
        if guest.pages > shown {
            self.line("tick", &format!("and {} pages more", guest.pages - shown), HEADING);
        }
    }

    fn queue(&mut self) {
        for (index, page) in self.moment.next.iter().enumerate() {
            let (column, row) = (index % FRAMES_PER_ROW, index / FRAMES_PER_ROW);
            let x = self.left + 12.0 + column as f64 * FRAME.0;
            let y = self.y + row as f64 * FRAME.1;
            let size = (FRAME.0 - 3.0, FRAME.1 - 3.0);
            self.drawing.rect("nobody", (x, y), size, "");
            let middle = (x + size.0 / 2.0, y + 16.0);
            self.drawing.text("tick", middle, Anchor::Middle, &page.to_string());
        }
    }
}
