//! Bins of token pairs, over which divergences of pairs are computed.

use super::counts::tally;
use super::grams::{bigrams, number};
use crate::documents::Documents;

/// A pair has a bin of its own if the reference contains it at least this often.
pub(super) const OWN_BIN: u32 = 10;

/// The bins of token pairs over which divergences are computed.
#[derive(Clone, Debug)]
pub(super) struct PairBins {
    /// Pairs with a bin of their own, sorted; bin i is that of pair i, and the bins of first tokens follow.
    pairs: Vec<u64>,
    /// Counts of the reference by bin.
    natural: Vec<u32>,
}

impl PairBins {
    /// Bins for the frequent pairs of `reference`, and for the other pairs by their first token.
    pub(super) fn new(reference: &Documents) -> Self {
        let (ids, mut pairs) = number(&bigrams(reference));
        let counts = tally(&ids, 0);
        let mut count = counts.iter();
        pairs.retain(|_| count.next().is_some_and(|&count| count >= OWN_BIN));
        let mut bins = Self { pairs, natural: Vec::new() };
        bins.natural = tally(&bins.of(reference), bins.pairs.len());
        bins
    }

    /// Counts of the reference by bin.
    pub(super) fn natural(&self) -> &[u32] {
        &self.natural
    }

    /// The bin of each pair of `documents`, in order.
    pub(super) fn of(&self, documents: &Documents) -> Vec<u32> {
        let bin = |pair: u64| match self.pairs.binary_search(&pair) {
            Ok(index) => index as u32,
            Err(_) => self.pairs.len() as u32 + (pair >> u32::BITS) as u32,
        };
        bigrams(documents).into_iter().map(bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1 2` occurs 10 times and has a bin of its own. `1 3` and `2 1` are in the bins of their first tokens.
    #[test]
    fn frequent_pairs_have_bins_and_others_share_those_of_their_first_token() {
        let mut reference: Documents = vec![&[1, 2][..]; 10].into_iter().collect();
        reference.push(&[1, 3]);
        reference.push(&[2, 1, 3]);
        let bins = PairBins::new(&reference);
        assert_eq!(bins.natural, [10, 0, 2, 1]);
        let other: Documents = [&[1, 2, 2, 1, 7][..], &[3]].into_iter().collect();
        assert_eq!(bins.of(&other), [0, 3, 3, 2]);
    }
}
