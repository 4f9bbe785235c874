//! The interface of synthesis methods.
//!
//! [`SynthesisMethod`] is implemented by the settings struct of a method. The methods of the library are registered in
//! [`builtin_methods`](super::builtin_methods). A program that uses the library can add its own with
//! [`Kinds::with`](crate::settings::Kinds::with).

use super::{Sources, SynthesisError};
use crate::corpus::CorpusSettings;
use crate::decoding::DecodingStrategy;
use crate::documents::{Documents, TokenId};
use crate::model::LanguageModel;
use crate::seed::StreamKey;
use crate::settings::{self, Chosen, Kind, Registered, SettingError, Settings};
use crate::stage::Stage;
use crate::tokenizer::Sentinels;
use crate::training::{ModelKind, TrainingSettings};
use crate::units::Tokens;
use std::fmt;
use std::sync::Arc;
use toml::Table;

/// A method of writing a corpus. The implementing type is the struct of its settings.
pub trait SynthesisMethod: fmt::Debug + Send + Sync {
    /// The value of `synthesis.method` that chooses the method.
    fn name() -> &'static str
    where
        Self: Sized;

    /// Who chooses the tokens of a document.
    fn token_choice() -> TokenChoice
    where
        Self: Sized;

    /// Removes from the settings that an arm or the writer inherits those that have no meaning beside its `own`.
    fn inherit(_own: &Table, _inherited: &mut Table)
    where
        Self: Sized,
    {
    }

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

    /// What the rest of the program must know of the method.
    fn properties(&self) -> MethodProperties;
}

/// Who chooses the tokens of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenChoice {
    /// The decoder, from the model's predictions. Only then do the decoding settings apply.
    Decoder,
    /// Not the model. The text describes the choice in the record of a corpus.
    Other(&'static str),
}

/// What is known of a method before its settings are read.
#[derive(Clone, Copy, Debug)]
pub struct MethodFacts {
    /// Result of [`SynthesisMethod::token_choice`].
    pub token_choice: TokenChoice,
    /// [`SynthesisMethod::inherit`] of the method.
    pub(super) inherit: fn(&Table, &mut Table),
}

/// What the rest of the program must know of a method and its settings. There is no default, so that a method that
/// leaves out a field does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodProperties {
    /// Whether each document is a modified natural document. Tokens that the model does not draw are then copied, and
    /// natural documents longer than `max_document_tokens` are rewritten whole.
    pub rewrites_documents: bool,
    /// Number of tokens at the beginning of a natural document that form the prompt and are not part of the written
    /// document.
    pub prompt_tokens: usize,
    /// Whether all candidates of a slot would be the same document under a deterministic decoder.
    pub candidates_differ_only_by_sampling: bool,
    /// Whether documents are written from the corpus of the previous generation.
    pub reads_previous: bool,
}

impl MethodProperties {
    /// Properties of a method that writes each document without a source, from the start token.
    pub const FROM_NOTHING: Self = Self {
        rewrites_documents: false,
        prompt_tokens: 0,
        candidates_differ_only_by_sampling: true,
        reads_previous: false,
    };

    /// Properties of a method that modifies natural documents, and chooses the changes of every candidate anew.
    pub const REWRITING: Self = Self {
        rewrites_documents: true,
        prompt_tokens: 0,
        candidates_differ_only_by_sampling: false,
        reads_previous: false,
    };
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
    /// Decoder of the corpus.
    pub decoding: &'a DecodingStrategy,
    /// Length in tokens at which documents are cut.
    pub max_document_tokens: usize,
    /// Number of candidates for each slot; at least 1.
    pub candidates: usize,
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
}

/// The result of [`SynthesisMethod::generator`].
pub type GeneratorResult<'a> = Result<Box<dyn Generator + 'a>, SynthesisError>;

/// Writes the documents of one corpus.
pub trait Generator {
    /// Writes the documents with the numbers `items`, which ascend, in this order. It may stop early, after at least one document. A document may
    /// depend on its own number but not on the other documents of the request.
    ///
    /// # Errors
    /// Returns an error if the model or a command fails, or if the run is interrupted.
    fn generate(&self, items: &[u64], stage: &Stage) -> Result<Draft, SynthesisError>;

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
    type Facts = MethodFacts;
}

impl Kind<dyn SynthesisMethod> {
    /// The registry entry of the method with settings of type `M`.
    #[must_use]
    pub fn of<M: SynthesisMethod + Settings + 'static>() -> Self {
        let facts = MethodFacts { token_choice: M::token_choice(), inherit: M::inherit };
        Self::new(M::name(), facts, settings::schema_of::<M>(), |mut table, context| {
            M::complete(&mut table, context);
            let method: M = settings::read(table)?;
            method.check(context)?;
            Ok((settings::table_of(&method), Arc::new(method)))
        })
    }
}

pub(super) const KEY: &str = "method";

/// Converts the settings of one method into the choice of this method, as read from an experiment file.
impl<M: SynthesisMethod + Settings + 'static> From<M> for Chosen<dyn SynthesisMethod> {
    fn from(method: M) -> Self {
        let own = settings::table_of(&method);
        Kind::<dyn SynthesisMethod>::of::<M>().choose(KEY, own, Arc::new(method))
    }
}
