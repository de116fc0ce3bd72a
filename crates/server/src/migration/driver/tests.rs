use super::*;
use lazycopy_protocol::pace::Pace;
use std::time::Duration as WallDuration;
use tokio::time::Instant as WallInstant;

/// A machine that writes down what it is told, and takes accesses at equal distances.
#[derive(Default)]
struct Diary {
    lines: Vec<String>,
    access_at: Option<u64>,
    step: u64,
    load_at: Option<u64>,
    link_at: Option<u64>,
}

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

impl Diary {
    fn note(&mut self, now: Instant, what: &str) {
        self.lines.push(format!("{} {what}", now.as_nanos()));
    }
}

impl Machine for Diary {
    type Input = &'static str;

    fn handle_input(&mut self, now: Instant, input: &'static str) {
        self.note(now, input);
    }

    fn disk_due(&mut self, now: Instant) {
        self.load_at = None;
        self.note(now, "disk");
    }

    fn link_free(&mut self, now: Instant) {
        self.link_at = None;
        self.note(now, "link");
    }

    fn run(&mut self, until: Instant, budget: u64) {
        let (first, mut count) = (self.access_at, 0);
        while let Some(next) = self.access_at.filter(|next| at(*next) <= until && count < budget) {
            self.access_at = Some(next + self.step).filter(|_| self.step > 0);
            count += 1;
        }
        self.note(at(first.unwrap_or_default()), &format!("{count} accesses"));
    }

    fn next_timeout(&self) -> Option<Timeout> {
        let load = self.load_at.map(|due| Timeout { at: at(due), kind: TimeoutKind::Disk });
        let access = self.access_at.map(|due| Timeout { at: at(due), kind: TimeoutKind::Access });
        load.into_iter().chain(access).min_by_key(|due| (due.at, due.kind))
    }

    fn next_link_choice(&self) -> Option<Instant> {
        self.link_at.map(at)
    }

    fn drain(&mut self) -> Drained<&'static str> {
        Drained { last: None, follows: None }
    }
}

/// A clock that will read at least a second for the rest of the test.
fn late_clock() -> ModelClock {
    ModelClock::from_zero(WallInstant::now() - WallDuration::from_secs(1), 1, &Pace::default())
}

#[test]
fn at_one_instant_deliveries_come_first_then_disk_then_accesses_then_the_link() {
    let machine =
        Diary { access_at: Some(50), load_at: Some(50), link_at: Some(50), ..Diary::default() };
    let mut driver = Driver::new(machine);
    driver.schedule(at(50), at(20), "said later");
    driver.schedule(at(50), at(10), "said earlier");
    driver.schedule(at(40), at(30), "due earlier");
    assert_eq!(driver.step(late_clock()), Wake::Never);
    let expected =
        ["40 due earlier", "50 said earlier", "50 said later", "50 disk", "50 1 accesses"];
    assert_eq!(driver.machine.lines[..5], expected);
    assert_eq!(driver.machine.lines[5], "50 link");
    assert_eq!(driver.out_of_order(), 0);
    assert!(driver.slip() >= Duration::from_millis(999));
}

#[test]
fn nothing_is_done_before_the_clock_reads_its_instant() {
    let mut driver = Driver::new(Diary::default());
    let clock = late_clock();
    let tomorrow = Instant::ZERO + Duration::from_secs(86_400);
    driver.schedule(tomorrow, Instant::ZERO, "tomorrow");
    assert_eq!(driver.step(clock), clock.wake_at(tomorrow));
    assert!(driver.machine.lines.is_empty());
    assert_eq!(driver.slip(), Duration::ZERO);
}

#[test]
fn dense_accesses_are_taken_in_bursts_that_end_before_what_comes_next() {
    let mut driver = Driver::new(Diary { access_at: Some(0), step: 2, ..Diary::default() });
    driver.schedule(at(1_001), at(0), "message");
    assert_eq!(driver.step(late_clock()), Wake::Soon);
    assert_eq!(driver.machine.lines, ["0 1 accesses", "2 500 accesses"]);
    assert_eq!(driver.step(late_clock()), Wake::Soon);
    assert_eq!(driver.machine.lines[2..4], ["1001 message", "1002 1 accesses"]);
    assert_eq!(driver.out_of_order(), 0);
}

#[test]
fn a_message_behind_an_access_is_too_late_and_one_between_two_accesses_is_not() {
    let hour = Duration::from_secs(3_600).as_nanos();
    let mut driver = Driver::new(Diary { access_at: Some(70), step: hour, ..Diary::default() });
    driver.step(late_clock());
    driver.schedule(at(71), at(0), "in time");
    driver.step(late_clock());
    assert_eq!(driver.out_of_order(), 0);
    driver.schedule(at(70), at(0), "too late");
    driver.step(late_clock());
    assert_eq!(driver.out_of_order(), 1);
    assert_eq!(driver.machine.lines[1..], ["71 in time", "71 too late"]);
}

#[test]
fn a_message_behind_another_message_is_too_late() {
    let mut driver = Driver::new(Diary::default());
    driver.schedule(at(90), at(10), "first");
    driver.step(late_clock());
    driver.schedule(at(90), at(5), "said before");
    driver.schedule(at(80), at(20), "due before");
    driver.step(late_clock());
    assert_eq!(driver.machine.lines[1..], ["90 due before", "90 said before"]);
    assert_eq!(driver.out_of_order(), 2);
}

#[test]
fn the_last_word_comes_after_all_that_has_come() {
    let mut driver = Driver::new(Diary::default());
    driver.schedule(at(900), at(10), "page");
    driver.schedule_last(ModelClock::from_zero(WallInstant::now(), 1, &Pace::default()), "lost");
    driver.step(late_clock());
    assert!(driver.machine.lines[0].ends_with("page"));
    assert!(driver.machine.lines[1].ends_with("lost"));
}
