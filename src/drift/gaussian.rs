//! The loop with a Gaussian model: fit mean and covariance, draw, mix, fit again.
//!
//! The fit is maximum likelihood: the covariance S is the mean of squares, ÷ n. Natural data are standard normal in
//! every dimension, which is no restriction: fits and draws commute with affine maps, so variances are in units of the
//! natural one.
//!
//! Statistics: with one dimension `variance`, `log_variance` and `mean_variance`, the squared mean (its expectation is
//! the variance of the mean, because the natural mean is 0). With several `log_det` of S, `trace` of S, and
//! `mean_variance`, the squared length of the mean.
//!
//! # What is exact
//!
//! - `variance`, `trace` and `mean_variance` in every regime, from [`super::coalescence`]: d(1 − c) and d·c.
//! - `log_variance` and `log_det` where each generation trains on the last one's samples alone. S is Wishart: ln det S
//!   is the sum over fits, on n samples each, of independent `Σ_j ln(χ²_{n−j}/n)`, j = 1..d, with the means
//!   `Σ_j ψ((n−j)/2) + d ln(2/n)`.
//!
//! # Deep collapse is tested on the log scale
//!
//! There s is a product of independent factors χ²_{n−1}/n: nearly log-normal, its mean carried by lineages too rare to
//! be sampled, and a correct simulator misses it by many standard errors. With `w = E s²/(E s)² = Π (n+1)/(n−1)` its
//! skewness is that of a log-normal, `(w + 2)√(w − 1)`; where this exceeds 0.3 √replicates, z of `variance`, `trace` and
//! `mean_variance` (a sum of earlier s) is withheld. In other regimes the rule of [`super::summary`] must do.
//!
//! # Limits
//!
//! Samples are made one by one, because a subset without replacement needs to know which: a generation costs
//! samples × dims². Where the narrowest direction falls below 10⁻¹³ of the widest in variance, doubles no longer hold
//! it; values from there on are missing (NaN).

use super::cholesky;
use super::coalescence::coalescence;
use super::regime::{Loop, Recipe, Regime, largest_set};
use super::summary::{self, Row};
use super::{DriftError, fault};
use crate::config::{NaturalDocuments, SyntheticDocuments};
use crate::seed::{Stream, StreamKey, streams};
use ndarray::{Array1, Array2, Axis, concatenate, s};
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use statrs::function::gamma::digamma;

/// The most numbers that a lineage may hold: 800 MB of them.
const MOST_NUMBERS: u64 = 100_000_000;

/// A loop of Gaussian models. Holding one means that it can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    dims: usize,
    regime: Regime,
    replicates: usize,
    seed: u64,
}

/// A fitted Gaussian.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// (dims)
    pub mean: Array1<f64>,
    /// Lower triangular factor of the covariance (dims, dims).
    pub factor: Array2<f64>,
}

impl Simulation {
    /// A loop in `dims` dimensions.
    ///
    /// # Errors
    /// When there are too few samples for a covariance or too many for the memory, or as [`Regime::new`].
    pub fn new(dims: usize, plan: &Loop) -> Result<Self, DriftError> {
        let regime = Regime::new(plan)?;
        if dims == 0 {
            return Err(fault("dims", "0 dimensions have nothing to lose; give at least 1"));
        }
        if regime.samples <= dims as u64 {
            let message =
                format!("{} samples give no covariance in {dims} dimensions; give more", regime.samples);
            return Err(fault("samples", message));
        }
        let numbers = regime
            .samples
            .saturating_mul(largest_set(&plan.mixture, plan.generations) + 1)
            .saturating_mul(dims as u64);
        if numbers > MOST_NUMBERS {
            let message = format!(
                "a lineage would hold {numbers} numbers, and {MOST_NUMBERS} are the most; give fewer samples, or drift categorical, which counts"
            );
            return Err(fault("samples", message));
        }
        Ok(Self { dims, regime, replicates: plan.replicates, seed: plan.seed })
    }

