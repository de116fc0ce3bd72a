//! Dense numbers for the pages of a recording.

use lazycopy_units::PageNumber;
use std::collections::BTreeMap;

/// The most pages that a recording may touch: 64 GiB, beyond what valgrind can run, so that a
/// hostile file cannot take all memory.
const MAX_TRACED_PAGES: usize = 1 << 24;

/// Entries of the cache in front of the map: most references go to a few pages. A power of two.
const CACHED: usize = 1 << 10;

/// Numbers pages in the order in which they are first asked for.
pub(super) struct PageNumbers {
    numbers: BTreeMap<u64, u32>,
    cache: Box<[(u64, u32)]>,
}

impl Default for PageNumbers {
    fn default() -> Self {
        // No address has a page u64::MAX.
        let cache = vec![(u64::MAX, 0); CACHED].into_boxed_slice();
        PageNumbers { numbers: BTreeMap::new(), cache }
    }
}

impl PageNumbers {
    /// The number of the page at `page` * 4096.
    #[inline]
    pub(super) fn number(&mut self, page: u64) -> Result<PageNumber, String> {
        let slot = page as usize & (CACHED - 1);
        let (cached, number) = self.cache[slot];
        if cached == page {
            return Ok(PageNumber(number));
        }
        let number = self.look_up(page)?;
        self.cache[slot] = (page, number);
        Ok(PageNumber(number))
    }

    fn look_up(&mut self, page: u64) -> Result<u32, String> {
        let next = self.numbers.len();
        match self.numbers.get(&page) {
            Some(number) => Ok(*number),
            None if next == MAX_TRACED_PAGES => {
                Err(format!("the recording touches more than {MAX_TRACED_PAGES} pages"))
            }
            None => {
                self.numbers.insert(page, next as u32);
                Ok(next as u32)
            }
        }
    }

    /// Pages numbered so far.
    pub(super) fn len(&self) -> u32 {
        self.numbers.len() as u32
    }
}
