//! Features of the detector: the set of a document's n-grams, hashed.

use crate::documents::{TokenId, hash};

/// Number of tokens in the longest n-gram.
const LONGEST: usize = 3;
const BUCKET_BITS: u32 = 18;
/// Number of buckets that n-grams are hashed into, which is the dimension of the feature vector.
pub(super) const BUCKETS: usize = 1 << BUCKET_BITS;

/// A vector of Euclidean length 1, with the same value in some buckets and 0 in all others.
pub(super) struct Features {
    /// In ascending order, without duplicates.
    buckets: Vec<u32>,
}

impl Features {
    /// The features of a document. They depend on which n-grams occur, not on how often.
    pub(super) fn of(document: &[TokenId]) -> Self {
        let grams = (1..=LONGEST).flat_map(|tokens| document.windows(tokens));
        let mut buckets: Vec<u32> =
            grams.map(|gram| (hash(gram) >> (u64::BITS - BUCKET_BITS)) as u32).collect();
        buckets.sort_unstable();
        buckets.dedup();
        Self { buckets }
    }

    /// The buckets whose value is not 0.
    pub(super) fn buckets(&self) -> impl Iterator<Item = usize> + '_ {
        self.buckets.iter().map(|&bucket| bucket as usize)
    }

    /// The value of each bucket in [`buckets`](Self::buckets): one over the square root of their number.
    pub(super) fn value(&self) -> f64 {
        1.0 / (self.buckets.len().max(1) as f64).sqrt()
    }

    /// The dot product with `weights`, which has [`BUCKETS`] entries.
    pub(super) fn score(&self, weights: &[f64]) -> f64 {
        self.buckets().map(|bucket| weights[bucket]).sum::<f64>() * self.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document `1 2 1 2` has the n-grams 1, 2, 12, 21, 121 and 212.
    #[test]
    fn a_document_is_the_set_of_its_n_grams() {
        let features = Features::of(&[1, 2, 1, 2]);
        assert_eq!(features.buckets().count(), 6);
        assert!((features.score(&vec![1.0; BUCKETS]) - 6.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Features::of(&[]).score(&vec![1.0; BUCKETS]), 0.0);
    }
}
