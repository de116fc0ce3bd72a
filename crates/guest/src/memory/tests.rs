//! Memories of each structure against a plain list.

use super::*;
use crate::spec::ResidentAtStart;
use crate::stamp::{overwritten_stamp, written_stamp};
use crate::workload::{Access, WorkloadSpec, Write};
use lazycopy_units::Duration;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// So many pages are touched, spread over all.
const TOUCHED: u32 = 9;

#[derive(Clone, Debug)]
enum Step {
    Access(u32, Write),
    Read(u32),
    Load(u32),
    InstallNewest(u32, bool),
    InstallOldest(u32, bool),
    Replace(u32, bool),
    Remove(u32),
    MakeMostRecent(u32),
    WatchTouch(u32, bool),
    WatchWrite(u32, bool),
    ForgetLeft(u32),
    SetFrames(u32),
    TakeFirstWrites,
    LookAhead(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let page = || 0..TOUCHED;
    let write = prop_oneof![Just(Write::None), Just(Write::Part), Just(Write::WholePage)];
    prop_oneof![
        4 => (page(), write).prop_map(|(page, write)| Step::Access(page, write)),
        4 => page().prop_map(Step::Read),
        2 => page().prop_map(Step::Load),
        2 => (page(), any::<bool>()).prop_map(|(page, dirty)| Step::InstallNewest(page, dirty)),
        1 => (page(), any::<bool>()).prop_map(|(page, dirty)| Step::InstallOldest(page, dirty)),
        1 => (page(), any::<bool>()).prop_map(|(page, dirty)| Step::Replace(page, dirty)),
        1 => page().prop_map(Step::Remove),
        1 => page().prop_map(Step::MakeMostRecent),
        2 => (page(), any::<bool>()).prop_map(|(page, on)| Step::WatchTouch(page, on)),
        2 => (page(), any::<bool>()).prop_map(|(page, on)| Step::WatchWrite(page, on)),
        1 => page().prop_map(Step::ForgetLeft),
        1 => (1..=TOUCHED).prop_map(Step::SetFrames),
        1 => Just(Step::TakeFirstWrites),
        1 => page().prop_map(Step::LookAhead),
    ]
}

/// A resident page of the plain list.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Page {
    page: PageNumber,
    stamp: u64,
    dirty: bool,
    watches_touch: bool,
    watches_write: bool,
}

/// Least recent first, searched and shifted.
#[derive(Default)]
struct Plain {
    frames: usize,
    /// It does not know what the pages that were evicted left with.
    forgets: bool,
    list: Vec<Page>,
    /// What the pages that were evicted left with, until somebody forgets it.
    left: BTreeMap<PageNumber, u64>,
    first_writes: Vec<(PageNumber, u64)>,
}

impl Plain {
    fn position(&self, page: PageNumber) -> Option<usize> {
        self.list.iter().position(|held| held.page == page)
    }

    fn move_to_end(&mut self, position: usize) -> &mut Page {
        let held = self.list.remove(position);
        self.list.push(held);
        self.list.last_mut().expect("it was pushed just now")
    }

    fn install(&mut self, page: PageNumber, stamp: u64, dirty: bool) -> Option<Victim> {
        let is_full = self.list.len() == self.frames;
        let victim = is_full.then(|| self.list.remove(0)).map(|held| {
            if !self.forgets {
                self.left.insert(held.page, held.stamp);
            }
            Victim { page: held.page, stamp: held.stamp, dirty: held.dirty }
        });
        self.left.remove(&page);
        let (watches_touch, watches_write) = (false, false);
        self.list.push(Page { page, stamp, dirty, watches_touch, watches_write });
        victim
    }

    fn load(&mut self, page: PageNumber, stamp: u64) -> Option<Victim> {
        let stamp = self.left.get(&page).copied().unwrap_or(stamp);
        self.install(page, stamp, false)
    }

    fn access(&mut self, access: &Access, index: u64, leaves_stamp: bool) -> Touch {
        let Some(position) = self.position(access.page) else { return Touch::Miss };
        let held = self.move_to_end(position);
        let watched = std::mem::take(&mut held.watches_touch);
        let mut first_write = false;
        if access.write != Write::None {
            first_write = std::mem::take(&mut held.watches_write);
            held.dirty = true;
            let before = held.stamp;
            if !leaves_stamp {
                held.stamp = match access.write {
                    Write::WholePage => overwritten_stamp(access.page, index),
                    _ => written_stamp(before, index),
                };
            }
            if first_write {
                self.first_writes.push((access.page, before));
            }
        }
        let stamp = self.list.last().expect("it was moved there").stamp;
        Touch::Hit { stamp, watched, first_write }
    }
}

