//! Type–token ratio: how many different words does a document use?
//!
//! `type_token_ratio`: distinct words divided by words in the opening of a document, which is its first 25 words
//! (`openings` says why), averaged over all documents that are as long. Falls when a distribution narrows, and where
//! documents go round in circles. Unlike `distinct_1`, which looks at all documents together, it does not see that
//! documents resemble each other (`self_bleu` does), and it depends neither on n nor on the length of documents.
//!
//! Words, with their case, in place of tokens. A mean over documents, without bias. Standard error: that of a mean
//! over documents (the ratio estimator, with equally many words in each). Source: Johnson (1944), whose mean segmental
//! ratio also takes equally many words at a time, because the ratio falls with the length of a text.

use crate::measure::openings::{self, OPENING_WORDS};
use crate::measure::{
    CountedGeneration, Direction::Down, Estimate, Family::Form, MeasureError, Metric, MetricDefinition,
};
use std::collections::BTreeSet;

/// Mean share of distinct words in the openings of documents.
pub(super) struct TypeTokenRatio;

impl Metric for TypeTokenRatio {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let label = "distinct words of a document's opening";
        vec![MetricDefinition::builtin("type_token_ratio", label, "share", Form, Down)]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        Ok(vec![mean_ratio(generation.inputs().synthetic_texts)])
    }

    fn why_missing(&self, _: &str, _: &CountedGeneration) -> Option<String> {
        Some(format!("fewer than two documents have {OPENING_WORDS} words"))
    }
}

/// `n` is the number of words.
fn mean_ratio(texts: &[String]) -> Option<Estimate> {
    let distinct = |opening: &Vec<&str>| opening.iter().collect::<BTreeSet<_>>().len() as f64;
    let documents: Vec<(f64, f64)> =
        openings::of(texts).iter().map(|opening| (distinct(opening), OPENING_WORDS as f64)).collect();
    Estimate::ratio(&documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ratios of 1/25 and 5/25; 24 words are too few. Their mean is 3/25; the standard error of a mean of two is half of
    /// their difference, 2/25.
    #[test]
    fn the_ratio_is_a_mean_over_documents_of_at_least_25_words() {
        let same = "again ".repeat(40);
        let circle = "one two three four five ".repeat(5);
        let estimate = mean_ratio(&[same, circle, "other ".repeat(24)]).unwrap();
        assert!((estimate.value - 0.12).abs() < 1e-12, "{estimate:?}");
        assert!((estimate.std_err - 0.08).abs() < 1e-12, "{estimate:?}");
        assert_eq!(estimate.n, 50);
    }

    #[test]
    fn one_long_document_has_no_ratio() {
        assert_eq!(mean_ratio(&["again ".repeat(40), "again ".repeat(3)]), None);
    }
}
