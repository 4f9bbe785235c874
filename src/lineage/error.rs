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
    /// The user asked to stop. What was committed stands, and the generation at work left a checkpoint.
    #[error("interrupted")]
    Interrupted,
    /// The natural text.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The text does not suffice for an arm.
    #[error("arm \"{arm}\": {source}")]
    Mixture {
        /// The arm.
        arm: String,
        /// What is missing.
        source: MixtureError,
    },
    /// A setting that does not fit the text.
    #[error("{key}: {message}")]
    Setting {
        /// The setting.
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
    #[error("{place}: {source}")]
    Synthesis {
        /// Seed, arm and generation, as far as it was one of them.
        place: String,
        /// What went wrong.
        source: Box<SynthesisError>,
    },
    /// The measuring.
    #[error(transparent)]
    Measure(MeasureError),
    /// What drift alone would do.
    #[error(transparent)]
    Baseline(BaselineError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One of several experiments.
    #[error("{experiment}: {source}")]
    Of {
        /// Its name.
        experiment: String,
        /// What is wrong with it.
        source: Box<RunError>,
    },
    /// The threads to go side by side on.
    #[error("threads cannot be started: {0}; try fewer with --threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl RunError {
    /// The fault of one experiment among others. That the user asked to stop is no fault.
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
