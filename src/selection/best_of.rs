//! *Best of k*: of k candidates for one slot, keep the one with the highest mean log-probability per token under the
//! reference model. This is best-of-n sampling (Stiennon et al. 2020) with a language model as the scorer.
//!
//! All candidates of a slot continue the same prompt, so the choice is between continuations and not between prompts.

use super::{Candidate, Filter, Pilot, RuleNeeds, SelectionRule};
use crate::seed::StreamKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Write this many candidates for each document of the corpus, and keep the one that the reference model (generation 0)
/// finds most probable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minimum" = 2, "maximum" = 64))]
pub struct BestOf(pub usize);

impl SelectionRule for BestOf {
    fn name() -> &'static str {
        "best_of"
    }

    fn needs(&self) -> RuleNeeds {
        RuleNeeds { candidates: self.0, losses: true, ..RuleNeeds::TOKENS }
    }

    fn start(&self, _: Option<&mut Pilot>, _: &StreamKey) -> Box<dyn Filter> {
        Box::new(*self)
    }
}

impl Filter for BestOf {
    fn filter(&mut self, group: &[Candidate], passing: &mut Vec<usize>) {
        let best = least_loss(passing.iter().map(|&index| group[index].loss_nats));
        *passing = best.map(|index| passing[index]).into_iter().collect();
    }
}

/// The index of the lowest loss, or of the first if several are equal. `None` elements count as higher than every loss.
/// Returns `None` if `losses` is empty.
#[must_use]
pub fn least_loss(losses: impl IntoIterator<Item = Option<f64>>) -> Option<usize> {
    let least = losses.into_iter().enumerate().min_by(|(_, a), (_, b)| match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    });
    least.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_candidate_is_chosen_and_the_first_of_equals() {
        assert_eq!(least_loss([Some(2.0), Some(1.0), Some(1.0), Some(3.0)]), Some(1));
        assert_eq!(least_loss([None, Some(9.0)]), Some(1));
        assert_eq!(least_loss([None, None]), Some(0));
        assert_eq!(least_loss([]), None);
    }
}
