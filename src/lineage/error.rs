//! What can go wrong in a run.

use crate::baseline::BaselineError;
use crate::config::Experiment;
use crate::corpus::CorpusError;
use crate::measure::MeasureError;
use crate::mixture::MixtureError;
use crate::model::ModelError;
use crate::store::StoreError;
use crate::synthesis::SynthesisError;
use crate::tokenizer::TokenizerError;
use crate::training::TrainingError;

/// A fault of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The user asked to stop. Committed generations stay, and the one in training has a checkpoint.
    #[error("interrupted")]
    Interrupted,
    /// The natural text.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The tokenizer.
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
    /// The model.
    #[error(transparent)]
    Model(ModelError),
    /// The training.
    #[error(transparent)]
    Training(TrainingError),
    /// The synthesis.
    #[error("{place}")]
    Synthesis {
        /// Seed, arm and generation, as far as they are known.
        place: String,
        /// The fault of the synthesis.
        source: Box<SynthesisError>,
    },
    /// The measurement of a generation.
    #[error(transparent)]
    Measure(MeasureError),
    /// The simulation of drift.
    #[error(transparent)]
    Baseline(BaselineError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of several experiments.
    #[error("{experiment}")]
    Of {
        /// The name of the experiment.
        experiment: String,
        /// Its fault.
        source: Box<RunError>,
    },
    /// Threads to work side by side.
    #[error("threads cannot be started; try fewer with --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl RunError {
    /// Adds the experiment, one of several, to an error. An interruption stays as it is: it is no fault.
    #[must_use]
    pub fn of(self, experiment: &Experiment) -> Self {
        match self {
            Self::Interrupted => Self::Interrupted,
            error => Self::Of { experiment: experiment.name.clone(), source: Box::new(error) },
        }
    }

    /// A fault of the synthesis at `place`.
    pub(super) fn synthesis(source: SynthesisError, place: String) -> Self {
        match source {
            SynthesisError::Model(error) => error.into(),
            source => Self::Synthesis { place, source: Box::new(source) },
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
