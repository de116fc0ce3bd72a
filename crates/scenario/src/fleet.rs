//! The table `[fleet]`: several guests at once, their hosts, and the traffic of others.

use crate::cards::FleetCards;
use crate::duration_text;
use crate::scenario::Scenario;
use crate::table::KeyProblem;
use crate::validate::MAX_RUN_TIME;
use chacha20::ChaCha8Rng;
use lazycopy_units::{Duration, Rate};
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// The most hosts: a large cluster; each has two meters.
pub const MAX_FLEET_HOSTS: u32 = 4_096;

/// The most guests that are moved at once: all those of a large cluster.
pub const MAX_FLEET_GUESTS: u32 = 100_000;

/// The most neighbours: to know what they would have felt alone, they are simulated once more,
/// with all of them looked at in each step.
pub const MAX_FLEET_NEIGHBOURS: usize = 1_000;

/// The most pages of all guests together: as of one guest, since their tables stand in memory at
/// the same time.
pub const MAX_FLEET_PAGES: u64 = crate::validate::MAX_GUEST_PAGES as u64;

/// The stream of random numbers from which the seeds of a fleet's further guests are drawn.
const GUESTS_STREAM: u64 = 5;

/// Words of the random stream that a seed takes.
const WORDS_PER_SEED: u128 = 2;

/// The table `[fleet]`: several guests at once, for virtual time alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetScenario {
    /// Hosts, which are numbered from 0.
    #[serde(default = "two")]
    pub hosts: u32,
    /// What each host's network card carries, in each direction; absent: as much as the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<FleetCards>,
    /// Which guests are moved; absent: one, from host 0 to host 1.
    #[serde(default = "one_move")]
    pub moves: Vec<FleetMove>,
    /// The traffic of other guests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<FleetNeighbour>,
}

/// An entry of `[[fleet.moves]]`: guests that are moved from one host to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetMove {
    /// How many.
    #[serde(default = "one")]
    pub guests: u32,
    /// From which host.
    #[serde(default)]
    pub source: u32,
    /// To which host.
    #[serde(default = "one")]
    pub destination: u32,
    /// When the first of them is asked for.
    #[serde(default, with = "duration_text")]
    pub starts: Duration,
    /// From one guest's request to the next one's.
    #[serde(default, with = "duration_text")]
    pub interval: Duration,
}

/// An entry of `[[fleet.neighbours]]`: traffic in bursts, or steady.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetNeighbour {
    /// Out of which host; absent: from beyond these hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<u32>,
    /// Into which host; absent: to beyond these hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<u32>,
    /// The most that it sends per second.
    pub rate: Rate,
    /// How long a burst takes at this rate.
    #[serde(default = "ten_seconds", with = "duration_text")]
    pub on: Duration,
    /// From the end of a burst to the next; zero: a steady load.
    #[serde(default, with = "duration_text")]
    pub off: Duration,
    /// When its first burst begins.
    #[serde(default, with = "duration_text")]
    pub begins: Duration,
}

/// One guest of a fleet: from where it is moved, to where, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestMove {
    /// Its number, from 0.
    pub guest: u32,
    /// From which host.
    pub source: u32,
    /// To which host.
    pub destination: u32,
    /// When the migration is asked for, from the beginning of time on.
    pub starts: Duration,
}

fn one() -> u32 {
    1
}

