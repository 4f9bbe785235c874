//! *Loss band*: keep documents whose mean loss under the reference model lies between two bounds.
//!
//! Documents below the band are mostly repetitive; documents above it are garbled, or rare. Published perplexity
//! filters set one bound (Wenzek et al. 2020) or keep the middle of the distribution (Marion et al. 2023).
//!
//! **Pitfall.** The upper bound also removes correct but rare text: the tail that collapse removes first.

use super::{Candidate, Filter, Pilot, RuleNeeds, SelectionRule};
use crate::documents::{Documents, TokenId};
use crate::model::Scores;
use crate::seed::StreamKey;
use crate::settings::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keep documents whose mean loss under the reference model (generation 0) lies between these two losses, in nats per
/// token. The second may be `inf`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(with = "Vec<f64>", extend(
    "minItems" = 2,
    "maxItems" = 2,
    "items" = { "type": "number", "minimum": 0.0, "x-may-be-infinite": true },
    "x-hint" = "give two losses in nats per token, such as [1.0, 4.0]",
))]
pub struct LossBand(pub [f64; 2]);

impl SelectionRule for LossBand {
    fn name() -> &'static str {
        "loss_band"
    }

    fn check(&self) -> Result<(), SettingError> {
        let [least, greatest] = self.0;
        if least >= 0.0 && least < greatest {
            return Ok(());
        }
        let message = format!(
            "[{least}, {greatest}] is not a band; give two losses in nats per token, the smaller first, such as [1.0, 4.0] (0.0 or inf for an open end)"
        );
        Err(SettingError::new("", message))
    }

    fn needs(&self) -> RuleNeeds {
        RuleNeeds { losses: true, ..RuleNeeds::TOKENS }
    }

    fn start(&self, _: Option<&mut Pilot>, _: &StreamKey) -> Box<dyn Filter> {
        Box::new(*self)
    }
}

impl Filter for LossBand {
    fn filter(&mut self, group: &[Candidate], passing: &mut Vec<usize>) {
        passing.retain(|&index| holds(self.0, group[index].loss_nats));
    }
}

/// The mean loss of each document in nats per token; `None` for an empty document. `scores` has the log-probabilities
/// of the tokens of all documents, in order.
#[must_use]
pub fn mean_losses(documents: &Documents, scores: &Scores) -> Vec<Option<f64>> {
    let mut rest = scores.log_probabilities.as_slice();
    let mut mean = |document: &[TokenId]| {
        let (own, others) = rest.split_at(document.len());
        rest = others;
        let sum: f64 = own.iter().map(|&log_probability| f64::from(log_probability)).sum();
        (!own.is_empty()).then(|| -sum / own.len() as f64)
    };
    documents.iter().map(&mut mean).collect()
}

/// Whether a loss lies in the band, including its bounds. An unknown or NaN loss does not.
#[must_use]
pub fn holds([least, greatest]: [f64; 2], loss_nats: Option<f64>) -> bool {
    loss_nats.is_some_and(|loss| (least..=greatest).contains(&loss))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_the_mean_over_the_tokens_of_its_own_document() {
        let documents: Documents = [&[1, 2][..], &[], &[3]].into_iter().collect();
        let scores = Scores { log_probabilities: vec![-1.0, -2.0, -5.0], ..Scores::default() };
        assert_eq!(mean_losses(&documents, &scores), [Some(1.5), None, Some(5.0)]);
    }

    #[test]
    fn a_band_includes_its_bounds_and_may_be_open() {
        let inside = |band| [0.5, 1.0, 4.0, 4.5].map(|loss| holds(band, Some(loss)));
        assert_eq!(inside([1.0, 4.0]), [false, true, true, false]);
        assert_eq!(inside([1.0, f64::INFINITY]), [false, true, true, true]);
        assert!(!holds([0.0, f64::INFINITY], None));
        assert!(!holds([0.0, f64::INFINITY], Some(f64::NAN)));
    }
}
