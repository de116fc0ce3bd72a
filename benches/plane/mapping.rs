//! Memory as a guest's: one anonymous mapping, fresh, with the advice for huge pages.

use anyhow::{Result, ensure};
use memmap2::{Advice, MmapMut};

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;

/// Maps memory that nobody has touched.
pub fn fresh(bytes: usize) -> Result<MmapMut> {
    let mapping = MmapMut::map_anon(bytes)?;
    mapping.advise(Advice::HugePage)?;
    Ok(mapping)
}

/// Maps memory and fills it with pages that are distinct and not zero.
pub fn filled(bytes: usize) -> Result<MmapMut> {
    let mut mapping = fresh(bytes)?;
    for (number, page) in mapping.chunks_exact_mut(PAGE_BYTES).enumerate() {
        for (index, word) in page.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&word_of(number, index).to_le_bytes());
        }
    }
    Ok(mapping)
}

/// Has the system back as much memory as is about to be mapped, and gives it back at once. Where the
/// machine is itself a guest, what nobody has used for some seconds may have gone back to its host;
/// to have it again can take twenty times as long as to clear it, and that is no part of a figure.
pub fn warm(bytes: usize) -> Result<()> {
    let mut mapping = fresh(bytes)?;
    mapping.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
    Ok(())
}

/// Holds the first and the last word of each page to what [`filled`] wrote.
pub fn check(memory: &[u8]) -> Result<()> {
    for (number, page) in memory.chunks_exact(PAGE_BYTES).enumerate() {
        for index in [0, PAGE_BYTES / 8 - 1] {
            let there = &page[index * 8..][..8];
            ensure!(there == word_of(number, index).to_le_bytes(), "page {number} is another");
        }
    }
    Ok(())
}

/// How much of this process's memory is in huge pages, in bytes.
pub fn huge_bytes() -> Result<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).unwrap_or("0");
    Ok(kib.parse::<u64>()? * 1024)
}

/// Mixed so that neither a page nor a word repeats (the finaliser of SplitMix64).
fn word_of(page: usize, index: usize) -> u64 {
    let mut word = (((page as u64) << 9) | index as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
