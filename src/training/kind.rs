//! The kinds of model: each is a settings struct that says what its models can do and makes their learner.
//!
//! A new kind implements [`ModelKind`] and is one line in [`builtin_kinds`]. A program that uses the library adds its own
//! with [`Kinds::with`].
//!
//! ```
//! use genloss::training::builtin_kinds;
//!
//! let model = builtin_kinds().read("kind = 'ngram'\norder = 3".parse().unwrap(), &()).unwrap();
//! assert_eq!(model.name(), "ngram");
//! assert!(!model.sees_both_sides());
//! ```

use super::{Learner, Start, TrainingSettings};
use crate::model::{NgramSettings, TransformerSettings};
use crate::settings::{self, Chosen, Kind, Kinds, Registered, SettingError, Settings};
use crate::tokenizer::Tokenizer;
use candle_core::Device;
use std::fmt;
use std::sync::Arc;
use toml::Table;

/// A kind of model, as a struct of its settings.
pub trait ModelKind: fmt::Debug + Send + Sync {
    /// The value of `model.kind` that chooses it.
    fn name() -> &'static str
    where
        Self: Sized;

    /// Adds the defaults that depend on other settings of `table`.
    fn complete(_table: &mut Table)
    where
        Self: Sized,
    {
    }

    /// Checks conditions between settings.
    ///
    /// # Errors
    /// If settings do not fit together.
    fn check(&self) -> Result<(), SettingError> {
        Ok(())
    }

    /// Checks whether a model of this kind can be trained with `training`.
    ///
    /// # Errors
    /// If it cannot; the key in the error is relative to `training`.
    fn check_training(&self, _training: &TrainingSettings) -> Result<(), SettingError> {
        Ok(())
    }

    /// Tokens that one prediction depends on at most; None if there is no such limit.
    fn context_tokens(&self) -> Option<usize> {
        None
    }

    /// Whether a model can see the text on both sides of a gap that it fills.
    fn sees_both_sides(&self) -> bool {
        false
    }

    /// Whether a model has hidden states that texts can be compared by.
    fn has_hidden_states(&self) -> bool {
        false
    }

    /// The order of an n-gram model, which says more about its size than the number of parameters; None for other kinds.
    fn order(&self) -> Option<usize> {
        None
    }

    /// Bytes of activations that one training step keeps for its backward pass.
    fn activation_bytes(&self, _training: &TrainingSettings, _vocab_size: usize) -> u64 {
        0
    }

    /// The learner of models of this kind.
    fn learner(&self, context: LearnerContext) -> Box<dyn Learner>;
}

/// What a learner needs in addition to the shape of the model.
#[derive(Clone)]
pub struct LearnerContext<'a> {
    /// Settings of the optimiser, and how long to train.
    pub training: &'a TrainingSettings,
    /// The tokenizer of the text.
    pub tokenizer: &'a Tokenizer,
    /// The initial weights.
    pub start: Start,
    /// Device to train on.
    pub device: &'a Device,
}

/// `[model]`: the kind of model and its shape.
pub type ModelSettings = Chosen<dyn ModelKind>;

impl Registered for dyn ModelKind {
    type Context<'a> = ();
}

impl Kind<dyn ModelKind> {
    /// The kind of model with settings of type `M`.
    #[must_use]
    pub fn of<M: ModelKind + Settings + 'static>() -> Self {
        Self::new(M::name(), settings::schema_of::<M>(), |mut table, ()| {
            M::complete(&mut table);
            let model: M = settings::read(table)?;
            model.check()?;
            Ok((settings::table_of(&model), Arc::new(model)))
        })
    }
}

impl Kinds<dyn ModelKind> {
    /// `own`, the table of an arm or of the writer, completed with what it inherits from `base`, the experiment's. It
    /// inherits nothing if it chooses another kind of model, because the same key can mean something else there.
    #[must_use]
    pub fn inherit(&self, own: Table, base: &Table) -> Table {
        if own.contains_key(KEY) && self.name_in(&own) != self.name_in(base) {
            return own;
        }
        let mut inherited = base.clone();
        if own.contains_key("width") {
            // The feed-forward size of another width would not fit.
            inherited.remove("ffn");
        }
        inherited.extend(own);
        inherited
    }
}

const KEY: &str = "kind";

/// The kinds of model that come with the library; the first one is the default.
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

/// Makes these settings the `[model]` of an experiment.
impl<M: ModelKind + Settings + 'static> From<M> for ModelSettings {
    fn from(model: M) -> Self {
        let own = settings::table_of(&model);
        Kind::<dyn ModelKind>::of::<M>().choose(KEY, own, Arc::new(model))
    }
}
