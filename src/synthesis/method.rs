//! The interface of synthesis methods.
//!
//! [`SynthesisMethod`] is implemented by the settings struct of a method. To add a method to the library, write it in a
//! new file and list it in [`builtin_methods`]. A program that uses the library can add its own with [`Kinds::with`].

use super::continuation::Continuation;
use super::external::External;
use super::oracle::Oracle;
use super::rephrase::Rephrase;
use super::settings::SynthesisSettings;
use super::textbook::Textbook;
use super::token_edit::TokenEdit;
use super::{Sources, SynthesisError};
use crate::corpus::CorpusSettings;
use crate::decoding::{self, DecodingStrategy};
use crate::documents::{Documents, TokenId};
use crate::model::LanguageModel;
use crate::seed::StreamKey;
use crate::settings::{self, Chosen, Kind, Kinds, Registered, SettingError, Settings};
use crate::stage::Stage;
use crate::tokenizer::Sentinels;
use crate::training::{ModelKind, TrainingSettings};
use crate::units::Tokens;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use toml::Table;

/// A method of writing a corpus. The implementing type is the struct of its settings.
pub trait SynthesisMethod: fmt::Debug + Send + Sync {
    /// The value of `synthesis.method` that chooses the method.
    fn name() -> &'static str
    where
        Self: Sized;

    /// Inserts the defaults that depend on other settings into the method's table.
    fn complete(_table: &mut Table, _context: &MethodContext)
    where
        Self: Sized,
    {
    }

    /// Checks the settings against each other and against the model.
    ///
    /// # Errors
    /// Returns an error if they contradict each other, or if the model does not support the method.
    fn check(&self, _context: &MethodContext) -> Result<(), SettingError> {
        Ok(())
    }

    /// Checks before a run that documents can be written from the natural text of a seed. There is no earlier corpus yet.
    ///
    /// # Errors
    /// Returns an error if suitable text, or anything else that the method needs, is missing.
    fn check_sources(&self, _sources: Sources) -> Result<(), SynthesisError> {
        Ok(())
    }

    /// Creates the generator of one corpus.
    ///
    /// # Errors
    /// Returns an error if there is no text to write from.
    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a>;

    /// The part of a corpus to which the decoding settings apply.
    fn drawn_tokens(&self) -> DrawnTokens {
        DrawnTokens::All
    }

    /// Description of the decoder for the record of a corpus.
    fn describe_decoding(&self, decoding: &DecodingStrategy) -> String {
        match self.drawn_tokens() {
            DrawnTokens::All | DrawnTokens::Some => decoding::describe(decoding),
            DrawnTokens::None => "none: the model draws no token".to_owned(),
        }
    }

    /// Number of tokens at the beginning of a natural document that form the prompt and are not part of the written
    /// document.
    fn prompt_tokens(&self) -> usize {
        0
    }

    /// Whether each document is a modified natural document. Natural documents longer than `max_document_tokens` are then
    /// rewritten whole.
    fn rewrites_documents(&self) -> bool {
        false
    }

    /// Whether all candidates of a slot would be the same document under a deterministic decoder.
    fn candidates_differ_only_by_sampling(&self) -> bool {
        false
    }

    /// Whether documents are written from the corpus of the previous generation.
    fn reads_previous(&self) -> bool {
        false
    }
}

/// The tokens of a corpus that the decoder draws from the model's predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawnTokens {
    /// Every token.
    All,
    /// Some tokens; the others are copied from natural documents.
    Some,
    /// No token: the corpus is not written by the model.
    None,
}

/// Other settings of the experiment, against which the settings of a method are checked.
#[derive(Clone, Copy, Debug)]
pub struct MethodContext<'a> {
    /// Natural text.
    pub corpus: &'a CorpusSettings,
    /// The model that writes.
    pub model: &'a dyn ModelKind,
    /// Training of this model.
    pub training: &'a TrainingSettings,
    /// Decoder of the corpus.
    pub decoding: &'a DecodingStrategy,
    /// Length in tokens at which documents are cut.
    pub max_document_tokens: usize,
}

