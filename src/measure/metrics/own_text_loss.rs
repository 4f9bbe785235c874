//! Loss on own text: how surprised is the model by what it has just written?
//!
//! `loss_on_own_text`: `−Σ ln p / Σ tokens` of a model over text of its own generation, in nats per token. Held-out text
//! is natural; this is its synthetic counterpart, and the two are never mixed in one number: a model can lose natural
//! text while it predicts its own better and better, so a mean over both would hide the harm.
//!
//! Falls when a distribution narrows: with plain sampling its expectation is the entropy per token of what the model
//! writes. A decoder that prefers probable tokens lowers it at once, and text that another model or a command wrote
//! (`method = "external"`, a rephrased document's kept tokens) is not the model's own. It is a metric of form, not of
//! held-out text: alone, it says neither that a model is good nor that it is bad.
//!
//! The first documents of the measured text are scored, whole, until they have as many tokens as the held-out text; all
//! of them if the text is shorter ([`own_text_sample`]). A mean, without bias from n. Standard error: ratio estimator
//! over documents (Cochran 1977, §6.4).

use crate::documents::Documents;
use crate::measure::metrics::heldout::why_no_mean;
use crate::measure::uncertainty::{ends, mean_over};
use crate::measure::{
    CountedGeneration, Direction::Down, Estimate, Family::Form, MeasureError, Metric, MetricDefinition,
};
use crate::units::Tokens;

/// Loss of the generation's model on its own text.
pub(super) struct OwnTextLoss;

impl Metric for OwnTextLoss {
    fn definitions(&self) -> Vec<MetricDefinition> {
        vec![MetricDefinition::builtin("loss_on_own_text", "loss on own text", "nats/token", Form, Down)]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let inputs = generation.inputs();
        let Some(scores) = inputs.own_text_scores else { return Ok(vec![None]) };
        let scored = scores.log_probabilities.len();
        let ends: Vec<usize> = ends(inputs.synthetic).into_iter().take_while(|&end| end <= scored).collect();
        let mean = mean_over(&scores.log_probabilities, &ends, |_| true);
        Ok(vec![mean.map(|mean| mean.scaled(-1.0))])
    }

    fn why_missing(&self, _: &str, generation: &CountedGeneration) -> Option<String> {
        let scores = generation.inputs().own_text_scores?;
        Some(why_no_mean(scores.log_probabilities.iter().copied(), "synthetic"))
    }
}

/// The documents on which `loss_on_own_text` is computed: the first ones of `synthetic`, as few as have at least
/// `heldout` tokens; all of them if they have fewer.
#[must_use]
pub fn own_text_sample(synthetic: &Documents, heldout: Tokens) -> Documents {
    let before = |end: &&u64| **end < heldout.0;
    let documents = synthetic.ends().iter().take_while(before).count() + 1;
    synthetic.iter().take(documents).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_fewest_whole_documents_that_have_enough_tokens() {
        let text: Documents = [&[1, 2, 3][..], &[4, 5], &[6]].into_iter().collect();
        let documents = |heldout| own_text_sample(&text, Tokens(heldout)).len();
        assert_eq!([1, 3, 4, 5, 6, 99].map(documents), [1, 1, 2, 2, 3, 3]);
        assert_eq!(own_text_sample(&Documents::new(), Tokens(5)), Documents::new());
    }
}
