//! Fact recall: does the model still know the facts of the synthetic world?
//!
//! `fact_recall_head`, `_torso`, `_tail`: the share of facts, by popularity, that the model completes correctly when
//! given the sentence up to the value and decoding greedily. A share; falls when a distribution narrows, rare facts
//! first. It covers all facts of the world, so it has no bias from n. The standard error is that of a binomial share:
//! the standard deviation of its Jeffreys posterior `Beta(k + ½, N − k + ½)`, which does not vanish at shares of 0 and
//! 1.

use crate::measure::{
    CountedGeneration, Direction::Down, Estimate, FactAnswer, Family::Tail, MeasureError, Metric,
    MetricDefinition,
};
use crate::rarity::Rarity;

/// Share of facts recalled, by popularity.
pub(super) struct FactRecall;

impl Metric for FactRecall {
    fn definitions(&self) -> Vec<MetricDefinition> {
        let of = |id, label| MetricDefinition::builtin(id, label, "share", Tail, Down).on_fixed_text();
        vec![
            of("fact_recall_head", "popular facts recalled"),
            of("fact_recall_torso", "medium facts recalled"),
            of("fact_recall_tail", "rare facts recalled"),
        ]
    }

    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
        let answers = generation.inputs().facts;
        Ok(Rarity::ALL.map(|popularity| share_recalled(answers, popularity)).to_vec())
    }

    fn why_missing(&self, _: &str, _: &CountedGeneration) -> Option<String> {
        None
    }
}

/// The share of the facts of this popularity that was recalled. None if there are no such facts.
fn share_recalled(answers: &[FactAnswer], popularity: Rarity) -> Option<Estimate> {
    let answers = answers.iter().filter(|answer| answer.popularity == popularity);
    let all = answers.clone().count() as u64;
    let recalled = answers.filter(|answer| answer.recalled).count() as u64;
    (all > 0).then(|| binomial_share(recalled, all))
}

fn binomial_share(recalled: u64, all: u64) -> Estimate {
    let (n, successes) = (all as f64, recalled as f64);
    let (a, b) = (successes + 0.5, n - successes + 0.5);
    let std_err = (a * b / ((a + b).powi(2) * (a + b + 1.0))).sqrt();
    Estimate { value: successes / n, std_err, n: all }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// k = 3 of N = 4: Beta(3.5, 1.5) has variance 3.5·1.5 / (25·6) = 0.035.
    #[test]
    fn the_error_of_a_share_is_that_of_its_jeffreys_posterior() {
        let share = binomial_share(3, 4);
        assert!((share.value - 0.75).abs() < 1e-12);
        assert!((share.std_err - 0.035_f64.sqrt()).abs() < 1e-12);
        assert!(binomial_share(0, 10).std_err > 0.0);
    }
}
