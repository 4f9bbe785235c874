//! Near copies across splits: documents that are nearly the same as one that models train on.
//!
//! Exact copies count once, but a text with a few words changed is another text, and its hash may put it in another split.
//! Near copies are found as those of selection are ([`near_duplicates`]): by the MinHash estimate of the Jaccard similarity
//! of their shingles.
//!
//! Signatures are costly, so they are only made of documents most of whose shingles occur in the other split at all.

use crate::documents::Documents;
use crate::selection::near_duplicates::{NearDuplicates, Signature, shingles};
use rayon::prelude::*;

/// Documents at least this similar are near copies, as in Lee et al. (2022).
const SIMILAR: f64 = 0.8;

/// A similarity of 0.8 requires that 80 % of the shingles occur in the other document. This much less allows for four
/// standard errors of the estimate.
const SHARED_SHINGLES: f64 = 0.65;

/// The number of documents of `split` of which `other` has a near copy.
pub(super) fn near_copies(split: &Documents, other: &Documents) -> u64 {
    let mut index = NearDuplicates::new(SIMILAR);
    let mut known: Vec<u64> = Vec::new();
    for document in split.iter() {
        index.insert(Signature::new(document));
        known.extend(shingles(document));
    }
    known.sort_unstable();
    known.dedup();
    let found: Vec<Vec<usize>> = (0..other.len())
        .into_par_iter()
        .map(|place| other.get(place))
        .filter(|document| {
            let (shared, all) = shingles(document).fold((0_u64, 0_u64), |(shared, all), shingle| {
                (shared + u64::from(known.binary_search(&shingle).is_ok()), all + 1)
            });
            shared as f64 >= SHARED_SHINGLES * all as f64
        })
        .map(|document| index.similar(&Signature::new(document)))
        .collect();
    let mut copied: Vec<usize> = found.concat();
    copied.sort_unstable();
    copied.dedup();
    copied.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::TokenId;

    /// 104 tokens have 100 shingles. Changing the last changes one: J = 99/101. Changing 40 gives J = 60/140.
    #[test]
    fn documents_with_a_nearly_equal_one_in_the_other_split_are_counted_once() {
        let text = |topic: TokenId| (0..104).map(|i| 1000 * topic + i).collect::<Vec<_>>();
        let changed = |topic: TokenId, changed: usize| {
            let mut text = text(topic);
            text[104 - changed..].iter_mut().for_each(|token| *token += 500);
            text
        };
        let documents = |texts: &[Vec<TokenId>]| texts.iter().map(Vec::as_slice).collect::<Documents>();
        let split = documents(&[text(1), text(2), text(3), text(4), vec![7, 8]]);
        let other = documents(&[changed(1, 1), changed(1, 2), text(2), changed(3, 40), vec![7, 9]]);
        assert_eq!(near_copies(&split, &other), 2);
        assert_eq!(near_copies(&Documents::new(), &other), 0);
        assert_eq!(near_copies(&split, &Documents::new()), 0);
    }
}
