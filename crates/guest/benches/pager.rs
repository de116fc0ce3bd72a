//! The bare pager beside the best structures that we know for exact LRU.
//!
//! To repeat it: `cargo bench -p lazycopy-guest --bench pager`, with `-- 4194304` for the size of
//! so many pages alone. It takes under a minute and wants
//! a quiet machine, and huge pages as they are everywhere else. Every structure serves the same
//! references, uniform and random, the generator included; the rounds of all structures take
//! turns and the best of each counts, so that the ratio of one run means more than its figures.
//! Ours does more than the others: it keeps a stamp and flags for each page, and looks for
//! watches on every hit.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use lazycopy_guest::{Memory, Read};
use lazycopy_units::PageNumber;
use std::hint::black_box;
use std::time::Instant;

/// Frames, pages, references of one round, and rounds. Rounds are short, so that some of each
/// structure's find the machine quiet.
const SIZES: [(u32, u32, u64, usize); 3] =
    [(20, 50, 100_000, 600), (4_096, 16_384, 100_000, 600), (1 << 20, 1 << 22, 400_000, 80)];
/// So many references fill every memory, and do not count.
const WARM_UP: u64 = 6_000_000;
const NONE: u32 = u32::MAX;

/// The generator: xorshift64* (Vigna 2016), scaled to the number of pages.
struct Uniform {
    state: u64,
    pages: u64,
}

impl Uniform {
    #[inline]
    fn page(&mut self) -> u32 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let word = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((word * self.pages) >> 32) as u32
    }
}

/// A pager: one reference, and whether it was a hit.
trait Pager {
    fn reference(&mut self, page: u32) -> bool;
}

struct GeneratorAlone(u32);

impl Pager for GeneratorAlone {
    #[inline]
    fn reference(&mut self, page: u32) -> bool {
        self.0 ^= page;
        page & 1 == 0
    }
}

/// A doubly linked list; its nodes are frames, or pages.
struct List {
    links: Vec<(u32, u32)>,
    oldest: u32,
    newest: u32,
}

impl List {
    fn new(nodes: u32) -> Self {
        List { links: vec![(NONE, NONE); nodes as usize], oldest: NONE, newest: NONE }
    }

    #[inline]
    fn unlink(&mut self, node: u32) {
        let (older, newer) = self.links[node as usize];
        if older == NONE {
            self.oldest = newer
        } else {
            self.links[older as usize].1 = newer
        }
        if newer == NONE { self.newest = older } else { self.links[newer as usize].0 = older }
    }

    #[inline]
    fn push_newest(&mut self, node: u32) {
        let older = self.newest;
        self.links[node as usize] = (older, NONE);
        if older == NONE {
            self.oldest = node
        } else {
            self.links[older as usize].1 = node
        }
        self.newest = node;
    }

    #[inline]
    fn touch(&mut self, node: u32) {
        if node != self.newest {
            self.unlink(node);
            self.push_newest(node);
        }
    }
}

/// An intrusive list through the frames.
struct ByFrame {
    frame_of: Vec<u32>,
    page_of: Vec<u32>,
    used: u32,
    list: List,
}

impl ByFrame {
    fn new(frames: u32, pages: u32) -> Self {
        ByFrame {
            frame_of: vec![NONE; pages as usize],
            page_of: vec![NONE; frames as usize],
            used: 0,
            list: List::new(frames),
        }
    }
}

impl Pager for ByFrame {
    #[inline]
    fn reference(&mut self, page: u32) -> bool {
        let frame = self.frame_of[page as usize];
        if frame != NONE {
            self.list.touch(frame);
            return true;
        }
        let frame = if (self.used as usize) < self.page_of.len() {
            self.used += 1;
            self.used - 1
        } else {
            let frame = self.list.oldest;
            self.list.unlink(frame);
            self.frame_of[self.page_of[frame as usize] as usize] = NONE;
            frame
        };
        self.page_of[frame as usize] = page;
        self.frame_of[page as usize] = frame;
        self.list.push_newest(frame);
        false
    }
}

/// A list through the pages.
struct ByPage {
    resident: Vec<bool>,
    free: u32,
    list: List,
}

impl ByPage {
    fn new(frames: u32, pages: u32) -> Self {
        ByPage { resident: vec![false; pages as usize], free: frames, list: List::new(pages) }
    }
}

impl Pager for ByPage {
    #[inline]
    fn reference(&mut self, page: u32) -> bool {
        if self.resident[page as usize] {
            self.list.touch(page);
            return true;
        }
        if self.free > 0 {
            self.free -= 1;
        } else {
            let victim = self.list.oldest;
            self.list.unlink(victim);
            self.resident[victim as usize] = false;
        }
        self.resident[page as usize] = true;
        self.list.push_newest(page);
        false
    }
}

