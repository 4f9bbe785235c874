//! The training loop with a Gaussian model: fit mean and covariance, draw, mix, fit again.
//!
//! The fit is maximum likelihood: the covariance S is the mean of squared deviations, ÷ n. Natural data are standard
//! normal in every dimension. That loses no generality, because fits and draws commute with affine maps; variances are
//! therefore in units of the natural variance.
//!
//! Statistics in one dimension: `variance`, `log_variance`, and `mean_variance`, the squared mean (whose expectation is
//! the variance of the mean, because the natural mean is 0). In several dimensions: `log_det` of S, `trace` of S, and
//! `mean_variance`, the squared length of the mean.
//!
//! # What is exact
//!
//! - `variance`, `trace` and `mean_variance` for every mixture, from [`super::coalescence`]: d(1 − c) and d·c.
//! - `log_variance` and `log_det` if each generation trains on samples of the previous one alone. S is then a product
//!   of Wishart matrices, and ln det S is the sum over fits, each on n samples, of independent terms
//!   `Σ_j ln(χ²_{n−j}/n)`, j = 1..d, with means `Σ_j ψ((n−j)/2) + d ln(2/n)`. If all of its samples are natural, a
//!   generation is one such fit.
//!
//! # Test deep collapse on the log scale
//!
//! If each generation trains on the previous one alone, the variance s is a product of independent factors χ²_{n−1}/n.
//! It is nearly log-normal, and its mean is determined by lineages too rare to appear in a sample, so a correct
//! simulator misses that mean by many standard errors. With `w = E s²/(E s)² = Π (n+1)/(n−1)` the skewness is that of a
//! log-normal, `(w + 2)√(w − 1)`. Where this exceeds 0.3 √replicates, z of `variance`, `trace` and `mean_variance` (a
//! sum of earlier s) is withheld. For other mixtures only the rules of [`super::summary`] apply.
//!
//! # Limits
//!
//! Samples are made one by one, because a subset without replacement depends on which samples are drawn: a generation
//! costs samples × dims². Once the variance of the narrowest direction falls below 10⁻¹³ of the widest, doubles cannot
//! represent the covariance; means of later generations are missing, with this reason.
//!
//! ```
//! use genloss::config;
//! use genloss::drift::{DriftSettings, gaussian::GaussianSimulation};
//!
//! let mixture = config::parse_mixture("replace", "mixture")?;
//! let settings = DriftSettings { samples: 50, generations: 4, mixture, replicates: 200, seed: 1 };
//! let rows = GaussianSimulation::new(1, &settings)?.rows();
//! let variance = rows.iter().rfind(|row| row.statistic == "variance").unwrap();
//! // Five fits on 50 samples each: (1 − 1/50)⁵.
//! assert!((variance.exact.unwrap() - 0.98_f64.powi(5)).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::cholesky;
use super::coalescence::coalescence;
use super::schedule::{DriftSettings, SampleSchedule, TrainingCounts, largest_set};
use super::summary::{self, DriftRow};
use super::{DriftError, invalid};
use crate::mixture::{NaturalDocuments, SyntheticDocuments};
use crate::seed::{Stream, StreamKey, streams};
use ndarray::{Array1, Array2, Axis, concatenate};
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use statrs::function::gamma::digamma;

/// Maximum number of f64 values that a lineage may hold in memory: 800 MB.
const MAX_NUMBERS: u64 = 100_000_000;

/// A simulation with Gaussian models.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianSimulation {
    dims: usize,
    schedule: SampleSchedule,
    replicates: usize,
    seed: u64,
}

/// A Gaussian fitted by maximum likelihood.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedGaussian {
    /// Mean, one value per dimension.
    pub mean: Array1<f64>,
    /// Lower triangular Cholesky factor of the covariance.
    pub factor: Array2<f64>,
}

