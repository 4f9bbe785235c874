//! How many natural and synthetic samples each generation trains on.

use super::multinomial::MAX_SAMPLES;
use super::{DriftError, invalid};
use crate::mixture::{self, MixtureError};
use crate::mixture::{Budget, Mixture, NaturalDocuments, SyntheticDocuments};
use crate::units::Tokens;

/// Largest number of generations. A longer table would be of no use to anyone.
const MAX_GENERATIONS: usize = 1_000_000;
/// Largest number of replicates. With this number, the standard error of a mean is far below the rounding of printed
/// numbers.
const MAX_REPLICATES: usize = 1_000_000_000;

/// The settings that all simulations share, whatever their model.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftSettings {
    /// The training budget, and the number of samples that a generation writes (more if the mixture draws on the latest
    /// corpus alone and its budget grows). 1 to 2⁵³.
    pub samples: u64,
    /// Number of generations after generation 0.
    pub generations: usize,
    /// Training mixture of generations 1 and later.
    pub mixture: Mixture,
    /// Number of independent lineages to average over. At least 1.
    pub replicates: usize,
    /// Seed of all random streams.
    pub seed: u64,
}

/// Upper bound on the samples that a lineage ever holds at once, in multiples of the larger of budget and corpus.
/// Mixtures of the latest corpus need two (a natural and a synthetic part); the others may keep every corpus.
pub(super) fn largest_set(mixture: &Mixture, generations: usize) -> u64 {
    match (mixture.synthetic, mixture.budget) {
        (SyntheticDocuments::Latest, Budget::Constant | Budget::Added | Budget::Repeated) => 2,
        (SyntheticDocuments::All, _) | (SyntheticDocuments::Latest, Budget::Growing) => {
            generations as u64 + 2
        }
    }
}

/// The training set of one generation ≥ 1, in numbers of samples. A set that a mixture reads again and again counts once:
/// repetitions change nothing that these models learn from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainingCounts {
    /// Fixed numbers of natural and of synthetic samples, each drawn from its own source.
    Separate {
        /// Number of natural samples.
        natural: u64,
        /// Number of synthetic samples.
        synthetic: u64,
    },
    /// A uniform subset of the pool of natural and synthetic samples together.
    Pooled {
        /// Natural samples in the pool.
        natural: u64,
        /// Size of the subset.
        taken: u64,
    },
}

impl TrainingCounts {
    /// Total size of the training set.
    #[must_use]
    pub fn total(self) -> u64 {
        match self {
            Self::Separate { natural, synthetic } => natural + synthetic,
            Self::Pooled { taken, .. } => taken,
        }
    }

    /// Natural samples that must be available: those in the training set, or those in the pool.
    #[must_use]
    pub fn natural(self) -> u64 {
        let (Self::Separate { natural, .. } | Self::Pooled { natural, .. }) = self;
        natural
    }
}

/// The sizes of all training sets under a mixture. Its constructors guarantee that every generation's samples exist.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleSchedule {
    /// Samples of generation 0, and the training budget of later generations.
    pub samples: u64,
    /// Samples that a generation writes.
    pub written: u64,
    /// Whether all generations reuse the same natural samples. If so, smaller parts are prefixes of larger ones.
    pub natural: NaturalDocuments,
    /// Whether synthetic samples come from the latest generation or from all earlier ones.
    pub synthetic: SyntheticDocuments,
    /// Training sets of generations 1, 2, …; generation g has index g − 1.
    pub training: Vec<TrainingCounts>,
    /// The most natural samples that there are (`corpus.natural_tokens`). Where fixed natural samples do not suffice, they
    /// are taken again from the beginning. Only [`super::categorical`] simulates that, and nothing exact is known for it.
    pub natural_limit: Option<u64>,
}

