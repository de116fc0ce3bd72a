//! Recorded programs: each rule by itself, and all of them against a plain reading of the text.

use flate2::Compression;
use flate2::write::GzEncoder;
use lazycopy_guest::{
    Access, GuestSpec, ResidentAtStart, TraceSummary, WorkloadError, WorkloadSpec, open_workload,
    summarize_trace,
};
use lazycopy_units::{Duration, PageNumber};
use proptest::prelude::*;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

fn recording(bytes: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn spec(file: &Path, pages: u32, instruction_nanos: u64) -> GuestSpec {
    GuestSpec {
        seed: 1,
        pages,
        frames: 1,
        think_time: Duration::ZERO,
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction: 0.0,
        compressible_fraction: 0.0,
        workload: WorkloadSpec::Trace {
            file: file.to_owned(),
            instruction_time: Duration::from_nanos(instruction_nanos),
        },
        resident_at_start: ResidentAtStart::None,
    }
}

/// The `count` accesses from `position` on as (think in ns, page, write).
fn accesses(spec: &GuestSpec, position: u64, count: usize) -> Vec<(u64, u32, bool)> {
    try_accesses(spec, position, count).unwrap()
}

fn try_accesses(
    spec: &GuestSpec,
    position: u64,
    count: usize,
) -> Result<Vec<(u64, u32, bool)>, WorkloadError> {
    let mut workload = open_workload(spec, position)?;
    let mut batch = Vec::new();
    while batch.len() < count {
        let before = batch.len();
        workload.fill(&mut batch)?;
        assert!(batch.len() > before, "a workload yielded nothing");
    }
    let plain = |access: &Access| {
        (access.think.as_nanos(), access.page.0, access.write != lazycopy_guest::Write::None)
    };
    Ok(batch[..count].iter().map(plain).collect())
}

fn of_text(text: &str, instruction_nanos: u64, count: usize) -> Vec<(u64, u32, bool)> {
    let file = recording(text);
    accesses(&spec(file.path(), 100, instruction_nanos), 0, count)
}

fn failure(bytes: impl AsRef<[u8]>) -> WorkloadError {
    let file = recording(bytes);
    let first = summarize_trace(file.path()).expect_err("it was taken for a recording");
    let running = try_accesses(&spec(file.path(), 100, 1), 0, 1_000).expect_err("it ran");
    assert_eq!(first, running, "the first pass and the running guest disagree");
    first
}

fn malformed(text: &str) -> (u64, String) {
    match failure(text) {
        WorkloadError::Malformed(it) => (it.line, it.problem + &it.shown),
        other => panic!("{other}"),
    }
}

#[test]
fn pages_are_numbered_by_first_touch_code_and_data_alike() {
    let text = "I  00400000,4\n L 7ff000000,8\nI  00400004,4\n S 00001000,4\n L 7ff000008,1\n";
    let pages: Vec<u32> = of_text(text, 1, 5).iter().map(|access| access.1).collect();
    assert_eq!(pages, [0, 1, 0, 2, 1]);
}

#[test]
fn loads_and_fetches_read_while_stores_and_modifications_write() {
    let text = "I  1000,1\n L 2000,1\n S 3000,1\n M 4000,1\n";
    let writes: Vec<bool> = of_text(text, 1, 4).iter().map(|access| access.2).collect();
    assert_eq!(writes, [false, false, true, true]);
}

#[test]
fn a_reference_across_a_page_boundary_is_two_accesses_that_both_write() {
    let text = "I  1000,4\n S 2ffc,8\nI  1004,4\n L 4ffc,4\n";
    assert_eq!(
        of_text(text, 10, 5),
        [(1, 0, false), (10, 1, true), (1, 2, true), (1, 0, false), (8, 3, false)]
    );
}

#[test]
fn accesses_to_one_page_in_a_row_are_one_that_begins_with_the_first_and_writes_if_any_does() {
    let text = "I  1000,4\nI  1004,4\n S 1f00,4\nI  1008,4\n L 2000,4\n L 2004,4\nI  100c,4\n";
    assert_eq!(
        of_text(text, 10, 3),
        [(1, 0, true), (30, 1, false), (1, 0, false)],
        "the load comes after three instructions, the fetch after it at the same count"
    );
}

#[test]
fn what_comes_late_by_the_least_gap_is_taken_from_the_gaps_that_follow() {
    let text = "I  1000,4\n L 2000,4\n L 3000,4\n L 4000,4\nI  1004,4\n L 2000,4\nI  1008,4\n\
                I  100c,4\nI  1010,4\n L 2000,4\n";
    // Due after 0, 1, 1, 1, 1, 2, 2, 5 instructions of 2 ns.
    let thinks: Vec<u64> = of_text(text, 2, 8).iter().map(|access| access.0).collect();
    assert_eq!(thinks, [1, 2, 1, 1, 1, 1, 1, 3]);
    assert_eq!(thinks[1..].iter().sum::<u64>(), 5 * 2, "the last is on time again");
}

#[test]
fn the_recording_wraps_with_an_access_of_its_own_and_its_clock_goes_on() {
    let text = "I  1000,4\nI  1004,4\n L 2000,4\nI  1008,4\nI  100c,4\n";
    let lap = of_text(text, 10, 9);
    assert_eq!(lap[..3], [(1, 0, false), (20, 1, false), (1, 0, false)]);
    // The last access is due at 20 ns and comes at 21, the next lap begins at 40.
    assert_eq!(lap[3..6], [(19, 0, false), (20, 1, false), (1, 0, false)]);
    assert_eq!(lap[6..], lap[3..6]);
}

#[test]
fn a_recording_of_one_page_is_one_access_a_lap() {
    assert_eq!(
        of_text("I  1000,4\nI  1004,4\n", 5, 3),
        [(1, 0, false), (10, 0, false), (10, 0, false)]
    );
}

#[test]
fn a_recording_without_instructions_still_advances_by_a_nanosecond_an_access() {
    let text = " L 1000,4\n L 2000,4\n";
    assert!(of_text(text, 5, 9).iter().all(|access| access.0 == 1));
    let file = recording(text);
    let spec = spec(file.path(), 2, 5);
    assert_eq!(accesses(&spec, u64::MAX - 7, 1), accesses(&spec, 2, 1));
}

#[test]
fn the_tools_own_lines_are_skipped_wherever_they_stand() {
    let text = "==1== Lackey\n==1== \nI  1000,4\n==1==\n L 2000,4\n==1== Exit code:       0";
    assert_eq!(of_text(text, 1, 2).len(), 2);
}

#[test]
fn broken_lines_are_named_by_their_number() {
    let good = "==1== Lackey\nI  1000,4\n";
    for (line, expected) in [
        ("X  1000,4\n", "expected \"I  addr,size\""),
        ("I 1000,4\n", "expected \"I  addr,size\""),
        ("\n", "expected \"I  addr,size\""),
        (" L 10g0,4\n", "the address is no hexadecimal number"),
        (" L ,4\n", "the address is no hexadecimal number"),
        (" L 11111111111111111,4\n", "the address is no hexadecimal number"),
        (" L 1000\n", "the address is no hexadecimal number"),
        (" L 1000,\n", "the size is no decimal number"),
        (" L 1000,4x\n", "the size is no decimal number"),
        (" L 1000,0\n", "the size is outside 1 to 4096"),
        (" L 1000,4097\n", "the size is outside 1 to 4096"),
        (" L 1000,99999999999999999999999\n", "the size is outside 1 to 4096"),
        (" L ffffffffffffffff,2\n", "beyond the last address"),
        (" L 1000,1", "the file ends in the middle of this line"),
        ("I  10", "the file ends in the middle of this line"),
    ] {
        let (number, problem) = malformed(&format!("{good}{line}"));
        assert_eq!(number, 3, "{line:?}");
        assert!(problem.contains(expected), "{line:?} gave {problem}");
        assert!(problem.contains(line.trim_end()), "{problem} does not show {line:?}");
    }
}

#[test]
fn an_error_without_quotations_names_the_line_and_has_no_word_of_it() {
    for text in ["root:secret:0\n", "I  10,secret\n", "secret"] {
        let error = failure(text);
        assert!(error.to_string().contains("secret"), "{error}");
        let unquoted = error.unquoted();
        assert!(unquoted.contains("line 1: ") && !unquoted.contains("secret"), "{unquoted}");
    }
}

#[test]
fn what_comes_before_a_broken_line_still_happens() {
    let file = recording("I  1000,4\n L 2000,4\n L 3000,4\nnonsense\n");
    let mut workload = open_workload(&spec(file.path(), 9, 1), 0).unwrap();
    let mut batch = Vec::new();
    workload.fill(&mut batch).unwrap();
    assert_eq!(batch.len(), 2, "the third may go on in the line that is broken");
    let error = workload.fill(&mut batch).unwrap_err();
    assert_eq!(workload.fill(&mut batch).unwrap_err(), error);
}

#[test]
fn a_line_without_end_is_refused_instead_of_kept() {
    let (number, problem) = malformed(&format!("I  1000,4\n=={}", "x".repeat(1 << 20)));
    assert_eq!(number, 2);
    assert!(problem.contains("longer than"), "{problem}");
}

#[test]
fn the_largest_size_and_the_last_address_are_taken() {
    assert_eq!(
        of_text(" L ffffffffffffffff,1\n S 1800,4096\n", 1, 3)[1..],
        [(1, 1, true), (1, 2, true)]
    );
}

#[test]
fn a_file_without_references_is_empty() {
    for text in ["", "==1== Lackey\n", "==1== Lackey"] {
        assert!(matches!(failure(text), WorkloadError::Empty { .. }), "{text:?}");
    }
    assert!(matches!(failure(gzip(b"")), WorkloadError::Empty { .. }));
}

#[test]
fn what_cannot_be_read_is_named() {
    for path in [PathBuf::from("no/such/file"), std::env::temp_dir()] {
        let error = summarize_trace(&path).unwrap_err();
        assert!(
            matches!(&error, WorkloadError::Unreadable { file, .. } if *file == path),
            "{error}"
        );
    }
}

#[test]
fn gzip_that_is_cut_off_or_damaged_is_an_error() {
    let text: String = (0..5_000u32).map(|i| format!("I  {:x},4\n", i * 7919)).collect();
    let whole = gzip(text.as_bytes());
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20].fill(0xff);
    for bytes in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &whole[..2], &damaged] {
        let file = recording(bytes);
        match summarize_trace(file.path()).unwrap_err() {
            WorkloadError::Unreadable { problem, .. } => {
                assert!(problem.contains("gzip data is broken or cut off"), "{problem}");
            }
            // What is damaged may also inflate to something else.
            other => assert!(bytes.len() == damaged.len(), "{other}"),
        }
    }
}

