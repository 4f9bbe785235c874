//! Facts of the built-in world that a model is asked to complete.

use crate::decoding::DecodingStrategy;
use crate::documents::{Documents, TokenId};
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
}