impl SampleSchedule {
    /// The schedule of `settings`, in which each generation writes as many samples as the training budget.
    ///
    /// # Errors
    /// If a number is out of range, or a generation takes more synthetic samples than exist.
    pub fn new(settings: &DriftSettings) -> Result<Self, DriftError> {
        let DriftSettings { samples, generations, ref mixture, replicates, .. } = *settings;
        if samples == 0 {
            return Err(invalid("samples", "0 samples give no model; give at least 1"));
        }
        if replicates == 0 {
            return Err(invalid("replicates", "0 replicates give no mean; give at least 1"));
        }
        if replicates > MAX_REPLICATES {
            let message = format!("{replicates} is too many; give at most {}", Tokens(MAX_REPLICATES as u64));
            return Err(invalid("replicates", message));
        }
        if generations > MAX_GENERATIONS {
            let message =
                format!("{generations} is too many; give at most {}", Tokens(MAX_GENERATIONS as u64));
            return Err(invalid("generations", message));
        }
        mixture.check_length(generations).map_err(DriftError::Mixture)?;
        Self::of(mixture, generations, samples, samples)
    }

    /// The schedule of `mixture` for generations 1..=`generations`, for a training budget of `samples` and generations
    /// that write `written` samples each. Both are at least 1.
    ///
    /// # Errors
    /// If sums exceed [`MAX_SAMPLES`], or a generation takes more synthetic samples than exist.
    pub fn of(mixture: &Mixture, generations: usize, samples: u64, written: u64) -> Result<Self, DriftError> {
        let most = u128::from(samples.max(written)) * u128::from(largest_set(mixture, generations));
        if most > u128::from(MAX_SAMPLES) {
            let message = format!(
                "{} per generation can add up to {}, and sums are exact up to {}; lower samples or generations",
                Tokens(samples.max(written)),
                most,
                Tokens(MAX_SAMPLES)
            );
            return Err(invalid("samples", message));
        }
        let splits = mixture::schedule(mixture, generations, Tokens(samples), Tokens(written))
            .map_err(|error| of_mixture(&error))?;
        let training = splits
            .into_iter()
            .zip(1..)
            .map(|(split, generation)| {
                let natural = mixture::natural_text(mixture, generation, Tokens(samples), Tokens(written)).0;
                if mixture::is_drawn_from_whole_pool(mixture, generation) {
                    TrainingCounts::Pooled { natural, taken: samples }
                } else {
                    TrainingCounts::Separate { natural, synthetic: split.synthetic.0 }
                }
            })
            .collect();
        let (natural, synthetic) = (mixture.natural, mixture.synthetic);
        Ok(Self { samples, written, natural, synthetic, training, natural_limit: None })
    }

    /// The same schedule where there are at most `limit` natural samples. No effect if no generation takes more.
    #[must_use]
    pub fn within(self, limit: Option<u64>) -> Self {
        let most = self.natural_sizes().last().copied().unwrap_or(self.samples);
        Self { natural_limit: limit.filter(|&limit| limit < most), ..self }
    }

    /// The same schedule in another unit, for instance words instead of tokens; a sample has `per_sample` units. Every
    /// number is rounded separately.
    #[must_use]
    pub fn scaled(&self, per_sample: f64) -> Self {
        let scale = |samples: u64| (samples as f64 * per_sample).round() as u64;
        let scale_training = |counts: &TrainingCounts| match *counts {
            TrainingCounts::Separate { natural, synthetic } => {
                TrainingCounts::Separate { natural: scale(natural), synthetic: scale(synthetic) }
            }
            TrainingCounts::Pooled { natural, taken } => {
                TrainingCounts::Pooled { natural: scale(natural), taken: scale(taken) }
            }
        };
        Self {
            samples: scale(self.samples),
            written: scale(self.written),
            natural_limit: self.natural_limit.map(scale),
            training: self.training.iter().map(scale_training).collect(),
            ..*self
        }
    }

