//! The table `[link]`: a modelled link in human units, or none.

use crate::duration_text;
use crate::error::ScenarioError;
use crate::scenario::Scenario;
use crate::table::KeyProblem;
use lazycopy_link::{
    Compression, LinkParameters, LinkSpec, MAX_CARD_RATE, MAX_CONNECTIONS, PlaneParameters,
};
use lazycopy_units::{Duration, Rate};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// The bandwidth where no link is modelled.
pub(crate) const UNLIMITED: &str = "unlimited";

/// The keys as they are written; which of them belong together, the bandwidth decides.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkTable {
    bandwidth: Bandwidth,
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    latency: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<Compression>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_check: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    congestion: Option<String>,
}

impl LinkTable {
    pub(crate) fn into_link(self) -> Result<LinkSpec, KeyProblem> {
        match self.bandwidth {
            Bandwidth::Modelled(bandwidth) => self.into_modelled(bandwidth).map(LinkSpec::from),
            Bandwidth::Unlimited => self.into_plane().map(LinkSpec::from),
        }
    }

    fn into_modelled(self, bandwidth: Rate) -> Result<LinkParameters, KeyProblem> {
        let of_the_plane = [
            ("link.connections", self.connections.is_some()),
            ("link.compression", self.compression.is_some()),
            ("link.page_check", self.page_check.is_some()),
            ("link.congestion", self.congestion.is_some()),
        ];
        if let Some((key, _)) = of_the_plane.into_iter().find(|(_, is_given)| *is_given) {
            let problem = "a modelled link has no such thing; leave it out, or set link.bandwidth \
                           to \"unlimited\"";
            return Err((key, problem.to_owned()));
        }
        let Some(latency) = self.latency else {
            let problem = "it is missing; write for example \"5ms\" (bandwidth = \"unlimited\" \
                           alone does without)";
            return Err(("link.latency", problem.to_owned()));
        };
        Ok(LinkParameters { bandwidth, latency })
    }

    fn into_plane(self) -> Result<PlaneParameters, KeyProblem> {
        if self.latency.is_some() {
            let problem = "bandwidth = \"unlimited\" models no link, and sockets have a latency \
                           of their own; leave it out";
            return Err(("link.latency", problem.to_owned()));
        }
        let default = PlaneParameters::default();
        let connections = match self.connections.map(|count| (count, u8::try_from(count))) {
            None => default.connections,
            Some((_, Ok(connections))) => connections,
            Some((count, Err(_))) => {
                let problem = format!("{count} is outside 1 to {MAX_CONNECTIONS}");
                return Err(("link.connections", problem));
            }
        };
        Ok(PlaneParameters {
            connections,
            compression: self.compression.unwrap_or(default.compression),
            page_check: self.page_check.unwrap_or(default.page_check),
            congestion: self.congestion,
        })
    }
}

/// Serializes a link as it is written, every default written out.
pub(crate) fn serialize<S: Serializer>(link: &LinkSpec, serializer: S) -> Result<S::Ok, S::Error> {
    let modelled = link.modelled();
    let plane = link.plane();
    let table = LinkTable {
        bandwidth: modelled.map_or(Bandwidth::Unlimited, |it| Bandwidth::Modelled(it.bandwidth)),
        latency: modelled.map(|it| it.latency),
        connections: plane.map(|plane| plane.connections.into()),
        compression: plane.map(|plane| plane.compression),
        page_check: plane.map(|plane| plane.page_check),
        congestion: plane.and_then(|plane| plane.congestion.clone()),
    };
    table.serialize(serializer)
}

/// A rate, or that there is none.
enum Bandwidth {
    Modelled(Rate),
    Unlimited,
}

impl Serialize for Bandwidth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Bandwidth::Modelled(rate) => rate.serialize(serializer),
            Bandwidth::Unlimited => serializer.serialize_str(UNLIMITED),
        }
    }
}

impl<'de> Deserialize<'de> for Bandwidth {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_str(BandwidthVisitor)
    }
}

struct BandwidthVisitor;

impl de::Visitor<'_> for BandwidthVisitor {
    type Value = Bandwidth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate with its unit, such as \"1Gbit/s\", or \"unlimited\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bandwidth, E> {
        if text == UNLIMITED {
            return Ok(Bandwidth::Unlimited);
        }
        let rate = text.parse::<Rate>();
        rate.map(Bandwidth::Modelled)
            .map_err(|error| E::custom(format_args!("{error}, or \"{UNLIMITED}\" for no model")))
    }
}

impl Scenario {
    /// The modelled link: for what simulates one.
    ///
    /// # Errors
    /// When the scenario models none (`bandwidth = "unlimited"`).
    pub fn modelled_link(&self) -> Result<LinkParameters, ScenarioError> {
        self.link.modelled().ok_or_else(|| ScenarioError::Invalid {
            name: self.name.clone(),
            key: "link.bandwidth".to_owned(),
            problem: "\"unlimited\" models no link, and virtual time needs one: write a rate with \
                      its unit, such as \"1Gbit/s\", and a link.latency; between servers it runs \
                      as it is (manager: vm create, migrate)"
                .to_owned(),
        })
    }

    /// Checks what can be said of the link by itself.
    pub(crate) fn check_link(&self) -> Result<(), KeyProblem> {
        match &self.link {
            LinkSpec::Modelled(LinkParameters { bandwidth, .. }) => {
                if bandwidth.bytes_per_sec() > MAX_CARD_RATE {
                    let problem = format!("{bandwidth} is above {MAX_CARD_RATE}B/s");
                    return Err(("link.bandwidth", problem));
                }
                Ok(())
            }
            LinkSpec::Unlimited(plane) => {
                plane.validate().map_err(|error| (error.key, error.problem))?;
                if self.time_scale != 1 {
                    let problem = format!(
                        "{} cannot be kept where link.bandwidth is \"unlimited\": instants are \
                         the clock's; write 1, or leave it out",
                        self.time_scale
                    );
                    return Err(("time_scale", problem));
                }
                if self.fleet.is_some() {
                    let problem = "its guests share modelled cards, and link.bandwidth = \
                                   \"unlimited\" models nothing; leave it out, or write a rate";
                    return Err(("fleet", problem.to_owned()));
                }
                Ok(())
            }
        }
    }
}
