//! The sweeps of `configs/sweeps/`.

use crate::common::Place;
use lazycopy_sweep::Sweep;
use std::path::Path;

#[test]
fn every_shipped_sweep_can_be_run_and_asks_a_question() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/sweeps");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let sweep = Sweep::open(&path, None, &Place::new().path("recordings"));
        let manifest = sweep.unwrap_or_else(|error| panic!("{error}")).manifest().clone();
        // What is asked, and perhaps under which preset.
        assert!(manifest.title.contains('?'), "{}: {}", path.display(), manifest.title);
        names.push(manifest.file.clone());
        if manifest.file == "million.toml" {
            assert_eq!((manifest.cells.len(), manifest.contenders.len()), (32 * 32, 4));
            assert!(manifest.runs >= 1_000_000, "{}", manifest.runs);
        }
    }
    assert!(names.iter().any(|name| name == "million.toml"), "{names:?}");
}
