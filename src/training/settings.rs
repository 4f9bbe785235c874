//! `[training]`: how a generation is trained.

use super::Start;
use crate::settings::SettingError;
use crate::units::Tokens;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::{Table, Value};

/// How a transformer is trained. An n-gram model is counted in one pass over its text and uses none of this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingSettings {
    /// Tokens seen per generation, repetitions counted. Twice `corpus.train_tokens` if neither this nor `epochs` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub tokens: Option<Tokens>,
    /// Passes over the training text of a generation, instead of `tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub epochs: Option<f64>,
    /// What the weights of a generation start from.
    pub init: Init,
    /// Hugging Face model folder that `init = "base"` starts from in every generation, and `init = "chained"` in
    /// generation 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// Sequences of `model.context` tokens per step.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch: usize,
    /// Peak learning rate of AdamW.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub learning_rate: f64,
    /// Share of the steps in which the learning rate rises linearly from 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_fraction: f64,
    /// Learning rate at the end of the cosine schedule, as a share of the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_rate_fraction: f64,
    /// Decoupled weight decay, applied to matrices only.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Decay rate of AdamW's first moment.
    #[schemars(extend("minimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub beta1: f64,
    /// Decay rate of AdamW's second moment.
    #[schemars(extend("minimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub beta2: f64,
    /// Largest Euclidean norm of the gradient; a longer gradient is scaled down to it.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub gradient_clip: f64,
    /// Share of documents that are read with their middle last, so that the model learns to fill gaps (Bavarian et al.
    /// 2022).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fim_share: f64,
    /// Minutes between checkpoints within a generation. No result depends on it.
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1_000_000.0, "x-run-time-only" = true))]
    pub checkpoint_minutes: f64,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            tokens: None,
            epochs: None,
            init: Init::Scratch,
            base: None,
            batch: 16,
            learning_rate: 1e-3,
            warmup_fraction: 0.05,
            final_rate_fraction: 0.1,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            gradient_clip: 1.0,
            fim_share: 0.0,
            checkpoint_minutes: 5.0,
        }
    }
}

/// What the weights of a generation start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// A random initialisation in every generation.
    Scratch,
    /// The weights of the previous generation; generation 0 starts from `base` if it is given, else from scratch.
    Chained,
    /// The weights in the folder `base`, in every generation.
    Base,
}

/// How long a generation is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrainingLength {
    /// Tokens seen per generation, the same for every arm.
    Tokens(Tokens),
    /// Passes over the training text.
    Epochs(f64),
}

impl TrainingSettings {
    /// Writes out the default that depends on the corpus.
    pub(crate) fn complete(table: &mut Table, train_tokens: Tokens) {
        if !table.contains_key("epochs") {
            let twice = i64::try_from(train_tokens.0.saturating_mul(2)).unwrap_or(i64::MAX);
            table.entry("tokens").or_insert(Value::Integer(twice));
        }
    }

    /// The table of an arm or of the writer with what it inherits from the experiment's. One that sets the length, or what
    /// weights start from, inherits neither key of it.
    pub(crate) fn inherit(own: Table, base: &Table) -> Table {
        let mut inherited = base.clone();
        if own.contains_key("tokens") || own.contains_key("epochs") {
            inherited.remove("tokens");
            inherited.remove("epochs");
        }
        if own.contains_key("init") {
            inherited.remove("base");
        }
        inherited.extend(own);
        inherited
    }

    /// Checks what settings mean together.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        if self.tokens.is_some() && self.epochs.is_some() {
            return Err(SettingError::new("", "gives both tokens and epochs; keep one"));
        }
        match (self.init, &self.base) {
            (Init::Scratch, Some(_)) => Err(SettingError::new(
                "base",
                "has no meaning with init = \"scratch\"; leave it out, or set init to \"base\" or \"chained\"",
            )),
            (Init::Base, None) => {
                Err(SettingError::new("base", "init = \"base\" needs the path of a model folder here"))
            }
            (Init::Scratch, None) | (Init::Chained, _) | (Init::Base, Some(_)) => Ok(()),
        }
    }

    /// How long a generation is trained.
    #[must_use]
    pub fn length(&self) -> TrainingLength {
        match (self.tokens, self.epochs) {
            (_, Some(epochs)) => TrainingLength::Epochs(epochs),
            (tokens, None) => TrainingLength::Tokens(tokens.unwrap_or_default()),
        }
    }

    /// What the weights start from, given the model folder of the previous generation (None for generation 0).
    #[must_use]
    pub fn start(&self, previous_model: Option<PathBuf>) -> Start {
        let base = self.base.clone().map_or(Start::Scratch, Start::Base);
        match self.init {
            Init::Scratch => Start::Scratch,
            Init::Base => base,
            Init::Chained => previous_model.map_or(base, Start::Previous),
        }
    }
}
