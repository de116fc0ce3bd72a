//! Where the stamps of a guest's pages are.

use super::order::LEFT;

/// The stamps of the pages in memory, and with them whatever else is kept of a page.
pub(super) trait Stamps {
    /// The flags of a page that was evicted: whether its stamp is still known.
    const EVICTED: u8;

    /// The stamp of a page that is resident, or was the last to leave.
    fn stamp(&self, page: u32) -> u64;

    /// A resident page has another stamp.
    fn set_stamp(&mut self, page: u32, stamp: u64);

    /// A page comes into memory with that stamp.
    fn bring(&mut self, page: u32, stamp: u64);

    /// Nothing of a page that left memory is needed any more.
    fn leave(&mut self, page: u32);
}

impl Stamps for Vec<u64> {
    const EVICTED: u8 = LEFT;

    #[inline]
    fn stamp(&self, page: u32) -> u64 {
        self[page as usize]
    }

    #[inline]
    fn set_stamp(&mut self, page: u32, stamp: u64) {
        self[page as usize] = stamp;
    }

    #[inline]
    fn bring(&mut self, page: u32, stamp: u64) {
        self[page as usize] = stamp;
    }

    #[inline]
    fn leave(&mut self, _page: u32) {}
}
