//! Training: token ids in, a model and its loss curve out.
//!
//! A [`ModelKind`] is a kind of model as a struct of settings, and makes the [`Learner`] of its models. There are two:
//! [`TransformerLearner`] and [`NgramLearner`]. A new kind is a file with both traits and a line in [`builtin_kinds`].
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
mod kind;
mod ngram;
mod settings;
pub mod trainer;
pub mod transformer;
pub mod windows;

pub use kind::{LearnerContext, ModelKind, ModelSettings, builtin_kinds};
pub use ngram::NgramLearner;
pub use settings::{Init, TrainingLength, TrainingSettings};
pub use transformer::{Start, TransformerLearner};

/// Learns a language model from token ids.
pub trait Learner {
    /// Trains on `documents`, from the latest checkpoint if there is one. New checkpoints are saved when they are due.
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

    /// Tokens that training sees of a text of this many tokens, repetitions counted.
    fn tokens_seen(&self, text: Tokens) -> Tokens;

    /// Checks the folder that training would start from, if there is one.
    ///
    /// # Errors
    /// If it is incomplete, damaged, or of another shape than the model.
    fn check_start(&self, _stage: &Stage) -> Result<(), ModelError> {
        Ok(())
    }
}

/// A trained model and the record of its training.
pub struct Trained {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// How it was trained.
    pub record: TrainingRecord,
}

/// How a model was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// The initial weights: `"scratch"`, `"generation 2"`, `"base PATH"`, or `"counts"` for an n-gram.
    pub init: String,
    /// Trainable parameters, or distinct n-grams.
    pub parameters: u64,
    /// Optimiser steps; 0 for an n-gram.
    pub steps: u64,
    /// Tokens seen, repetitions counted.
    pub tokens_seen: Tokens,
    /// Passes over the training text.
    pub epochs: f64,
    /// The loss curve, about a hundred points.
    pub curve: Vec<LossPoint>,
}

/// A point of a loss curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Tokens seen so far.
    pub tokens: Tokens,
    /// Mean training loss since the previous point, in nats per token.
    pub loss_nats: f64,
}

/// Storage for the state of a training.
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

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The user asked to stop; the latest checkpoint has the whole state.
    #[error("interrupted")]
    Interrupted,
    /// The loss or the gradient is not finite.
    #[error(
        "seed {seed}, {}, generation {generation}: training diverged at step {step} (loss {loss_nats}, gradient norm {gradient_norm}); try a lower training.learning_rate",
        if arm.is_empty() { "all arms" } else { arm }
    )]
    Diverged {
        /// The seed.
        seed: u64,
        /// The arm.
        arm: String,
        /// The generation.
        generation: usize,
        /// The step.
        step: u64,
        /// The loss at that step, in nats per token.
        loss_nats: f64,
        /// The Euclidean norm of the gradient at that step.
        gradient_norm: f64,
    },
    /// The text is shorter than a context.
    #[error(
        "training text of {tokens} tokens does not fill one context of {context}; try more corpus.train_tokens or a shorter model.context"
    )]
    TooShort {
        /// Tokens of the text.
        tokens: Tokens,
        /// Tokens of a context.
        context: usize,
    },
    /// A checkpoint cannot be written or read.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// Its folder.
        path: PathBuf,
        /// What is wrong, and what to try.
        reason: String,
        /// The error that revealed it, if there is one.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A checkpoint could not be stored.
    #[error("storing a checkpoint")]
    Checkpoints {
        /// Why.
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
