//! The replay in a report: the live page's own playback, with the run's events packed beside it.

use lazycopy_migration::Event;
use lazycopy_results::RunRecord;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The most events that a page holds, some megabytes: a browser keeps all of them at once.
pub(crate) const MOST_EVENTS: usize = 200_000;

/// The program of the replay, which the caller has: scripts and style sheets in one piece each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Player {
    /// One classic script. It finds its run in `#replay-data` and shows it in `#replay`.
    pub script: String,
    /// The colours, for the whole page.
    pub colours: String,
    /// The style sheet of what is in the replay.
    pub style: String,
}

/// A run as the player takes it.
pub(crate) fn data(
    record: &RunRecord,
    events: &[Event],
    before: Option<&str>,
    accesses: Option<&Value>,
) -> Value {
    json!({ "result": record, "events": packed(events), "before": before, "accesses": accesses })
}

/// Events in little space: those that differ in numbers alone share a shape. `numbers` has, for
/// one event after another, the number of its shape and then the numbers that the shape names;
/// instants are told as the time since the event before.
fn packed(events: &[Event]) -> Value {
    let mut shapes = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut numbers: Vec<Value> = Vec::new();
    let mut last = 0;
    for event in events {
        let Ok(Value::Object(fields)) = serde_json::to_value(event) else { continue };
        let (varying, fixed): (Map<_, _>, Map<_, _>) =
            fields.into_iter().partition(|(_, value)| value.is_number());
        let names: Vec<&String> = varying.keys().collect();
        let shape = json!([fixed, names]);
        let number = *known.entry(shape.to_string()).or_insert_with(|| {
            shapes.push(shape);
            shapes.len() - 1
        });
        numbers.push(number.into());
        for (name, value) in varying {
            let at = event.at.as_nanos();
            numbers.push(if name == "at_ns" { (at - last).into() } else { value });
        }
        last = event.at.as_nanos();
    }
    json!({ "shapes": shapes, "numbers": numbers })
}

/// A JSON value that may stand in a page: no letter of it begins an element or a reference.
pub(crate) fn in_page(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('&', "\\u0026").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_migration::{Cause, EventKind, Side};
    use lazycopy_units::{Instant, PageNumber};

    #[test]
    fn events_that_differ_in_numbers_alone_share_a_shape() {
        let sent = |at, page| Event {
            at: Instant::from_nanos(at),
            side: Side::Source,
            kind: EventKind::PageSent { page: PageNumber(page), cause: Cause::Demand },
        };
        let packed = packed(&[sent(10, 7), sent(25, 3)]);
        let shape = json!([
            { "cause": "demand", "event": "page_sent", "side": "source" },
            ["at_ns", "page"]
        ]);
        assert_eq!(packed, json!({ "shapes": [shape], "numbers": [0, 10, 7, 0, 15, 3] }));
    }

    #[test]
    fn no_text_of_a_run_leaves_its_place_in_the_page() {
        let text = in_page(&json!({ "reason": "</script><b>&amp;]]>" }));
        assert!(!text.contains(['<', '>', '&']), "{text}");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["reason"], "</script><b>&amp;]]>");
    }
}
