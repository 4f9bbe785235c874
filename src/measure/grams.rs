//! n-grams within documents, numbered by type.

use super::counts::TypeCounts;
use super::uncertainty::ends;
use crate::documents::Documents;
use rayon::prelude::*;

/// The n-grams of a text in order, each given by the number of its type. Types are numbered in the lexicographic order
/// of their tokens.
pub(super) struct Grams {
    order: usize,
    /// Type of each n-gram, document after document.
    pub(super) ids: Vec<u32>,
    /// Where the n-grams of each document end.
    pub(super) ends: Vec<usize>,
    /// The number of types.
    pub(super) types: usize,
}

impl Grams {
    /// 1-grams: the tokens themselves, with their own ids.
    pub(super) fn unigrams(documents: &Documents) -> Self {
        let ids = documents.flat().to_vec();
        let types = ids.iter().max().map_or(0, |&id| id as usize + 1);
        Self { order: 1, ids, ends: ends(documents), types }
    }

    /// The (n + 1)-grams of `documents`, which must be those that `self` was built from.
    pub(super) fn longer(&self, documents: &Documents) -> Self {
        let (keyed, ends) = self.extended(documents);
        let (ids, keys) = number(&keyed);
        Self { order: self.order + 1, ids, ends, types: keys.len() }
    }

    /// How often each type occurs.
    pub(super) fn counts(&self) -> TypeCounts {
        TypeCounts::new(&self.ids, self.types, self.ends.len())
    }

    /// For each (n + 1)-gram, one number that combines the type of its first n tokens with its last token; and where
    /// the (n + 1)-grams of each document end.
    fn extended(&self, documents: &Documents) -> (Vec<u64>, Vec<usize>) {
        let mut keys = Vec::with_capacity(self.ids.len());
        let mut ends = Vec::with_capacity(self.ends.len());
        let mut start = 0;
        for (document, &end) in documents.iter().zip(&self.ends) {
            let last_tokens = document.iter().skip(self.order);
            keys.extend(self.ids[start..end].iter().zip(last_tokens).map(|(&id, &token)| pair(id, token)));
            ends.push(keys.len());
            start = end;
        }
        (keys, ends)
    }
}

/// The pairs of adjacent tokens within documents, in order.
pub(super) fn bigrams(documents: &Documents) -> Vec<u64> {
    documents.iter().flat_map(|document| document.windows(2).map(|w| pair(w[0], w[1]))).collect()
}

fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// The rank of each key among the distinct keys, and the distinct keys in ascending order.
pub(super) fn number(keys: &[u64]) -> (Vec<u32>, Vec<u64>) {
    let mut indexed: Vec<(u64, u32)> = keys.iter().zip(0..).map(|(&key, index)| (key, index)).collect();
    indexed.par_sort_unstable();
    let mut ids = vec![0; keys.len()];
    let mut distinct = Vec::new();
    for run in indexed.chunk_by(|a, b| a.0 == b.0) {
        for &(_, index) in run {
            ids[index as usize] = distinct.len() as u32;
        }
        distinct.push(run[0].0);
    }
    (ids, distinct)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n_grams_stay_within_documents_and_equal_ones_share_a_number() {
        let documents: Documents = [&[1, 2, 1, 2][..], &[9], &[1, 2]].into_iter().collect();
        let bigrams = Grams::unigrams(&documents).longer(&documents);
        // Types in order: (1, 2), (2, 1).
        assert_eq!(bigrams.ids, [0, 1, 0, 0]);
        assert_eq!(bigrams.ends, [3, 3, 4]);
        assert_eq!(bigrams.types, 2);
        let trigrams = bigrams.longer(&documents);
        assert_eq!(trigrams.ids, [0, 1]);
        assert_eq!(trigrams.ends, [2, 2, 2]);
    }
}