fn two() -> u32 {
    2
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn one_move() -> Vec<FleetMove> {
    let nothing = Duration::ZERO;
    vec![FleetMove { guests: 1, source: 0, destination: 1, starts: nothing, interval: nothing }]
}

impl FleetMove {
    /// When the last of its guests is asked for, in nanoseconds, and the key that makes a run too
    /// long where that does.
    fn last_start(&self) -> (&'static str, u128) {
        let before = u128::from(self.guests.saturating_sub(1));
        let intervals = u128::from(self.interval.as_nanos()) * before;
        let is_fault = intervals > u128::from(MAX_RUN_TIME.as_nanos());
        let key = if is_fault { "fleet.moves.interval" } else { "fleet.moves.starts" };
        (key, u128::from(self.starts.as_nanos()) + intervals)
    }
}

impl FleetNeighbour {
    /// Whether a burst is a byte at least.
    fn sends(&self) -> bool {
        let nanos = u128::from(self.on.as_nanos());
        u128::from(self.rate.bytes_per_sec()) * nanos >= 1_000_000_000
    }
}

impl FleetScenario {
    /// Guests of all entries.
    pub fn guests(&self) -> u32 {
        self.moves.iter().fold(0, |sum: u32, entry| sum.saturating_add(entry.guests))
    }

    /// Each guest's way, in the order of their numbers.
    pub fn guest_moves(&self) -> impl Iterator<Item = GuestMove> {
        let each = self.moves.iter().flat_map(|entry| {
            (0..entry.guests).map(move |place| {
                let later = entry.interval.as_nanos().saturating_mul(u64::from(place));
                let starts = entry.starts.as_nanos().saturating_add(later);
                (entry, Duration::from_nanos(starts))
            })
        });
        (0..).zip(each).map(|(guest, (entry, starts))| GuestMove {
            guest,
            source: entry.source,
            destination: entry.destination,
            starts,
        })
    }

    /// When the last migration is asked for, in nanoseconds, and the key that makes it so late.
    pub(crate) fn last_start(&self) -> (&'static str, u128) {
        let last = self.moves.iter().map(FleetMove::last_start).max_by_key(|(_, start)| *start);
        last.unwrap_or(("fleet.moves.starts", 0))
    }

    /// Checks every rule; each guest has `pages` pages, and a link of this bandwidth.
    pub(crate) fn check(&self, pages: u32, link: Rate) -> Result<(), KeyProblem> {
        if !(2..=MAX_FLEET_HOSTS).contains(&self.hosts) {
            return Err((
                "fleet.hosts",
                format!("{} is outside 2 to {MAX_FLEET_HOSTS}", self.hosts),
            ));
        }
        if let Some(cards) = &self.card {
            cards.check(self.hosts)?;
        }
        if self.card.is_none() && !self.neighbours.is_empty() {
            let problem = "it is missing: say what the neighbours share with the migrations";
            return Err(("fleet.card", problem.to_owned()));
        }
        self.check_moves(pages)?;
        self.check_neighbours()?;
        self.check_shares(link)
    }

    fn check_moves(&self, pages: u32) -> Result<(), KeyProblem> {
        if self.moves.is_empty() {
            let problem = "there is none; leave the key out to move one guest from host 0 to 1";
            return Err(("fleet.moves", problem.to_owned()));
        }
        for (place, entry) in (1..).zip(&self.moves) {
            let which = Place { what: "move", place };
            if entry.guests == 0 {
                return Err(("fleet.moves.guests", format!("{which}: it must be at least 1")));
            }
            which.check_host("fleet.moves.source", entry.source, self.hosts)?;
            which.check_host("fleet.moves.destination", entry.destination, self.hosts)?;
            which.check_ends("fleet.moves.destination", entry.source, entry.destination)?;
        }
        let guests = self.guests();
        if guests > MAX_FLEET_GUESTS {
            let problem = format!("{guests} in all are above {MAX_FLEET_GUESTS}");
            return Err(("fleet.moves.guests", problem));
        }
        let pages_in_all = u64::from(guests) * u64::from(pages);
        if guests > 1 && pages_in_all > MAX_FLEET_PAGES {
            let problem = format!(
                "{guests} guests of {pages} pages have {pages_in_all} in all, and \
                 {MAX_FLEET_PAGES} are allowed"
            );
            return Err(("fleet.moves.guests", problem));
        }
        Ok(())
    }

    fn check_neighbours(&self) -> Result<(), KeyProblem> {
        if self.neighbours.len() > MAX_FLEET_NEIGHBOURS {
            let problem = format!("{} are above {MAX_FLEET_NEIGHBOURS}", self.neighbours.len());
            return Err(("fleet.neighbours", problem));
        }
        for (place, entry) in (1..).zip(&self.neighbours) {
            let which = Place { what: "neighbour", place };
            match (entry.source, entry.destination) {
                (None, None) => {
                    let problem = format!("{which}: it needs a source, a destination, or both");
                    return Err(("fleet.neighbours.source", problem));
                }
                (Some(source), Some(destination)) => {
                    which.check_ends("fleet.neighbours.destination", source, destination)?;
                }
                _ => {}
            }
            if let Some(source) = entry.source {
                which.check_host("fleet.neighbours.source", source, self.hosts)?;
            }
            if let Some(destination) = entry.destination {
                which.check_host("fleet.neighbours.destination", destination, self.hosts)?;
            }
            if entry.on == Duration::ZERO {
                return Err(("fleet.neighbours.on", format!("{which}: it must be at least 1ns")));
            }
            if !entry.sends() {
                let problem = format!(
                    "{which}: in {} at {} not a byte is sent; make it longer, or the rate higher",
                    entry.on, entry.rate
                );
                return Err(("fleet.neighbours.on", problem));
            }
        }
        Ok(())
    }
}

/// An entry of a list, as errors call it: `move 2`.
struct Place {
    what: &'static str,
    place: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.what, self.place)
    }
}

impl Place {
    fn check_host(&self, key: &'static str, host: u32, hosts: u32) -> Result<(), KeyProblem> {
        if host < hosts {
            return Ok(());
        }
        let last = hosts - 1;
        Err((key, format!("{self}: there is no host {host}; fleet.hosts gives 0 to {last}")))
    }

    fn check_ends(
        &self,
        key: &'static str,
        source: u32,
        destination: u32,
    ) -> Result<(), KeyProblem> {
        if source != destination {
            return Ok(());
        }
        Err((key, format!("{self}: host {destination} is its source, too; name another")))
    }
}

impl Scenario {
    /// The seed of a fleet's guest in the run with that seed: the run's own for guest 0, so that
    /// a fleet of one is the plain run, and one drawn from it for each further guest.
    pub fn guest_seed(seed: u64, guest: u32) -> u64 {
        let Some(place) = guest.checked_sub(1) else { return seed };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(GUESTS_STREAM);
        rng.set_word_pos(WORDS_PER_SEED * u128::from(place));
        rng.next_u64()
    }

    /// Refuses a scenario with a fleet: for what moves one guest at a time.
    ///
    /// # Errors
    /// When there is a table `[fleet]`.
    pub fn ensure_single_guest(&self) -> Result<(), crate::ScenarioError> {
        match self.fleet {
            None => Ok(()),
            Some(_) => Err(crate::ScenarioError::Invalid {
                name: self.name.clone(),
                key: "fleet".to_owned(),
                problem: "several guests at once are moved in virtual time alone: \
                          manager simulate"
                    .to_owned(),
            }),
        }
    }
}
