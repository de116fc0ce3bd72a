//! How pages get from a source to a destination: over a modelled link, or as fast as sockets go.

use crate::LinkParameters;
use lazycopy_units::Duration;
use serde::{Deserialize, Serialize};

/// The most bulk connections of a migration: each has buffers at both ends, and a few keep any
/// card busy.
pub const MAX_CONNECTIONS: u8 = 16;

/// The longest name of a congestion control: Linux keeps 16 bytes, the last of them zero.
const MAX_CONGESTION_BYTES: usize = 15;

/// How pages get from source to destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LinkSpec {
    /// Over a modelled link: each message occupies it for its size / bandwidth and is delivered a
    /// latency later, in model time.
    Modelled(LinkParameters),
    /// No model: as fast as the sockets go. Instants are those of the clock.
    Unlimited(PlaneParameters),
}

impl LinkSpec {
    /// The modelled link; `None` where there is none.
    pub fn modelled(&self) -> Option<LinkParameters> {
        match self {
            LinkSpec::Modelled(link) => Some(*link),
            LinkSpec::Unlimited(_) => None,
        }
    }

    /// The page plane; `None` where the link is modelled.
    pub fn plane(&self) -> Option<&PlaneParameters> {
        match self {
            LinkSpec::Modelled(_) => None,
            LinkSpec::Unlimited(plane) => Some(plane),
        }
    }

    /// Whether no link is modelled.
    pub fn is_unlimited(&self) -> bool {
        self.plane().is_some()
    }

    /// The latency that is modelled: none where no link is.
    pub fn latency(&self) -> Duration {
        self.modelled().map_or(Duration::ZERO, |link| link.latency)
    }
}

impl From<LinkParameters> for LinkSpec {
    fn from(link: LinkParameters) -> LinkSpec {
        LinkSpec::Modelled(link)
    }
}

impl From<PlaneParameters> for LinkSpec {
    fn from(plane: PlaneParameters) -> LinkSpec {
        LinkSpec::Unlimited(plane)
    }
}

/// How real pages go over the sockets between two servers, where no link is modelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaneParameters {
    /// Bulk connections, 1 to [`MAX_CONNECTIONS`], besides the one for what is urgent.
    pub connections: u8,
    /// How the pages in bulk are compressed.
    pub compression: Compression,
    /// Whether each page carries a checksum that the destination checks.
    pub page_check: bool,
    /// The congestion control that each socket is set to, by the system's name of it, such as
    /// `cubic`; `None`: the system's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion: Option<String>,
}

/// How pages in bulk are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// They are not.
    #[default]
    None,
    /// By lz4, each page by itself; one that does not get smaller goes as it is.
    Lz4,
}

impl Default for PlaneParameters {
    /// One bulk connection, no compression, checked pages, the system's congestion control.
    fn default() -> PlaneParameters {
        PlaneParameters {
            connections: 1,
            compression: Compression::None,
            page_check: true,
            congestion: None,
        }
    }
}

impl PlaneParameters {
    /// Checks each value against its bounds.
    ///
    /// # Errors
    /// The first that is outside.
    pub fn validate(&self) -> Result<(), PlaneError> {
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            let problem = format!("{} is outside 1 to {MAX_CONNECTIONS}", self.connections);
            return Err(PlaneError { key: "link.connections", problem });
        }
        match &self.congestion {
            Some(name) if !is_congestion_control(name) => Err(PlaneError {
                key: "link.congestion",
                problem: format!(
                    "\"{}\" cannot be a congestion control; write its name, such as \"cubic\" (at \
                     most {MAX_CONGESTION_BYTES} letters, digits, _ and -), or leave the key out \
                     for the system's",
                    name.escape_debug()
                ),
            }),
            _ => Ok(()),
        }
    }
}

fn is_congestion_control(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=MAX_CONGESTION_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// A parameter of the page plane that is outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct PlaneError {
    /// Its key in a scenario.
    pub key: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_units::Rate;

    #[test]
    fn both_kinds_of_link_are_read_back_as_they_were_written() {
        let bandwidth = Rate::from_bytes_per_sec(8_224).unwrap();
        let modelled = LinkParameters { bandwidth, latency: Duration::from_millis(200) };
        let plane = PlaneParameters {
            connections: 4,
            compression: Compression::Lz4,
            page_check: false,
            congestion: Some("cubic".to_owned()),
        };
        for link in [modelled.into(), plane.into(), PlaneParameters::default().into()] {
            let text = serde_json::to_string(&link).unwrap();
            assert_eq!(serde_json::from_str::<LinkSpec>(&text).unwrap(), link, "{text}");
        }
    }

    #[test]
    fn a_link_of_another_kind_is_refused() {
        for text in [
            r#"{"kind":"fast"}"#,
            r#"{"kind":"unlimited","connections":1,"compression":"none","page_check":true,"mtu":9}"#,
            r#"{"kind":"modelled","bandwidth":1}"#,
        ] {
            assert!(serde_json::from_str::<LinkSpec>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_parameter_outside_its_bounds_is_named() {
        let of = |connections, congestion: Option<&str>| PlaneParameters {
            connections,
            congestion: congestion.map(str::to_owned),
            ..PlaneParameters::default()
        };
        for right in [of(1, None), of(MAX_CONNECTIONS, Some("cubic")), of(2, Some("dctcp-b_1"))] {
            assert_eq!(right.validate(), Ok(()));
        }
        for (wrong, key) in [
            (of(0, None), "link.connections"),
            (of(MAX_CONNECTIONS + 1, None), "link.connections"),
            (of(1, Some("")), "link.congestion"),
            (of(1, Some("a name that is too long")), "link.congestion"),
            (of(1, Some("cu\0bic")), "link.congestion"),
        ] {
            assert_eq!(wrong.validate().unwrap_err().key, key);
        }
    }
}
