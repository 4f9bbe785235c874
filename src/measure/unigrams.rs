//! Texts that are nothing but counts of types: what would their metrics be?
//!
//! A simulated text (see [`crate::drift`]) is a number of draws from natural frequencies that are known: those of the
//! whole reference text. It has no documents and no order, so of all metrics only functions of unigram counts can be
//! taken on it. They are taken as on real text, with what is known put in the place of what has to be estimated there:
//!
//! - `hill_0`, `hill_1`, `hill_2`: by the formulas of `entropy`, without a change;
//! - `tail_mass`: the tail types are the same, by the first half of the reference; their mass is their frequency;
//! - `tail_coverage`: what is expected of natural text of m draws is `Σ_tail 1 − (1 − p)^m`, and every draw is a document
//!   of its own, so that natural text has 1 in expectation here too. m is n, or the size of the reference's second half
//!   if that is less, as on real text.
//!
//! A type that the reference lacks has no frequency and is never drawn, so that `hill_0` lies lower than on real text.
//!
//! Here, too, is where types stand in held-out text ([`Unigrams::occurrences`]): what a decoder does to a type can only be
//! seen where it stands.

use super::Reference;
use super::counts::types_seen;
use super::entropy::{entropy, harmonic_numbers, hill_2};
use super::natural::{Natural, chance_of_being_drawn};
use super::words::{self, Vocabulary};
use crate::documents::{Documents, TokenId};
use crate::units::Tokens;
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// The types of natural text, tokens or words, and what is measured of draws of them.
pub struct Unigrams<'a> {
    natural: &'a Natural,
    /// None where the types are tokens.
    vocabulary: Option<&'a Vocabulary>,
    /// Of these, how many there are for each token of natural text.
    per_token: f64,
    /// Draws that a measured text has.
    measured: u64,
    harmonic: Vec<f64>,
    tail: Vec<usize>,
    /// The count of all tail types.
    tail_count: f64,
    /// Draws at which tails are compared, and the tail types expected in as many natural ones.
    compared: f64,
    expected: f64,
}

/// Held-out text, as tokens and as it reads.
#[derive(Clone, Copy)]
pub struct Heldout<'a> {
    /// The tokens.
    pub documents: &'a Documents,
    /// A text per document.
    pub texts: &'a [String],
    /// The UTF-8 bytes that a token stands for.
    pub byte_length: &'a (dyn Fn(TokenId) -> u64 + Sync),
}

/// A type where it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Which type.
    pub id: u32,
    /// The tokens that write it, in the order of [`Documents::flat`].
    pub tokens: Range<usize>,
}

impl Reference {
    /// The tokens of natural text and, unless it has none, its words, to measure texts as long as `measured`.
    #[must_use]
    pub fn unigrams(&self, measured: Tokens) -> Vec<Unigrams<'_>> {
        let words = self.word_documents.tokens();
        let tokens = Unigrams::new(&self.tokens, None, 1.0, measured);
        let budget = words::budget(measured, self.reference_tokens, words);
        let per_token = words.0 as f64 / self.reference_tokens.0 as f64;
        let of_words = Unigrams::new(&self.words, Some(&self.vocabulary), per_token, budget);
        [tokens, of_words].into_iter().filter(|unigrams| unigrams.measured > 0).collect()
    }
}