#[test]
fn a_gzip_file_of_several_members_is_read_to_its_end() {
    let mut bytes = gzip(b"I  1000,4\n L 20");
    bytes.extend(gzip(b"00,4\n"));
    let file = recording(bytes);
    assert_eq!(
        summarize_trace(file.path()),
        Ok(TraceSummary { pages: 2, accesses: 2, instructions: 1 })
    );
}

#[test]
fn more_pages_than_the_guest_has_are_refused_with_both_numbers() {
    let text: String = (0..40u32).map(|i| format!("I  {:x},4\n", i << 12)).collect();
    let file = recording(text);
    let refused = |position| try_accesses(&spec(file.path(), 30, 1), position, 40).unwrap_err();
    let expected =
        WorkloadError::TooManyPages { file: file.path().to_owned(), touched: 40, pages: 30 };
    assert_eq!(refused(0), expected);
    assert_eq!(refused(35), expected);
    assert_eq!(accesses(&spec(file.path(), 40, 1), 0, 40).len(), 40);
}

#[test]
fn a_recording_that_changes_while_the_guest_runs_is_noticed() {
    let file = recording("I  1000,4\n L 2000,4\n");
    let mut workload = open_workload(&spec(file.path(), 9, 1), 0).unwrap();
    let mut batch = Vec::new();
    workload.fill(&mut batch).unwrap();
    std::fs::write(file.path(), "I  1000,4\n L 2000,4\n L 3000,4\n").unwrap();
    workload.fill(&mut batch).unwrap();
    let error = workload.fill(&mut batch).unwrap_err();
    assert!(error.to_string().contains("has changed"), "{error}");
}