    /// Sizes of the nested natural parts that the lineage uses, ascending and without repetition. The number of
    /// [`distinct`](Self::distinct) samples of generation 0 is always among them.
    #[must_use]
    pub fn natural_sizes(&self) -> Vec<u64> {
        let mut sizes = vec![self.samples];
        if self.natural == NaturalDocuments::Fixed {
            sizes.extend(self.training.iter().map(|counts| counts.natural()).filter(|&size| size > 0));
        }
        // What is read again consists of whole passes over all natural samples, and of a part of one.
        let rests = self.natural_limit.iter().flat_map(|limit| sizes.iter().map(move |size| size % limit));
        let rests: Vec<u64> = rests.filter(|&rest| rest > 0).collect();
        sizes.iter_mut().for_each(|size| *size = self.distinct(*size));
        sizes.extend(rests);
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// How many of `size` natural samples are different ones.
    #[must_use]
    pub fn distinct(&self, size: u64) -> u64 {
        self.natural_limit.map_or(size, |limit| limit.min(size))
    }

    /// Number of samples that a generation writes if the next one trains on `counts`. A corpus that only the next
    /// generation draws on has no more samples than it takes.
    #[must_use]
    pub fn written_for(&self, counts: TrainingCounts) -> u64 {
        match (self.synthetic, counts) {
            (SyntheticDocuments::Latest, TrainingCounts::Separate { synthetic, .. }) => synthetic,
            (SyntheticDocuments::Latest, TrainingCounts::Pooled { .. }) | (SyntheticDocuments::All, _) => {
                self.written
            }
        }
    }

    /// The sizes of the training sets of generations 0, 1, …, if every generation from 1 on trains on samples of the
    /// previous one alone; else None.
    #[must_use]
    pub fn replaced(&self) -> Option<Vec<u64>> {
        let is_replace = self.synthetic == SyntheticDocuments::Latest
            && self.training.iter().all(|counts| counts.natural() == 0);
        let sizes = self.training.iter().map(|counts| counts.total());
        is_replace.then(|| std::iter::once(self.samples).chain(sizes).collect())
    }

    /// Whether every generation trains on all natural and all synthetic samples so far, each once.
    #[must_use]
    pub fn is_accumulate(&self) -> bool {
        let everything_before = |generation: u64| TrainingCounts::Separate {
            natural: self.samples,
            synthetic: self.written * generation,
        };
        self.keeps_natural_samples()
            && self.synthetic == SyntheticDocuments::All
            && self
                .training
                .iter()
                .zip(1..)
                .all(|(&counts, generation)| counts == everything_before(generation))
    }

    /// The number of samples of every generation from 1 on, if all of them are natural; else None.
    #[must_use]
    pub fn natural_alone(&self) -> Option<Vec<u64>> {
        let alone = |counts: &TrainingCounts| match *counts {
            TrainingCounts::Separate { natural, synthetic: 0 } => Some(natural),
            TrainingCounts::Separate { .. } | TrainingCounts::Pooled { .. } => None,
        };
        self.training.iter().map(alone).collect()
    }

    /// The smallest training set of any generation.
    #[must_use]
    pub fn smallest_set(&self) -> u64 {
        let later = self.training.iter().map(|counts| counts.total()).min();
        later.map_or(self.samples, |later| later.min(self.samples))
    }

    /// Whether every generation trains on exactly the natural samples of generation 0, all of them.
    #[must_use]
    pub fn keeps_natural_samples(&self) -> bool {
        self.natural == NaturalDocuments::Fixed
            && self.training.iter().all(|counts| match *counts {
                TrainingCounts::Separate { natural, .. } => natural == self.samples,
                TrainingCounts::Pooled { .. } => false,
            })
    }

    /// Whether some generation draws a proper subset of a pool without replacement, so that it matters which samples
    /// are drawn.
    #[must_use]
    pub fn has_subsets(&self) -> bool {
        self.training.iter().zip(1..).any(|(&counts, generation)| match counts {
            TrainingCounts::Pooled { .. } => true,
            TrainingCounts::Separate { synthetic, .. } => {
                self.synthetic == SyntheticDocuments::All && synthetic < generation * self.written
            }
        })
    }
}

fn of_mixture(error: &MixtureError) -> DriftError {
    match *error {
        MixtureError::Synthetic { generation, wanted, available }
        | MixtureError::Natural { generation, wanted, available, .. } => {
            DriftError::TooFewSynthetic { generation, wanted, available }
        }
        MixtureError::NothingToRepeat { .. } | MixtureError::FreshBeyondLimit { .. } => {
            invalid("mixture", error.to_string())
        }
    }
}
