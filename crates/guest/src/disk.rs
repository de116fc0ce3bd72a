//! The shared storage of a guest: each page's last written-back stamp.

use crate::stamp::first_stamp;
use lazycopy_units::PageNumber;
use std::sync::Arc;

/// Pages per chunk: small enough that a guest that writes back little holds little.
const CHUNK_PAGES: usize = 512;

/// A guest's storage. Pages that were never written back have the stamp that the seed gave them
/// and take no space. A clone shares its chunks until one side writes, so that it is a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    seed: u64,
    chunks: Vec<Option<Arc<[u64; CHUNK_PAGES]>>>,
}

impl Disk {
    /// The disk of a guest with that seed, nothing written back yet.
    pub fn new(seed: u64) -> Self {
        Disk { seed, chunks: Vec::new() }
    }

    /// The stamp that a load of `page` finds.
    #[inline]
    pub fn stamp(&self, page: PageNumber) -> u64 {
        match self.chunks.get(page.index() / CHUNK_PAGES) {
            Some(Some(chunk)) => chunk[page.index() % CHUNK_PAGES],
            _ => first_stamp(self.seed, page),
        }
    }

    /// Writes `page` back.
    pub fn write_back(&mut self, page: PageNumber, stamp: u64) {
        let number = page.index() / CHUNK_PAGES;
        if number >= self.chunks.len() {
            self.chunks.resize(number + 1, None);
        }
        let seed = self.seed;
        let chunk = self.chunks[number].get_or_insert_with(|| {
            Arc::new(std::array::from_fn(|offset| {
                first_stamp(seed, PageNumber((number * CHUNK_PAGES + offset) as u32))
            }))
        });
        Arc::make_mut(chunk)[page.index() % CHUNK_PAGES] = stamp;
    }

    /// The pages that were written back, with their stamps, in the order of their numbers.
    pub fn written_back(&self) -> Vec<(PageNumber, u64)> {
        let mut written = Vec::new();
        for (number, chunk) in self.chunks.iter().enumerate() {
            let Some(chunk) = chunk else { continue };
            for (offset, stamp) in chunk.iter().enumerate() {
                let page = PageNumber((number * CHUNK_PAGES + offset) as u32);
                if *stamp != first_stamp(self.seed, page) {
                    written.push((page, *stamp));
                }
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_a_snapshot_and_contents_travel() {
        let mut disk = Disk::new(7);
        let page = PageNumber(1_000);
        let untouched = disk.stamp(page);
        assert_eq!(untouched, first_stamp(7, page));
        let snapshot = disk.clone();
        disk.write_back(page, 42);
        disk.write_back(PageNumber(3), 5);
        assert_eq!((disk.stamp(page), snapshot.stamp(page)), (42, untouched));
        let mut copy = Disk::new(7);
        for (page, stamp) in disk.written_back() {
            copy.write_back(page, stamp);
        }
        assert_eq!(copy.written_back(), disk.written_back());
        assert_eq!((copy.stamp(page), copy.stamp(PageNumber(4))), (42, disk.stamp(PageNumber(4))));
    }
}
