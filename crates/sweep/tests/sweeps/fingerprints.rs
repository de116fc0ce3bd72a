//! What decides results is in the fingerprint, and nothing else.

use crate::common::Place;
use std::fs;

fn fingerprint(place: &Place, text: &str) -> String {
    place.open(text).unwrap().manifest().fingerprint.clone()
}

#[test]
fn a_recorded_program_counts_by_what_it_does_and_not_by_where_it_lies() {
    let scenario = |file: &str| {
        format!(
            "scenario = \"recorded\"\nseeds = 1\n\
             set = {{ \"guest.workload.file\" = \"{file}\", \"guest.frames\" = 2, warmup_accesses = 0 }}\n"
        )
    };
    let trace = |pages: &[u32]| -> String {
        pages.iter().map(|page| format!("I  {:08x},4\n", page << 12)).collect()
    };
    let hashes =
        [("a", &[1u32, 2, 3][..]), ("b", &[1, 2, 3]), ("a", &[1, 2, 4])].map(|(name, pages)| {
            let place = Place::new();
            let file = place.path(&format!("{name}.lackey"));
            fs::write(&file, trace(pages)).unwrap();
            fingerprint(&place, &scenario(&file.display().to_string()))
        });
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}

#[test]
fn the_title_and_the_way_of_writing_a_value_do_not_count() {
    let place = Place::new();
    let sweep = |title: &str, bandwidth: &str| {
        format!(
            "# {title}\nscenario = \"paper\"\nseeds = 1\nset = {{ \"link.bandwidth\" = \"{bandwidth}\" }}\n"
        )
    };
    let known = fingerprint(&place, &sweep("Why?", "1kB/s"));
    assert_eq!(known, fingerprint(&place, &sweep("Why not?", "1000B/s")));
    assert_ne!(known, fingerprint(&place, &sweep("Why?", "1001B/s")));
    assert_eq!(known.len(), 32);
}
