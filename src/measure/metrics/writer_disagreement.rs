//! Disagreement between writers: how differently do the models of a generation predict natural text?
//!
//! `writer_disagreement`: the mean over held-out tokens of `ln(Σ p_i / k) − Σ ln p_i / k`, with p_i the probability that
//! writer i of k gives the token; nats per token. It is the mean loss of the writers minus the loss of their mixture in
//! equal parts: the ambiguity term of Heskes (1998). Never negative, by Jensen's inequality, and 0 if all writers are the
//! same.
//!
//! Falls as the models of a population become alike, which says nothing about whether what they write narrows: so it has no
//! direction of narrowing. A mean over a fixed text, without bias from n. Standard error: ratio estimator over documents.
//! Only generations with several writers (`training.writers`) have it.

use crate::measure::metrics::heldout::why_no_mean;
use crate::measure::uncertainty::mean_over;
use crate::measure::{
    CountedGeneration, Direction::Unclear, Estimate, Family::HeldOut, MeasureError, Metric, MetricDefinition,
};

/// Disagreement between the writers of a generation about held-out text.
pub(super) struct WriterDisagreement;

impl Metric for WriterDisagreement {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let (id, label) = ("writer_disagreement", "disagreement between writers");
        vec![MetricDefinition::builtin(id, label, "nats/token", HeldOut, Unclear).on_fixed_text()]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let inputs = generation.inputs();
        let disagreements = &inputs.heldout_scores.disagreements;
        let is_group = !disagreements.is_empty();
        Ok(vec![
            is_group.then(|| mean_over(disagreements, &inputs.reference.heldout_ends, |_| true)).flatten(),
        ])
    }

    fn why_missing(&self, _: &str, generation: &CountedGeneration) -> Option<String> {
        let disagreements = &generation.inputs().heldout_scores.disagreements;
        (!disagreements.is_empty()).then(|| why_no_mean(disagreements.iter().copied(), "held-out"))
    }
}
