//! The table `[training]`: length, initial weights, batch size, learning rate schedule and optimiser.

use crate::model::group;
use crate::settings::SettingError;
use crate::units::Tokens;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::{Table, Value};

/// Training of a transformer. An n-gram model is estimated by counting in one pass over its text, and uses none of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingSettings {
    /// Training tokens per generation, including repetitions. Twice `corpus.train_tokens` if neither this nor `epochs` is
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub tokens: Option<Tokens>,
    /// Passes over the training text of a generation. An alternative to `tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0, "x-sensible" = {"minimum": 0.01, "maximum": 10_000.0, "why": "fewer train on next to nothing, and more on nothing new"}))]
    pub epochs: Option<f64>,
    /// Initial weights of a generation.
    pub init: Init,
    /// Hugging Face model folder with initial weights: for every generation with `init = "base"`, and for generation 0 with
    /// `init = "chained"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// Low-rank adaptation (LoRA, Hu et al. 2022): the weights of `base` stay, and low-rank matrices added to some of them are
    /// trained. They are merged into the weights when a model is saved. All weights are trained if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraSettings>,
    /// Models that each generation trains on its text, each with its own initial weights and order of the text. They write the
    /// documents of the next generation's text in turn, and losses are means over them.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 1024), extend("x-sensible" = {"maximum": 64, "why": "each of them is trained, kept in memory and scored by itself"}))]
    pub writers: usize,
    /// Sequences per training step, each of `model.context` tokens.
    #[schemars(range(min = 1, max = 65_536))]
    pub batch: usize,
    /// Peak learning rate of AdamW.
    #[schemars(extend("exclusiveMinimum" = 0.0, "x-sensible" = {"maximum": 10.0, "why": "larger steps overwrite the weights"}))]
    pub learning_rate: f64,
    /// Fraction of the steps during which the learning rate rises linearly from 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub warmup_fraction: f64,
    /// Learning rate at the end of the cosine schedule, as a fraction of the peak.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_rate_fraction: f64,
    /// Decoupled weight decay, applied to matrices only.
    #[schemars(range(min = 0.0), extend("x-sensible" = {"maximum": 10.0, "why": "each step multiplies weights by 1 minus learning_rate times this"}))]
    pub weight_decay: f64,
    /// Decay rate of AdamW's first moment.
    #[schemars(extend("minimum" = 0.0, "exclusiveMaximum" = 1.0, "x-sensible" = {"maximum": 0.9999, "why": "with more, the first moment never follows the gradient"}))]
    pub beta1: f64,
    /// Decay rate of AdamW's second moment.
    #[schemars(extend("minimum" = 0.0, "exclusiveMaximum" = 1.0, "x-sensible" = {"minimum": 0.5, "maximum": 0.999999, "why": "with less, single gradients set the step, and training diverges; with more, it never adapts"}))]
    pub beta2: f64,
    /// Largest Euclidean norm of the gradient; a gradient with a larger norm is scaled down to it.
    #[schemars(extend("exclusiveMinimum" = 0.0, "x-sensible" = {"minimum": 1e-6, "why": "with less, nothing is learnt; for no clipping give a large number"}))]
    pub gradient_clip: f64,
    /// Share of training documents whose middle is moved to the end, so that the model learns to fill gaps
    /// (fill-in-the-middle, Bavarian et al. 2022).
    #[schemars(range(min = 0.0, max = 1.0), extend("x-sensible" = {"maximum": 0.95, "why": "with more, the model hardly learns to read a document in its order"}))]
    pub fim_share: f64,
    /// Minutes between checkpoints within a generation. Does not affect results.
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
            lora: None,
            writers: 1,
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

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_one(number: &usize) -> bool {
    *number == 1
}

