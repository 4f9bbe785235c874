//! Metrics of a text when nothing but the counts of its types is known.
//!
//! A simulated text (see [`crate::drift`]) consists of draws from known natural frequencies, those of the whole
//! reference text. It has no documents and no order, so only metrics that are functions of unigram counts can be
//! computed on it. The formulas are those for real text, with known quantities where real text needs estimates:
//!
//! - `hill_0`, `hill_1`, `hill_2`: by the formulas of `entropy`, unchanged;
//! - `tail_mass`: the tail types are those of real text, found in the first half of the reference; their mass is their
//!   frequency;
//! - `tail_coverage`: the number of tail types expected in natural text of m draws is `Σ_tail 1 − (1 − p)^m`. Every
//!   draw counts as a document, so the coverage of natural text is 1 in expectation here too. As for real text, m is n,
//!   or the size of the reference's second half if that is less.
//!
//! A type that the reference lacks has no frequency and is never drawn, so `hill_0` is lower than for real text.
//!
//! [`Unigrams::occurrences`] finds the types in held-out text, because the effect of a decoder on a type can only be
//! observed in context.

use super::Reference;
use super::counts::types_seen;
use super::metrics::entropy::{entropy, harmonic_numbers, hill_2};
use super::natural::{Natural, chance_of_being_drawn};
use super::words::{self, Vocabulary};
use crate::documents::{Documents, TokenId};
use crate::units::Tokens;
use std::ops::Range;

/// The types of natural text, tokens or words, and the metrics of a text drawn from them.
pub struct Unigrams<'a> {
    natural: &'a Natural,
    /// None where the types are tokens.
    vocabulary: Option<&'a Vocabulary>,
    /// 1 for tokens; for words, their number per token of natural text.
    per_token: f64,
    /// The size of a measured text in draws.
    measured: u64,
    /// Harmonic numbers below `measured`.
    harmonic: Vec<f64>,
    /// The ids of the tail types.
    tail: Vec<usize>,
    /// The sum of the counts of the tail types.
    tail_count: f64,
    /// The number of draws to which texts are rarefied for `tail_coverage`.
    compared: f64,
    /// The number of tail types expected in `compared` draws of natural text.
    expected: f64,
}

/// Held-out text, as tokens and decoded.
#[derive(Clone, Copy)]
pub struct Heldout<'a> {
    /// The tokens.
    pub documents: &'a Documents,
    /// The decoded documents, one string each.
    pub texts: &'a [String],
    /// The number of UTF-8 bytes of a token.
    pub byte_length: &'a (dyn Fn(TokenId) -> u64 + Sync),
}

/// One occurrence of a type in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The id of the type.
    pub id: u32,
    /// The positions of its tokens, in the order of [`Documents::flat`].
    pub tokens: Range<usize>,
}

impl Reference {
    /// The tokens of natural text and, if it has any, its words, for measuring texts of `measured` tokens.
    #[must_use]
    pub fn unigrams(&self, measured: Tokens) -> Vec<Unigrams<'_>> {
        let words = self.word_documents.tokens();
        let tokens = Unigrams::new(&self.tokens, None, 1.0, measured);
        let budget = words::budget(measured, self.reference_tokens, words);
        let per_token = words.0 as f64 / self.reference_tokens.0 as f64;
        let of_words = Unigrams::new(&self.words, Some(&self.vocabulary), per_token, budget);
        let is_measured = |unigrams: &Unigrams| match unigrams.vocabulary {
            Some(_) => words::why_not_counted(budget, budget).is_none(),
            None => unigrams.measured > 0,
        };
        [tokens, of_words].into_iter().filter(is_measured).collect()
    }
}

impl<'a> Unigrams<'a> {
    /// The metrics of tokens, in the order of [`measure`](Self::measure).
    const METRICS: [&'static str; 5] = ["tail_mass", "tail_coverage", "hill_0", "hill_1", "hill_2"];

    /// The same for words.
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

    /// The count of each type in the whole reference text, by type id.
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.natural.counts
    }

    /// The number of draws per token of natural text: 1 for tokens, less for words.
    #[must_use]
    pub fn per_token(&self) -> f64 {
        self.per_token
    }

    /// The size of a measured text in draws.
    #[must_use]
    pub fn measured(&self) -> u64 {
        self.measured
    }

    /// The ids of the metrics, in the order of [`measure`](Self::measure).
    #[must_use]
    pub fn metrics(&self) -> [&'static str; 5] {
        if self.vocabulary.is_some() { Self::METRICS_OF_WORDS } else { Self::METRICS }
    }

    /// Tail mass, tail coverage and the Hill numbers of a text of [`measured`](Self::measured) draws, given its counts by
    /// type id. None where a metric is undefined.
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

    /// All occurrences of these types in held-out text. The words of a document are left out if its text and its tokens
    /// have different numbers of bytes: the document was cut within a character, or the tokenizer does not work on
    /// bytes.
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
                let known = crate::words::indices(text);
                let known = known.filter_map(|(start, word)| Some((vocabulary.number(word)?, start, word)));
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
        let tokens = documents.flat().iter().enumerate().filter(|&(_, &id)| known(id));
        tokens.map(|(position, &id)| Occurrence { id, tokens: position..position + 1 }).collect()
    }
}

/// The tokens that share a byte with `bytes`, given where each token ends.
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

    /// A reference whose tokens are bytes and whose documents are `texts`.
    fn reference(texts: &[&str]) -> Reference {
        let documents: Vec<Vec<u32>> = texts.iter().map(|text| letters(text)).collect();
        let documents: Documents = documents.iter().map(Vec::as_slice).collect();
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Reference::new(&documents, &texts, &Documents::new(), &[]).unwrap()
    }

    /// First half: 99 `a`, one `b`, one `c`: the tail is `c` alone (`b` begins at 98.0 %, `c` at 99.0 %). Both halves:
    /// 197 `a`, 1 `b`, 3 `c`, 1 `d` of 202. Ten draws of natural text contain `c` with probability
    /// 1 − (199/202)^10.
    #[test]
    fn the_tail_of_counts_is_compared_with_exact_frequencies() {
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

    /// The tokens are ` ol`, `d`, an end token, ` dog`, `x` and ` dog`; the id of each is its length in bytes. "old"
    /// consists of the first two, and "dogx" is not a word of the reference.
    #[test]
    fn a_word_consists_of_the_tokens_that_share_a_byte_with_it() {
        let reference = reference(&["the old dog", "the old dog"]);
        // Three quarters of the 54 words that 200 tokens contain are enough to be counted.
        let unigrams = reference.unigrams(Tokens(200));
        let documents: Documents = [&[3, 1, 0][..], &[4, 1, 4]].into_iter().collect();
        let texts = [" old".to_owned(), " dogx dog".to_owned()];
        let heldout = Heldout { documents: &documents, texts: &texts, byte_length: &|id| u64::from(id) };
        // Ids in the order of spelling: dog, old, the.
        let expected = [Occurrence { id: 1, tokens: 0..2 }, Occurrence { id: 0, tokens: 5..6 }];
        assert_eq!(unigrams[1].occurrences(heldout), expected);
        let cut = Heldout { byte_length: &|_| 1, ..heldout };
        assert_eq!(unigrams[1].occurrences(cut), []);
    }
}
