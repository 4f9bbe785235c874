//! *Loss band*: the mean loss of a document under the reference model, between two ends.
//!
//! Below the band lies what the model could have written asleep, repetition for the most part; above it what is
//! garbled, or rare. Perplexity filters cut at one end (Wenzek et al. 2020) or keep the middle (Marion et al. 2023).

use crate::documents::{Documents, TokenId};
use crate::model::Scores;

/// The mean loss of each document in nats per token, given the scores of all. None for an empty one.
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

/// Whether a loss lies in the band, its ends included. An unknown loss does not.
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
        let scores = Scores { log_probabilities: vec![-1.0, -2.0, -5.0], entropies: Vec::new() };
        assert_eq!(mean_losses(&documents, &scores), [Some(1.5), None, Some(5.0)]);
    }

    #[test]
    fn a_band_holds_its_ends_and_may_be_open() {
        let held = |band| [0.5, 1.0, 4.0, 4.5].map(|loss| holds(band, Some(loss)));
        assert_eq!(held([1.0, 4.0]), [false, true, true, false]);
        assert_eq!(held([1.0, f64::INFINITY]), [false, true, true, true]);
        assert!(!holds([0.0, f64::INFINITY], None));
        assert!(!holds([0.0, f64::INFINITY], Some(f64::NAN)));
    }
}
