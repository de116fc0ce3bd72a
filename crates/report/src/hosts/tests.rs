use super::*;

const BEFORE: &str = "\
Guest \"v\" before its migration from \"a\" to \"b\", lazy-copy, seed 1

(a) Source host

Server \"a\": 3 of 9 frames taken
guest  phase
v      suspended

Guest \"v\"
Registers: pc 4, digest 0000000000000abc, misses 3
Miss ratio: 75.0 % since the start, - recently
Memory, least recently used first (2 of 3 frames; * dirty):
  11   0*
Page table, page to position in memory (12 pages):
   0: 1 - - - - - - - - -
  10: - 0

(b) Destination host

Server \"b\": 0 of 9 frames taken
No guests.

Guest \"v\" is not in this server's memory.
";

#[test]
fn both_hosts_are_read_with_the_guest_where_it_is() {
    let hosts = Hosts::parse(BEFORE).unwrap();
    assert_eq!(hosts.accesses(), Some(4));
    let guest = hosts.source.guest.unwrap();
    assert_eq!(guest.memory, [(PageNumber(11), false), (PageNumber(0), true)]);
    assert_eq!((guest.resident, guest.frames, guest.pages), (2, 3, 12));
    assert_eq!(hosts.destination.guest, None);
}

#[test]
fn what_was_cut_off_or_edited_is_told_by_its_line() {
    let line = |text: &str| Hosts::parse(text).unwrap_err().line;
    for end in (0..BEFORE.lines().count()).skip(1) {
        let cut: Vec<&str> = BEFORE.lines().take(end).collect();
        assert!(Hosts::parse(&cut.join("\n")).is_err(), "{end} lines");
    }
    assert_eq!(line(&BEFORE.replace("  11   0*", "  11   x*")), 13);
    assert_eq!(line(&BEFORE.replace("(2 of 3", "(two of 3")), 12);
    assert_eq!(line(&BEFORE.replace("(12 pages)", "(pages)")), 14);
    assert!(Hosts::parse(&BEFORE.replace("(2 of 3", "(1 of 3")).is_err());
}

#[test]
fn each_frame_is_drawn_and_what_is_free_is_empty() {
    let hosts = Hosts::parse(BEFORE).unwrap();
    let moment =
        Moment { when: "before", hosts: &hosts, next: &[7, 11], origins: &BTreeMap::new() };
    let file = hosts_figure(&moment).file();
    assert!(roxmltree::Document::parse(&file).is_ok());
    for text in [">11</text>", ">7</text>", ">Memory: 2 of 3 frames</text>"] {
        assert!(file.contains(text), "{text}");
    }
    // The third frame, ten pages of the table, and two numbers of the queue.
    assert_eq!(file.matches("class=\"nobody\"").count(), 1 + 10 + 2);
    assert_eq!(file.matches("class=\"corner\"").count(), 1, "one is dirty");
}
