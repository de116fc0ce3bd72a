//! Which pages will be needed soon, learned from the guest's own recent accesses: the paper's
//! further work, "estimate the future needed pages ... and do background copy more selectively".
//!
//! The rule is ours. What the guest has just done is looked for in what it did before; where the
//! longest such context stood last, the accesses that followed it are the prediction. Pages that
//! the prediction does not name follow by how often they were used, recent uses counting more.

use lazycopy_units::PageNumber;
use std::collections::BTreeMap;

/// How many of the last accesses are learned from.
pub(crate) const HISTORY: u64 = 4_096;

/// The longest context that is looked for.
const LONGEST_CONTEXT: usize = 16;

/// A use counts half as much as one that is so many accesses more recent.
const HALF_LIFE: u64 = 256;

/// Orders `waiting` (from least to most recently used) by when it will be needed, soonest first.
pub(crate) fn order_by_need(history: &[PageNumber], waiting: Vec<PageNumber>) -> Vec<PageNumber> {
    let mut rank: BTreeMap<PageNumber, u64> = BTreeMap::new();
    for (position, page) in (0..).zip(predicted(history)) {
        rank.entry(*page).or_insert(position);
    }
    let uses = weighted_uses(history);
    // Only what the history names is sorted, so that a large guest's list is not carried twice.
    let mut named: Vec<(u64, std::cmp::Reverse<u64>, usize, PageNumber)> = Vec::new();
    for (recency, page) in waiting.iter().rev().enumerate() {
        if let Some(uses) = uses.get(page) {
            let need = rank.get(page).copied().unwrap_or(u64::MAX);
            named.push((need, std::cmp::Reverse(*uses), recency, *page));
        }
    }
    named.sort_unstable();
    // Least recent first, the rest below what is named: from the end on it is the order.
    let mut reversed = waiting;
    reversed.retain(|page| !uses.contains_key(page));
    reversed.extend(named.iter().rev().map(|(_, _, _, page)| *page));
    reversed.reverse();
    reversed
}

/// What followed the last place where the longest context of now stood before.
fn predicted(history: &[PageNumber]) -> &[PageNumber] {
    let matched = |end: usize| -> usize {
        let (before, now) = (history[..end].iter().rev(), history.iter().rev());
        before.zip(now).take(LONGEST_CONTEXT).take_while(|(then, now)| then == now).count()
    };
    let best = (1..history.len())
        .rev()
        .map(|end| (matched(end), end))
        .reduce(|best, other| if other.0 > best.0 { other } else { best });
    match best {
        Some((length, end)) if length > 0 => &history[end..],
        _ => &[],
    }
}

/// Uses of each page, in fixed point, each halved for every [`HALF_LIFE`] accesses since.
fn weighted_uses(history: &[PageNumber]) -> BTreeMap<PageNumber, u64> {
    let mut uses = BTreeMap::new();
    for (age, page) in (0u64..).zip(history.iter().rev()) {
        let halvings = (age / HALF_LIFE).min(63);
        *uses.entry(*page).or_insert(0) += (1u64 << 40) >> halvings;
    }
    uses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(history: &[u32], waiting: &[u32]) -> Vec<u32> {
        let pages = |numbers: &[u32]| numbers.iter().copied().map(PageNumber).collect::<Vec<_>>();
        order_by_need(&pages(history), pages(waiting)).iter().map(|page| page.0).collect()
    }

    #[test]
    fn a_loop_is_predicted_to_go_on() {
        let history = [3, 1, 4, 1, 5, 9, 2, 6, 3, 1, 4, 1, 5];
        assert_eq!(order(&history, &[9, 2, 6, 3, 4, 1, 5]), [9, 2, 6, 3, 1, 4, 5]);
    }

    #[test]
    fn without_a_pattern_frequent_pages_come_first_then_recent_ones() {
        assert_eq!(order(&[7, 7, 8, 9], &[1, 7, 8, 9]), [7, 9, 8, 1]);
        assert_eq!(order(&[], &[1, 2, 3]), [3, 2, 1]);
    }
}
