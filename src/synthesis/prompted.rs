//! Writing on from prompts, which are not part of what is written.

use super::{Draft, SynthesisError, Writer, without_sentinels};
use crate::config::Synthesis;
use crate::documents::TokenId;
use crate::model::{Generate, LanguageModel};
use crate::stage::Stage;
use crate::tokenizer::Sentinels;
use std::ops::Range;

/// What each document of a corpus goes on from.
pub(super) trait Prompts {
    /// The prompt of the documents that compete for place `place`.
    fn prompt(&self, place: u64) -> &[TokenId];
    /// The method's name.
    fn method(&self) -> &'static str;
    /// Where prompts come from, in words.
    fn source(&self) -> String;
}

/// A model that goes on from prompts.
pub(super) struct Prompted<'a, P> {
    model: &'a dyn LanguageModel,
    synthesis: &'a Synthesis,
    sentinels: Option<Sentinels>,
    prompts: P,
}

impl<'a, P> Prompted<'a, P> {
    pub(super) fn new(
        model: &'a dyn LanguageModel,
        synthesis: &'a Synthesis,
        sentinels: Option<Sentinels>,
        prompts: P,
    ) -> Self {
        Self { model, synthesis, sentinels, prompts }
    }
}

impl<P: Prompts> Writer for Prompted<'_, P> {
    fn write(&self, items: Range<u64>, stage: &Stage) -> Result<Draft, SynthesisError> {
        let first = items.start;
        let candidates = self.synthesis.selection.candidates() as u64;
        let request = Generate {
            prompts: &items.map(|item| self.prompts.prompt(item / candidates)).collect(),
            max_document_tokens: self.synthesis.max_document_tokens,
            decoding: &self.synthesis.decoding,
            item: &|index| first + index as u64,
        };
        let documents = without_sentinels(self.model.generate(&request, stage)?, self.sentinels);
        Ok(Draft { documents, kept: None })
    }

    fn method(&self) -> &'static str {
        self.prompts.method()
    }

    fn source(&self) -> String {
        self.prompts.source()
    }
}