#[test]
fn the_shipped_recording_is_what_its_description_says() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../traces/sort-500-numbers.lackey.gz");
    assert_eq!(
        summarize_trace(&file),
        Ok(TraceSummary { pages: 212, accesses: 889_676, instructions: 1_188_158 })
    );
}

/// The rules once more, as plainly as can be: whole text in memory, one step after the other.
/// Returns the accesses of `laps` laps.
fn plain_reading(text: &str, instruction_nanos: u64, laps: u64) -> Vec<(u64, u32, bool)> {
    let mut pages: Vec<u64> = Vec::new();
    let mut lap: Vec<(u64, u32, bool)> = Vec::new();
    let mut instructions = 0u64;
    for line in text.lines().filter(|line| !line.starts_with("==")) {
        let (address, size) = line[3..].split_once(',').unwrap();
        let first = u64::from_str_radix(address, 16).unwrap();
        let last = first + size.parse::<u64>().unwrap() - 1;
        for page in first >> 12..=last >> 12 {
            let number = pages.iter().position(|known| *known == page).unwrap_or_else(|| {
                pages.push(page);
                pages.len() - 1
            }) as u32;
            let write = matches!(&line[1..2], "S" | "M");
            match lap.last_mut() {
                Some(before) if before.1 == number => before.2 |= write,
                _ => lap.push((instructions, number, write)),
            }
        }
        instructions += u64::from(line.starts_with('I'));
    }
    let mut now = 0;
    let mut all = Vec::new();
    for (index, (count, page, write)) in
        (0..laps).flat_map(|index| lap.iter().map(move |access| (index, *access)))
    {
        let due = (index * instructions + count) * instruction_nanos;
        let at = if all.is_empty() { now } else { due.max(now + 1) };
        all.push((if all.is_empty() { 1 } else { at - now }, page, write));
        now = at;
    }
    all
}