impl<'a> Unigrams<'a> {
    /// What [`measure`](Self::measure) measures of tokens.
    const METRICS: [&'static str; 5] = ["tail_mass", "tail_coverage", "hill_0", "hill_1", "hill_2"];

    /// The same of words.
    const METRICS_OF_WORDS: [&'static str; 5] =
        ["tail_mass_words", "tail_coverage_words", "hill_0_words", "hill_1_words", "hill_2_words"];

    fn new(
        natural: &'a Natural,
        vocabulary: Option<&'a Vocabulary>,
        per_token: f64,
        measured: Tokens,
    ) -> Self {
        let tail = natural.tail();
        let compared = (measured.0 as f64).min(natural.second_size.tokens);
        let all: f64 = natural.counts.iter().map(|&count| f64::from(count)).sum();
        let found = |&id: &usize| -(compared * (-f64::from(natural.counts[id]) / all).ln_1p()).exp_m1();
        Self {
            vocabulary,
            per_token,
            measured: measured.0,
            harmonic: harmonic_numbers(measured.0),
            tail_count: tail.iter().map(|&id| f64::from(natural.counts[id])).sum(),
            expected: tail.iter().map(found).sum(),
            compared,
            tail,
            natural,
        }
    }

    /// Count by type in the whole reference text.
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.natural.counts
    }

    /// How many of these there are for each token of natural text.
    #[must_use]
    pub fn per_token(&self) -> f64 {
        self.per_token
    }

    /// How many of these a measured text has.
    #[must_use]
    pub fn measured(&self) -> u64 {
        self.measured
    }

    /// The ids of what is measured, in the order of [`measure`](Self::measure).
    #[must_use]
    pub fn metrics(&self) -> [&'static str; 5] {
        if self.vocabulary.is_some() { Self::METRICS_OF_WORDS } else { Self::METRICS }
    }

    /// Tail mass, tail coverage and the Hill numbers of a text of [`measured`](Self::measured) draws, given its counts
    /// (types). None where a metric has no answer.
    #[must_use]
    pub fn measure(&self, counts: &[u32]) -> [Option<f64>; 5] {
        let alive = self.tail.iter().filter(|&&id| counts[id] > 0);
        let alive_count: f64 = alive.map(|&id| f64::from(self.natural.counts[id])).sum();
        let n = self.measured;
        let rarefied = |&id: &usize| chance_of_being_drawn(counts[id], n as f64, self.compared);
        let found: f64 = self.tail.iter().map(rarefied).sum();
        [
            (self.tail_count > 0.0).then(|| alive_count / self.tail_count),
            (self.expected > 0.0).then(|| found / self.expected),
            Some(types_seen(counts) as f64),
            entropy(counts, n, &self.harmonic).map(f64::exp),
            hill_2(counts, n),
        ]
    }

    /// Where these types stand in held-out text. Types that the reference lacks are left out, and so are the words of a
    /// document whose bytes are not those of its tokens: one that was cut within a character, or whose tokenizer does
    /// not work on bytes.
    #[must_use]
    pub fn occurrences(&self, heldout: Heldout) -> Vec<Occurrence> {
        let Some(vocabulary) = self.vocabulary else { return self.tokens_of(heldout.documents) };
        let mut occurrences = Vec::new();
        let mut first = 0;
        for (document, text) in heldout.documents.iter().zip(heldout.texts) {
            let ends: Vec<usize> = document
                .iter()
                .scan(0, |end, &id| {
                    *end += (heldout.byte_length)(id) as usize;
                    Some(*end)
                })
                .collect();
            if ends.last() == Some(&text.len()) {
                let words = text.unicode_word_indices();
                let known = words.filter_map(|(start, word)| Some((vocabulary.number(word)?, start, word)));
                occurrences.extend(known.map(|(id, start, word)| {
                    let tokens = tokens_over(&ends, start..start + word.len());
                    Occurrence { id, tokens: first + tokens.start..first + tokens.end }
                }));
            }
            first += document.len();
        }
        occurrences
    }

    fn tokens_of(&self, documents: &Documents) -> Vec<Occurrence> {
        let known = |id: u32| self.natural.counts.get(id as usize).is_some_and(|&count| count > 0);
        let places = documents.flat().iter().enumerate().filter(|&(_, &id)| known(id));
        places.map(|(place, &id)| Occurrence { id, tokens: place..place + 1 }).collect()
    }
}

/// The tokens that share a byte with `bytes`, given where each ends.
fn tokens_over(ends: &[usize], bytes: Range<usize>) -> Range<usize> {
    let start = ends.partition_point(|&end| end <= bytes.start);
    let end = ends.partition_point(|&end| end < bytes.end) + 1;
    start..end.min(ends.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    /// A reference of bytes as tokens: `texts` of a document each.
    fn reference(texts: &[&str]) -> Reference {
        let documents: Vec<Vec<u32>> = texts.iter().map(|text| letters(text)).collect();
        let documents: Documents = documents.iter().map(Vec::as_slice).collect();
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Reference::new(&documents, &texts, &Documents::new(), &[]).unwrap()
    }

    /// First half: 99 `a`, one `b`, one `c`: the tail is `c` alone (`b` begins at 98.0 %, `c` at 99.0 %). Both halves:
    /// 197 `a`, 1 `b`, 3 `c`, 1 `d` of 202. Ten draws of natural text hold `c` with 1 − (199/202)^10.
    #[test]
    fn the_tail_of_counts_is_held_against_exact_frequencies() {
        let first = format!("{}bc", "a".repeat(99));
        let second = format!("{}ccd", "a".repeat(98));
        let reference = reference(&[&first, &second]);
        let unigrams = &reference.unigrams(Tokens(10))[0];
        let mut counts = vec![0; unigrams.counts().len()];
        (counts[97], counts[99]) = (9, 1);
        let [mass, coverage, types, _, simpson] = unigrams.measure(&counts);
        let expected = 1.0 - (199.0_f64 / 202.0).powi(10);
        assert_eq!((mass, types, simpson), (Some(1.0), Some(2.0), Some(90.0 / 72.0)));
        assert!((coverage.unwrap() - 1.0 / expected).abs() < 1e-12);
        (counts[97], counts[99]) = (10, 0);
        let [mass, coverage, types, first_order, _] = unigrams.measure(&counts);
        assert_eq!((mass, coverage, types), (Some(0.0), Some(0.0), Some(1.0)));
        assert!((first_order.unwrap() - 1.0).abs() < 1e-12);
    }

    /// Tokens ` ol`, `d`, ` dog`, `x`: "old" is written by the first two, "dogx" is no word of the reference.
    #[test]
    fn a_word_is_written_by_the_tokens_that_share_a_byte_with_it() {
        let reference = reference(&["the old dog", "the old dog"]);
        let unigrams = reference.unigrams(Tokens(22));
        let documents: Documents = [&[3, 1, 0][..], &[4, 1, 4]].into_iter().collect();
        let texts = [" old".to_owned(), " dogx dog".to_owned()];
        let heldout = Heldout { documents: &documents, texts: &texts, byte_length: &|id| u64::from(id) };
        // By spelling: dog, old, the.
        let expected = [Occurrence { id: 1, tokens: 0..2 }, Occurrence { id: 0, tokens: 5..6 }];
        assert_eq!(unigrams[1].occurrences(heldout), expected);
        let cut = Heldout { byte_length: &|_| 1, ..heldout };
        assert_eq!(unigrams[1].occurrences(cut), []);
    }
}
