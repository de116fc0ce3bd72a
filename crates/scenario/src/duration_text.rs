//! Durations as people write them: `970ms`, `11s`, `1us`. For serde's `with`.

use lazycopy_units::Duration;
use serde::{Deserializer, Serializer, de};
use std::fmt;

pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = |problem: &dyn fmt::Display| {
        format!("\"{text}\" is no duration: {problem}; write for example \"970ms\" or \"11s\"")
    };
    let span = humantime::parse_duration(text).map_err(|error| wrong(&error))?;
    match u64::try_from(span.as_nanos()) {
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
        Err(_) => Err(wrong(&"it is longer than model time, which ends after 584 years")),
    }
}

pub(crate) fn print(span: Duration) -> String {
    humantime::format_duration(std::time::Duration::from_nanos(span.as_nanos())).to_string()
}

pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print(*span))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    input.deserialize_str(DurationVisitor)
}

struct DurationVisitor;

impl de::Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"970ms\" or \"11s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

/// The same where the key may be absent.
pub(crate) mod optional {
    use lazycopy_units::Duration;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::serialize(span, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(input).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_written_with_units() {
        for (text, nanos) in [
            ("970ms", 970_000_000),
            ("11s", 11_000_000_000),
            ("1us", 1_000),
            ("0s", 0),
            ("1s 5ns", 1_000_000_005),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "5", "5 parsecs", "-1s", "600years", "1e9s"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("\"{text}\" is no duration")), "{error}");
            assert!(error.contains("\"970ms\""), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(nanos: u64) {
            let span = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&print(span)), Ok(span));
        }
    }
}