/// Text of up to 60 references over few pages, many of them across a boundary.
fn any_text() -> impl Strategy<Value = String> {
    let line = (0usize..6, 0u64..6, prop_oneof![Just(0u64), 0u64..4096, Just(4095)], 1u64..12)
        .prop_map(|(kind, page, offset, size)| {
            let kind = ["I ", "I ", "I ", " L", " S", " M"][kind];
            format!("{kind} {:x},{size}\n", (page << 12) + offset)
        });
    prop::collection::vec(prop_oneof![20 => line, 1 => Just("==1== x\n".to_owned())], 0..60)
        .prop_map(|lines| format!("I  1000,1\n{}", lines.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_recording_is_read_as_the_plain_reading_has_it(
        text in any_text(), nanos in 1u64..5, laps in 1u64..5,
    ) {
        let file = recording(&text);
        let expected = plain_reading(&text, nanos, laps);
        let read = accesses(&spec(file.path(), 100, nanos), 0, expected.len());
        prop_assert_eq!(&read, &expected);
        prop_assert!(read.iter().all(|access| access.0 >= 1));
    }

    #[test]
    fn opening_at_a_position_equals_reading_from_the_start_and_skipping(
        text in any_text(), nanos in 1u64..5, position in 0usize..400,
    ) {
        let file = recording(&text);
        let spec = spec(file.path(), 100, nanos);
        let from_start = accesses(&spec, 0, position + 100);
        prop_assert_eq!(accesses(&spec, position as u64, 100), &from_start[position..]);
    }

    #[test]
    fn compressed_and_plain_are_the_same(text in any_text()) {
        let (plain, compressed) = (recording(&text), recording(gzip(text.as_bytes())));
        prop_assert_eq!(summarize_trace(plain.path()), summarize_trace(compressed.path()));
        let read = |file: &NamedTempFile| accesses(&spec(file.path(), 100, 3), 0, 150);
        prop_assert_eq!(read(&plain), read(&compressed));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = recording(bytes);
        let _ = summarize_trace(file.path());
    }

    #[test]
    fn a_summary_counts_what_a_lap_yields(text in any_text()) {
        let file = recording(&text);
        let lap = plain_reading(&text, 1, 1);
        let pages = lap.iter().map(|access| PageNumber(access.1)).max().unwrap().0 + 1;
        let instructions = text.lines().filter(|line| line.starts_with('I')).count() as u64;
        prop_assert_eq!(
            summarize_trace(file.path()),
            Ok(TraceSummary { pages, accesses: lap.len() as u64, instructions })
        );
    }
}

#[test]
fn references_that_straddle_the_buffers_end_are_read_whole() {
    let text: String =
        (0..60_000u64).map(|i| format!("I  {:x},{}\n", i * 1_021, i % 9 + 1)).collect();
    assert!(text.len() > 2 * (1 << 18));
    let file = recording(&text);
    let expected = plain_reading(&text, 2, 1);
    assert_eq!(accesses(&spec(file.path(), 100_000, 2), 0, expected.len()), expected);
}
