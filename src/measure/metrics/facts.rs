//! Fact recall: does the model still know the facts of the synthetic world?
//!
//! `fact_recall_head`, `_torso`, `_tail`: the share of facts, by popularity, that the model completes correctly when
//! given the sentence up to the value and decoding greedily. A share; falls when a distribution narrows, rare facts
//! first. It covers all facts of the world, so it has no bias from n. The standard error is that of a binomial share:
//! the standard deviation of its Jeffreys posterior `Beta(k + ½, N − k + ½)`, which does not vanish at shares of 0 and
//! 1.

use crate::decoding::DecodingStrategy;
use crate::documents::{Documents, TokenId};
use crate::measure::{
    CountedGeneration, Direction::Down, Estimate, Family::Tail, MeasureError, Metric, MetricDefinition,
};
use crate::model::{GenerateRequest, LanguageModel, ModelError};
use crate::rarity::Rarity;
use crate::stage::Stage;
use serde::{Deserialize, Serialize};

/// A fact that the model is asked to complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// A sentence up to the value, tokenised: `"The river of Tamor is"`.
    pub prompt: Vec<TokenId>,
    /// The continuation that counts as recall.
    pub value: String,
    /// The number of tokens of `value`.
    pub value_tokens: usize,
    /// How often natural text states it.
    pub popularity: Rarity,
}

/// Whether a model recalled one fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactAnswer {
    /// How often natural text states the fact.
    pub popularity: Rarity,
    /// Whether the model's continuation was the value.
    pub recalled: bool,
}

/// Lets `model` continue the prompt of each fact. The fact is recalled if the continuation, without leading spaces,
/// begins with the value and no letter or digit follows it. Returns one answer for each of `facts`, in their order.
///
/// # Errors
/// If the model fails or the run is interrupted.
pub fn recall(
    model: &dyn LanguageModel,
    facts: &[Fact],
    decode: &dyn Fn(&[TokenId]) -> String,
    stage: &Stage,
) -> Result<Vec<FactAnswer>, ModelError> {
    /// Tokens beyond those of the value: a leading space, and the next character, which shows that the value ended.
    const MARGIN: usize = 3;
    if facts.is_empty() {
        return Ok(Vec::new());
    }
    let prompts: Documents = facts.iter().map(|fact| fact.prompt.as_slice()).collect();
    let longest = facts.iter().map(|fact| fact.value_tokens).max().unwrap_or(0);
    let request = GenerateRequest {
        prompts: &prompts,
        max_document_tokens: longest + MARGIN,
        decoding: &DecodingStrategy::GREEDY,
        item: &|index| index as u64,
    };
    let answers = model.generate(&request, stage)?;
    let judge = |(fact, answer): (&Fact, &[TokenId])| FactAnswer {
        popularity: fact.popularity,
        recalled: begins_with_value(&decode(answer), &fact.value),
    };
    Ok(facts.iter().zip(answers.iter()).map(judge).collect())
}

fn begins_with_value(answer: &str, value: &str) -> bool {
    let rest = answer.trim_start().strip_prefix(value.trim());
    rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

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

    #[test]
    fn an_answer_must_begin_with_the_value_as_a_whole_word() {
        assert!(begins_with_value(" Velu. The", "Velu"));
        assert!(begins_with_value("Velu", " Velu"));
        assert!(!begins_with_value(" Velumar.", "Velu"));
        assert!(!begins_with_value(" the Velu", "Velu"));
        assert!(!begins_with_value("", "Velu"));
    }

    /// k = 3 of N = 4: Beta(3.5, 1.5) has variance 3.5·1.5 / (25·6) = 0.035.
    #[test]
    fn the_error_of_a_share_is_that_of_its_jeffreys_posterior() {
        let share = binomial_share(3, 4);
        assert!((share.value - 0.75).abs() < 1e-12);
        assert!((share.std_err - 0.035_f64.sqrt()).abs() < 1e-12);
        assert!(binomial_share(0, 10).std_err > 0.0);
    }
}
