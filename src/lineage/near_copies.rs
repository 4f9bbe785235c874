//! Counts near copies across splits: documents of one split that are nearly the same as a document of the split that
//! models train on.
//!
//! Exact copies count once, but a text with a few words changed is another text, and its hash may put it in another
//! split. Near copies are found in the same way as in selection ([`near_duplicates`]): by the MinHash estimate of the
//! Jaccard similarity of their shingles. The shingles are of normalised words, so that case and white space make no
//! difference. A document that is part of a much longer one, as a chapter of a book, has little in common with the whole of
//! it; so a document is also a near copy if one document of the other split has most of its shingles.
//!
//! Signatures are costly, so they are only computed for documents that have most of their shingles in common with the
//! split as a whole.

use crate::documents::{Documents, TokenId, hash_of};
use crate::selection::{NearDuplicates, Signature, shingles};
use rayon::prelude::*;
use std::collections::BTreeMap;
use unicode_segmentation::UnicodeSegmentation;

/// Documents at least this similar are near copies, as in Lee et al. (2022).
const SIMILAR: f64 = 0.8;

/// A similarity of 0.8 requires that 80 % of the shingles occur in the other document. The threshold is lower, to allow
/// for four standard errors of the estimate.
const SHARED_SHINGLES: f64 = 0.65;

/// Shingles that more documents of a split share are phrases rather than marks of a document, and do not show that one is
/// part of another.
const MOST_SHARERS: usize = 8;

/// A document with fewer marks is not looked for in longer ones.
const LEAST_MARKS: u32 = 20;

/// The normalised words of each text: its segments in lower case, without white space. Each word is represented by 32 bits
/// of its hash.
pub(super) fn normalised<T: AsRef<str> + Sync>(texts: &[T]) -> Documents {
    let of_text = |text: &T| -> Vec<TokenId> {
        let segments = text.as_ref().split_word_bounds().filter(|segment| !segment.trim().is_empty());
        let letters = |segment| str::chars(segment).flat_map(char::to_lowercase).map(u32::from);
        segments.map(|segment| hash_of(letters(segment)) as TokenId).collect()
    };
    let all: Vec<Vec<TokenId>> = texts.par_iter().map(of_text).collect();
    all.iter().collect()
}

/// Looks for near copies of the documents of a split.
pub(super) struct NearCopies {
    /// Number of documents of the split.
    documents: usize,
    known: KnownShingles,
    marks: Marks,
    /// The documents without a near copy so far, with their positions. They alone are looked for, so that text in which
    /// everything resembles everything else takes no longer than other text.
    open: Vec<(usize, Signature)>,
    /// The signatures of `open`.
    index: NearDuplicates,
}

impl NearCopies {
    /// Starts with the documents of a split, [`normalised`].
    pub(super) fn of(split: &Documents) -> Self {
        let signature = |position| (position, Signature::new(split.get(position)));
        let open: Vec<(usize, Signature)> = (0..split.len()).into_par_iter().map(signature).collect();
        Self {
            documents: split.len(),
            known: KnownShingles::of(split),
            marks: Marks::of(split),
            index: index_of(&open),
            open,
        }
    }

    /// Looks for near copies among some [`normalised`] documents of another split.
    pub(super) fn look_in(&mut self, other: &Documents) {
        /// After as many documents, those that were found are no longer looked for.
        const TOGETHER: usize = 1024;
        for first in (0..other.len()).step_by(TOGETHER) {
            let places = first..(first + TOGETHER).min(other.len());
            let found = places.into_par_iter().flat_map_iter(|place| self.found_in(other.get(place)));
            let found = distinct(found.collect::<Vec<usize>>());
            let before = self.open.len();
            self.open.retain(|(position, _)| found.binary_search(position).is_err());
            if self.open.len() < before {
                self.index = index_of(&self.open);
            }
        }
    }

    /// The number of documents with a near copy.
    pub(super) fn count(&self) -> u64 {
        (self.documents - self.open.len()) as u64
    }

    /// The positions of the documents of which `document` is a near copy, or which are part of it.
    fn found_in(&self, document: &[TokenId]) -> Vec<usize> {
        let all = shingles(document).count();
        let shared: Vec<u64> = shingles(document).filter(|&shingle| self.known.contain(shingle)).collect();
        let is_similar = shared.len() as f64 >= SHARED_SHINGLES * all as f64;
        let mut found = self.marks.parts_with(distinct(shared));
        if is_similar {
            let places = self.index.similar(&Signature::new(document));
            found.extend(places.into_iter().map(|place| self.open[place].0));
        }
        found
    }
}

fn index_of(open: &[(usize, Signature)]) -> NearDuplicates {
    let mut index = NearDuplicates::new(SIMILAR);
    open.iter().for_each(|(_, signature)| index.insert(signature.clone()));
    index
}

