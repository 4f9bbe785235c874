//! The loop with a linear model: ordinary least squares on labels that the model before made up.
//!
//! The model of Dohmatob et al. (2024) and Gerstgrasser et al. (2024): T rows of d independent standard normal
//! numbers, drawn once per lineage; natural labels `x·w* + σ ε`; a model w labels the same rows with `x·w + σ ε`, the
//! noise new every time. What is lost is the model's distance from the truth: `test_error` = |w − w*|², the squared
//! error on new rows beyond the noise. It depends on w − w* alone, so w* = 0 here.
//!
//! What a mixture means: a sample is a row with a label, the budget is T.
//!
//! - *natural samples* are the first m rows with natural labels; *fixed* ones keep their labels, *fresh* ones get new
//!   noise every generation. There are no more than T of them; a mixture that asks for more is refused.
//! - *latest* synthetic samples are the last k rows with the labels of the last model (all rows if k = T: natural ones
//!   added on top then stand twice; if k > T, rows are labelled again, with new noise);
//! - *all*: the rows with the labels of every generation, or a uniform subset of them without replacement.
//!
//! # What is exact
//!
//! A fit moves w by `(XᵀX)⁻¹Xᵀ σ ε`, whose expected square is `σ² d/(T − d − 1)`, from the mean of an inverse Wishart.
//!
//! - replace: g + 1 independent moves, so `(g + 1) σ² d/(T − d − 1)`; grown to the size of accumulate, the i-th model
//!   averages i labels of every row, so `Σ_{i ≤ g+1} 1/i` times one move;
//! - accumulate: with everything kept, the fit is the mean of the moves so far on top of the models before, so that the
//!   i-th move counts 1/i: `Σ_{i ≤ g+1} 1/i²` times the same, never more than π²/6 times (Gerstgrasser et al. 2024);
//! - natural rows alone, and generation 0 always: `σ² d/(T − d − 1)`.
//!
//! Other regimes have no exact value here.

use super::cholesky;
use super::regime::{Loop, Recipe, Regime};
use super::summary::{self, Row};
use super::{DriftError, fault};
use crate::config::{NaturalDocuments, SyntheticDocuments};
use crate::seed::{Stream, StreamKey, streams};
use ndarray::{Array1, Array2, Axis};
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// The most numbers that a lineage may hold: 800 MB of them.
const MOST_NUMBERS: u64 = 100_000_000;

/// A loop of linear models. Holding one means that it can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    rows: usize,
    columns: usize,
    noise: f64,
    regime: Regime,
    replicates: usize,
    seed: u64,
}

impl Simulation {
    /// A loop on `columns` coefficients, the noise of labels having a standard deviation of `noise`. The rows are
    /// `plan.samples`.
    ///
    /// # Errors
    /// When the rows do not determine the coefficients, a mixture asks for more natural rows than there are, or as
    /// [`Regime::new`].
    pub fn new(columns: usize, noise: f64, plan: &Loop) -> Result<Self, DriftError> {
        if columns == 0 {
            return Err(fault("columns", "0 coefficients have nothing to learn; give at least 1"));
        }
        if !noise.is_finite() || noise <= 0.0 {
            return Err(fault("noise", format!("{noise} is not a number above 0")));
        }
        if plan.samples <= columns as u64 + 1 {
            let message = format!(
                "{} rows do not determine {columns} coefficients with a finite expected error; give at least {}",
                plan.samples,
                columns + 2
            );
            return Err(fault("rows", message));
        }
        let numbers =
            plan.samples.saturating_mul((plan.generations as u64 + 2).saturating_add(columns as u64));
        if numbers > MOST_NUMBERS {
            let message = format!(
                "a lineage would hold {numbers} numbers, and {MOST_NUMBERS} are the most; give fewer"
            );
            return Err(fault("rows", message));
        }
        let regime = Regime::new(plan)?;
        if let Some(recipe) = regime.recipes.iter().find(|recipe| recipe.natural() > plan.samples) {
            let message = format!(
                "it asks for {} natural rows, and the design has {}; lower the natural fraction",
                recipe.natural(),
                plan.samples
            );
            return Err(fault("mixture", message));
        }
        let rows = plan.samples as usize;
        Ok(Self { rows, columns, noise, regime, replicates: plan.replicates, seed: plan.seed })
    }

    /// Runs every lineage, and summarises it.
    ///
    /// # Errors
    /// When the rows drawn for a generation do not determine the coefficients.
    pub fn rows(&self) -> Result<Vec<Row>, DriftError> {
        let one = |replicate| {
            let mut values = Vec::with_capacity(self.regime.recipes.len() + 1);
            self.lineage(replicate, &mut |_, error| values.push([error.dot(error)]))?;
            Ok(values)
        };
        let values: Result<Vec<Vec<[f64; 1]>>, DriftError> =
            (0..self.replicates).into_par_iter().map(one).collect();
        Ok(summary::rows(["test_error"], &values?, |generation, _| self.exact(generation)))
    }

