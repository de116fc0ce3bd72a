//! How fast a guest touches new pages.

use lazycopy_guest::{Guest, Stop, WorkloadError};
use lazycopy_scenario::Scenario;
use lazycopy_units::{Duration, Instant, PageNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NANOS_PER_SEC: f64 = 1e9;

/// The rates of guests that were looked at already: most cells of a sweep share one.
#[derive(Default)]
pub(crate) struct TouchRates {
    known: BTreeMap<String, Option<f64>>,
}

impl TouchRates {
    pub(crate) fn of(&mut self, scenario: &Scenario) -> Result<Option<f64>, WorkloadError> {
        let key = format!(
            "{:?} {:?} {} {} {}",
            scenario.guest,
            scenario.disk.latency_source,
            scenario.warmup_accesses,
            scenario.warmup_jitter,
            scenario.measured_accesses
        );
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let rate = new_pages_per_sec(scenario)?;
        self.known.insert(key, rate);
        Ok(rate)
    }
}

/// With R pages resident at the request, R divided by the time that the reference run takes to
/// touch R distinct pages; where its measured accesses end before, the pages that it touched
/// divided by that time. `None` where no time passes.
fn new_pages_per_sec(scenario: &Scenario) -> Result<Option<f64>, WorkloadError> {
    let warmup = scenario.warmup(scenario.seed);
    let mut guest = Guest::new(Arc::new(scenario.guest_spec(scenario.seed)))?;
    guest.run_to(Instant::ZERO, warmup, Duration::ZERO)?;
    let resident: Vec<PageNumber> = guest.memory().iter().collect();
    for page in &resident {
        guest.memory_mut().watch_touch(*page);
    }
    let mut touched = BTreeSet::new();
    guest.set_target(warmup + scenario.measured_accesses);
    guest.resume(Instant::ZERO);
    while touched.len() < resident.len() {
        match guest.run(Instant::MAX, u64::MAX) {
            Stop::Touched(page) => {
                touched.insert(page);
            }
            Stop::Missed(page) => {
                let (_, since) = guest.blocked_on().expect("it has just missed");
                guest.begin_load(since, scenario.disk.latency_source);
                guest.complete_load(since + scenario.disk.latency_source);
                touched.insert(page);
            }
            Stop::Limit | Stop::Budget | Stop::Idle => break,
        }
        if guest.registers().accesses >= warmup + scenario.measured_accesses {
            break;
        }
    }
    if let Some(failure) = guest.failure() {
        return Err(failure.clone());
    }
    let nanos = (guest.completed_at() - Instant::ZERO).as_nanos();
    Ok((nanos > 0).then(|| touched.len() as f64 * NANOS_PER_SEC / nanos as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazycopy_scenario::Draft;

    fn rate(sets: &[&str]) -> Option<f64> {
        let text = include_str!("../../../configs/paper.toml");
        let draft = Draft::from_toml(text, "paper");
        let draft = sets.iter().fold(draft, |draft, set| draft.set(set).unwrap());
        new_pages_per_sec(&draft.finish().unwrap()).unwrap()
    }

    #[test]
    fn the_rate_is_that_of_first_touches_and_not_of_accesses() {
        // 4 frames hold 4, 5, 0, 1 when 12 accesses are over; 2 misses.
        let pages = "guest.workload={kind=\"list\",pages=[0,1,2,3,4,5]}";
        let common = [pages, "guest.frames=4", "warmup_accesses=8", "guest.think_time=1s"];
        let with = |more: &[&'static str]| rate(&[&common[..], more].concat());
        // Touches 2, 3, 4, 5 at 0, 1, 2, 3 s.
        assert_eq!(with(&[]), Some(4.0 / 3.0));
        // Each of them is a load of 1 s: completed at 1, 3, 5, 7 s.
        assert_eq!(with(&["disk.latency_source=1s"]), Some(4.0 / 7.0));
        // The measured accesses end before.
        assert_eq!(with(&["measured_accesses=3"]), Some(3.0 / 2.0));
        assert_eq!(with(&["measured_accesses=1"]), None);
    }

    #[test]
    fn pages_that_are_touched_again_do_not_count() {
        let pages = "guest.workload={kind=\"list\",pages=[0,0,0,1,1,1,2,2,2]}";
        let sets = [pages, "guest.frames=3", "warmup_accesses=9", "guest.think_time=1s"];
        // All three are resident: 0 at 0 s, 1 at 3 s, 2 at 6 s.
        assert_eq!(rate(&sets), Some(3.0 / 6.0));
    }
}
