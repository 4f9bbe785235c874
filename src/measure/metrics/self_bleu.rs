//! Self-BLEU: how much do documents resemble each other?
//!
//! `self_bleu` (Zhu et al. 2018, "Texygen"): the BLEU-4 of a document with the others of its group as references,
//! averaged over documents. `BLEU = exp(¼ Σ_{n=1..4} ln p_n)`, where p_n is the share of the document's n-grams that
//! occur in a reference, each at most as often as in the reference that has it most often (Papineni et al. 2002).
//! Where no n-gram of an order occurs, 0.1 is counted in place of 0 (method 1 of Chen and Cherry 2014, as in Texygen);
//! a document without any word in common has 0. Between 0 and 1; rises when a distribution narrows.
//!
//! A document is its opening of 25 words (`openings` says why), in words, as BLEU is defined for. All have the same
//! length, so the brevity penalty is always 1. The first openings of the text form groups of 32, at most 16 of them:
//! BLEU rises with the number of references, so it is the same for every text, and the cost is bounded. For the same
//! reason values cannot be compared with published ones, which use other numbers of references.
//!
//! No bias from n. Standard error: that of a mean over groups, which share no document. (Documents of a group are not
//! independent, because each is a reference of the others.)

use crate::measure::openings::{self, OPENING_WORDS};
use crate::measure::{
    CountedGeneration, Direction::Up, Estimate, Family::Form, MeasureError, Metric, MetricDefinition,
};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Documents in a group.
pub(in crate::measure) const GROUP: usize = 32;

/// The largest number of groups.
pub(in crate::measure) const MOST_GROUPS: usize = 16;

/// The longest n-grams that are compared.
const LONGEST: usize = 4;

/// Counted in place of 0 matches.
const INSTEAD_OF_NONE: f64 = 0.1;

/// Mean BLEU of documents against each other.
pub(super) struct SelfBleu;

impl Metric for SelfBleu {
    fn definitions(&self) -> Vec<MetricDefinition> {
        vec![MetricDefinition::builtin("self_bleu", "self-BLEU of documents' openings", "1", Form, Up)]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        Ok(vec![self_bleu(generation.inputs().synthetic_texts)])
    }

    fn why_missing(&self, _: &str, _: &CountedGeneration) -> Option<String> {
        Some(format!("fewer than {} documents have {OPENING_WORDS} words", 2 * GROUP))
    }
}

/// The mean over groups; `n` is the number of words.
fn self_bleu(texts: &[String]) -> Option<Estimate> {
    let openings = openings::of(texts);
    let groups: Vec<&[Vec<&str>]> = openings.chunks_exact(GROUP).take(MOST_GROUPS).collect();
    let mean = |group: &&[Vec<&str>]| (bleu_in_group(group).iter().sum::<f64>() / GROUP as f64, 1.0);
    let means: Vec<(f64, f64)> = groups.par_iter().map(mean).collect();
    Estimate::ratio(&means).map(|mean| mean.with_n((means.len() * GROUP * OPENING_WORDS) as u64))
}

/// The BLEU of each document with the others as references. All must have the same number of words, at least
/// [`LONGEST`].
fn bleu_in_group(documents: &[Vec<&str>]) -> Vec<f64> {
    let mut log_sums = vec![0.0; documents.len()];
    for order in 1..=LONGEST {
        for (log_sum, (document, matches)) in
            log_sums.iter_mut().zip(documents.iter().zip(matches(documents, order)))
        {
            let matches = match matches {
                0 if order == 1 => 0.0,
                0 => INSTEAD_OF_NONE,
                matches => f64::from(matches),
            };
            *log_sum += (matches / (document.len() + 1 - order) as f64).ln();
        }
    }
    log_sums.into_iter().map(|log_sum: f64| (log_sum / LONGEST as f64).exp()).collect()
}

