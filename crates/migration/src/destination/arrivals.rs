//! What the destination knows of each page while the migration lasts.

use lazycopy_units::PageNumber;

const LISTED: u8 = 1;
const ARRIVED: u8 = 2;
const HELD: u8 = 4;
const NOT_RESIDENT: u8 = 8;
const TOUCHED: u8 = 16;
const FORWARD_UNTOUCHED: u8 = 32;
/// It is not missing: it arrived, is on the disk, or was overwritten.
const SETTLED: u8 = 64;

/// The book of arrivals: which pages came, which were held, and how many of the residency list
/// are missing.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    flags: Vec<u8>,
    missing: u64,
}

impl Arrivals {
    pub(super) fn new(pages: u32) -> Self {
        Arrivals { flags: vec![0; pages as usize], missing: 0 }
    }

    /// `page` is on the residency list; it is missing unless it has come already.
    pub(super) fn list(&mut self, page: PageNumber) {
        let flags = &mut self.flags[page.index()];
        if *flags & (LISTED | SETTLED) == 0 {
            self.missing += 1;
        }
        *flags |= LISTED;
    }

    /// Pages of the residency list that have neither arrived nor are known to be on the disk.
    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    /// How many of the `count` pages from `first` on, one after another, are known of no more and no
    /// less than `first`.
    pub(super) fn alike(&self, first: PageNumber, count: u32) -> u32 {
        self.alike_in(first, count, u8::MAX)
    }

    /// How many of the `count` pages from `first` on, one after another, were held here or not, as
    /// `first`.
    pub(super) fn held_alike(&self, first: PageNumber, count: u32) -> u32 {
        self.alike_in(first, count, HELD)
    }

    fn alike_in(&self, first: PageNumber, count: u32, mask: u8) -> u32 {
        let flags = &self.flags[first.index()..][..count as usize];
        let other = flags.iter().position(|other| (other ^ flags[0]) & mask != 0);
        other.map_or(count, |other| other as u32)
    }

    fn settle(&mut self, page: PageNumber, how: u8) {
        let flags = &mut self.flags[page.index()];
        if *flags & (LISTED | SETTLED) == LISTED {
            self.missing -= 1;
        }
        *flags |= how | SETTLED;
    }

    /// A copy of each of the `count` pages from `first` on came over the link.
    pub(super) fn arrived(&mut self, first: PageNumber, count: u32) {
        (first.0..first.0 + count).for_each(|page| self.settle(PageNumber(page), ARRIVED));
    }

    /// The source said that `page` is not resident.
    pub(super) fn not_resident(&mut self, page: PageNumber) {
        self.settle(page, NOT_RESIDENT);
    }

    /// The guest has written `page` as a whole here: no copy of it is missing, and one that comes
    /// is stale.
    pub(super) fn overwritten(&mut self, page: PageNumber) {
        self.settle(page, HELD);
    }

    /// The `count` pages from `first` on were in memory here, from the link or from the disk: a
    /// copy that comes later may be stale.
    pub(super) fn hold(&mut self, first: PageNumber, count: u32) {
        let flags = &mut self.flags[first.index()..][..count as usize];
        flags.iter_mut().for_each(|flags| *flags |= HELD);
    }

    pub(super) fn was_held(&self, page: PageNumber) -> bool {
        self.flags[page.index()] & HELD != 0
    }

    /// Whether a fault on `page` has to ask the source: it never came, was never held here, and
    /// the source has not said that it is not resident.
    pub(super) fn may_be_at_source(&self, page: PageNumber) -> bool {
        self.flags[page.index()] & (ARRIVED | HELD | NOT_RESIDENT) == 0
    }

    /// The following context touches `page`; whether for the first time.
    pub(super) fn touch(&mut self, page: PageNumber) -> bool {
        let first = self.flags[page.index()] & TOUCHED == 0;
        self.flags[page.index()] |= TOUCHED;
        first
    }

    pub(super) fn was_touched(&self, page: PageNumber) -> bool {
        self.flags[page.index()] & TOUCHED != 0
    }

    /// `page` is in memory as a forward page that was not touched yet.
    pub(super) fn await_forward_touch(&mut self, page: PageNumber) {
        self.flags[page.index()] |= FORWARD_UNTOUCHED;
    }

    /// A forward page is touched, or evicted; whether it had waited for its touch.
    pub(super) fn end_forward_wait(&mut self, page: PageNumber) -> bool {
        let waited = self.flags[page.index()] & FORWARD_UNTOUCHED != 0;
        self.flags[page.index()] &= !FORWARD_UNTOUCHED;
        waited
    }
}
