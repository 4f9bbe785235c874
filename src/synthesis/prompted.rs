//! Documents that continue a prompt. The prompt is not part of the document.

use super::method::{Draft, Generator, GeneratorContext};
use super::{SynthesisError, without_sentinels};
use crate::decoding::DecodingStrategy;
use crate::documents::TokenId;
use crate::model::{GenerateRequest, LanguageModel};
use crate::stage::Stage;
use crate::tokenizer::Sentinels;

/// The prompts of one corpus.
pub(super) trait Prompts {
    /// The prompt that all candidates for a slot continue.
    fn prompt(&self, slot: u64) -> &[TokenId];
    /// Description of the prompts for the record.
    fn source(&self) -> String;
}

/// Generates documents by continuing prompts.
pub(super) struct Prompted<'a, P> {
    model: &'a dyn LanguageModel,
    decoding: &'a DecodingStrategy,
    max_document_tokens: usize,
    candidates: u64,
    sentinels: Option<Sentinels>,
    prompts: P,
}

impl<'a, P> Prompted<'a, P> {
    pub(super) fn new(context: &GeneratorContext<'a>, prompts: P) -> Self {
        Self {
            model: context.model,
            decoding: context.decoding,
            max_document_tokens: context.max_document_tokens,
            candidates: context.candidates as u64,
            sentinels: context.sentinels(),
            prompts,
        }
    }
}

impl<P: Prompts> Generator for Prompted<'_, P> {
    fn generate(&self, items: &[u64], stage: &Stage) -> Result<Draft, SynthesisError> {
        let request = GenerateRequest {
            prompts: &items.iter().map(|item| self.prompts.prompt(item / self.candidates)).collect(),
            max_document_tokens: self.max_document_tokens,
            decoding: self.decoding,
            item: &|index| items[index],
        };
        let documents = without_sentinels(self.model.generate(&request, stage)?, self.sentinels);
        Ok(Draft { documents, kept: None })
    }

    fn source(&self) -> String {
        self.prompts.source()
    }
}
