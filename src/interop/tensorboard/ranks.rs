//! Histogram of the tokens of a text by the rank of their type.

use super::event::Histogram;
use crate::documents::Documents;
use std::collections::BTreeMap;

/// Width of a bucket in decades of rank. The same for all texts, so that their histograms can be compared.
const DECADES: f64 = 0.2;

/// The tokens of a text by the decimal logarithm of the rank of their type in this text.
pub fn histogram(documents: &Documents) -> Histogram {
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    documents.flat().iter().for_each(|&id| *counts.entry(id).or_default() += 1);
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let mut histogram = Histogram::default();
    for (index, count) in counts.into_iter().map(|count| count as f64).enumerate() {
        let log_rank = (index as f64 + 1.0).log10();
        let bucket = (log_rank / DECADES).ceil() as usize;
        while histogram.limits.len() <= bucket {
            histogram.limits.push(histogram.limits.len() as f64 * DECADES);
            histogram.counts.push(0.0);
        }
        histogram.counts[bucket] += count;
        histogram.max = log_rank;
        histogram.sum += count * log_rank;
        histogram.sum_squares += count * log_rank * log_rank;
    }
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks 1, 2, 3 of types that occur 4, 2 and 1 times: logarithms 0, 0.301 and 0.477, in the buckets that end at 0,
    /// 0.4 and 0.6.
    #[test]
    fn tokens_are_counted_by_the_rank_of_their_type() {
        let documents: Documents = [&[7, 7, 9, 7][..], &[7, 9, 3]].into_iter().collect();
        let found = histogram(&documents);
        assert_eq!(found.counts, [4.0, 0.0, 2.0, 1.0]);
        assert_eq!(found.limits.len(), 4);
        assert!((found.max - 3.0_f64.log10()).abs() < 1e-12 && found.min == 0.0);
        assert!((found.sum - (2.0 * 2.0_f64.log10() + 3.0_f64.log10())).abs() < 1e-12);
    }

    #[test]
    fn a_text_without_tokens_has_an_empty_histogram() {
        assert_eq!(histogram(&Documents::new()), Histogram::default());
    }
}
