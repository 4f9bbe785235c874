//! Loss under generation 0: how probable is the text to the lineage's first model?
//!
//! `loss_under_generation_0`: mean loss of the synthetic text under the model of generation 0, in nats per token. Falls
//! when later models keep to what the first one considers probable. A mean, without bias from n. Standard error: ratio
//! estimator over documents.

use crate::measure::metrics::heldout::why_no_mean;
use crate::measure::{
    CountedGeneration, Direction::Down, Estimate, Family::Form, MeasureError, Metric, MetricDefinition,
};

/// Loss of the synthetic text under the model of generation 0.
pub(super) struct FirstModelLoss;

impl Metric for FirstModelLoss {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let id = "loss_under_generation_0";
        vec![MetricDefinition::builtin(id, "loss of the text under generation 0", "nats/token", Form, Down)]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let inputs = generation.inputs();
        let Some(scores) = inputs.synthetic_scores_0 else { return Ok(vec![None]) };
        let mean = Estimate::mean_over_tokens(inputs.synthetic, &scores.log_probabilities)?;
        Ok(vec![mean.map(|mean| mean.scaled(-1.0))])
    }

    fn why_missing(&self, _: &str, generation: &CountedGeneration) -> Option<String> {
        let scores = generation.inputs().synthetic_scores_0?;
        Some(why_no_mean(scores.log_probabilities.iter().copied(), "synthetic"))
    }
}
