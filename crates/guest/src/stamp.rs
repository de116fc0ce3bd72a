//! Stamps and the observation digest.
//!
//! A page's stamp stands for its content. It is drawn once from the guest's seed and the page's
//! number; every write mixes the index of the access into it, so that it tells the page's whole
//! history. The digest is a running hash of what the guest has seen.

use lazycopy_units::PageNumber;

/// The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection that spreads
/// every input bit.
#[inline]
pub(crate) fn spread(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The stamp of a page that was never written: the guest's seed gives it.
#[inline]
pub fn first_stamp(seed: u64, page: PageNumber) -> u64 {
    spread(seed.wrapping_add(GOLDEN) ^ u64::from(page.0).wrapping_mul(GOLDEN))
}

/// The stamp of a page that had `stamp` and was written by the guest's access number `access`.
#[inline]
pub fn written_stamp(stamp: u64, access: u64) -> u64 {
    spread(stamp ^ access.wrapping_add(1).wrapping_mul(GOLDEN))
}

/// The stamp of a page that the guest's access number `access` wrote as a whole: what it was
/// before does not matter.
#[inline]
pub fn overwritten_stamp(page: PageNumber, access: u64) -> u64 {
    written_stamp(u64::from(page.0), access)
}

/// The digest after one more access: `access` is its index, `stamp` the page's stamp that it
/// leaves (which, after a write, tells what was there before, too).
#[inline]
pub fn observe(digest: u64, access: u64, page: PageNumber, stamp: u64) -> u64 {
    let seen = stamp ^ (access ^ (u64::from(page.0) << 40)).wrapping_mul(GOLDEN);
    (digest.rotate_left(23) ^ seen).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// One hash over the stamps of all pages in the order of their numbers.
pub fn pages_digest(stamps: impl Iterator<Item = u64>) -> u64 {
    stamps.zip(0..).fold(0, |digest, (stamp, page)| observe(digest, 0, PageNumber(page), stamp))
}
