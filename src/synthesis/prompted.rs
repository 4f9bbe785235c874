//! Documents that continue a prompt. The prompt is not part of the document.

use super::method::{Draft, Generator, GeneratorContext};
use super::settings::SynthesisSettings;
use super::{SynthesisError, without_sentinels};
use crate::documents::TokenId;
use crate::model::{GenerateRequest, LanguageModel};
use crate::stage::Stage;
use crate::tokenizer::Sentinels;
use std::ops::Range;

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
    synthesis: &'a SynthesisSettings,
    sentinels: Option<Sentinels>,
    prompts: P,
}

impl<'a, P> Prompted<'a, P> {
    pub(super) fn new(context: &GeneratorContext<'a>, prompts: P) -> Self {
        Self { model: context.model, synthesis: context.synthesis, sentinels: context.sentinels(), prompts }
    }
}

impl<P: Prompts> Generator for Prompted<'_, P> {
    fn generate(&self, items: Range<u64>, stage: &Stage) -> Result<Draft, SynthesisError> {
        let first = items.start;
        let candidates = self.synthesis.selection.candidates() as u64;
        let request = GenerateRequest {
            prompts: &items.map(|item| self.prompts.prompt(item / candidates)).collect(),
            max_document_tokens: self.synthesis.max_document_tokens,
            decoding: &self.synthesis.decoding,
            item: &|index| first + index as u64,
        };
        let documents = without_sentinels(self.model.generate(&request, stage)?, self.sentinels);
        Ok(Draft { documents, kept: None })
    }

    fn source(&self) -> String {
        self.prompts.source()
    }
}