impl MethodContext<'_> {
    /// Checks that a prompt of `tokens` tokens fills at most half the model's context. `key` is the setting that the
    /// error names.
    ///
    /// # Errors
    /// Returns an error if the prompt is longer.
    pub fn check_prompt(&self, key: &str, tokens: usize) -> Result<(), SettingError> {
        match self.model.context_tokens() {
            Some(context) if tokens > context / 2 => {
                let message = format!(
                    "{tokens} is more than half the context of {context}; lower it or raise model.context"
                );
                Err(SettingError::new(key, message))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The model, settings and texts of one corpus.
#[derive(Clone)]
pub struct GeneratorContext<'a> {
    /// The model that writes.
    pub model: &'a dyn LanguageModel,
    /// Settings of the corpus.
    pub synthesis: &'a SynthesisSettings,
    /// Texts to write from.
    pub sources: Sources<'a>,
    /// Key of the streams that choose sources and prompts. Tokens are drawn from the streams of the stage.
    pub key: StreamKey,
}

impl GeneratorContext<'_> {
    /// The tokenizer's sentinels; `None` if it has none.
    #[must_use]
    pub fn sentinels(&self) -> Option<Sentinels> {
        self.sources.tokenizer.sentinels()
    }

    /// The end-of-text token.
    #[must_use]
    pub fn end(&self) -> TokenId {
        self.sources.tokenizer.special().end
    }

    /// Number of candidates for each slot; at least 1.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.synthesis.selection.candidates()
    }
}

/// The result of [`SynthesisMethod::generator`].
pub type GeneratorResult<'a> = Result<Box<dyn Generator + 'a>, SynthesisError>;

/// Writes the documents of one corpus.
pub trait Generator {
    /// Writes the documents with the numbers `items`. It may stop early, after at least one document. A document may
    /// depend on its own number but not on the other documents of the request.
    ///
    /// # Errors
    /// Returns an error if the model or a command fails, or if the run is interrupted.
    fn generate(&self, items: Range<u64>, stage: &Stage) -> Result<Draft, SynthesisError>;

    /// Description of the source of documents for the record, including the method's settings: `"train split, 16
    /// tokens"`.
    fn source(&self) -> String;
}

/// Documents from one or more requests to a generator.
#[derive(Debug, Default)]
pub struct Draft {
    /// The documents in the order of their numbers.
    pub documents: Documents,
    /// Number of tokens copied unchanged from the natural documents; `None` if the method copies none.
    pub kept: Option<Tokens>,
}

impl Draft {
    /// Appends the documents of the next request.
    ///
    /// # Errors
    /// Returns an error if they have no token at all, because a loop that requests documents until there is enough text
    /// would never end.
    pub(super) fn append(&mut self, more: &Self) -> Result<(), SynthesisError> {
        if more.documents.tokens() == Tokens(0) {
            return Err(SynthesisError::NoTokens { documents: more.documents.len() });
        }
        more.documents.iter().for_each(|document| self.documents.push(document));
        self.kept = more.kept.map(|kept| Tokens(kept.0 + self.kept.unwrap_or_default().0));
        Ok(())
    }
}

impl Registered for dyn SynthesisMethod {
    type Context<'a> = MethodContext<'a>;
}

impl Kind<dyn SynthesisMethod> {
    /// The registry entry of the method with settings of type `M`.
    #[must_use]
    pub fn of<M: SynthesisMethod + Settings + 'static>() -> Self {
        Self::new(M::name(), settings::schema_of::<M>(), |mut table, context| {
            M::complete(&mut table, context);
            let method: M = settings::read(table)?;
            method.check(context)?;
            Ok((settings::table_of(&method), Arc::new(method)))
        })
    }
}

pub(super) const KEY: &str = "method";

/// The methods of the library; the first one is the default.
#[must_use]
pub fn builtin_methods() -> Kinds<dyn SynthesisMethod> {
    Kinds::new(
        KEY,
        "What documents are written from.",
        vec![
            Kind::<dyn SynthesisMethod>::of::<Textbook>(),
            Kind::<dyn SynthesisMethod>::of::<Continuation>(),
            Kind::<dyn SynthesisMethod>::of::<Rephrase>(),
            Kind::<dyn SynthesisMethod>::of::<TokenEdit>(),
            Kind::<dyn SynthesisMethod>::of::<External>(),
            Kind::<dyn SynthesisMethod>::of::<Oracle>(),
        ],
    )
}

/// Converts the settings of one method into the choice of this method, as read from an experiment file.
impl<M: SynthesisMethod + Settings + 'static> From<M> for Chosen<dyn SynthesisMethod> {
    fn from(method: M) -> Self {
        let own = settings::table_of(&method);
        Kind::<dyn SynthesisMethod>::of::<M>().choose(KEY, own, Arc::new(method))
    }
}