impl GaussianSimulation {
    /// A simulation in `dims` dimensions.
    ///
    /// # Errors
    /// If there are too few samples for a covariance or too many for the memory, and in the cases of
    /// [`SampleSchedule::new`].
    pub fn new(dims: usize, settings: &DriftSettings) -> Result<Self, DriftError> {
        let schedule = SampleSchedule::new(settings)?;
        if dims == 0 {
            return Err(invalid("dims", "0 dimensions have nothing to lose; give at least 1"));
        }
        if schedule.smallest_set() <= dims as u64 {
            let message = format!(
                "{} samples give no covariance in {dims} dimensions; give more",
                schedule.smallest_set()
            );
            return Err(invalid("samples", message));
        }
        let numbers = schedule
            .samples
            .saturating_mul(largest_set(&settings.mixture, settings.generations) + 1)
            .saturating_mul(dims as u64);
        if numbers > MAX_NUMBERS {
            let message = format!(
                "a lineage would hold {numbers} numbers in memory, and the limit is {MAX_NUMBERS}; give fewer samples, or use drift categorical, which only counts"
            );
            return Err(invalid("samples", message));
        }
        Ok(Self { dims, schedule, replicates: settings.replicates, seed: settings.seed })
    }

    /// Runs every lineage and summarises them.
    #[must_use]
    pub fn rows(&self) -> Vec<DriftRow> {
        let names = self.names();
        let generations = self.schedule.training.len() + 1;
        let statistics_of_lineage = |replicate| {
            let mut values = Vec::with_capacity(generations);
            self.lineage(replicate, &mut |_, model| values.push(statistics(model)));
            values.resize(generations, [f64::NAN; 3]);
            values
        };
        let values: Vec<Vec<[f64; 3]>> =
            (0..self.replicates).into_par_iter().map(statistics_of_lineage).collect();
        let replaced = self.schedule.replaced().unwrap_or_default();
        let natural = self.schedule.natural_alone().unwrap_or_default();
        let chances = coalescence(&self.schedule);
        let too_narrow = "in some lineages the covariance is too narrow for doubles";
        let dims = self.dims as f64;
        let exact = |generation: usize, statistic: usize| match statistic {
            0 => Some(dims * chances[generation].different),
            1 if generation > 0 && !natural.is_empty() => {
                Some(self.exact_log_of_fit(natural[generation - 1]))
            }
            1 => self.exact_log(generation, &replaced),
            _ => Some(dims * chances[generation].same),
        };
        let withhold = |row: DriftRow| {
            let row = row.because(too_narrow);
            let is_log = row.statistic == names[1];
            let fits = replaced.get(..=row.generation).unwrap_or_default();
            if !is_log && self.is_determined_by_rare_lineages(fits) { row.without_z() } else { row }
        };
        summary::rows(names, &values, exact).into_iter().map(withhold).collect()
    }

    /// Names of the statistics, in the order of [`statistics`].
    fn names(&self) -> [&'static str; 3] {
        if self.dims == 1 {
            ["variance", "log_variance", "mean_variance"]
        } else {
            ["trace", "log_det", "mean_variance"]
        }
    }

    /// Expected logarithm of the determinant: known if every fit up to this generation was on samples of the previous
    /// one alone. `replaced` are the sizes of such fits ([`SampleSchedule::replaced`]).
    fn exact_log(&self, generation: usize, replaced: &[u64]) -> Option<f64> {
        let generation_0 = [self.schedule.samples];
        let fits = replaced.get(..=generation).or(generation_0.get(..=generation))?;
        Some(fits.iter().map(|&samples| self.exact_log_of_fit(samples)).sum())
    }

    /// Σ_j ψ((n−j)/2) + d ln(2/n), for a fit on n = `samples`.
    fn exact_log_of_fit(&self, samples: u64) -> f64 {
        let samples = samples as f64;
        let of_dimension = |j: usize| digamma((samples - j as f64) / 2.0) + (2.0 / samples).ln();
        (1..=self.dims).map(of_dimension).sum()
    }

    /// Whether the mean of the variance is determined by lineages too rare to be sampled. `fits` has the number of
    /// samples of each fit, and each fit is on samples of the previous one alone.
    fn is_determined_by_rare_lineages(&self, fits: &[u64]) -> bool {
        let w: f64 = fits.iter().map(|&samples| (samples as f64 + 1.0) / (samples as f64 - 1.0)).product();
        (w + 2.0) * (w - 1.0).sqrt() > summary::MAX_SKEW * (self.replicates as f64).sqrt()
    }

