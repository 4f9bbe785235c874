//! What each generation trains on, in numbers of samples.

use super::multinomial::MOST_SAMPLES;
use super::{DriftError, fault};
use crate::config::{Budget, Mixture, NaturalDocuments, SyntheticDocuments};
use crate::mixture::{self, MixtureError};
use crate::units::Tokens;

/// The most generations that make sense to write a table of.
const MOST_GENERATIONS: usize = 1_000_000;

/// A loop to simulate, whatever its model.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// The budget of a mixture, and the samples that a generation writes (more, where a mixture grows on the latest
    /// alone). 1 to 2⁵³.
    pub samples: u64,
    /// Generations after generation 0.
    pub generations: usize,
    /// What generations 1.. train on.
    pub mixture: Mixture,
    /// Lineages, each with random streams of its own. At least 1.
    pub replicates: usize,
    /// Names the random streams.
    pub seed: u64,
}

/// Bounds the largest set of samples there ever is, in multiples of the larger of budget and corpus: two parts, or as
/// much as natural samples and every corpus.
pub(super) fn largest_set(mixture: &Mixture, generations: usize) -> u64 {
    match (mixture.synthetic, mixture.budget) {
        (SyntheticDocuments::Latest, Budget::Constant | Budget::Added) => 2,
        (SyntheticDocuments::All, _) | (_, Budget::Growing) => generations as u64 + 2,
    }
}

/// What one generation ≥ 1 trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// So many natural samples and so many of the synthetic ones.
    Parts {
        /// Natural samples.
        natural: u64,
        /// Synthetic samples.
        synthetic: u64,
    },
    /// A uniform subset of natural and synthetic samples together.
    Drawn {
        /// Natural samples in the pool.
        natural: u64,
        /// Samples in the subset.
        taken: u64,
    },
}

impl Recipe {
    /// Samples that the generation trains on.
    #[must_use]
    pub fn total(self) -> u64 {
        match self {
            Self::Parts { natural, synthetic } => natural + synthetic,
            Self::Drawn { taken, .. } => taken,
        }
    }

    /// Natural samples that it draws on.
    #[must_use]
    pub fn natural(self) -> u64 {
        let (Self::Parts { natural, .. } | Self::Drawn { natural, .. }) = self;
        natural
    }
}

/// A mixture worked out for every generation. Holding one means that every part can be had.
#[derive(Clone, Debug, PartialEq)]
pub struct Regime {
    /// Samples of generation 0, and the budget of later ones.
    pub samples: u64,
    /// Samples that a generation writes.
    pub written: u64,
    /// Whether natural samples are the same in every generation. Smaller parts are prefixes of larger ones.
    pub natural: NaturalDocuments,
    /// Whether synthetic samples are those of the last generation or of all.
    pub synthetic: SyntheticDocuments,
    /// Of generations 1.. in turn.
    pub recipes: Vec<Recipe>,
}

impl Regime {
    /// Works out `plan`.
    ///
    /// # Errors
    /// When a number is out of range, or a generation takes more synthetic samples than there are.
    pub fn new(plan: &Loop) -> Result<Self, DriftError> {
        let Loop { samples, generations, ref mixture, replicates, .. } = *plan;
        if samples == 0 {
            return Err(fault("samples", "0 samples give no model; give at least 1"));
        }
        if replicates == 0 {
            return Err(fault("replicates", "0 replicates give no mean; give at least 1"));
        }
        if generations > MOST_GENERATIONS {
            let message =
                format!("{generations} is too many; give at most {}", Tokens(MOST_GENERATIONS as u64));
            return Err(fault("generations", message));
        }
        Self::of(mixture, generations, samples, samples)
    }

    /// Works out `mixture` for generations 1..=`generations` with a budget of `samples` and generations that write
    /// `written` samples each, both at least 1.
    ///
    /// # Errors
    /// When sums become too large, or a generation takes more synthetic samples than there are.
    pub fn of(mixture: &Mixture, generations: usize, samples: u64, written: u64) -> Result<Self, DriftError> {
        let most = u128::from(samples.max(written)) * u128::from(largest_set(mixture, generations));
        if most > u128::from(MOST_SAMPLES) {
            let message = format!(
                "{} per generation can become {} together, and sums are exact up to {}; lower samples or generations",
                Tokens(samples.max(written)),
                most,
                Tokens(MOST_SAMPLES)
            );
            return Err(fault("samples", message));
        }
        let parts = mixture::schedule(mixture, generations, Tokens(samples), Tokens(written))
            .map_err(|error| of_mixture(&error))?;
        let recipe = |(place, parts): (usize, mixture::Parts)| {
            if mixture::is_drawn_from_whole_pool(mixture, place + 1) {
                return Recipe::Drawn { natural: samples, taken: samples };
            }
            Recipe::Parts { natural: parts.natural.0, synthetic: parts.synthetic.0 }
        };
        let recipes = parts.into_iter().enumerate().map(recipe).collect();
        Ok(Self { samples, written, natural: mixture.natural, synthetic: mixture.synthetic, recipes })
    }

