//! Rates of transfer, and how people write them.

use crate::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// A rate of transfer: at least one byte per second.
///
/// Written as a number and a unit: bytes (`B/s`, `kB/s`, `MB/s`, `GB/s`, `KiB/s`, `MiB/s`,
/// `GiB/s`) or bits (`bit/s`, `kbit/s`, `Mbit/s`, `Gbit/s`). Anything that people read in two
/// ways, such as `1Gb`, `1GB` or `1Gbps`, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(NonZeroU64);

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRateError {
    text: String,
    problem: &'static str,
}

impl fmt::Display for ParseRateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no rate: {}; write for example \"1Gbit/s\", \"128MiB/s\" or \"8224B/s\"",
            self.text, self.problem
        )
    }
}

impl std::error::Error for ParseRateError {}

/// Unit, and how many bits per second it stands for.
const UNITS: [(&str, u64); 11] = [
    ("B/s", 8),
    ("kB/s", 8_000),
    ("MB/s", 8_000_000),
    ("GB/s", 8_000_000_000),
    ("KiB/s", 8 << 10),
    ("MiB/s", 8 << 20),
    ("GiB/s", 8 << 30),
    ("bit/s", 1),
    ("kbit/s", 1_000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
];

const NANOS_PER_SEC: u128 = 1_000_000_000;

impl Rate {
    /// A rate in bytes per second; `None` for zero.
    pub const fn from_bytes_per_sec(bytes: u64) -> Option<Rate> {
        match NonZeroU64::new(bytes) {
            Some(bytes) => Some(Rate(bytes)),
            None => None,
        }
    }

    /// The rate in bytes per second.
    #[inline]
    pub const fn bytes_per_sec(self) -> u64 {
        self.0.get()
    }

    /// How long `bytes` bytes occupy a link of this rate: ceil(bytes * 1e9 / rate) nanoseconds.
    #[inline]
    pub fn time_for(self, bytes: u64) -> Duration {
        let nanos = match bytes.checked_mul(1_000_000_000) {
            Some(product) => product.div_ceil(self.0.get()),
            None => (u128::from(bytes) * NANOS_PER_SEC)
                .div_ceil(u128::from(self.0.get()))
                .try_into()
                .unwrap_or(u64::MAX),
        };
        Duration::from_nanos(nanos)
    }
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Rate, ParseRateError> {
        let error = |problem| ParseRateError { text: text.to_owned(), problem };
        let trimmed = text.trim();
        let end = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
            .ok_or_else(|| error("it has no unit"))?;
        let (number, unit) = (trimmed[..end].replace('_', ""), trimmed[end..].trim_start());
        let bits_per_unit = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, bits)| *bits)
            .ok_or_else(|| error("its unit is unknown or can be read in two ways"))?;
        let bytes = scaled_bytes(&number, bits_per_unit).map_err(error)?;
        Rate::from_bytes_per_sec(bytes).ok_or_else(|| error("it must be above zero"))
    }
}

/// `number` (decimal, with an optional fraction) units of `bits_per_unit` bits, in whole bytes.
fn scaled_bytes(number: &str, bits_per_unit: u64) -> Result<u64, &'static str> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return Err("its number is malformed");
    }
    let whole: u128 = whole.parse().map_err(|_| "its number is malformed")?;
    let scale = 10u128.pow(fraction.len() as u32);
    let fraction: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().map_err(|_| "its number is malformed")?
    };
    let bits = whole
        .checked_mul(scale)
        .and_then(|n| n.checked_add(fraction))
        .and_then(|n| n.checked_mul(u128::from(bits_per_unit)))
        .ok_or("it is too large")?;
    if bits % (8 * scale) != 0 {
        return Err("it is no whole number of bytes per second");
    }
    u64::try_from(bits / (8 * scale)).map_err(|_| "it is too large")
}

/// Prints in bytes with the largest decimal unit that divides the rate: `8224B/s`, `125MB/s`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.0.get();
        let (divisor, unit) = [(1_000_000_000, "GB/s"), (1_000_000, "MB/s"), (1_000, "kB/s")]
            .into_iter()
            .find(|(divisor, _)| rate.is_multiple_of(*divisor))
            .unwrap_or((1, "B/s"));
        f.pad(&format!("{}{unit}", rate / divisor))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> u64 {
        text.parse::<Rate>().expect(text).bytes_per_sec()
    }

    #[test]
    fn bits_and_bytes_are_told_apart() {
        assert_eq!(bytes("1Gbit/s"), 125_000_000);
        assert_eq!(bytes("8224B/s"), 8_224);
        assert_eq!(bytes("1.5 MiB/s"), 1_572_864);
        assert_eq!(bytes("10kB/s"), 10_000);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in ["1Gb", "1GB", "1Gbps", "100", "", "0B/s", "1bit/s", "-1B/s", "1..2B/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text} was taken for a rate");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for rate in [1, 8_224, 1_000, 125_000_000, 1_000_000_000_000] {
            let rate = Rate::from_bytes_per_sec(rate).unwrap();
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }

    #[test]
    fn a_message_occupies_the_link_for_its_time_rounded_up() {
        let rate: Rate = "8224B/s".parse().unwrap();
        assert_eq!(rate.time_for(4_112), Duration::from_millis(500));
        assert_eq!(rate.time_for(1), Duration::from_nanos(121_596));
        let fast = Rate::from_bytes_per_sec(3).unwrap();
        assert_eq!(
            fast.time_for(1 << 34).as_nanos(),
            ((1u128 << 34) * NANOS_PER_SEC).div_ceil(3) as u64
        );
    }
}
