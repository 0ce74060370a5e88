//! Randomness from a printed seed: the same seed chooses the same faults, keys and sizes again.

use std::ops::Range;
use std::time::Duration;

/// SplitMix64: small, and any seed is a good one.
///
/// Source: <https://prng.di.unimi.it/splitmix64.c>
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, with a sequence of its own.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, which must not be empty.
    pub(crate) fn of(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start).max(1)
    }

    /// An element of a list that is not empty.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let index = self.next() % list.len().max(1) as u64;
        &list[index as usize]
    }

    /// True this often in a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.of(0..100) < chance
    }

    /// A number of the range, small ones as likely as large ones: uniform in its logarithm.
    pub(crate) fn log(&mut self, range: Range<u64>) -> u64 {
        let (low, high) = ((range.start.max(1) as f64).ln(), (range.end as f64).ln());
        let share = self.next() as f64 / u64::MAX as f64;
        ((low + (high - low) * share).exp() as u64).clamp(range.start, range.end - 1)
    }

    /// A time of the range, in milliseconds.
    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.of(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_sequence_and_numbers_stay_in_range() {
        let (mut one, mut other) = (Rng::new(7), Rng::new(7));
        for _ in 0..1_000 {
            assert_eq!(one.next(), other.next());
            assert!((3..9).contains(&one.of(3..9)));
            assert!((16..65_536).contains(&one.log(16..65_536)));
            other.of(3..9);
            other.log(16..65_536);
        }
    }
}
