//! *Token edit*: a natural document in which some tokens are replaced by samples from the model's prediction.
//!
//! Let p be the probability that the model gives a token after the natural text before it. The token is redrawn with
//! probability p^sharpness, so tokens are redrawn mostly where the model is confident. Zhu et al. (2024) redraw all
//! tokens with p of at least 0.99; with a sharpness of 69, p^sharpness is one half at this threshold. With a sharpness
//! of 0 every token is redrawn. All predictions are conditioned on the natural text, never on redrawn tokens. One
//! scoring pass therefore suffices. A document keeps its length, which `synthesis.max_document_tokens` does not limit.
//!
//! The end-of-text token is neither replaced nor drawn in place of another token.

use crate::decoding::SamplingSettings;
use crate::documents::{Documents, TokenId};
use crate::model::LanguageModel;
use crate::settings::SettingError;
use crate::stage::Stage;
use crate::synthesis::SynthesisError;
use crate::synthesis::method::{
    Draft, Generator, GeneratorContext, GeneratorResult, MethodContext, MethodProperties, SynthesisMethod,
    TokenChoice,
};
use crate::synthesis::sources::Rotation;
use crate::tokenizer::Sentinels;
use crate::units::Tokens;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The model redraws tokens of a natural document, mostly where it is confident.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenEdit {
    /// A token of predicted probability p is redrawn with probability p^sharpness.
    #[schemars(range(min = 0.0), extend("x-sensible" = {"maximum": 1000.0, "why": "with more, nothing is drawn again: the text is a copy"}))]
    pub sharpness: f64,
}

impl Default for TokenEdit {
    fn default() -> Self {
        Self { sharpness: 4.0 }
    }
}

impl SynthesisMethod for TokenEdit {
    fn name() -> &'static str {
        "token-edit"
    }

    fn token_choice() -> TokenChoice {
        TokenChoice::Decoder
    }

    fn check(&self, context: &MethodContext) -> Result<(), SettingError> {
        match context.decoding.token_by_token() {
            Some(_) => Ok(()),
            None => Err(SettingError::new("method", SynthesisError::Search.to_string())),
        }
    }

    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        Ok(Box::new(TokenEditor {
            model: context.model,
            decoding: context.decoding.token_by_token().ok_or(SynthesisError::Search)?,
            max_document_tokens: context.max_document_tokens,
            sharpness: self.sharpness,
            end: context.end(),
            sentinels: context.sentinels(),
            sources: Rotation::new(context.sources.natural, context.candidates, context.key)?,
        }))
    }

    fn properties(&self) -> MethodProperties {
        MethodProperties::REWRITING
    }
}

/// Generates documents by redrawing tokens of natural ones.
struct TokenEditor<'a> {
    model: &'a dyn LanguageModel,
    decoding: &'a SamplingSettings,
    max_document_tokens: usize,
    sharpness: f64,
    sources: Rotation<'a>,
    end: TokenId,
    sentinels: Option<Sentinels>,
}

impl TokenEditor<'_> {
    /// Whether a token is the end-of-text token or a sentinel.
    fn is_control(&self, token: TokenId) -> bool {
        token == self.end || self.sentinels.is_some_and(|sentinels| sentinels.contain(token))
    }
}

impl Generator for TokenEditor<'_> {
    fn generate(&self, items: &[u64], stage: &Stage) -> Result<Draft, SynthesisError> {
        let sources = self.sources.of_first(items, self.max_document_tokens);
        let originals: Documents = sources.into_iter().collect();
        // Two random numbers for each token: one decides whether it is redrawn, the other one draws the replacement.
        let (mut chances, mut uniforms) = (Vec::new(), Vec::new());
        for (&item, original) in items.iter().zip(originals.iter()) {
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
                let stays = self.is_control(token) || self.is_control(redrawn.token);
                edited.push(if is_edited && !stays { redrawn.token } else { token });
            }
            kept += edited.iter().zip(original).filter(|(new, old)| new == old).count() as u64;
            documents.push(&edited);
        }
        Ok(Draft { documents, kept: Some(Tokens(kept)) })
    }

    fn source(&self) -> String {
        format!("train split, tokens of probability p redrawn with probability p^{}", self.sharpness)
    }
}
