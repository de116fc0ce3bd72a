//! What the hosts of a fleet have as network cards, and how many flows cross each.

use crate::fleet::FleetScenario;
use crate::table::KeyProblem;
use lazycopy_link::{MAX_CARD_RATE, max_flows};
use lazycopy_units::Rate;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;

/// What network cards carry, in each direction: one rate for all hosts (`"1GB/s"`), or one for
/// each (`["1GB/s", "100MB/s"]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FleetCards {
    /// All carry as much.
    Alike(Rate),
    /// By the hosts' numbers.
    Each(Vec<Rate>),
}

impl FleetCards {
    fn of(&self, host: u32) -> Option<Rate> {
        match self {
            FleetCards::Alike(rate) => Some(*rate),
            FleetCards::Each(rates) => rates.get(host as usize).copied(),
        }
    }

    /// Checks every rule of the key by itself.
    pub(crate) fn check(&self, hosts: u32) -> Result<(), KeyProblem> {
        let rates = match self {
            FleetCards::Alike(rate) => std::slice::from_ref(rate),
            FleetCards::Each(rates) if rates.len() == hosts as usize => rates,
            FleetCards::Each(rates) => {
                let problem = format!(
                    "{} rates are not one for each of the {hosts} hosts that fleet.hosts gives",
                    rates.len()
                );
                return Err(("fleet.card", problem));
            }
        };
        match rates.iter().find(|rate| rate.bytes_per_sec() > MAX_CARD_RATE) {
            Some(rate) => Err(("fleet.card", format!("{rate} is above {MAX_CARD_RATE}B/s"))),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for FleetCards {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(CardsVisitor)
    }
}

struct CardsVisitor;

impl<'de> de::Visitor<'de> for CardsVisitor {
    type Value = FleetCards;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate with its unit, such as \"1GB/s\", or a list with one for each host")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<FleetCards, E> {
        text.parse().map(FleetCards::Alike).map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, rates: A) -> Result<FleetCards, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(rates)).map(FleetCards::Each)
    }
}

/// One direction of a host's card, and what may cross it at once.
pub(crate) struct Crossed {
    host: u32,
    pub(crate) card: Rate,
    pub(crate) flows: u64,
}

impl FleetScenario {
    /// What a host's network card carries, in each direction; `None`: as much as the link.
    pub fn card_of(&self, host: u32) -> Option<Rate> {
        self.card.as_ref()?.of(host)
    }

    /// Each direction of each card that migrations or neighbours may cross, all hosts being there.
    pub(crate) fn crossed(&self, link: Rate) -> Vec<Crossed> {
        let [mut out, mut into] = [(); 2].map(|()| vec![0u64; self.hosts as usize]);
        for entry in &self.moves {
            out[entry.source as usize] += u64::from(entry.guests);
            into[entry.destination as usize] += u64::from(entry.guests);
        }
        for entry in &self.neighbours {
            if let Some(host) = entry.source {
                out[host as usize] += 1;
            }
            if let Some(host) = entry.destination {
                into[host as usize] += 1;
            }
        }
        let crossed = |flows: Vec<u64>| {
            (0..).zip(flows).filter(|(_, flows)| *flows > 0).map(|(host, flows)| {
                let card = self.card_of(host).unwrap_or(link);
                Crossed { host, card, flows }
            })
        };
        crossed(out).chain(crossed(into)).collect()
    }

    /// Refuses more flows over a card than there are shares of it.
    pub(crate) fn check_shares(&self, link: Rate) -> Result<(), KeyProblem> {
        let too_many =
            self.crossed(link).into_iter().find(|crossed| crossed.flows > max_flows(crossed.card));
        let Some(Crossed { host, card, flows }) = too_many else { return Ok(()) };
        // Without cards the link's bandwidth is theirs.
        let key = if self.card.is_some() { "fleet.card" } else { "fleet.moves" };
        let most = max_flows(card);
        let problem = format!(
            "{flows} guests and neighbours share host {host}'s card of {card}, which has room for \
             {most} at most; use a faster card, or fewer of them"
        );
        Err((key, problem))
    }
}