/// Low-rank adaptation: the update of a matrix (out, in) is `alpha / rank` times the product of two trained matrices,
/// (out, rank) and (rank, in).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoraSettings {
    /// Rank of the updates.
    #[schemars(range(min = 1, max = 65_536))]
    pub rank: usize,
    /// The updates are multiplied by `alpha / rank`.
    #[schemars(extend("exclusiveMinimum" = 0.0, "x-sensible" = {"minimum": 0.001, "maximum": 10_000.0, "why": "smaller updates change nothing, and larger ones overwrite the weights"}))]
    pub alpha: f64,
    /// Names of the matrices that are adapted, as in the folder of the base model: the end of a name means that matrix in every
    /// layer, such as `["q_proj", "v_proj"]` in most families, `["c_attn"]` in GPT-2 and `["query_key_value"]` in GPT-NeoX; a whole
    /// name means one matrix. The projections to queries and values if left out, or
    /// to queries, keys and values where one matrix makes all three.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, targets: Vec::new() }
    }
}

/// Initial weights of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Random weights in every generation.
    Scratch,
    /// The weights of the previous generation. Generation 0 starts from `base` if it is given, else from random weights.
    Chained,
    /// The weights in `base`, in every generation.
    Base,
}

/// The initial weights of a training run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// A random initialisation.
    Scratch,
    /// The model folder of the previous generation.
    Previous(PathBuf),
    /// A Hugging Face model folder.
    Base(PathBuf),
}

impl Start {
    /// Where the weights of one writer of several start.
    #[must_use]
    pub fn of_writer(&self, writer: usize) -> Self {
        match self {
            Self::Previous(group) => Self::Previous(group::folder(group, writer)),
            Self::Scratch | Self::Base(_) => self.clone(),
        }
    }
}

/// Length of the training of a generation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrainingLength {
    /// Training tokens per generation, including repetitions, whatever the size of the training text.
    Tokens(Tokens),
    /// Passes over the training text.
    Epochs(f64),
}

impl TrainingSettings {
    /// Adds the default of `tokens`, which depends on the corpus.
    pub(crate) fn complete(table: &mut Table, train_tokens: Tokens) {
        if !table.contains_key("epochs") {
            let twice = i64::try_from(train_tokens.0.saturating_mul(2)).unwrap_or(i64::MAX);
            table.entry("tokens").or_insert(Value::Integer(twice));
        }
    }

    /// Merges `own`, the table of an arm or of the writer, over `base`, the table of the experiment. If `own` sets
    /// `tokens` or `epochs`, neither of the two is inherited; if it sets `init`, neither `base` nor `lora` is.
    pub(crate) fn inherit(own: Table, base: &Table) -> Table {
        let mut inherited = base.clone();
        if own.contains_key("tokens") || own.contains_key("epochs") {
            inherited.remove("tokens");
            inherited.remove("epochs");
        }
        if own.contains_key("init") {
            inherited.remove("base");
            inherited.remove("lora");
        }
        inherited.extend(own);
        inherited
    }

    /// Checks conditions that involve several settings.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        if self.tokens.is_some() && self.epochs.is_some() {
            return Err(SettingError::new("", "has both tokens and epochs; keep one"));
        }
        if self.lora.is_some() && self.base.is_none() {
            let message = "has no weights to adapt; set base, with init = \"base\" or \"chained\"";
            return Err(SettingError::new("lora", message));
        }
        match (self.init, &self.base) {
            (Init::Scratch, Some(_)) => Err(SettingError::new(
                "base",
                "has no effect with init = \"scratch\"; leave it out, or set init to \"base\" or \"chained\"",
            )),
            (Init::Base, None) => {
                Err(SettingError::new("base", "is missing; init = \"base\" needs the path of a model folder"))
            }
            (Init::Scratch, None) | (Init::Chained, _) | (Init::Base, Some(_)) => Ok(()),
        }
    }

    /// `epochs` if it is given, else `tokens`.
    #[must_use]
    pub fn length(&self) -> TrainingLength {
        match (self.tokens, self.epochs) {
            (_, Some(epochs)) => TrainingLength::Epochs(epochs),
            (tokens, None) => TrainingLength::Tokens(tokens.unwrap_or_default()),
        }
    }

    /// Initial weights of a generation. `previous_model` is the model folder of the previous generation, `None` for
    /// generation 0.
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