    /// The same in samples of another size, `share` of them to each of these: words instead of tokens. Every number is
    /// rounded by itself.
    #[must_use]
    pub fn scaled(&self, share: f64) -> Self {
        let scaled = |samples: u64| (samples as f64 * share).round() as u64;
        let recipe = |recipe: &Recipe| match *recipe {
            Recipe::Parts { natural, synthetic } => {
                Recipe::Parts { natural: scaled(natural), synthetic: scaled(synthetic) }
            }
            Recipe::Drawn { natural, taken } => {
                Recipe::Drawn { natural: scaled(natural), taken: scaled(taken) }
            }
        };
        Self {
            samples: scaled(self.samples),
            written: scaled(self.written),
            recipes: self.recipes.iter().map(recipe).collect(),
            ..*self
        }
    }

    /// Sizes of the natural parts that are nested in each other, ascending, that of generation 0 among them.
    #[must_use]
    pub fn natural_sizes(&self) -> Vec<u64> {
        let mut sizes = vec![self.samples];
        if self.natural == NaturalDocuments::Fixed {
            sizes.extend(self.recipes.iter().map(|recipe| recipe.natural()).filter(|&size| size > 0));
        }
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// Samples that the generation before writes for the one that follows `recipe`: no more than that needs.
    #[must_use]
    pub fn written_for(&self, recipe: Recipe) -> u64 {
        match (self.synthetic, recipe) {
            (SyntheticDocuments::Latest, Recipe::Parts { synthetic, .. }) => synthetic,
            _ => self.written,
        }
    }

    /// Samples that generations 0, 1, … train on, if each from 1 on trains on the last one's samples alone.
    #[must_use]
    pub fn replaced(&self) -> Option<Vec<u64>> {
        let is_alone = |recipe: &Recipe| recipe.natural() == 0;
        let is_replace = self.synthetic == SyntheticDocuments::Latest && self.recipes.iter().all(is_alone);
        let sizes = self.recipes.iter().map(|recipe| recipe.total());
        is_replace.then(|| std::iter::once(self.samples).chain(sizes).collect())
    }

    /// Whether every generation trains on everything there is by then, each sample once.
    #[must_use]
    pub fn is_accumulate(&self) -> bool {
        let everything = |generation: usize| Recipe::Parts {
            natural: self.samples,
            synthetic: self.written * generation as u64,
        };
        self.keeps_natural_samples()
            && self.synthetic == SyntheticDocuments::All
            && self.recipes.iter().zip(1..).all(|(&recipe, generation)| recipe == everything(generation))
    }

    /// Whether every generation trains on the natural samples of generation 0, all of them and no others.
    #[must_use]
    pub fn keeps_natural_samples(&self) -> bool {
        let keeps =
            |recipe: &Recipe| matches!(recipe, Recipe::Parts { natural, .. } if *natural == self.samples);
        self.natural == NaturalDocuments::Fixed && self.recipes.iter().all(keeps)
    }

    /// Whether a generation picks some of its samples from a pool without replacement, so that which ones matters.
    #[must_use]
    pub fn has_subsets(&self) -> bool {
        let picks = |(&recipe, generation): (&Recipe, u64)| match recipe {
            Recipe::Drawn { .. } => true,
            Recipe::Parts { synthetic, .. } => {
                self.synthetic == SyntheticDocuments::All && synthetic < generation * self.written
            }
        };
        self.recipes.iter().zip(1..).any(picks)
    }
}

fn of_mixture(error: &MixtureError) -> DriftError {
    match *error {
        MixtureError::Synthetic { generation, wanted, available }
        | MixtureError::Natural { generation, wanted, available, .. } => {
            DriftError::Synthetic { generation, wanted, available }
        }
    }
}
