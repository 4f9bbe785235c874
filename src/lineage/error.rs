//! Errors of a run.

use crate::baseline::BaselineError;
use crate::config::Experiment;
use crate::corpus::CorpusError;
use crate::measure::MeasureError;
use crate::mixture::MixtureError;
use crate::model::ModelError;
use crate::spool::SpoolError;
use crate::store::StoreError;
use crate::synthesis::SynthesisError;
use crate::tokenizer::TokenizerError;
use crate::training::TrainingError;

/// An error of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The user asked to stop. Committed generations stay, and the one in training has a checkpoint.
    #[error("interrupted")]
    Interrupted,
    /// The natural text cannot be read, or is too little.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// Text that does not fit into memory cannot be kept in a temporary file.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The tokenizer cannot be learnt, read or used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The text does not suffice for an arm.
    #[error("arm \"{arm}\"")]
    Mixture {
        /// The arm.
        arm: String,
        /// Which text is missing.
        source: MixtureError,
    },
    /// A setting that does not fit the text.
    #[error("{key}: {message}")]
    Setting {
        /// The key of the setting, such as `model.context`.
        key: String,
        /// What is wrong, and what to try.
        message: String,
    },
    /// A model cannot be read, written or used.
    #[error(transparent)]
    Model(ModelError),
    /// Training failed.
    #[error(transparent)]
    Training(TrainingError),
    /// Synthesis failed.
    #[error("{location}")]
    Synthesis {
        /// Seed, arm and generation, as far as they are known.
        location: String,
        /// The error of the synthesis.
        source: Box<SynthesisError>,
    },
    /// A generation cannot be measured.
    #[error(transparent)]
    Measure(MeasureError),
    /// The simulation of drift failed.
    #[error(transparent)]
    Baseline(BaselineError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An error in one of several experiments.
    #[error("{experiment}")]
    Of {
        /// The name of the experiment.
        experiment: String,
        /// The error in it.
        source: Box<RunError>,
    },
    /// The threads of parallel unit groups cannot be started.
    #[error("threads cannot be started; try fewer with --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl RunError {
    /// Adds to an error which of several experiments it is about. An interruption is returned unchanged.
    #[must_use]
    pub fn of(self, experiment: &Experiment) -> Self {
        match self {
            Self::Interrupted => Self::Interrupted,
            error => Self::Of { experiment: experiment.name.clone(), source: Box::new(error) },
        }
    }

    /// An error of the synthesis at `location` (seed, arm and generation).
    pub(super) fn synthesis(source: SynthesisError, location: String) -> Self {
        match source {
            SynthesisError::Model(error) => error.into(),
            source => Self::Synthesis { location, source: Box::new(source) },
        }
    }
}

impl From<ModelError> for RunError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Interrupted => Self::Interrupted,
            error => Self::Model(error),
        }
    }
}

impl From<TrainingError> for RunError {
    fn from(error: TrainingError) -> Self {
        match error {
            TrainingError::Interrupted => Self::Interrupted,
            TrainingError::Model(error) => error.into(),
            error => Self::Training(error),
        }
    }
}

impl From<BaselineError> for RunError {
    fn from(error: BaselineError) -> Self {
        match error {
            BaselineError::Interrupted => Self::Interrupted,
            error => Self::Baseline(error),
        }
    }
}

impl From<MeasureError> for RunError {
    fn from(error: MeasureError) -> Self {
        match error {
            MeasureError::Interrupted => Self::Interrupted,
            error => Self::Measure(error),
        }
    }
}
