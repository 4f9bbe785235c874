//! The second seam of the loop: token ids in, a model and its loss curve out.

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
    /// Trains on `documents`. `checkpoints` may hold a state to go on from, and is offered new ones.
    ///
    /// # Errors
    /// When the run is interrupted (after a last checkpoint), when training diverges, or when a file or the
    /// backend fails.
    fn fit(
        &self,
        documents: &Documents,
        checkpoints: &mut dyn Checkpoints,
        stage: &Stage,
    ) -> Result<Trained, TrainingError>;

    /// A model that it trained, as it was, out of the folder that the model was saved in.
    ///
    /// # Errors
    /// When the folder is not whole.
    fn recall(&self, dir: &Path) -> Result<Box<dyn LanguageModel>, ModelError>;

    /// Tokens that training sees of a text of this many tokens, repetitions counted.
    fn tokens_seen(&self, text: Tokens) -> Tokens;

    /// Checks that what training starts from exists and fits.
    ///
    /// # Errors
    /// When the folder that training would start from is damaged, or not of the model's shape.
    fn check_start(&self, _stage: &Stage) -> Result<(), ModelError> {
        Ok(())
    }
}

/// A trained model and how it came to be.
pub struct Trained {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// Its record.
    pub record: TrainingRecord,
}

/// How a model came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// What the weights started from: `"scratch"`, `"generation 2"`, `"base PATH"`, or `"counts"` for an n-gram.
    pub init: String,
    /// Trainable parameters, or distinct n-grams.
    pub parameters: u64,
    /// Optimiser steps; 0 for an n-gram.
    pub steps: u64,
    /// Tokens seen, repetitions counted.
    pub tokens_seen: Tokens,
    /// Passes over the training text.
    pub epochs: f64,
    /// The loss curve: about a hundred points.
    pub curve: Vec<LossPoint>,
}

/// A point of a loss curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossPoint {
    /// Tokens seen so far.
    pub tokens: Tokens,
    /// Mean training loss since the point before, in nats per token.
    pub loss_nats: f64,
}

/// Where a learner keeps its state between steps.
pub trait Checkpoints {
    /// The folder of the last complete checkpoint, if there is one.
    fn latest(&self) -> Option<PathBuf>;
    /// Whether it is time for another one.
    fn due(&self) -> bool;
    /// Has `write` fill an empty folder, and puts it in the place of the last one in a single step.
    ///
    /// # Errors
    /// When the folder cannot be written.
    fn save(
        &mut self,
        write: &mut dyn FnMut(&Path) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError>;
}

/// Keeps no checkpoints.
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
    /// The user asked to stop; the last checkpoint holds all that was done.
    #[error("interrupted")]
    Interrupted,
    /// The loss or the gradient is no longer a number.
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
        /// The loss there.
        loss_nats: f64,
        /// The Euclidean norm of the gradient there.
        gradient_norm: f64,
    },
    /// There is less text than one step needs.
    #[error(
        "training text of {tokens} tokens does not fill one context of {context}; ask for more corpus.train_tokens, or a shorter model.context"
    )]
    TooShort {
        /// Tokens there are.
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