/// The pages of a memory and the plain list, both under the same steps.
struct Both {
    memory: Memory,
    plain: Plain,
    /// From one touched page to the next.
    spacing: u32,
}

impl Both {
    fn take(&mut self, number: u64, step: &Step) {
        let (memory, plain) = (&mut self.memory, &mut self.plain);
        let at = |page: &u32| PageNumber(page * self.spacing);
        let held = |plain: &Plain, page: &u32| plain.position(PageNumber(page * self.spacing));
        match step {
            Step::Access(page, write) => {
                let think = Duration::from_nanos(1);
                let access = Access { think, page: at(page), write: *write };
                let leaves_stamp = number.is_multiple_of(5);
                let expected = plain.access(&access, number, leaves_stamp);
                assert_eq!(memory.touch(&access, number, leaves_stamp), expected);
            }
            Step::Read(page) => {
                let expected = match held(plain, page) {
                    Some(position) => {
                        plain.move_to_end(position).watches_touch = false;
                        Read::Hit
                    }
                    None => Read::Miss(plain.load(at(page), number)),
                };
                assert_eq!(memory.read(at(page), || number), expected);
            }
            Step::ForgetLeft(page) => {
                plain.left.remove(&at(page));
                memory.forget_left(at(page));
            }
            Step::SetFrames(frames) if plain.list.len() <= *frames as usize => {
                // What left is known to the frames that it left.
                if memory.frames() != *frames {
                    plain.left.clear();
                }
                plain.frames = *frames as usize;
                memory.set_frames(*frames);
            }
            Step::SetFrames(_) => {}
            Step::TakeFirstWrites => {
                assert_eq!(memory.take_first_writes(), std::mem::take(&mut plain.first_writes));
            }
            Step::LookAhead(page) => {
                let think = Duration::from_nanos(1);
                let access = Access { think, page: at(page), write: Write::None };
                assert_eq!(memory.look_ahead(&[access]), 1);
            }
            Step::Load(page) | Step::InstallNewest(page, _) | Step::InstallOldest(page, _)
                if held(plain, page).is_some() => {}
            Step::Load(page) => {
                assert_eq!(memory.load(at(page), || number), plain.load(at(page), number));
            }
            Step::InstallNewest(page, dirty) => {
                let expected = plain.install(at(page), number, *dirty);
                assert_eq!(memory.install_most_recent(at(page), number, *dirty), expected);
            }
            Step::InstallOldest(page, dirty) if plain.list.len() < plain.frames => {
                plain.install(at(page), number, *dirty);
                plain.list.rotate_right(1);
                memory.install_least_recent(at(page), number, *dirty);
            }
            Step::InstallOldest(..) => {}
            Step::Replace(page, dirty) => {
                held(plain, page).map(|position| plain.list.remove(position));
                plain.install(at(page), number, *dirty);
                memory.replace(at(page), number, *dirty);
            }
            Step::Remove(page)
            | Step::MakeMostRecent(page)
            | Step::WatchTouch(page, _)
            | Step::WatchWrite(page, _) => {
                let Some(position) = held(plain, page) else { return };
                self.take_held(position, step);
            }
        }
    }

    /// A step that concerns a resident page.
    fn take_held(&mut self, position: usize, step: &Step) {
        let (memory, plain) = (&mut self.memory, &mut self.plain);
        let held = &mut plain.list[position];
        let page = held.page;
        match step {
            Step::Remove(_) => {
                plain.list.remove(position);
                memory.remove(page);
            }
            Step::MakeMostRecent(_) => {
                plain.move_to_end(position);
                memory.make_most_recent(page);
            }
            Step::WatchTouch(_, true) => {
                held.watches_touch = true;
                memory.watch_touch(page);
            }
            Step::WatchTouch(_, false) => {
                held.watches_touch = false;
                memory.forget_touch(page);
            }
            Step::WatchWrite(_, true) => {
                held.watches_write = true;
                memory.watch_write(page);
            }
            Step::WatchWrite(_, false) => {
                held.watches_write = false;
                memory.forget_write(page);
            }
            _ => unreachable!("the other steps are taken by their own code"),
        }
    }

