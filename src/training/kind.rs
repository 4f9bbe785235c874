//! Kinds of model. Each is a settings struct that declares the capabilities of its models and creates their learner.
//!
//! To add a kind, implement [`ModelKind`] for its settings struct and list it in [`builtin_kinds`]. A program that uses
//! the library can add one with [`Kinds::with`].
//!
//! ```
//! use genloss::training::builtin_kinds;
//!
//! let model = builtin_kinds().read("kind = 'ngram'\norder = 3".parse().unwrap(), &()).unwrap();
//! assert_eq!(model.name(), "ngram");
//! assert!(!model.can_fill_gaps());
//! ```

use super::{Learner, Start, TrainingSettings};
use crate::model::{NgramSettings, TransformerSettings};
use crate::settings::{self, Chosen, Kind, Kinds, Registered, SettingError, Settings};
use crate::tokenizer::Tokenizer;
use candle_core::Device;
use std::fmt;
use std::sync::Arc;
use toml::Table;

/// A kind of model. The implementing type is the struct of its settings.
pub trait ModelKind: fmt::Debug + Send + Sync {
    /// The value of `model.kind` that chooses this kind.
    fn name() -> &'static str
    where
        Self: Sized;

    /// Adds defaults that depend on other settings to `table`.
    fn complete(_table: &mut Table)
    where
        Self: Sized,
    {
    }

    /// Checks conditions that involve several settings.
    ///
    /// # Errors
    /// If settings contradict each other.
    fn check(&self) -> Result<(), SettingError> {
        Ok(())
    }

    /// Checks that models of this kind support all of the given training settings.
    ///
    /// # Errors
    /// If a setting is not supported. The key of the error is relative to `[training]`.
    fn check_training(&self, _training: &TrainingSettings) -> Result<(), SettingError> {
        Ok(())
    }

    /// Largest number of tokens that a prediction can depend on; `None` if unlimited.
    fn context_tokens(&self) -> Option<usize> {
        None
    }

    /// Whether models can learn to fill a gap, given the text before and after it.
    fn can_fill_gaps(&self) -> bool {
        false
    }

    /// Whether models are trained from random initial weights, unless they are given others.
    fn draws_weights(&self) -> bool {
        true
    }

    /// Whether models have hidden states, which are needed for contrastive search and to compare texts.
    fn has_hidden_states(&self) -> bool {
        false
    }

    /// Order of an n-gram model, which describes its size better than the number of parameters; `None` for other kinds.
    fn order(&self) -> Option<usize> {
        None
    }

    /// Number of trainable parameters with a vocabulary of this size; 0 if the number depends on the training text.
    fn parameters(&self, _vocab_size: usize) -> u64 {
        0
    }

    /// Bytes of activations that one training step stores for its backward pass.
    fn activation_bytes(&self, _training: &TrainingSettings, _vocab_size: usize) -> u64 {
        0
    }

    /// Estimated peak memory in bytes of training a model of `parameters` parameters, without its text.
    fn training_bytes(&self, _training: &TrainingSettings, _vocab_size: usize, parameters: u64) -> u64 {
        parameters.saturating_mul(16)
    }

    /// Estimated peak memory in bytes of writing documents of up to `document_tokens` tokens with the threads of this process,
    /// without the documents.
    fn writing_bytes(&self, _vocab_size: usize, parameters: u64, _document_tokens: usize) -> u64 {
        parameters.saturating_mul(8)
    }

    /// Creates the learner that trains a model with these settings.
    fn learner(&self, context: LearnerContext) -> Box<dyn Learner>;
}

/// Inputs of a learner, other than the settings of the model.
#[derive(Clone)]
pub struct LearnerContext<'a> {
    /// Optimiser and length of training.
    pub training: &'a TrainingSettings,
    /// Tokenizer of the training text.
    pub tokenizer: &'a Tokenizer,
    /// Initial weights.
    pub start: Start,
    /// Device to train on.
    pub device: &'a Device,
}

/// The table `[model]`: a kind of model with its settings.
pub type ModelSettings = Chosen<dyn ModelKind>;

impl Registered for dyn ModelKind {
    type Context<'a> = ();
    type Facts = ();
}

impl Kind<dyn ModelKind> {
    /// The kind of model with settings of type `M`.
    #[must_use]
    pub fn of<M: ModelKind + Settings + 'static>() -> Self {
        Self::new(M::name(), (), settings::schema_of::<M>(), |mut table, ()| {
            M::complete(&mut table);
            let model: M = settings::read(table)?;
            model.check()?;
            Ok((settings::table_of(&model), Arc::new(model)))
        })
    }
}

impl Kinds<dyn ModelKind> {
    /// Merges `own`, the table of an arm or of the writer, over `base`, the table of the experiment. Nothing is
    /// inherited if `own` chooses another kind, because the same key can mean something else there.
    #[must_use]
    pub fn inherit(&self, own: Table, base: &Table) -> Table {
        if own.contains_key(KEY) && self.name_in(&own) != self.name_in(base) {
            return own;
        }
        let mut inherited = base.clone();
        if ["width", "family"].iter().any(|key| own.contains_key(*key)) {
            // The default of `ffn` depends on them.
            inherited.remove("ffn");
        }
        inherited.extend(own);
        inherited
    }
}

const KEY: &str = "kind";

/// The built-in kinds of model; the first one is the default.
#[must_use]
pub fn builtin_kinds() -> Kinds<dyn ModelKind> {
    Kinds::new(
        KEY,
        "Kind of model.",
        vec![
            Kind::<dyn ModelKind>::of::<TransformerSettings>(),
            Kind::<dyn ModelKind>::of::<NgramSettings>(),
        ],
    )
}

/// Converts the settings of one kind into a `[model]` table.
impl<M: ModelKind + Settings + 'static> From<M> for ModelSettings {
    fn from(model: M) -> Self {
        let own = settings::table_of(&model);
        Kind::<dyn ModelKind>::of::<M>().choose(KEY, own, Arc::new(model))
    }
}
