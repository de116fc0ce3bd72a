//! Scenarios and sweeps.

use lazycopy_scenario::Scenario;

/// A scenario is refused in words, or one that is the same when it is written down.
pub fn scenario(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    // Recordings have a target of their own; here any file could be named.
    if text.contains("file") {
        return;
    }
    let Ok(scenario) = Scenario::from_toml(text, "fuzzed") else { return };
    let again = Scenario::from_toml(&scenario.to_toml(), "fuzzed");
    assert_eq!(again.as_ref().ok(), Some(&scenario), "{again:?}");
    scenario.guest_spec(1).validate().expect("it was checked");
    scenario.migration_parameters().validate().expect("they were checked");
    scenario.warmup(1);
    scenario.document().expect("it can be written down");
}

/// A sweep file is refused in words, or one whose size is known.
pub fn sweep(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let _ = lazycopy_sweep::fuzzing::read(text);
}
