//! *Repetition*: the share of a document's 4-grams that occurred earlier in the same document (seq-rep-4 of Welleck et
//! al. 2020). The metric `repetition` is its mean over documents.

use super::{Candidate, Filter, Pilot, RuleNeeds, SelectionRule};
use crate::documents::TokenId;
use crate::seed::StreamKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Keep documents of which at most this share of 4-grams repeats an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minimum" = 0.0, "maximum" = 1.0))]
pub struct MaxRepetition(pub f64);

impl SelectionRule for MaxRepetition {
    fn name() -> &'static str {
        "max_repetition"
    }

    fn needs(&self) -> RuleNeeds {
        RuleNeeds::TOKENS
    }

    fn start(&self, _: Option<&mut Pilot>, _: &StreamKey) -> Box<dyn Filter> {
        Box::new(*self)
    }
}

impl Filter for MaxRepetition {
    fn filter(&mut self, group: &[Candidate], passing: &mut Vec<usize>) {
        passing.retain(|&index| repeated_share(group[index].document) <= self.0);
    }
}

/// `1 − distinct 4-grams / 4-grams`. 0 for a document of fewer than four tokens.
#[must_use]
pub fn repeated_share(document: &[TokenId]) -> f64 {
    let grams = document.windows(4);
    let count = grams.len();
    let distinct = grams.collect::<BTreeSet<_>>().len();
    if count == 0 { 0.0 } else { (count - distinct) as f64 / count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a b c d a b c d e` has the 4-grams abcd bcda cdab dabc abcd bcde. One of them repeats an earlier one. Nine
    /// equal tokens have six 4-grams. Five of them repeat the first.
    #[test]
    fn repetition_is_the_share_of_four_grams_that_occurred_earlier() {
        assert_eq!(repeated_share(&[1, 2, 3, 4, 1, 2, 3, 4, 5]), 1.0 / 6.0);
        assert_eq!(repeated_share(&[7; 9]), 5.0 / 6.0);
        assert_eq!(repeated_share(&[1, 2, 3, 4, 5, 6]), 0.0);
        assert_eq!(repeated_share(&[1, 1, 1]), 0.0);
        assert_eq!(repeated_share(&[]), 0.0);
    }
}
