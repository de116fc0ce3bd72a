//! The coverage-guided fuzzer of one target, which the environment names: `.ci/fuzz` starts it.

#![no_main]

use lazycopy_fuzz::Target;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

/// The variable that names the target.
const TARGET: &str = "FUZZ_TARGET";

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

fn chosen() -> &'static Target {
    let name = std::env::var(TARGET).unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| panic!("{TARGET} names no target: \"{name}\""))
}

fuzz_target!(|data: &[u8]| CHOSEN.get_or_init(chosen).check(data));
