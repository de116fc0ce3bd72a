//! The shared storage of a guest: each page's last written-back stamp.

use crate::stamp::first_stamp;
use lazycopy_units::PageNumber;
use serde::{Deserialize, Serialize};
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

/// What of a disk differs from its first state, for transport.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskContents {
    /// Pages that were written back, with their stamps, in the order of their numbers.
    pub written: Vec<(PageNumber, u64)>,
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

    /// What was written back, for another server.
    pub fn contents(&self) -> DiskContents {
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
        DiskContents { written }
    }

    /// The disk of a guest with that seed and these contents.
    pub fn from_contents(seed: u64, contents: &DiskContents) -> Self {
        let mut disk = Disk::new(seed);
        for (page, stamp) in &contents.written {
            disk.write_back(*page, *stamp);
        }
        disk
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
        let copy = Disk::from_contents(7, &disk.contents());
        assert_eq!(copy.contents(), disk.contents());
        assert_eq!((copy.stamp(page), copy.stamp(PageNumber(4))), (42, disk.stamp(PageNumber(4))));
    }
}
