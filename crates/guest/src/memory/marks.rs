//! Each page's flags and its place in an order, in one word.

/// Bits that the flags of a page take.
pub(super) const FLAG_BITS: u32 = 4;

/// Place, of which the lower 28 bits are kept, and flags in one word.
#[inline]
pub(super) fn mark_of(place: u32, flags: u8) -> u32 {
    place << FLAG_BITS | u32::from(flags)
}

/// The flags in such a word.
#[inline]
pub(super) fn flags_in(mark: u32) -> u8 {
    (mark & ((1 << FLAG_BITS) - 1)) as u8
}

/// One word per page: the flags below, above them a 28-bit number for its place in an order. It
/// is zero until the page is first used, so that unused pages take no memory.
#[derive(Debug)]
pub(super) struct Marks {
    words: Vec<u32>,
}

impl Marks {
    pub(super) fn new(pages: u32) -> Self {
        Marks { words: vec![0; pages as usize] }
    }

    /// Place and flags together.
    #[inline]
    pub(super) fn mark(&self, page: u32) -> u32 {
        self.words[page as usize]
    }

    /// Of the place, the lower 28 bits are kept.
    #[inline]
    pub(super) fn set(&mut self, page: u32, place: u32, flags: u8) {
        self.words[page as usize] = mark_of(place, flags);
    }

    #[inline]
    pub(super) fn place(&self, page: u32) -> u32 {
        self.mark(page) >> FLAG_BITS
    }

    #[inline]
    pub(super) fn flags(&self, page: u32) -> u8 {
        flags_in(self.mark(page))
    }

    #[inline]
    pub(super) fn set_flags(&mut self, page: u32, flags: u8) {
        self.set(page, self.place(page), flags);
    }

    /// Every page's word.
    #[inline]
    pub(super) fn words(&mut self) -> &mut [u32] {
        &mut self.words
    }
}