/// For each document, the number of its n-grams that occur in another one, each at most as often as in the other that
/// has it most often.
fn matches(documents: &[Vec<&str>], order: usize) -> Vec<u32> {
    let counts: Vec<BTreeMap<&[&str], u32>> = documents.iter().map(|words| counts(words, order)).collect();
    // The two largest counts in any document: that of the others is the first, or the second for the document that
    // has the first.
    let mut largest: BTreeMap<&[&str], [u32; 2]> = BTreeMap::new();
    for (&gram, &count) in counts.iter().flatten() {
        let [first, second] = largest.entry(gram).or_default();
        *second = (*second).max(count.min(*first));
        *first = (*first).max(count);
    }
    let in_others = |(gram, &count): (&&[&str], &u32)| {
        let [first, second] = largest[gram];
        count.min(if count == first { second } else { first })
    };
    counts.iter().map(|counts| counts.iter().map(in_others).sum()).collect()
}

fn counts<'a>(words: &'a [&'a str], order: usize) -> BTreeMap<&'a [&'a str], u32> {
    let mut counts = BTreeMap::new();
    for gram in words.windows(order) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bleu(documents: &[&str]) -> Vec<f64> {
        let documents: Vec<Vec<&str>> =
            documents.iter().map(|document| document.split(' ').collect()).collect();
        bleu_in_group(&documents)
    }

    /// `a a a b c` against `a a b c d`: 4 of 5 words (two of three a), 3 of 4 pairs (a a once, a b, b c), 2 of 3
    /// (a a b, a b c), 1 of 2 (a a b c). The other way round as many, because the lengths are equal.
    #[test]
    fn the_bleu_of_two_short_documents_equals_the_value_computed_by_hand() {
        let by_hand = (4.0 / 5.0 * 3.0 / 4.0 * 2.0 / 3.0 * 1.0 / 2.0_f64).powf(0.25);
        for found in bleu(&["a a a b c", "a a b c d"]) {
            assert!((found - by_hand).abs() < 1e-12, "{found}, {by_hand}");
        }
    }

    /// Printed by nltk 3.10.4: `sentence_bleu(others, document, smoothing_function=SmoothingFunction().method1)` of
    /// `nltk.translate.bleu_score`, for each document split at spaces.
    #[test]
    fn bleu_agrees_with_nltk() {
        let documents = [
            "the cat sat on the mat and then the dog sat on the mat",
            "the dog sat on the rug and then a cat ran to the mat",
            "a bird in the hand is worth two birds in the old green bush",
            "then the cat ran and the cat ran and the cat ran and slept",
        ];
        let by_nltk = [
            0.375_966_352_946_701_7,
            0.380_580_300_167_494_56,
            0.018_798_317_647_335_087,
            0.054_374_276_822_275_21,
        ];
        for (found, expected) in bleu(&documents).into_iter().zip(by_nltk) {
            assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
        }
    }

    /// 40 documents make one group, whose spread nothing shows; 64 make two, and 70 too. In the second group all
    /// documents are copies; in the first no two have a word in common.
    #[test]
    fn the_mean_is_over_whole_groups_of_32_documents() {
        let different = (0..32).map(|document| (0..25).map(|word| format!("w{document}x{word} ")).collect());
        let copies = std::iter::repeat_n("one two three four five ".repeat(6), 38);
        let texts: Vec<String> = different.chain(copies).collect();
        assert_eq!(self_bleu(&texts[..40]), None);
        let estimate = self_bleu(&texts).unwrap();
        assert_eq!(self_bleu(&texts[..64]), Some(estimate));
        assert!(
            (estimate.value - 0.5).abs() < 1e-12 && (estimate.std_err - 0.5).abs() < 1e-12,
            "{estimate:?}"
        );
        assert_eq!(estimate.n, 2 * 32 * 25);
    }

    #[test]
    fn copies_have_a_self_bleu_of_1_and_documents_without_a_common_word_of_0() {
        assert_eq!(bleu(&["a b c d e"; 3]), [1.0; 3]);
        assert_eq!(bleu(&["a b c d e", "f g h i j"]), [0.0; 2]);
    }
}
