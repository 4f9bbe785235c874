//! What the detector sees of a document: which n-grams it holds.

use crate::documents::{TokenId, hash};

/// Tokens of the longest n-gram.
const LONGEST: usize = 3;
const PLACE_BITS: u32 = 18;
/// Places that n-grams are hashed into.
pub(super) const PLACES: usize = 1 << PLACE_BITS;

/// A vector of length 1 with the same value in some places and 0 in all others.
pub(super) struct Features {
    /// Sorted, each once.
    places: Vec<u32>,
}

impl Features {
    /// The n-grams of a document, each counted once.
    pub(super) fn of(document: &[TokenId]) -> Self {
        let grams = (1..=LONGEST).flat_map(|tokens| document.windows(tokens));
        let mut places: Vec<u32> =
            grams.map(|gram| (hash(gram) >> (u64::BITS - PLACE_BITS)) as u32).collect();
        places.sort_unstable();
        places.dedup();
        Self { places }
    }

    /// The places that are not 0.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().map(|&place| place as usize)
    }

    /// The value in each of them: its square times their number is 1.
    pub(super) fn value(&self) -> f64 {
        1.0 / (self.places.len().max(1) as f64).sqrt()
    }

    /// The product with `weights`.
    pub(super) fn score(&self, weights: &[f64]) -> f64 {
        self.places().map(|place| weights[place]).sum::<f64>() * self.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1 2 1 2`: 1, 2, 12, 21, 121 and 212.
    #[test]
    fn a_document_is_the_set_of_its_n_grams() {
        let features = Features::of(&[1, 2, 1, 2]);
        assert_eq!(features.places().count(), 6);
        assert!((features.score(&vec![1.0; PLACES]) - 6.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Features::of(&[]).score(&vec![1.0; PLACES]), 0.0);
    }
}
