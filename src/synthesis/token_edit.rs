//! *Token edit*: a natural document, some of whose tokens are drawn anew from the model's prediction.
//!
//! A token of probability p, given the natural document before it, is drawn anew with probability p^sharpness: the
//! surer the model, the sooner it has its way. Zhu et al. (2024) draw anew where p is at least 0.99, a step at which
//! p^69 is one half. With a sharpness of 0 every token is drawn anew. It takes one pass of scoring and writes nothing
//! from its own text, so that a document stays as long as it was.
//!
//! The end-of-text token stays where it is, and is never drawn in place of another.

use super::sources::Rotation;
use super::{Draft, Sources, SynthesisError, Writer};
use crate::config::{Decoding, Strategy, Synthesis};
use crate::documents::{Documents, TokenId};
use crate::model::LanguageModel;
use crate::seed::StreamKey;
use crate::stage::Stage;
use crate::tokenizer::Sentinels;
use crate::units::Tokens;
use rand::Rng;
use std::ops::Range;

/// A model that edits documents.
pub(super) struct TokenEdit<'a> {
    model: &'a dyn LanguageModel,
    decoding: &'a Decoding,
    longest: usize,
    sharpness: f64,
    sources: Rotation<'a>,
    end: TokenId,
    sentinels: Option<Sentinels>,
}

impl<'a> TokenEdit<'a> {
    pub(super) fn new(
        model: &'a dyn LanguageModel,
        synthesis: &'a Synthesis,
        sharpness: f64,
        sources: Sources<'a>,
        key: StreamKey,
    ) -> Result<Self, SynthesisError> {
        let Strategy::TokenByToken(decoding) = &synthesis.decoding else {
            return Err(SynthesisError::Search);
        };
        let (longest, end) = (synthesis.max_document_tokens, sources.tokenizer.special().end);
        let sentinels = sources.tokenizer.sentinels();
        let sources = Rotation::new(sources.natural, synthesis.selection.candidates(), key)?;
        Ok(Self { model, decoding, longest, sharpness, sources, end, sentinels })
    }

    /// Whether a token is the end of a document, or a sentinel.
    fn says_nothing(&self, token: TokenId) -> bool {
        token == self.end || self.sentinels.is_some_and(|sentinels| sentinels.contain(token))
    }
}

impl Writer for TokenEdit<'_> {
    fn write(&self, items: Range<u64>, stage: &Stage) -> Result<Draft, SynthesisError> {
        let originals: Documents = self
            .sources
            .of(items.clone())
            .into_iter()
            .map(|source| &source[..source.len().min(self.longest)])
            .collect();
        // Two numbers a token: whether it is drawn anew, and which one comes.
        let (mut chances, mut uniforms) = (Vec::new(), Vec::new());
        for (item, original) in items.zip(originals.iter()) {
            let mut stream = stage.stream(item);
            for _ in original {
                chances.push(stream.random::<f64>());
                uniforms.push(stream.random::<f64>());
            }
        }
        let redrawn = self.model.redraw(&originals, self.decoding, &uniforms, stage)?;
        let (mut documents, mut kept) = (Documents::new(), 0);
        let mut edits = redrawn.into_iter().zip(chances);
        let mut edited = Vec::new();
        for original in originals.iter() {
            edited.clear();
            for (&token, (redrawn, chance)) in original.iter().zip(&mut edits) {
                let is_edited = chance < (f64::from(redrawn.log_probability) * self.sharpness).exp();
                let stays = self.says_nothing(token) || self.says_nothing(redrawn.token);
                edited.push(if is_edited && !stays { redrawn.token } else { token });
            }
            kept += edited.iter().zip(original).filter(|(new, old)| new == old).count() as u64;
            documents.push(&edited);
        }
        Ok(Draft { documents, kept: Some(Tokens(kept)) })
    }

    fn method(&self) -> &'static str {
        "token-edit"
    }

    fn source(&self) -> String {
        format!("train split, tokens of probability p drawn anew with probability p^{}", self.sharpness)
    }
}
