//! Counts near copies across splits: documents of one split that are nearly the same as a document of the split that
//! models train on.
//!
//! Exact copies count once, but a text with a few words changed is another text, and its hash may put it in another
//! split. Near copies are found in the same way as in selection ([`near_duplicates`]): by the MinHash estimate of the
//! Jaccard similarity of their shingles. The shingles are of normalised words, so that case and white space make no
//! difference.
//!
//! Signatures are costly, so they are only computed for documents that have most of their shingles in common with the
//! other split as a whole.

use crate::documents::{Documents, TokenId, hash};
use crate::selection::{NearDuplicates, Signature, shingles};
use rayon::prelude::*;
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// Documents at least this similar are near copies, as in Lee et al. (2022).
const SIMILAR: f64 = 0.8;

/// A similarity of 0.8 requires that 80 % of the shingles occur in the other document. The threshold is lower, to allow
/// for four standard errors of the estimate.
const SHARED_SHINGLES: f64 = 0.65;

/// Number of documents per batch. After each batch, the documents that were found to have a near copy are left out of
/// further comparisons, so that text in which everything resembles everything else takes no longer than other text.
const BATCH: usize = 1024;

/// The normalised words of each text: its segments in lower case, without white space. Each word is represented by 32 bits
/// of its hash.
pub(super) fn normalised(texts: &[String]) -> Documents {
    let of_text = |text: &String| -> Vec<TokenId> {
        let segments = text.split_word_bounds().filter(|segment| !segment.trim().is_empty());
        let hash = |segment: &str| {
            let letters: Vec<u32> = segment.chars().flat_map(char::to_lowercase).map(u32::from).collect();
            hash(&letters) as TokenId
        };
        segments.map(hash).collect()
    };
    let all: Vec<Vec<TokenId>> = texts.par_iter().map(of_text).collect();
    all.iter().map(Vec::as_slice).collect()
}

/// The number of documents in `split` that have a near copy in `other`. Both are [`normalised`].
pub(super) fn near_copies(split: &Documents, other: &Documents) -> u64 {
    let known = known_shingles(split);
    let mut open: Vec<Signature> =
        (0..split.len()).into_par_iter().map(|index| Signature::new(split.get(index))).collect();
    let mut index = index_of(&open);
    for first in (0..other.len()).step_by(BATCH) {
        let found = found_in(&index, &known, other, first..(first + BATCH).min(other.len()));
        if !found.is_empty() {
            let mut position = 0..;
            open.retain(|_| position.next().is_none_or(|position| found.binary_search(&position).is_err()));
            index = index_of(&open);
        }
    }
    (split.len() - open.len()) as u64
}

/// The hashes of all shingles, sorted.
fn known_shingles(documents: &Documents) -> Vec<u64> {
    let mut known: Vec<u64> = documents.iter().flat_map(shingles).collect();
    known.sort_unstable();
    known.dedup();
    known
}

fn index_of(signatures: &[Signature]) -> NearDuplicates {
    let mut index = NearDuplicates::new(SIMILAR);
    signatures.iter().for_each(|signature| index.insert(signature.clone()));
    index
}

/// The positions in `index` of the documents that have a near copy among the documents `range` of `other`, sorted.
fn found_in(index: &NearDuplicates, known: &[u64], other: &Documents, range: Range<usize>) -> Vec<usize> {
    let mut found: Vec<usize> = range
        .into_par_iter()
        .map(|position| other.get(position))
        .filter(|document| shares_shingles(document, known))
        .flat_map_iter(|document| index.similar(&Signature::new(document)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn shares_shingles(document: &[TokenId], known: &[u64]) -> bool {
    let all = shingles(document).count();
    let shared = shingles(document).filter(|shingle| known.binary_search(shingle).is_ok()).count();
    shared as f64 >= SHARED_SHINGLES * all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_white_space_make_no_difference() {
        let text = |text: &str| normalised(&[text.to_owned()]);
        let one = text("The Old DOG sees the moon, again.");
        for copy in ["the old dog  sees the\nmoon , again .", "THE OLD DOG SEES THE MOON,\tAGAIN.\n"] {
            assert_eq!(text(copy), one);
            assert_eq!(near_copies(&text(copy), &one), 1);
        }
        for other in ["The old dog sees the sun, again.", "3 + 4", "3 - 4", "你好", "!", "?"] {
            assert_eq!(near_copies(&text(other), &one), 0);
        }
        assert_eq!(near_copies(&text("3 + 4"), &text("3 - 4")), 0);
        assert_eq!(near_copies(&text("!"), &text("?")), 0);
    }

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
