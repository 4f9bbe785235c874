//! The training loop with a linear model: ordinary least squares on labels that the previous model wrote.
//!
//! The setting of Dohmatob et al. (2024) and Gerstgrasser et al. (2024). A design of T rows of d independent standard
//! normal numbers is drawn once per lineage. Natural labels are `x·w* + σ ε`; a model w labels the same rows with
//! `x·w + σ ε`, with new noise ε every time. The statistic is `test_error` = |w − w*|², the squared error on new rows in
//! excess of the noise. It depends on w − w* alone, so the simulation sets w* = 0.
//!
//! A sample is a labelled row and the training budget is T, so the terms of a mixture mean:
//!
//! - *natural samples* are the first m rows with natural labels. *Fixed* ones keep their labels; *fresh* ones get new
//!   noise in every generation. There are at most T of them, and a mixture that takes more is an error;
//! - *latest* synthetic samples are the last k rows with the labels of the previous model. If k = T these are all rows,
//!   so rows with natural labels occur twice; if k > T, rows are labelled again with new noise;
//! - *all* synthetic samples are the rows with the labels of every earlier generation, or a uniform subset of them
//!   without replacement.
//!
//! # What is exact
//!
//! One fit moves w by `(XᵀX)⁻¹Xᵀ σ ε`, whose expected squared length is `u = σ² d/(T − d − 1)`, from the mean of an
//! inverse Wishart matrix.
//!
//! - replace: g + 1 independent moves, so `(g + 1) u`. If the number of samples grows as it does for accumulate, the
//!   i-th fit averages i labels of every row, so `u Σ_{i ≤ g+1} 1/i`;
//! - accumulate: the fit averages over the labels of all models so far, so the i-th move has the weight 1/i: `u Σ_{i ≤
//!   g+1} 1/i²`, never more than π²/6 times u (Gerstgrasser et al. 2024);
//! - natural rows alone, and generation 0 of every mixture: `u`; if a generation has only the first m rows (repeat), `u`
//!   with m in place of T.
//!
//! Other mixtures have no exact value here.
//!
//! ```
//! use genloss::config;
//! use genloss::drift::{DriftSettings, regression::RegressionSimulation};
//!
//! let mixture = config::parse_mixture("replace", "mixture")?;
//! let settings = DriftSettings { samples: 111, generations: 6, mixture, replicates: 40, seed: 1 };
//! let rows = RegressionSimulation::new(10, 1.0, &settings)?.rows()?;
//! // u = 10/(111 − 10 − 1) = 0.1, after seven fits.
//! assert!((rows[6].exact.unwrap() - 0.7).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::cholesky;
use super::schedule::{DriftSettings, SampleSchedule, TrainingCounts};
use super::summary::{self, DriftRow};
use super::{DriftError, invalid};
use crate::mixture::{NaturalDocuments, SyntheticDocuments};
use crate::seed::{Stream, StreamKey, streams};
use ndarray::{Array1, Array2, Axis};
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Maximum number of f64 values that a lineage may hold in memory: 800 MB.
const MAX_NUMBERS: u64 = 100_000_000;

/// A simulation with linear models.
#[derive(Clone, Debug, PartialEq)]
pub struct RegressionSimulation {
    rows: usize,
    columns: usize,
    noise: f64,
    schedule: SampleSchedule,
    replicates: usize,
    seed: u64,
}

impl RegressionSimulation {
    /// A simulation with `settings.samples` rows and `columns` coefficients. `noise` is the standard deviation σ of the
    /// noise in labels.
    ///
    /// # Errors
    /// If the rows do not determine the coefficients or a mixture takes more natural rows than the design has, and in
    /// the cases of [`SampleSchedule::new`].
    pub fn new(columns: usize, noise: f64, settings: &DriftSettings) -> Result<Self, DriftError> {
        let schedule = SampleSchedule::new(settings)?;
        check_design(columns, noise, settings)?;
        if let Some(counts) = schedule.training.iter().find(|counts| counts.natural() > settings.samples) {
            let message = format!(
                "it takes {} natural rows, but the design has {}; lower the natural fraction",
                counts.natural(),
                settings.samples
            );
            return Err(invalid("mixture", message));
        }
        check_rows(columns, schedule.smallest_set())?;
        let rows = settings.samples as usize;
        let DriftSettings { replicates, seed, .. } = *settings;
        Ok(Self { rows, columns, noise, schedule, replicates, seed })
    }

