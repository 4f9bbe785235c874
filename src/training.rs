//! Training: token ids in, a model and its loss curve out.
//!
//! A [`ModelKind`] is implemented by the settings struct of one kind of model and creates the [`Learner`] that trains
//! such models. There are two such learners, [`TransformerLearner`] and [`NgramLearner`]; a [`GroupLearner`] trains several models with them. To add a kind of model, implement
//! both traits in a new file and list the kind in [`builtin_kinds`].
//!
//! ```
//! use genloss::{documents::Documents, progress::Silent, seed::StreamKey, stage::Stage};
//! use genloss::model::{NgramSettings, SpecialTokens};
//! use genloss::training::{Learner, NgramLearner, NoCheckpoints};
//! let special = SpecialTokens { start: 0, end: 0 };
//! let learner = NgramLearner { ngram: NgramSettings { order: 2 }, vocab_size: 9, special };
//! let text: Documents = [&[5, 6, 7, 0][..]].into_iter().collect();
//! let never = std::sync::atomic::AtomicBool::new(false);
//! let stage = Stage::new(StreamKey::new(1, "control", 0, "training"), &Silent, &never);
//! let trained = learner.fit(&text, &mut NoCheckpoints, &stage)?;
//! assert_eq!(trained.record.tokens_seen.0, 4);
//! # Ok::<(), genloss::training::TrainingError>(())
//! ```

use crate::documents::Documents;
use crate::model::{LanguageModel, ModelError};
use crate::stage::Stage;
use crate::units::Tokens;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub mod adamw;
pub mod checkpoint;
pub mod gradients;
mod group;
mod kind;
pub mod lora;
mod memory;
mod ngram;
mod settings;
pub mod trainer;
pub mod transformer;
pub mod windows;

pub use group::GroupLearner;
pub use kind::{LearnerContext, ModelKind, ModelSettings, builtin_kinds};
pub use ngram::NgramLearner;
pub use settings::{Init, LoraSettings, Start, TrainingLength, TrainingSettings};
pub use transformer::TransformerLearner;

/// Learns a language model from token ids.
pub trait Learner {
    /// Trains on `documents`, resuming from the latest checkpoint if there is one. Saves new checkpoints when they are
    /// due.
    ///
    /// # Errors
    /// If the run is interrupted (after a last checkpoint), training diverges, or a file or the device fails.
    fn fit(
        &self,
        documents: &Documents,
        checkpoints: &mut dyn Checkpoints,
        stage: &Stage,
    ) -> Result<Trained, TrainingError>;

    /// Reads a model that this learner trained, with the precision that it had, from the folder it was saved in.
    ///
    /// # Errors
    /// If the folder is incomplete or damaged.
    fn load_trained(&self, dir: &Path) -> Result<Box<dyn LanguageModel>, ModelError>;

    /// Number of tokens that training on a text of `text` tokens processes, counting repetitions and all models of a group.
    fn tokens_seen(&self, text: Tokens) -> Tokens;

    /// Checks the folder that training would start from, if there is one.
    ///
    /// # Errors
    /// If it is incomplete or damaged, or its model has a different shape.
    fn check_start(&self, _stage: &Stage) -> Result<(), ModelError> {
        Ok(())
    }
}

/// A trained model and the record of its training.
pub struct Trained {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// Its initial weights, length of training and loss curve.
    pub record: TrainingRecord,
}

/// Summary of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// The initial weights: `"scratch"`, `"generation 2"`, `"base PATH"`, or `"counts"` for an n-gram.
    pub init: String,
    /// Number of parameters of the model; for an n-gram model, the number of distinct n-grams.
    pub parameters: u64,
    /// Number of trained parameters if only low-rank updates are trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_parameters: Option<u64>,
    /// Number of models that were trained, if there are several. The other numbers are those of each of them, and the loss curve
    /// is their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writers: Option<u64>,
    /// Optimiser steps; 0 for an n-gram.
    pub steps: u64,
    /// Training tokens processed, counting repetitions.
    pub tokens_seen: Tokens,
    /// Passes over the training text.
    pub epochs: f64,
    /// The loss curve, with about a hundred points.
    pub curve: Vec<LossPoint>,
}

/// A point of a loss curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Training tokens processed so far.
    pub tokens: Tokens,
    /// Mean training loss since the previous point, in nats per token.
    pub loss_nats: f64,
}

/// Storage for the state of an unfinished training run.
pub trait Checkpoints {
    /// The folder of the latest complete checkpoint, if there is one.
    fn latest(&self) -> Option<PathBuf>;
    /// Whether it is time for the next checkpoint.
    fn due(&self) -> bool;
    /// Calls `write` with an empty folder, which then replaces the latest checkpoint in a single step.
    ///
    /// # Errors
    /// If the folder cannot be written.
    fn save(
        &mut self,
        write: &mut dyn FnMut(&Path) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError>;
}

/// Stores no checkpoints.
pub struct NoCheckpoints;

impl Checkpoints for NoCheckpoints {
    fn latest(&self) -> Option<PathBuf> {
        None
    }
    fn due(&self) -> bool {
        false
    }
    fn save(&mut self, _: &mut dyn FnMut(&Path) -> Result<(), TrainingError>) -> Result<(), TrainingError> {
        Ok(())
    }
}

/// An error in training.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The user asked to stop; the latest checkpoint has the complete training state.
    #[error("interrupted")]
    Interrupted,
    /// The loss or the gradient is not finite.
    #[error(
        "seed {seed}, {}, generation {generation}: training diverged at step {step} (loss {loss_nats}, gradient norm {gradient_norm}); try a lower training.learning_rate",
        if arm.is_empty() { "all arms" } else { arm }
    )]
    Diverged {
        /// Seed of the lineage.
        seed: u64,
        /// Name of the arm; empty for a model that all arms share.
        arm: String,
        /// Generation of the lineage, from 0.
        generation: usize,
        /// Optimiser step, from 0.
        step: u64,
        /// The loss at that step, in nats per token.
        loss_nats: f64,
        /// The Euclidean norm of the gradient at that step.
        gradient_norm: f64,
    },
    /// The training text is shorter than one context.
    #[error(
        "training text of {tokens} tokens does not fill one context of {context} tokens; try more corpus.train_tokens or a shorter model.context"
    )]
    TooShort {
        /// Length of the text.
        tokens: Tokens,
        /// Length of a context in tokens.
        context: usize,
    },
    /// The files of a checkpoint are damaged, or cannot be written or read.
    #[error("checkpoint {}: {reason}", path.display())]
    CheckpointFile {
        /// Its folder.
        path: PathBuf,
        /// What is wrong, and what to try.
        reason: String,
        /// The underlying error, if there is one.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The storage could not provide a folder for a checkpoint or put it in place.
    #[error("storing a checkpoint")]
    CheckpointStorage {
        /// Error of the storage.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl From<candle_core::Error> for TrainingError {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}
