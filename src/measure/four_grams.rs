//! The 4-grams of a text.

use crate::documents::{Documents, hash};
use rayon::prelude::*;

/// The set of 4-grams of a text, by 64-bit hash. (If two texts have a million 4-grams each, the chance that any 4-gram
/// of one is mistaken for one of the other is 1 in 10⁷.)
#[derive(Clone, Debug)]
pub struct FourGrams {
    /// Distinct hashes, sorted.
    hashes: Vec<u64>,
    /// `starts[b]` is the index of the first hash whose leading bits are b.
    starts: Vec<usize>,
    /// A hash is shifted right by this many bits to leave its leading bits.
    shift: u32,
}

impl FourGrams {
    /// The 4-grams within `documents`.
    #[must_use]
    pub fn new(documents: &Documents) -> Self {
        let mut hashes: Vec<u64> = hashes(documents).collect();
        hashes.par_sort_unstable();
        hashes.dedup();
        // One or two hashes per bucket on average, so that a look-up compares few of them.
        let bits = hashes.len().max(2).ilog2();
        let shift = u64::BITS - bits;
        let mut starts = vec![0; (1 << bits) + 1];
        for hash in &hashes {
            starts[(hash >> shift) as usize + 1] += 1;
        }
        for bucket in 1..starts.len() {
            starts[bucket] += starts[bucket - 1];
        }
        Self { hashes, starts, shift }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        let bucket = (hash >> self.shift) as usize;
        self.hashes[self.starts[bucket]..self.starts[bucket + 1]].contains(&hash)
    }
}

/// Hashes of the 4-grams within documents, in order.
pub(super) fn hashes(documents: &Documents) -> impl Iterator<Item = u64> {
    documents.iter().flat_map(|document| document.windows(4).map(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_contains_the_four_grams_of_its_text_and_no_others() {
        let text: Vec<u32> = (0..5000).map(|i| i * 7 % 1000).collect();
        let documents: Documents = text.chunks(50).collect();
        let index = FourGrams::new(&documents);
        assert!(hashes(&documents).all(|hash| index.contains(hash)));
        let other: Documents = [&[7, 14, 21, 29][..], &[0, 1, 2, 3], &[14, 7, 0, 7]].into_iter().collect();
        assert!(hashes(&other).all(|hash| !index.contains(hash)));
        let empty = FourGrams::new(&Documents::new());
        assert!(hashes(&documents).all(|hash| !empty.contains(hash)));
    }
}