    /// Runs every lineage and summarises them.
    ///
    /// # Errors
    /// If the rows drawn for some generation do not determine the coefficients.
    pub fn rows(&self) -> Result<Vec<DriftRow>, DriftError> {
        let test_errors_of_lineage = |replicate| {
            let mut values = Vec::with_capacity(self.schedule.training.len() + 1);
            self.lineage(replicate, &mut |_, error| values.push([error.dot(error)]))?;
            Ok(values)
        };
        let values: Result<Vec<Vec<[f64; 1]>>, DriftError> =
            (0..self.replicates).into_par_iter().map(test_errors_of_lineage).collect();
        Ok(summary::rows(["test_error"], &values?, |generation, _| self.exact(generation)))
    }

    /// The expected test error of a generation, where it is known.
    fn exact(&self, generation: usize) -> Option<f64> {
        let (rows, columns) = (self.rows as f64, self.columns as f64);
        let fit_on = |rows: f64| self.noise * self.noise * columns / (rows - columns - 1.0);
        let one_fit = fit_on(rows);
        if generation == 0 {
            return Some(one_fit);
        }
        if let Some(natural_alone) = self.schedule.natural_alone() {
            return Some(fit_on(natural_alone[generation - 1] as f64));
        }
        if let Some(sizes) = self.schedule.replaced() {
            let labels_per_row = sizes[..=generation].iter().map(|&size| rows / size as f64);
            return Some(one_fit * labels_per_row.sum::<f64>());
        }
        let squares = || (1..=generation + 1).map(|i| 1.0 / (i * i) as f64).sum::<f64>();
        self.schedule.is_accumulate().then(|| one_fit * squares())
    }

    /// Runs the lineage of one replicate. `each` gets the number of each generation 0, 1, … in order, and its w − w*.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn lineage(
        &self,
        replicate: usize,
        each: &mut dyn FnMut(usize, &Array1<f64>),
    ) -> Result<(), DriftError> {
        let arm = format!("drift {replicate}");
        let stream = |generation, stage| StreamKey::new(self.seed, &arm, generation, stage).stream(0);
        let mut rng = stream(0, streams::DRIFT_DESIGN);
        let design =
            Array2::from_shape_simple_fn((self.rows, self.columns), || StandardNormal.sample(&mut rng));
        let fit = |generation, training: &LabelledRows| {
            let singular = DriftError::Singular { replicate, generation, columns: self.columns };
            training.fit(&design).ok_or(singular)
        };
        let natural = self.noise(&mut stream(0, streams::DRIFT_NATURAL));
        let mut error = fit(0, &LabelledRows::new(self.rows, natural.iter().copied().enumerate()))?;
        each(0, &error);
        // Each entry holds one label for every row. If the mixture draws on the latest labels only, all entries are by
        // one generation.
        let mut pool: Vec<Array1<f64>> = Vec::new();
        for (author, &counts) in self.schedule.training.iter().enumerate() {
            let generation = author + 1;
            if self.schedule.synthetic == SyntheticDocuments::Latest {
                pool.clear();
            }
            let mut rng = stream(author, streams::DRIFT_CORPUS);
            let times = self.schedule.written_for(counts).div_ceil(self.rows as u64);
            pool.extend((0..times).map(|_| design.dot(&error) + self.noise(&mut rng)));
            let natural = match self.schedule.natural {
                NaturalDocuments::Fixed => natural.clone(),
                NaturalDocuments::Fresh => self.noise(&mut stream(generation, streams::DRIFT_FRESH)),
            };
            let training = self.mix(counts, &natural, &pool, &mut stream(generation, streams::DRIFT_SUBSET));
            error = fit(generation, &training)?;
            each(generation, &error);
        }
        Ok(())
    }

    /// Mixes a training set. `natural` has one label for every row, and so has each entry of `pool`.
    fn mix(
        &self,
        counts: TrainingCounts,
        natural: &Array1<f64>,
        pool: &[Array1<f64>],
        rng: &mut Stream,
    ) -> LabelledRows {
        let synthetic_rows = pool.iter().flat_map(|labels| labels.iter().copied().enumerate());
        let natural_rows = natural.iter().copied().enumerate().take(counts.natural() as usize);
        match counts {
            TrainingCounts::Separate { synthetic, .. } => {
                let kept: Vec<(usize, f64)> = match self.schedule.synthetic {
                    SyntheticDocuments::Latest => {
                        synthetic_rows.skip(self.rows * pool.len() - synthetic as usize).collect()
                    }
                    SyntheticDocuments::All => subset(synthetic, synthetic_rows.collect(), rng),
                };
                LabelledRows::new(self.rows, natural_rows.chain(kept))
            }
            TrainingCounts::Pooled { taken, .. } => {
                let whole = natural_rows.chain(synthetic_rows).collect();
                LabelledRows::new(self.rows, subset(taken, whole, rng).into_iter())
            }
        }
    }

    /// New noise for the label of every row.
    fn noise(&self, rng: &mut Stream) -> Array1<f64> {
        let normal = || -> f64 { StandardNormal.sample(rng) };
        Array1::from_shape_simple_fn(self.rows, normal) * self.noise
    }
}