    /// Runs every lineage, and summarises it.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let names = if self.dims == 1 {
            ["variance", "log_variance", "mean_variance"]
        } else {
            ["trace", "log_det", "mean_variance"]
        };
        let one = |replicate| {
            let mut values = Vec::with_capacity(self.regime.recipes.len() + 1);
            self.lineage(replicate, &mut |_, model| values.push(statistics(model)));
            values.resize(self.regime.recipes.len() + 1, [f64::NAN; 3]);
            values
        };
        let values: Vec<Vec<[f64; 3]>> = (0..self.replicates).into_par_iter().map(one).collect();
        let chances = coalescence(&self.regime);
        let dims = self.dims as f64;
        let replaced = self.regime.replaced().unwrap_or_default();
        let first = [self.regime.samples];
        // Sizes of the fits up to a generation, as far as each is on the last one's samples alone.
        let fits = |generation: usize| replaced.get(..=generation).or(first.get(..=generation));
        let exact = |generation: usize, place: usize| match place {
            0 => Some(dims * (1.0 - chances[generation])),
            1 => fits(generation).map(|fits| fits.iter().map(|&samples| self.log_of_fit(samples)).sum()),
            _ => Some(dims * chances[generation]),
        };
        let withhold = |row: Row| {
            let fits = replaced.get(..=row.generation).unwrap_or_default();
            let is_rare = place_of(&names, row.statistic) != 1 && self.is_carried_by_few(fits);
            if is_rare { row.without_z() } else { row }
        };
        summary::rows(names, &values, exact).into_iter().map(withhold).collect()
    }

    /// Σ_j ψ((n−j)/2) + d ln(2/n).
    fn log_of_fit(&self, samples: u64) -> f64 {
        let samples = samples as f64;
        let of_dimension = |j: usize| digamma((samples - j as f64) / 2.0) + (2.0 / samples).ln();
        (1..=self.dims).map(of_dimension).sum()
    }

    /// Whether the mean of s over lineages is that of too few of them, after fits on so many samples.
    fn is_carried_by_few(&self, fits: &[u64]) -> bool {
        let w: f64 = fits.iter().map(|&samples| (samples as f64 + 1.0) / (samples as f64 - 1.0)).product();
        (w + 2.0) * (w - 1.0).sqrt() > summary::MOST_SKEW * (self.replicates as f64).sqrt()
    }

    /// Runs the lineage of one replicate: `each` gets the models of generations 0, 1, … in turn, up to the first that
    /// doubles cannot hold.
    pub fn lineage(&self, replicate: usize, each: &mut dyn FnMut(usize, &Model)) {
        let arm = format!("drift {replicate}");
        let stream = |generation, stage| StreamKey::new(self.seed, &arm, generation, stage).stream(0);
        let most = self.regime.natural_sizes().last().copied().unwrap_or(self.regime.samples);
        let natural = normals(most, self.dims, &mut stream(0, streams::DRIFT_NATURAL));
        let mut pool = Array2::zeros((0, self.dims));
        let first = natural.slice(s![..self.regime.samples as usize, ..]).to_owned();
        let Some(mut model) = Model::fit(&first) else { return };
        each(0, &model);
        for (place, &recipe) in self.regime.recipes.iter().enumerate() {
            let generation = place + 1;
            let written = self.regime.written_for(recipe);
            let corpus = model.draw(written, &mut stream(place, streams::DRIFT_CORPUS));
            pool = match self.regime.synthetic {
                SyntheticDocuments::Latest => corpus,
                SyntheticDocuments::All => together(&pool, &corpus),
            };
            let natural = match self.regime.natural {
                NaturalDocuments::Fixed => natural.slice(s![..recipe.natural() as usize, ..]).to_owned(),
                NaturalDocuments::Fresh => {
                    normals(recipe.natural(), self.dims, &mut stream(generation, streams::DRIFT_FRESH))
                }
            };
            let mut rng = stream(generation, streams::DRIFT_SUBSET);
            let training = match recipe {
                Recipe::Parts { synthetic, .. } => together(&natural, &subset(synthetic, &pool, &mut rng)),
                Recipe::Drawn { taken, .. } => subset(taken, &together(&natural, &pool), &mut rng),
            };
            let Some(fitted) = Model::fit(&training) else { return };
            model = fitted;
            each(generation, &model);
        }
    }
}

impl Model {
    /// Maximum likelihood on `samples` (n, dims); None where the covariance is singular to within rounding.
    #[must_use]
    pub fn fit(samples: &Array2<f64>) -> Option<Self> {
        let mean = samples.mean_axis(Axis(0))?;
        let centred = samples - &mean;
        let covariance = centred.t().dot(&centred) / samples.nrows() as f64;
        Some(Self { mean, factor: cholesky::factor(&covariance)? })
    }

    /// So many samples (n, dims).
    fn draw(&self, samples: u64, rng: &mut Stream) -> Array2<f64> {
        normals(samples, self.mean.len(), rng).dot(&self.factor.t()) + &self.mean
    }
}

/// Trace and logarithm of the determinant of the covariance, squared length of the mean.
fn statistics(model: &Model) -> [f64; 3] {
    let trace = model.factor.iter().map(|x| x * x).sum();
    let log_det = model.factor.diag().iter().map(|x| 2.0 * x.ln()).sum();
    [trace, log_det, model.mean.dot(&model.mean)]
}

fn place_of(names: &[&str], name: &str) -> usize {
    names.iter().position(|other| *other == name).unwrap_or(names.len())
}

fn normals(samples: u64, dims: usize, rng: &mut Stream) -> Array2<f64> {
    Array2::from_shape_simple_fn((samples as usize, dims), || StandardNormal.sample(rng))
}

fn together(first: &Array2<f64>, second: &Array2<f64>) -> Array2<f64> {
    concatenate(Axis(0), &[first.view(), second.view()]).expect("samples of the same dimensions")
}

/// A uniform subset of the rows; all of them, if there are no more.
fn subset(wanted: u64, samples: &Array2<f64>, rng: &mut Stream) -> Array2<f64> {
    let wanted = wanted as usize;
    if wanted >= samples.nrows() {
        return samples.to_owned();
    }
    samples.select(Axis(0), &index::sample(rng, samples.nrows(), wanted).into_vec())
}
