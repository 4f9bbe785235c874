//! Novelty: does the model quote its training text?
//!
//! `novelty_4`: share of 4-grams that do not occur in the natural training text. A narrowing model may quote more
//! (novelty falls) or drift away (it rises): the direction is unclear. Depends on the size of the training text, not on
//! n. Standard error: ratio estimator over documents.

use crate::documents::Documents;
use crate::measure::four_grams::hashes;
use crate::measure::uncertainty::mean_over;
use crate::measure::{
    CountedGeneration, Direction::Unclear, Estimate, Family::Form, MeasureError, Metric, MetricDefinition,
};

/// Share of 4-grams that the natural training text lacks.
pub(super) struct Novelty;

impl Metric for Novelty {
    fn definitions(&self) -> Vec<MetricDefinition> {
        vec![MetricDefinition::builtin(
            "novelty_4",
            "4-grams not in the training text",
            "share",
            Form,
            Unclear,
        )]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let inputs = generation.inputs();
        let Some(training) = inputs.natural_training.filter(|training| !training.is_empty()) else {
            return Ok(vec![None]);
        };
        let is_novel = |hash| if training.contains(hash) { 0.0 } else { 1.0 };
        let novel: Vec<f32> = hashes(inputs.synthetic).map(is_novel).collect();
        Ok(vec![mean_over(&novel, &ends_of_four_grams(inputs.synthetic), |_| true)])
    }

    fn why_missing(&self, _: &str, generation: &CountedGeneration) -> Option<String> {
        let training = generation.inputs().natural_training?;
        let why = if training.is_empty() {
            "no natural training document has four tokens"
        } else {
            "fewer than two synthetic documents have four tokens"
        };
        Some(why.to_owned())
    }
}

/// Where the 4-grams of each document end among the 4-grams of all documents.
fn ends_of_four_grams(documents: &Documents) -> Vec<usize> {
    let four_grams = documents.iter().map(|document| document.len().saturating_sub(3));
    four_grams
        .scan(0, |end, count| {
            *end += count;
            Some(*end)
        })
        .collect()
}
