//! Contents that both ends of a connection keep, so that a page which equals one of them need not
//! be sent.

use lazycopy_protocol::plane::KEPT_CONTENTS;
use lazycopy_units::PAGE_BYTES;

const PAGE: usize = PAGE_BYTES as usize;

/// Checksums of contents that were sent lately: enough to find what is sent again and again, few
/// enough to stay in a cache near the processor.
const SEEN: usize = 1 << 12;

/// The contents that one end keeps: the first of them stays, so that both ends agree without a
/// word.
#[derive(Debug, Default)]
pub(super) struct Kept {
    contents: Vec<Box<[u8]>>,
}

impl Kept {
    /// Keeps a content, in the next place; without effect when all are taken.
    pub(super) fn keep(&mut self, content: &[u8]) {
        if self.contents.len() < usize::from(KEPT_CONTENTS) {
            self.contents.push(content.into());
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u16 {
        self.contents.len() as u16
    }

    /// The content in a place.
    pub(super) fn content(&self, place: u16) -> Option<&[u8]> {
        self.contents.get(usize::from(place)).map(AsRef::as_ref)
    }
}

/// What to do with a content that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing is known of it.
    Send,
    /// It was sent before: send it once more, and both ends keep it.
    Keep,
    /// Both ends keep it, in this place.
    Same(u16),
}

/// The sender's view: what it keeps, and what it may have sent before.
#[derive(Debug)]
pub(super) struct Repetitions {
    kept: Kept,
    /// Checksums of what is kept, in the order of the places.
    checksums: Vec<u64>,
    seen: Vec<u64>,
}

impl Default for Repetitions {
    fn default() -> Self {
        Repetitions { kept: Kept::default(), checksums: Vec::new(), seen: vec![0; SEEN] }
    }
}

impl Repetitions {
    /// What to do with `content`, whose hash that is, whichever page has it.
    pub(super) fn choose(&mut self, hash: u64, content: &[u8; PAGE]) -> Choice {
        let slot = &mut self.seen[hash as usize % SEEN];
        if *slot != hash {
            *slot = hash;
            return Choice::Send;
        }
        let places = self.checksums.iter().zip(0u16..);
        let place = places.filter(|(kept, _)| **kept == hash).map(|(_, place)| place).next();
        match place {
            Some(place) if self.kept.content(place) == Some(content) => Choice::Same(place),
            Some(_) => Choice::Send,
            None if self.kept.len() < KEPT_CONTENTS => {
                self.kept.keep(content);
                self.checksums.push(hash);
                Choice::Keep
            }
            None => Choice::Send,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_kept_when_it_is_sent_a_second_time_and_not_sent_from_then_on() {
        let mut sender = Repetitions::default();
        let contents = [[1; PAGE], [2; PAGE]];
        for content in &contents {
            assert_eq!(sender.choose(u64::from(content[0]), content), Choice::Send);
        }
        for (place, content) in (0u16..).zip(&contents) {
            assert_eq!(sender.choose(u64::from(content[0]), content), Choice::Keep);
            assert_eq!(sender.choose(u64::from(content[0]), content), Choice::Same(place));
        }
        assert_eq!(sender.choose(1, &[3; PAGE]), Choice::Send, "only the hashes are equal");
    }

    #[test]
    fn no_more_is_kept_than_both_ends_have_places_for() {
        let mut sender = Repetitions::default();
        for content in 0..=KEPT_CONTENTS {
            let bytes = [content as u8; PAGE];
            sender.choose(u64::from(content) + 1, &bytes);
            let expected = if content < KEPT_CONTENTS { Choice::Keep } else { Choice::Send };
            assert_eq!(sender.choose(u64::from(content) + 1, &bytes), expected);
        }
    }
}