/// Checks that the design determines the coefficients, with a finite expected error, and fits into memory.
fn check_design(columns: usize, noise: f64, settings: &DriftSettings) -> Result<(), DriftError> {
    if columns == 0 {
        return Err(invalid("columns", "0 coefficients have nothing to learn; give at least 1"));
    }
    if !noise.is_finite() || noise <= 0.0 {
        return Err(invalid("noise", format!("{noise} is not a number above 0")));
    }
    check_rows(columns, settings.samples)?;
    let numbers =
        settings.samples.saturating_mul((settings.generations as u64 + 2).saturating_add(columns as u64));
    if numbers > MAX_NUMBERS {
        let message = format!(
            "a lineage would hold {numbers} numbers in memory, and the limit is {MAX_NUMBERS}; give fewer"
        );
        return Err(invalid("rows", message));
    }
    Ok(())
}

fn check_rows(columns: usize, rows: u64) -> Result<(), DriftError> {
    if rows > (columns as u64).saturating_add(1) {
        return Ok(());
    }
    let message = format!(
        "{rows} rows do not determine {columns} coefficients with a finite expected error; give at least {}",
        columns.saturating_add(2)
    );
    Err(invalid("rows", message))
}

/// A training set: how often each row of the design occurs, and the sum of its labels. Least squares needs no more.
struct LabelledRows {
    /// How often each row occurs.
    times: Array1<f64>,
    /// The sum of the labels of each row.
    label_sums: Array1<f64>,
}

impl LabelledRows {
    /// Collects pairs of a row's index and its label, for a design of `rows` rows.
    fn new(rows: usize, labelled: impl Iterator<Item = (usize, f64)>) -> Self {
        let mut training = Self { times: Array1::zeros(rows), label_sums: Array1::zeros(rows) };
        for (row, label) in labelled {
            training.times[row] += 1.0;
            training.label_sums[row] += label;
        }
        training
    }

    /// Solves XᵀX w = Xᵀy for the coefficients w. None if the rows do not determine them.
    fn fit(&self, design: &Array2<f64>) -> Option<Array1<f64>> {
        let weighted = design * &self.times.view().insert_axis(Axis(1));
        let lower = cholesky::factor(&design.t().dot(&weighted))?;
        Some(cholesky::solve(&lower, &design.t().dot(&self.label_sums)))
    }
}

/// A uniform subset of `wanted` items without replacement; all items if there are no more.
fn subset(wanted: u64, items: Vec<(usize, f64)>, rng: &mut Stream) -> Vec<(usize, f64)> {
    let wanted = wanted as usize;
    if wanted >= items.len() {
        return items;
    }
    index::sample(rng, items.len(), wanted).into_iter().map(|index| items[index]).collect()
}
