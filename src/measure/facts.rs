//! Fact recall: does the model still know what the world told it?
//!
//! `fact_recall_head`, `_torso`, `_tail`: the share of facts, by popularity, that the model completes correctly when given
//! the sentence up to the value and decoding greedily. A share; falls when a distribution narrows, rare facts first.
//! It rests on all facts there are, so it has no bias from n. The standard error is that of a binomial share, as the
//! standard deviation of its Jeffreys posterior `Beta(k + ½, N − k + ½)`, which does not vanish at shares of 0 and 1.

use super::Collected;
use super::uncertainty::Estimate;
use crate::config::Strategy;
use crate::documents::{Documents, TokenId};
use crate::model::{Generate, LanguageModel, ModelError};
use crate::rarity::Rarity;
use crate::stage::Stage;

/// A fact to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// A sentence up to the value, tokenised: `"The river of Tamor is"`.
    pub prompt: Vec<TokenId>,
    /// What should follow.
    pub value: String,
    /// Tokens that the value takes.
    pub value_tokens: usize,
    /// How often natural text states it.
    pub popularity: Rarity,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactAnswer {
    /// How often natural text states the fact.
    pub popularity: Rarity,
    /// Whether the model said the value.
    pub recalled: bool,
}

/// Asks `model` for `facts`: it continues each prompt, and has recalled the fact if the continuation, leading spaces
/// aside, begins with the value and the value ends there (no letter or digit follows).
///
/// # Errors
/// When the model fails or the run is interrupted.
pub fn recall(
    model: &dyn LanguageModel,
    facts: &[Fact],
    decode: &dyn Fn(&[TokenId]) -> String,
    stage: &Stage,
) -> Result<Vec<FactAnswer>, ModelError> {
    /// Tokens beyond those of the value: a leading space and what shows that the value has ended.
    const MARGIN: usize = 3;
    if facts.is_empty() {
        return Ok(Vec::new());
    }
    let prompts: Documents = facts.iter().map(|fact| fact.prompt.as_slice()).collect();
    let longest = facts.iter().map(|fact| fact.value_tokens).max().unwrap_or(0);
    let request = Generate {
        prompts: &prompts,
        max_document_tokens: longest + MARGIN,
        decoding: &Strategy::GREEDY,
        item: &|index| index as u64,
    };
    let answers = model.generate(&request, stage)?;
    let judge = |(fact, answer): (&Fact, &[TokenId])| FactAnswer {
        popularity: fact.popularity,
        recalled: says(&decode(answer), &fact.value),
    };
    Ok(facts.iter().zip(answers.iter()).map(judge).collect())
}

fn says(answer: &str, value: &str) -> bool {
    let rest = answer.trim_start().strip_prefix(value.trim());
    rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

/// Measures fact recall.
pub(super) fn measure(answers: &[FactAnswer], collected: &mut Collected) {
    for class in Rarity::ALL {
        let asked = answers.iter().filter(|answer| answer.popularity == class);
        let (known, all) =
            asked.fold((0_u64, 0_u64), |(known, all), answer| (known + u64::from(answer.recalled), all + 1));
        let share = (all > 0).then(|| binomial_share(known as f64, all as f64));
        collected.add(&format!("fact_recall_{}", class.name()), share, all);
    }
}

fn binomial_share(known: f64, all: f64) -> Estimate {
    let (a, b) = (known + 0.5, all - known + 0.5);
    Estimate { value: known / all, std_err: (a * b / ((a + b).powi(2) * (a + b + 1.0))).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_begin_with_the_value_and_end_it() {
        assert!(says(" Velu. The", "Velu"));
        assert!(says("Velu", " Velu"));
        assert!(!says(" Velumar.", "Velu"));
        assert!(!says(" the Velu", "Velu"));
        assert!(!says("", "Velu"));
    }

    /// k = 3 of N = 4: Beta(3.5, 1.5) has variance 3.5·1.5 / (25·6) = 0.035.
    #[test]
    fn the_error_of_a_share_is_that_of_its_jeffreys_posterior() {
        let share = binomial_share(3.0, 4.0);
        assert!((share.value - 0.75).abs() < 1e-12);
        assert!((share.std_err - 0.035_f64.sqrt()).abs() < 1e-12);
        assert!(binomial_share(0.0, 10.0).std_err > 0.0);
    }
}