fn distinct<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort_unstable();
    all.dedup();
    all
}

/// The shingles of all documents of a split.
struct KnownShingles {
    /// The hashes of the shingles, sorted.
    hashes: Vec<u64>,
    /// The bits at the places of all hashes are set, and few others. Most hashes that are looked for are not known, and one
    /// bit tells.
    filter: Vec<u64>,
}

impl KnownShingles {
    fn of(documents: &Documents) -> Self {
        /// With this many bits for each hash, one in 16 unknown hashes finds its bit set.
        const BITS_PER_HASH: usize = 16;
        let hashes = distinct(documents.iter().flat_map(shingles).collect::<Vec<u64>>());
        let words = (hashes.len() * BITS_PER_HASH / 64 + 1).next_power_of_two();
        let mut known = Self { filter: vec![0; words], hashes };
        for &hash in &known.hashes {
            known.filter[hash as usize / 64 % words] |= 1 << (hash % 64);
        }
        known
    }

    fn contain(&self, hash: u64) -> bool {
        let word = self.filter[hash as usize / 64 % self.filter.len()];
        word >> (hash % 64) & 1 == 1 && self.hashes.binary_search(&hash).is_ok()
    }
}

/// The shingles by which documents of a split are recognised in longer documents.
struct Marks {
    /// Shingles and the positions of the documents that have them, sorted.
    places: Vec<(u64, u32)>,
    /// Number of marks of each document.
    counts: Vec<u32>,
}

impl Marks {
    fn of(split: &Documents) -> Self {
        let of_document = |(position, document)| shingles(document).map(move |shingle| (shingle, position));
        let all = distinct((0..).zip(split.iter()).flat_map(of_document).collect::<Vec<_>>());
        let by_shingle = all.chunk_by(|a, b| a.0 == b.0);
        let places: Vec<(u64, u32)> =
            by_shingle.filter(|sharers| sharers.len() <= MOST_SHARERS).flatten().copied().collect();
        let mut counts = vec![0; split.len()];
        places.iter().for_each(|&(_, position)| counts[position as usize] += 1);
        Self { places, counts }
    }

    /// Positions of the documents that have most of their marks among `shingles`.
    fn parts_with(&self, shingles: Vec<u64>) -> Vec<usize> {
        let mut found: BTreeMap<u32, u32> = BTreeMap::new();
        for shingle in shingles {
            for &(_, position) in sharers(&self.places, shingle) {
                *found.entry(position).or_default() += 1;
            }
        }
        let is_part = |position: u32, marks: u32| {
            let all = self.counts[position as usize];
            all >= LEAST_MARKS && f64::from(marks) >= SIMILAR * f64::from(all)
        };
        found.into_iter().filter(|&(at, marks)| is_part(at, marks)).map(|(at, _)| at as usize).collect()
    }
}

/// The part of `places` with a shingle.
fn sharers(places: &[(u64, u32)], shingle: u64) -> &[(u64, u32)] {
    let start = places.partition_point(|place| place.0 < shingle);
    let length = places[start..].iter().take_while(|place| place.0 == shingle).count();
    &places[start..start + length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    /// The number of documents in `split` that have a near copy in `other`, which is looked at in two parts.
    fn near_copies(split: &Documents, other: &Documents) -> u64 {
        let mut near = NearCopies::of(split);
        let half = other.len() / 2;
        near.look_in(&other.iter().take(half).collect());
        near.look_in(&other.iter().skip(half).collect());
        near.count()
    }

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

    /// A document of 40 words has 36 shingles, all of which are in a document that contains it. With 12 words changed in the
    /// middle, 16 shingles are others.
    #[test]
    fn a_document_that_is_part_of_a_long_one_is_a_near_copy() {
        let documents = |texts: &[Vec<TokenId>]| texts.iter().map(Vec::as_slice).collect::<Documents>();
        let book: Vec<TokenId> = (0..2000).collect();
        let mut changed = book[500..540].to_vec();
        changed[14..26].fill(9999);
        let short = book[700..712].to_vec();
        let split = documents(&[book[100..140].to_vec(), changed, short, (3000..3040).collect()]);
        assert_eq!(near_copies(&split, &documents(&[book])), 1);
    }

    /// Every document has the same 60 words and 30 of its own.
    #[test]
    fn common_phrases_make_no_near_copies() {
        let text =
            |topic: TokenId| (0..60).chain((0..30).map(|i| 1000 * topic + i)).collect::<Vec<TokenId>>();
        let documents = |topics: Range<TokenId>| {
            let texts: Vec<Vec<TokenId>> = topics.map(text).collect();
            texts.iter().map(Vec::as_slice).collect::<Documents>()
        };
        assert_eq!(near_copies(&documents(1..20), &documents(20..200)), 0);
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
