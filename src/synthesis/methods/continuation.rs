//! *Continuation*: the model continues the beginning of a document, which is natural or written by the previous
//! generation.
//!
//! The prefix is the first `prefix_tokens` tokens of a document that is longer than that. The documents to continue are
//! drawn uniformly, with replacement.
//!
//! **Pitfall.** The prefix is not part of the written document. Otherwise every synthetic corpus would contain natural
//! text, which would anchor the loop.

use crate::documents::{Documents, TokenId};
use crate::seed::StreamKey;
use crate::settings::SettingError;
use crate::synthesis::method::{
    GeneratorContext, GeneratorResult, MethodContext, MethodProperties, SynthesisMethod, TokenChoice,
};
use crate::synthesis::prompted::{Prompted, Prompts};
use crate::synthesis::{Sources, SynthesisError};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The model continues the beginning of a document, which is not part of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Continuation {
    /// Source of the prefixes.
    pub prefix: PrefixSource,
    /// Tokens of a prefix; at most half of `model.context`.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub prefix_tokens: usize,
}

/// Source of the prefixes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrefixSource {
    /// The natural training text, in every generation.
    #[default]
    Natural,
    /// The corpus of the previous generation; in generation 0 the natural training text.
    Previous,
}

impl Default for Continuation {
    fn default() -> Self {
        Self { prefix: PrefixSource::Natural, prefix_tokens: 16 }
    }
}

impl SynthesisMethod for Continuation {
    fn name() -> &'static str {
        "continuation"
    }

    fn token_choice() -> TokenChoice {
        TokenChoice::Decoder
    }

    fn check(&self, context: &MethodContext) -> Result<(), SettingError> {
        context.check_prompt("prefix_tokens", self.prefix_tokens)?;
        let Self { prefix, prefix_tokens } = *self;
        if prefix == PrefixSource::Previous && prefix_tokens >= context.max_document_tokens {
            let message = format!(
                "{prefix_tokens} leaves nothing to continue: documents of the previous generation have at most {} tokens (max_document_tokens); use a smaller value",
                context.max_document_tokens
            );
            return Err(SettingError::new("prefix_tokens", message));
        }
        Ok(())
    }

    fn check_sources(&self, sources: Sources) -> Result<(), SynthesisError> {
        long_enough(sources.natural, self.prefix_tokens).map(drop)
    }

    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        let previous = context.sources.previous.filter(|_| self.prefix == PrefixSource::Previous);
        let (documents, from) = previous.map_or((context.sources.natural, "train split"), |documents| {
            (documents, "last synthetic corpus")
        });
        let prefixes = Prefixes {
            documents,
            from,
            prefix_tokens: self.prefix_tokens,
            long_enough: long_enough(documents, self.prefix_tokens)?,
            key: context.key.clone(),
        };
        Ok(Box::new(Prompted::new(&context, prefixes)))
    }

    fn properties(&self) -> MethodProperties {
        MethodProperties {
            rewrites_documents: false,
            prompt_tokens: self.prefix_tokens,
            candidates_differ_only_by_sampling: true,
            reads_previous: self.prefix == PrefixSource::Previous,
        }
    }
}

struct Prefixes<'a> {
    documents: &'a Documents,
    /// Description of `documents` for the record.
    from: &'static str,
    prefix_tokens: usize,
    /// Indices of the documents that are longer than a prefix; not empty.
    long_enough: Vec<usize>,
    /// Key of the streams that choose prefixes. Tokens are drawn from other streams.
    key: StreamKey,
}

/// Indices of the documents that are longer than a prefix.
///
/// # Errors
/// Returns an error if there are none.
fn long_enough(documents: &Documents, prefix_tokens: usize) -> Result<Vec<usize>, SynthesisError> {
    let lengths = documents.iter().map(<[TokenId]>::len);
    let long_enough: Vec<usize> = lengths
        .clone()
        .enumerate()
        .filter(|&(_, length)| length > prefix_tokens)
        .map(|(index, _)| index)
        .collect();
    if long_enough.is_empty() {
        let longest = lengths.max().unwrap_or(0);
        return Err(SynthesisError::NoPrefix { documents: documents.len(), prefix_tokens, longest });
    }
    Ok(long_enough)
}

impl Prompts for Prefixes<'_> {
    fn prompt(&self, slot: u64) -> &[TokenId] {
        let chosen = self.key.stream(slot).random_range(0..self.long_enough.len() as u64);
        &self.documents.get(self.long_enough[chosen as usize])[..self.prefix_tokens]
    }

    fn source(&self) -> String {
        format!("{}, {} tokens", self.from, self.prefix_tokens)
    }
}