    fn exact(&self, generation: usize) -> Option<f64> {
        let (rows, columns) = (self.rows as f64, self.columns as f64);
        let once = self.noise * self.noise * columns / (rows - columns - 1.0);
        let natural_alone = Recipe::Parts { natural: self.regime.samples, synthetic: 0 };
        if generation == 0 || self.regime.recipes.iter().all(|&recipe| recipe == natural_alone) {
            return Some(once);
        }
        if let Some(sizes) = self.regime.replaced() {
            return Some(once * sizes[..=generation].iter().map(|&size| rows / size as f64).sum::<f64>());
        }
        let squares = || (1..=generation + 1).map(|i| 1.0 / (i * i) as f64).sum::<f64>();
        self.regime.is_accumulate().then(|| once * squares())
    }

    /// Runs the lineage of one replicate: `each` gets w − w* (columns) of generations 0, 1, … in turn.
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
        let fit = |generation, training: &Training| {
            let singular = DriftError::Singular { replicate, generation, columns: self.columns };
            training.fit(&design).ok_or(singular)
        };
        let natural = self.noise(&mut stream(0, streams::DRIFT_NATURAL));
        let mut error = fit(0, &Training::of(self.rows, natural.iter().copied().enumerate()))?;
        each(0, &error);
        // Labels of every row, once or more by each generation; by the latest only, where no others are asked for.
        let mut pool: Vec<Array1<f64>> = Vec::new();
        for (place, &recipe) in self.regime.recipes.iter().enumerate() {
            let generation = place + 1;
            if self.regime.synthetic == SyntheticDocuments::Latest {
                pool.clear();
            }
            let mut rng = stream(place, streams::DRIFT_CORPUS);
            let times = self.regime.written_for(recipe).div_ceil(self.rows as u64);
            pool.extend((0..times).map(|_| design.dot(&error) + self.noise(&mut rng)));
            let natural = match self.regime.natural {
                NaturalDocuments::Fixed => natural.clone(),
                NaturalDocuments::Fresh => self.noise(&mut stream(generation, streams::DRIFT_FRESH)),
            };
            let training = self.mix(recipe, &natural, &pool, &mut stream(generation, streams::DRIFT_SUBSET));
            error = fit(generation, &training)?;
            each(generation, &error);
        }
        Ok(())
    }

    fn mix(&self, recipe: Recipe, natural: &Array1<f64>, pool: &[Array1<f64>], rng: &mut Stream) -> Training {
        let synthetic_rows = pool.iter().flat_map(|labels| labels.iter().copied().enumerate());
        let natural_rows = natural.iter().copied().enumerate().take(recipe.natural() as usize);
        match recipe {
            Recipe::Parts { synthetic, .. } => {
                let kept: Vec<(usize, f64)> = match self.regime.synthetic {
                    SyntheticDocuments::Latest => {
                        synthetic_rows.skip(self.rows * pool.len() - synthetic as usize).collect()
                    }
                    SyntheticDocuments::All => subset(synthetic, synthetic_rows.collect(), rng),
                };
                Training::of(self.rows, natural_rows.chain(kept))
            }
            Recipe::Drawn { taken, .. } => {
                let whole = natural_rows.chain(synthetic_rows).collect();
                Training::of(self.rows, subset(taken, whole, rng).into_iter())
            }
        }
    }

    /// Noise of every row's label (rows).
    fn noise(&self, rng: &mut Stream) -> Array1<f64> {
        let normal = || -> f64 { StandardNormal.sample(rng) };
        Array1::from_shape_simple_fn(self.rows, normal) * self.noise
    }
}

/// Labelled rows of a design: how often each row stands, and the sum of its labels. Least squares needs no more.
struct Training {
    /// (rows)
    times: Array1<f64>,
    /// (rows)
    label_sums: Array1<f64>,
}

impl Training {
    fn of(rows: usize, labelled: impl Iterator<Item = (usize, f64)>) -> Self {
        let mut training = Self { times: Array1::zeros(rows), label_sums: Array1::zeros(rows) };
        for (row, label) in labelled {
            training.times[row] += 1.0;
            training.label_sums[row] += label;
        }
        training
    }

    /// The coefficients (columns) that solve XᵀX w = Xᵀy, for the design (rows, columns); None if they are not
    /// determined.
    fn fit(&self, design: &Array2<f64>) -> Option<Array1<f64>> {
        let weighted = design * &self.times.view().insert_axis(Axis(1));
        let lower = cholesky::factor(&design.t().dot(&weighted))?;
        Some(cholesky::solve(&lower, &design.t().dot(&self.label_sums)))
    }
}

/// A uniform subset; all, if there are no more.
fn subset(wanted: u64, items: Vec<(usize, f64)>, rng: &mut Stream) -> Vec<(usize, f64)> {
    let wanted = wanted as usize;
    if wanted >= items.len() {
        return items;
    }
    index::sample(rng, items.len(), wanted).into_iter().map(|place| items[place]).collect()
}