    fn compare(&self) {
        let (memory, plain) = (&self.memory, &self.plain);
        assert!(memory.iter_lru().eq(plain.list.iter().map(|held| held.page)));
        assert_eq!(memory.resident() as usize, plain.list.len());
        assert_eq!(memory.is_full(), plain.list.len() == plain.frames);
        for page in (0..TOUCHED).map(|page| PageNumber(page * self.spacing)) {
            let held = plain.position(page).map(|position| plain.list[position]);
            assert_eq!(memory.contains(page), held.is_some());
            assert_eq!(memory.stamp(page), held.map(|held| held.stamp));
            assert_eq!(memory.is_dirty(page), held.is_some_and(|held| held.dirty));
        }
    }
}

/// A guest of so many pages of each kind.
fn spec(pages: u32, frames: u32) -> GuestSpec {
    GuestSpec {
        seed: 3,
        pages,
        frames,
        think_time: Duration::from_nanos(1),
        write_fraction: 0.0,
        whole_page_fraction: 0.0,
        zero_fraction: 0.3,
        compressible_fraction: 0.3,
        workload: WorkloadSpec::Sequential,
        resident_at_start: ResidentAtStart::None,
    }
}

/// So many pages of real bytes, for the structures alone.
pub(super) fn stamped_pages(pages: u32) -> StampedPages {
    let contents = PageContents::of(&spec(pages, pages));
    StampedPages { contents, pages: Pages::map(pages, false).expect("there is room") }
}

fn hold_against_a_list(pages: u32, frames: u32, steps: &[Step], may_resize: bool) {
    let plain = Plain { frames: frames as usize, ..Plain::default() };
    hold(Memory::new(pages, frames), plain, steps, may_resize);
}

fn hold(memory: Memory, plain: Plain, steps: &[Step], may_resize: bool) -> Memory {
    let spacing = memory.pages / TOUCHED;
    let mut both = Both { memory, plain, spacing };
    for (number, step) in (1u64..).zip(steps) {
        if may_resize || !matches!(step, Step::SetFrames(_)) {
            both.take(number, step);
            both.compare();
        }
    }
    let mut by_number: Vec<PageNumber> = both.plain.list.iter().map(|held| held.page).collect();
    by_number.sort_unstable();
    assert!(both.memory.iter().eq(by_number));
    both.memory
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_small_memory_does_what_a_plain_list_does(
        steps in proptest::collection::vec(step(), 1..200),
        frames in 1..=TOUCHED,
    ) {
        hold_against_a_list(TOUCHED, frames, &steps, true);
    }

    #[test]
    fn a_large_memory_that_pages_does_what_a_plain_list_does(
        steps in proptest::collection::vec(step(), 1..200),
        frames in 1..=TOUCHED,
    ) {
        hold_against_a_list(order::LARGE_PAGES, frames, &steps, true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_memory_of_real_bytes_does_what_a_plain_list_does(
        steps in proptest::collection::vec(step(), 1..200),
        frames in 1..=TOUCHED,
    ) {
        let spec = spec(TOUCHED, frames);
        let memory = Memory::in_pages(frames, &spec).expect("there is room");
        let plain = Plain { frames: frames as usize, forgets: true, ..Plain::default() };
        let memory = hold(memory, plain, &steps, true);
        let (contents, bytes) = (PageContents::of(&spec), memory.bytes().expect("it has bytes"));
        for page in (0..TOUCHED).map(PageNumber) {
            match memory.stamp(page) {
                Some(stamp) => assert!(contents.matches(page, stamp, bytes.page(page))),
                None if memory.frames() < TOUCHED => assert_eq!(bytes.page(page), &[0; 4096]),
                None => {}
            }
        }
    }
}

proptest! {
    // Here each comparison sorts.
    #![proptest_config(ProptestConfig::with_cases(15))]

    #[test]
    fn a_large_memory_that_holds_every_page_does_what_a_plain_list_does(
        steps in proptest::collection::vec(step(), 1..100),
        may_resize in any::<bool>(),
    ) {
        hold_against_a_list(order::LARGE_PAGES, order::LARGE_PAGES, &steps, may_resize);
    }
}