/// A stamp per page and an append-only ring of (page, stamp); stale entries are skipped. A stamp
/// of 0 says that the page is not resident.
struct StampRing {
    stamps: Vec<u32>,
    ring: Vec<(u32, u32)>,
    first: u64,
    next: u64,
    free: u32,
}

impl StampRing {
    fn new(frames: u32, pages: u32) -> Self {
        let places = (frames as usize * 4).next_power_of_two();
        StampRing {
            stamps: vec![0; pages as usize],
            ring: vec![(0, 0); places],
            first: 0,
            next: 0,
            free: frames,
        }
    }

    #[inline]
    fn append(&mut self, page: u32) {
        if (self.next - self.first) as usize == self.ring.len() {
            self.drop_stale();
        }
        let stamp = self.next as u32 | 1 << 31;
        let place = self.next as usize & (self.ring.len() - 1);
        self.stamps[page as usize] = stamp;
        self.ring[place] = (page, stamp);
        self.next += 1;
    }

    #[cold]
    fn drop_stale(&mut self) {
        let mask = self.ring.len() - 1;
        let mut kept = self.first;
        for place in self.first..self.next {
            let (page, stamp) = self.ring[place as usize & mask];
            if self.stamps[page as usize] == stamp {
                self.ring[kept as usize & mask] = (page, stamp);
                kept += 1;
            }
        }
        self.next = kept;
    }
}

impl Pager for StampRing {
    #[inline]
    fn reference(&mut self, page: u32) -> bool {
        let hit = self.stamps[page as usize] != 0;
        if hit {
        } else if self.free > 0 {
            self.free -= 1;
        } else {
            loop {
                let (victim, stamp) = self.ring[self.first as usize & (self.ring.len() - 1)];
                self.first += 1;
                if self.stamps[victim as usize] == stamp {
                    self.stamps[victim as usize] = 0;
                    break;
                }
            }
        }
        self.append(page);
        hit
    }
}

impl Pager for Memory {
    #[inline]
    fn reference(&mut self, page: u32) -> bool {
        self.read(PageNumber(page), || u64::from(page)) == Read::Hit
    }
}

/// One structure under measurement.
struct Contestant {
    name: &'static str,
    round: Box<dyn FnMut(u64) -> u64>,
    best_seconds: f64,
}

impl Contestant {
    fn new(name: &'static str, pages: u32, mut pager: impl Pager + 'static) -> Self {
        let mut uniform = Uniform { state: 88_172_645_463_325_252, pages: u64::from(pages) };
        let round = move |references: u64| {
            (0..references).map(|_| u64::from(pager.reference(uniform.page()))).sum()
        };
        Contestant { name, round: Box::new(round), best_seconds: f64::INFINITY }
    }
}

fn main() {
    println!("million references per second, uniform random, generator included");
    let mut least = f64::INFINITY;
    let only: Option<u32> = std::env::args().skip(1).find_map(|word| word.parse().ok());
    for (frames, pages, references, rounds) in SIZES {
        if only.is_some_and(|only| only != pages) {
            continue;
        }
        let mut contestants = [
            Contestant::new("the generator alone", pages, GeneratorAlone(0)),
            Contestant::new("intrusive list, arrays by frame", pages, ByFrame::new(frames, pages)),
            Contestant::new("node per page", pages, ByPage::new(frames, pages)),
            Contestant::new("stamp per page and ring", pages, StampRing::new(frames, pages)),
            Contestant::new("ours: lazycopy_guest::Memory", pages, Memory::new(pages, frames)),
        ];
        let mut hits = [0; 5];
        for contestant in &mut contestants {
            (contestant.round)(WARM_UP);
        }
        for _ in 0..rounds {
            for (contestant, hits) in contestants.iter_mut().zip(&mut hits) {
                let began = Instant::now();
                *hits += black_box((contestant.round)(references));
                let seconds = began.elapsed().as_secs_f64();
                contestant.best_seconds = contestant.best_seconds.min(seconds);
            }
        }
        assert!(hits[1..].iter().all(|count| *count == hits[1]), "not the same LRU: {hits:?}");
        println!("\n{frames} frames, {pages} pages");
        let speed = |contestant: &Contestant| references as f64 / contestant.best_seconds / 1e6;
        for contestant in &contestants {
            println!("  {:<34}{:>8.1}", contestant.name, speed(contestant));
        }
        let best = contestants[1..4].iter().map(speed).fold(0.0, f64::max);
        let ratio = speed(&contestants[4]) / best;
        println!("  {:<34}{ratio:>8.2}", "ours / the best of the others");
        least = least.min(ratio);
    }
    println!("\nthe least ratio is {least:.2}; 0.8 is wanted");
}
