//! Both hosts before and after a migration: what `before.txt` and `after.txt` say of them.

mod drawing;
#[cfg(test)]
mod tests;

pub(crate) use drawing::{Moment, hosts_figure};

use lazycopy_migration::{Cause, Event, EventKind, Fate, FaultEnd, Side};
use lazycopy_units::PageNumber;
use std::collections::BTreeMap;

/// What was there before.
const OWN: usize = 6;

/// Both hosts at one instant, as `before.txt` and `after.txt` have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    source: Host,
    destination: Host,
}

/// Why a text is no picture of two hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct HostsError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Host {
    /// Its name and the frames that are taken, in words; empty where it has not told them.
    server: String,
    guest: Option<Guest>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Guest {
    registers: String,
    miss_ratio: String,
    /// From the least to the most recently used, and whether each is dirty.
    memory: Vec<(PageNumber, bool)>,
    resident: u32,
    frames: u32,
    pages: u32,
}

impl Hosts {
    /// Reads them from the text of `before.txt` or `after.txt`.
    ///
    /// # Errors
    /// The first line that is none of such a text.
    pub fn parse(text: &str) -> Result<Hosts, HostsError> {
        let lines: Vec<&str> = text.lines().collect();
        let place = |heading: &str| lines.iter().position(|line| *line == heading);
        let wrong = |line, problem| HostsError { line, problem };
        let first = place("(a) Source host")
            .ok_or(wrong(lines.len() + 1, "it has no line \"(a) Source host\""))?;
        let second = place("(b) Destination host")
            .filter(|second| first < *second)
            .ok_or(wrong(lines.len() + 1, "it has no line \"(b) Destination host\""))?;
        Ok(Hosts {
            source: host(&lines[..second], first + 1)?,
            destination: host(&lines, second + 1)?,
        })
    }
}

impl Hosts {
    /// How many accesses the guest has completed; `None` where neither host has it.
    pub fn accesses(&self) -> Option<u64> {
        let guest = self.destination.guest.as_ref().or(self.source.guest.as_ref())?;
        guest.registers.strip_prefix("pc ")?.split(',').next()?.parse().ok()
    }
}

/// The host that is told from the line of that index on.
fn host(lines: &[&str], first: usize) -> Result<Host, HostsError> {
    let mut host = Host::default();
    let mut rest = lines.iter().enumerate().skip(first).peekable();
    let mut whole = false;
    while let Some((index, line)) = rest.next() {
        let wrong = |problem| HostsError { line: index + 1, problem };
        if line.starts_with("Server \"") {
            host.server = (*line).to_owned();
        } else if line.starts_with("  (not known")
            || line.ends_with("is not in this server's memory.")
        {
            whole = true;
        } else if let Some(registers) = line.strip_prefix("Registers: ") {
            host.guest = Some(Guest { registers: registers.to_owned(), ..Guest::default() });
        } else if let Some(guest) = &mut host.guest {
            if let Some(ratio) = line.strip_prefix("Miss ratio: ") {
                guest.miss_ratio = ratio.to_owned();
            } else if let Some(counts) = line.strip_prefix("Memory, least recently used first (") {
                (guest.resident, guest.frames) =
                    counted(counts).ok_or(wrong("it should say how many frames are taken"))?;
                while let Some((index, row)) =
                    rest.next_if(|(_, row)| row.starts_with("  ") && !row.ends_with("more"))
                {
                    if row.trim() != "(empty)" {
                        let wrong = HostsError { line: index + 1, problem: "it should list pages" };
                        memory(row, &mut guest.memory).ok_or(wrong)?;
                    }
                }
            } else if let Some(counts) =
                line.strip_prefix("Page table, page to position in memory (")
            {
                let pages = counts.split(' ').next().and_then(|pages| pages.parse().ok());
                guest.pages = pages.ok_or(wrong("it should say how many pages there are"))?;
                whole = true;
            }
        }
    }
    let problem = "the file ends before the host is told to its end: it is cut off";
    if !whole {
        return Err(HostsError { line: lines.len() + 1, problem });
    }
    if let Some(guest) = &host.guest
        && (guest.memory.len() as u32 > guest.resident || guest.resident > guest.frames)
    {
        let problem = "the memory above lists more pages than it has";
        return Err(HostsError { line: lines.len(), problem });
    }
    Ok(host)
}

/// `2 of 3 frames; * dirty):`
fn counted(text: &str) -> Option<(u32, u32)> {
    let (resident, rest) = text.split_once(" of ")?;
    Some((resident.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
}

fn memory(row: &str, pages: &mut Vec<(PageNumber, bool)>) -> Option<()> {
    for word in row.split_whitespace() {
        let (number, dirty) = word.strip_suffix('*').map_or((word, false), |clean| (clean, true));
        pages.push((PageNumber(number.parse().ok()?), dirty));
    }
    Some(())
}

/// What brought each page to the destination last, as a series.
pub(crate) fn origins(events: &[Event]) -> BTreeMap<PageNumber, usize> {
    let mut origins = BTreeMap::new();
    let mut arrived = BTreeMap::new();
    for event in events.iter().filter(|event| event.side == Side::Destination) {
        match event.kind {
            EventKind::PageArrived { page, cause, fate } => {
                let series = match cause {
                    Cause::Background => 0,
                    Cause::Forward => 1,
                    Cause::Demand => 3,
                    Cause::Round => 5,
                };
                arrived.insert(page, series);
                if matches!(fate, Fate::Installed | Fate::EndedFault) {
                    origins.insert(page, series);
                }
            }
            EventKind::FaultEnded { page, by: FaultEnd::Disk, .. } => {
                origins.insert(page, 4);
            }
            EventKind::FaultEnded { page, by: FaultEnd::Remote, .. } => {
                origins.insert(page, arrived.get(&page).copied().unwrap_or(3));
            }
            EventKind::Missed { page } | EventKind::Overwritten { page } => {
                origins.insert(page, OWN);
            }
            _ => {}
        }
    }
    origins
}
