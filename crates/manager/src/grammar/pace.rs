//! The words of freezing, slowing down and stepping.

use clap::Subcommand;
use lazycopy_protocol::pace::{LONGEST_STEP, MAX_SLOWER};
use lazycopy_units::Duration;
use std::str::FromStr;

/// What can be done with model time.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum TimeAction {
    /// Have time stand still on all servers, for guests and migrations alike
    ///
    /// A migration stands still at one instant on both its servers, which the reply names. A
    /// migration that begins meanwhile stands at its beginning. Migrations over an unlimited link
    /// go on: their instants are the clock's.
    #[command(after_help = "Example: time freeze")]
    Freeze,
    /// Have time go on
    #[command(after_help = "Example: time go")]
    Go,
    /// Have time go on by a span, and stand still again
    #[command(after_help = "Example: time step 500ms")]
    Step {
        /// Model time, with its unit: 100ms, 2s
        span: Span,
    },
    /// Have time go slower
    ///
    /// Times are wall times that every guest's time_scale maps to model time; results stay as they
    /// would be without it.
    #[command(after_help = "Example: time slow 10")]
    Slow {
        /// How many times slower than time_scale says, 1 to 1000; 1: as it says
        #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SLOWER)))]
        factor: u32,
    },
}

/// A span of model time, longer than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text)
            .map_err(|error| format!("{error}; write for example 100ms or 2s"))?;
        let span = Duration::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        match span {
            Duration::ZERO => Err("a step of no time changes nothing".to_owned()),
            span if span > LONGEST_STEP => Err("a step has ten years at most".to_owned()),
            span => Ok(Span(span)),
        }
    }
}
