//! The seam of synthesis: ways of writing a corpus.
//!
//! A way of writing is a struct of its settings that implements [`SynthesisMethod`], in a file of its own, and one line in
//! [`builtin_methods`]. A program that uses the library adds its own with [`Kinds::with`].

use super::continuation::Continuation;
use super::external::External;
use super::rephrase::Rephrase;
use super::settings::SynthesisSettings;
use super::textbook::Textbook;
use super::token_edit::TokenEdit;
use super::{Sources, SynthesisError};
use crate::decoding::DecodingStrategy;
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

/// A way of writing a corpus, as a struct of its settings.
pub trait SynthesisMethod: fmt::Debug + Send + Sync {
    /// The value of `synthesis.method` that chooses it.
    fn name() -> &'static str
    where
        Self: Sized;

    /// Writes out the defaults that depend on other settings.
    fn complete(_table: &mut Table, _context: &MethodContext)
    where
        Self: Sized,
    {
    }

    /// Checks whether the settings fit together and to the model.
    ///
    /// # Errors
    /// When they do not.
    fn check(&self, _context: &MethodContext) -> Result<(), SettingError> {
        Ok(())
    }

    /// Checks whether there is something to write from, before a run.
    ///
    /// # Errors
    /// When there is not.
    fn check_sources(&self, _natural: &Documents) -> Result<(), SynthesisError> {
        Ok(())
    }

    /// The generator of one corpus.
    ///
    /// # Errors
    /// When there is nothing to write from.
    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a>;

    /// Which tokens of a corpus the model draws through the decoder.
    fn drawn_tokens(&self) -> DrawnTokens {
        DrawnTokens::All
    }

    /// Tokens at the beginning of a natural document that prompt the model and are not part of what is written.
    fn prompt_tokens(&self) -> usize {
        0
    }

    /// Whether documents are written over natural documents, of which a longer one than a document may become is cut.
    fn rewrites_documents(&self) -> bool {
        false
    }

    /// Whether a deterministic decoder writes the same document for every candidate of a place.
    fn candidates_differ_by_decoder_only(&self) -> bool {
        false
    }

    /// Whether documents are written from those of the previous generation.
    fn reads_previous(&self) -> bool {
        false
    }
}

/// Which tokens of a corpus the model draws through the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawnTokens {
    /// Every token.
    All,
    /// Some; others are copied from natural documents.
    Some,
    /// None: something else than the model writes.
    None,
}

/// What the settings of a method are checked against.
#[derive(Clone, Copy, Debug)]
pub struct MethodContext<'a> {
    /// The model that writes.
    pub model: &'a dyn ModelKind,
    /// How it is trained.
    pub training: &'a TrainingSettings,
    /// How its predictions become documents.
    pub decoding: &'a DecodingStrategy,
    /// Length of the longest document.
    pub max_document_tokens: usize,
}

impl MethodContext<'_> {
    /// Checks that a prompt of this many tokens leaves half the context to write in.
    ///
    /// # Errors
    /// When it does not.
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

/// What a generator writes with and from.
#[derive(Clone)]
pub struct GeneratorContext<'a> {
    /// The model that writes.
    pub model: &'a dyn LanguageModel,
    /// How it writes.
    pub synthesis: &'a SynthesisSettings,
    /// What it writes from.
    pub sources: Sources<'a>,
    /// Where sources are drawn. (Tokens are drawn from the streams of the stage.)
    pub key: StreamKey,
}

impl GeneratorContext<'_> {
    /// The tokenizer's sentinels, if there are any.
    #[must_use]
    pub fn sentinels(&self) -> Option<Sentinels> {
        self.sources.tokenizer.sentinels()
    }

    /// The token that ends a document.
    #[must_use]
    pub fn end(&self) -> TokenId {
        self.sources.tokenizer.special().end
    }

    /// Documents that compete for one place.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.synthesis.selection.candidates()
    }
}

/// A generator, or why there is none.
pub type GeneratorResult<'a> = Result<Box<dyn Generator + 'a>, SynthesisError>;

/// Writes the documents of one corpus.
pub trait Generator {
    /// Documents `items` of an endless sequence, or the first of them. A document depends on its number alone, not on the
    /// others that are asked for.
    ///
    /// # Errors
    /// When the model or a command fails, or the run is interrupted.
    fn generate(&self, items: Range<u64>, stage: &Stage) -> Result<Draft, SynthesisError>;

    /// What documents are written from, in words, with every setting: `"train split, 16 tokens"`.
    fn source(&self) -> String;
}

/// Documents that a generator wrote.
#[derive(Debug, Default)]
pub struct Draft {
    /// The documents.
    pub documents: Documents,
    /// Tokens that are the same as in the documents that they were made from; None if the method copies none.
    pub kept: Option<Tokens>,
}

impl Draft {
    /// Adds further documents.
    ///
    /// # Errors
    /// When they have not a single token.
    pub(super) fn append(&mut self, more: &Self) -> Result<(), SynthesisError> {
        if more.documents.tokens() == Tokens(0) {
            return Err(SynthesisError::Silent { documents: more.documents.len() });
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
    /// The method with settings of type `M`.
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

const KEY: &str = "method";

/// The methods that come with the library; the first one is the default.
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
        ],
    )
}

/// These settings as the choice of an experiment.
impl<M: SynthesisMethod + Settings + 'static> From<M> for Chosen<dyn SynthesisMethod> {
    fn from(method: M) -> Self {
        let own = settings::table_of(&method);
        Kind::<dyn SynthesisMethod>::of::<M>().choose(KEY, own, Arc::new(method))
    }
}
