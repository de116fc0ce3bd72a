//! Each page's flags and its place in an order, in one word.

/// Bits that the flags of a page take.
pub(super) const FLAG_BITS: u32 = 4;

/// One word per page: the flags below, above them a 28-bit number for its place in an order. It
/// is zero until the page is first used, so that unused pages take no memory.
#[derive(Clone, Debug)]
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
        self.words[page as usize] = place << FLAG_BITS | u32::from(flags);
    }

    #[inline]
    pub(super) fn place(&self, page: u32) -> u32 {
        self.mark(page) >> FLAG_BITS
    }

    #[inline]
    pub(super) fn flags(&self, page: u32) -> u8 {
        (self.mark(page) & ((1 << FLAG_BITS) - 1)) as u8
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

    /// Every page's place and flags together.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().copied()
    }
}
