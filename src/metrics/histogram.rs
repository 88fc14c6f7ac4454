//! A histogram of durations with fixed bounds, each twice the one before.

use serde::{Deserialize, Serialize};

/// The inclusive upper bounds of the buckets in milliseconds. The last bucket has no bound. Stored counts depend on this
/// list: a change needs a migration.
pub const BOUNDS_MS: [u64; 16] =
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768];

/// Number of buckets.
pub const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// How often durations fell into each bucket, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The sum of all durations in milliseconds.
    #[serde(rename = "m")]
    pub sum_ms: u64,
    /// The number of durations in each bucket, not cumulative.
    #[serde(rename = "b")]
    pub buckets: [u64; BUCKETS],
}

impl Histogram {
    /// Adds a duration.
    pub fn record(&mut self, milliseconds: u64) {
        let bucket = BOUNDS_MS.iter().position(|bound| milliseconds <= *bound).unwrap_or(BOUNDS_MS.len());
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum_ms = self.sum_ms.saturating_add(milliseconds);
    }

    /// Adds all durations of another histogram.
    pub fn add(&mut self, other: &Self) {
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        for (count, more) in self.buckets.iter_mut().zip(other.buckets) {
            *count = count.saturating_add(more);
        }
    }

    /// Returns the number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        for (milliseconds, bucket) in
            [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (32_768, 15), (32_769, 16), (u64::MAX, 16)]
        {
            let mut histogram = Histogram::default();
            histogram.record(milliseconds);
            let found = histogram.buckets.iter().position(|count| *count == 1);
            assert_eq!((found, histogram.sum_ms), (Some(bucket), milliseconds), "{milliseconds}");
        }
    }

    proptest! {
        /// A histogram of all durations is the sum of the histograms of any two parts.
        #[test]
        fn the_sum_of_parts_is_the_whole(durations in prop::collection::vec(0..100_000_u64, 0..60), split in 0..60_usize) {
            let of = |part: &[u64]| {
                let mut histogram = Histogram::default();
                for duration in part {
                    histogram.record(*duration);
                }
                histogram
            };
            let (one, other) = durations.split_at(split.min(durations.len()));
            let mut sum = of(one);
            sum.add(&of(other));
            prop_assert_eq!(sum, of(&durations));
            prop_assert_eq!(usize::try_from(sum.count()), Ok(durations.len()));
            prop_assert_eq!(sum.sum_ms, durations.iter().sum::<u64>());
        }
    }
}
