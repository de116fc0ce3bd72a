//! Zipf-distributed accesses by an alias table in integers (Walker 1977, Vose 1991).

use super::random::{Purpose, WriteMix, below, stream};
use super::{Access, BATCH, Workload, WorkloadError};
use crate::spec::GuestSpec;
use chacha20::ChaCha8Rng;
use lazycopy_units::{Duration, PageNumber};
use rand::Rng;

/// Random words that one access takes: one chooses the column, one the page within it.
const WORDS_PER_ACCESS: u64 = 2;

#[derive(Clone, Copy)]
struct Column {
    /// Below it the column's own page is meant, else its alias; in units of 2^-32.
    threshold: u32,
    alias: u32,
}

pub(crate) struct Zipf {
    pages: u32,
    /// Empty where all pages are equally likely: then each column is its own page's alone.
    table: Vec<Column>,
    rng: ChaCha8Rng,
    think: Duration,
    writes: WriteMix,
}

impl Zipf {
    pub(crate) fn new(spec: &GuestSpec, exponent: f64, position: u64) -> Self {
        Zipf {
            pages: spec.pages,
            table: if exponent == 0.0 { Vec::new() } else { alias_table(spec.pages, exponent) },
            rng: stream(spec.seed, Purpose::Zipf, position * WORDS_PER_ACCESS),
            think: spec.think_time,
            writes: WriteMix::new(spec, position),
        }
    }
}

/// The table for `pages` pages, bit-identical everywhere: weights come from a software power
/// function, are made integers, and all the rest is integer arithmetic.
fn alias_table(pages: u32, exponent: f64) -> Vec<Column> {
    let weight = |page: u32| libm::pow(f64::from(page) + 1.0, -exponent);
    let weights: Vec<u128> =
        (0..pages).map(|page| (weight(page) * (1u64 << 52) as f64) as u128 + 1).collect();
    let total: u128 = weights.iter().sum();
    // Each column holds `total` units; a page has `weight * pages` of them to place.
    let mut units: Vec<u128> = weights.iter().map(|weight| weight * u128::from(pages)).collect();
    let mut table = vec![Column { threshold: u32::MAX, alias: 0 }; pages as usize];
    for (page, column) in table.iter_mut().enumerate() {
        column.alias = page as u32;
    }
    let (mut small, mut large): (Vec<u32>, Vec<u32>) =
        (0..pages).partition(|page| units[*page as usize] < total);
    while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
        let has = units[poor as usize];
        table[poor as usize] = Column {
            threshold: ((has << 32) / total).min(u128::from(u32::MAX)) as u32,
            alias: rich,
        };
        units[rich as usize] -= total - has;
        if units[rich as usize] < total { small.push(rich) } else { large.push(rich) }
    }
    table
}

impl Workload for Zipf {
    fn fill(&mut self, batch: &mut Vec<Access>) -> Result<(), WorkloadError> {
        for _ in 0..BATCH {
            let column = below(&mut self.rng, self.pages);
            let within = self.rng.next_u32();
            let page = match self.table.get(column as usize) {
                Some(Column { threshold, alias }) if within >= *threshold => *alias,
                _ => column,
            };
            let write = self.writes.next_write();
            batch.push(Access { think: self.think, page: PageNumber(page), write });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_exponent_each_column_is_its_own_pages_alone() {
        for (page, column) in alias_table(1_000, 0.0).iter().enumerate() {
            assert!(column.threshold == u32::MAX && column.alias == page as u32);
        }
    }

    #[test]
    fn pages_are_drawn_in_proportion_to_their_weights() {
        let table = alias_table(10, 1.0);
        let mut share = [0.0; 10];
        for (page, column) in table.iter().enumerate() {
            let own = f64::from(column.threshold) / 4_294_967_296.0;
            share[page] += own / 10.0;
            share[column.alias as usize] += (1.0 - own) / 10.0;
        }
        let harmonic: f64 = (1..=10).map(|k| 1.0 / f64::from(k)).sum();
        for (page, share) in share.iter().enumerate() {
            let expected = 1.0 / (page as f64 + 1.0) / harmonic;
            assert!((share - expected).abs() < 1e-6, "page {page}: {share} is not {expected}");
        }
    }
}