    /// Runs the lineage of one replicate. `each` gets the models of generations 0, 1, … in order. The lineage ends
    /// before the first generation whose covariance cannot be represented in f64.
    pub fn lineage(&self, replicate: usize, each: &mut dyn FnMut(usize, &FittedGaussian)) {
        let arm = format!("drift {replicate}");
        let stream = |generation, stage| StreamKey::new(self.seed, &arm, generation, stage).stream(0);
        let most = self.schedule.natural_sizes().last().copied().unwrap_or(self.schedule.samples);
        let natural = normals(most, self.dims, &mut stream(0, streams::DRIFT_NATURAL));
        let mut pool = Array2::zeros((0, self.dims));
        let first = natural.slice_axis(Axis(0), (..self.schedule.samples as usize).into()).to_owned();
        let Some(mut model) = FittedGaussian::fit(&first) else { return };
        each(0, &model);
        for (author, &counts) in self.schedule.training.iter().enumerate() {
            let generation = author + 1;
            let written = self.schedule.written_for(counts);
            let corpus = model.draw(written, &mut stream(author, streams::DRIFT_CORPUS));
            pool = match self.schedule.synthetic {
                SyntheticDocuments::Latest => corpus,
                SyntheticDocuments::All => concatenated(&pool, &corpus),
            };
            let natural = match self.schedule.natural {
                NaturalDocuments::Fixed => {
                    natural.slice_axis(Axis(0), (..counts.natural() as usize).into()).to_owned()
                }
                NaturalDocuments::Fresh => {
                    normals(counts.natural(), self.dims, &mut stream(generation, streams::DRIFT_FRESH))
                }
            };
            let training = mix(counts, &natural, &pool, &mut stream(generation, streams::DRIFT_SUBSET));
            let Some(fitted) = FittedGaussian::fit(&training) else { return };
            model = fitted;
            each(generation, &model);
        }
    }
}

impl FittedGaussian {
    /// Fits `samples`, of which each row is one sample. None if the covariance is singular to within rounding.
    #[must_use]
    pub fn fit(samples: &Array2<f64>) -> Option<Self> {
        let mean = samples.mean_axis(Axis(0))?;
        let centred = samples - &mean;
        let covariance = centred.t().dot(&centred) / samples.nrows() as f64;
        Some(Self { mean, factor: cholesky::factor(&covariance)? })
    }

    /// Draws `samples` samples, one per row.
    fn draw(&self, samples: u64, rng: &mut Stream) -> Array2<f64> {
        normals(samples, self.mean.len(), rng).dot(&self.factor.t()) + &self.mean
    }
}

/// Trace and logarithm of the determinant of the covariance, and the squared length of the mean.
fn statistics(model: &FittedGaussian) -> [f64; 3] {
    let trace = model.factor.iter().map(|x| x * x).sum();
    let log_det = model.factor.diag().iter().map(|x| 2.0 * x.ln()).sum();
    [trace, log_det, model.mean.dot(&model.mean)]
}

/// Mixes a training set of `natural` samples and samples of the `pool`.
fn mix(counts: TrainingCounts, natural: &Array2<f64>, pool: &Array2<f64>, rng: &mut Stream) -> Array2<f64> {
    match counts {
        TrainingCounts::Separate { synthetic, .. } => concatenated(natural, &subset(synthetic, pool, rng)),
        TrainingCounts::Pooled { taken, .. } => subset(taken, &concatenated(natural, pool), rng),
    }
}

fn normals(samples: u64, dims: usize, rng: &mut Stream) -> Array2<f64> {
    Array2::from_shape_simple_fn((samples as usize, dims), || StandardNormal.sample(rng))
}

fn concatenated(first: &Array2<f64>, second: &Array2<f64>) -> Array2<f64> {
    concatenate(Axis(0), &[first.view(), second.view()]).expect("samples of the same dimensions")
}

/// A uniform subset of `wanted` rows without replacement; all rows if there are no more.
fn subset(wanted: u64, samples: &Array2<f64>, rng: &mut Stream) -> Array2<f64> {
    let wanted = wanted as usize;
    if wanted >= samples.nrows() {
        return samples.to_owned();
    }
    samples.select(Axis(0), &index::sample(rng, samples.nrows(), wanted).into_vec())
}
