//! Differences paired by seed, and how noisy they are. The estimates are explained in the parent's doc.

use super::{Observation, headline::headline};
use crate::measure::METRICS;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use std::collections::{BTreeMap, BTreeSet};

/// A value and its squared standard error.
#[derive(Clone, Copy)]
struct Cell {
    value: f64,
    variance: f64,
}

/// Generations of one metric of one lineage.
type Series = BTreeMap<usize, Cell>;

/// Observations by metric, arm, seed and generation.
pub(super) struct Table<'a> {
    series: BTreeMap<(&'a str, &'a str), BTreeMap<u64, Series>>,
    not_numbers: BTreeMap<&'a str, usize>,
}

impl<'a> Table<'a> {
    pub(super) fn new(observations: &'a [Observation]) -> Self {
        let mut table = Self { series: BTreeMap::new(), not_numbers: BTreeMap::new() };
        for observation in observations {
            let lineages = table.series.entry((&observation.metric, &observation.arm)).or_default();
            let series = lineages.entry(observation.seed).or_default();
            if observation.value.is_finite() && observation.std_err.is_finite() {
                let cell = Cell { value: observation.value, variance: observation.std_err.powi(2) };
                series.insert(observation.generation, cell);
            } else {
                *table.not_numbers.entry(&observation.arm).or_default() += 1;
            }
        }
        table
    }

    /// How many values of an arm are not numbers.
    pub(super) fn not_numbers(&self, arm: &str) -> usize {
        self.not_numbers.get(arm).copied().unwrap_or(0)
    }

    /// The headline metrics that were measured of an arm, number or not.
    pub(super) fn headlines_measured(&self, arm: &str) -> Vec<&'static str> {
        let ids = headline().iter().map(|headline| headline.metric);
        ids.filter(|id| self.series.contains_key(&(*id, arm))).collect()
    }

    /// Seeds that share a metric and a generation after generation 0.
    pub(super) fn paired_seeds(&self, arm: &str, control: &str) -> usize {
        let seeds: BTreeSet<u64> = METRICS
            .iter()
            .flat_map(|metric| self.pairs(metric.id, arm, control).into_values().flatten())
            .map(|pair| pair.seed)
            .collect();
        seeds.len()
    }

    /// The difference in a metric at every generation ≥ 1 that the arm and the control share in some seed.
    pub(super) fn differences(&self, metric: &str, arm: &str, control: &str) -> Vec<Difference> {
        let pairs = self.pairs(metric, arm, control);
        let control_lineages = self.series.get(&(metric, control));
        pairs
            .iter()
            .map(|(&generation, here)| {
                let between = between_seeds(&pairs, generation);
                let within = control_lineages.and_then(|lineages| within_lineages(lineages, generation));
                Difference::new(generation, here, between, within)
            })
            .collect()
    }

    fn pairs(&self, metric: &str, arm: &str, control: &str) -> BTreeMap<usize, Vec<Pair>> {
        let mut pairs: BTreeMap<usize, Vec<Pair>> = BTreeMap::new();
        let (Some(arms), Some(controls)) =
            (self.series.get(&(metric, arm)), self.series.get(&(metric, control)))
        else {
            return pairs;
        };
        for (&seed, series) in arms {
            let Some(control_series) = controls.get(&seed) else { continue };
            for (&generation, &arm) in series.range(1..) {
                if let Some(&control) = control_series.get(&generation) {
                    pairs.entry(generation).or_default().push(Pair { seed, arm, control });
                }
            }
        }
        pairs
    }
}

/// An arm and the control at the same seed and generation.
struct Pair {
    seed: u64,
    arm: Cell,
    control: Cell,
}

impl Pair {
    fn difference(&self) -> f64 {
        self.arm.value - self.control.value
    }
}

/// An estimate of the variance of one difference, and its degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Noise {
    variance: f64,
    df: f64,
}

/// Spread of the differences between seeds, pooled over generations up to `last`.
fn between_seeds(pairs: &BTreeMap<usize, Vec<Pair>>, last: usize) -> Option<Noise> {
    let residuals: Vec<BTreeMap<u64, f64>> = pairs
        .range(..=last)
        .filter(|(_, here)| here.len() >= 2)
        .map(|(_, here)| {
            let mean = here.iter().map(Pair::difference).sum::<f64>() / here.len() as f64;
            here.iter().map(|pair| (pair.seed, pair.difference() - mean)).collect()
        })
        .collect();
    let df: f64 = residuals.iter().map(|here| (here.len() - 1) as f64).sum();
    if df == 0.0 {
        return None;
    }
    let variance = residuals.iter().flat_map(BTreeMap::values).map(|r| r * r).sum::<f64>() / df;
    let correlation = if variance > 0.0 { across_generations(&residuals) / variance } else { 0.0 };
    let shrink = 1.0 + (residuals.len() - 1) as f64 * correlation.clamp(0.0, 1.0).powi(2);
    Some(Noise { variance, df: df / shrink })
}

/// Mean covariance of a seed's residuals at two different generations.
fn across_generations(residuals: &[BTreeMap<u64, f64>]) -> f64 {
    let (mut products, mut df) = (0.0, 0.0);
    for (index, here) in residuals.iter().enumerate() {
        for there in &residuals[index + 1..] {
            products +=
                here.iter().filter_map(|(seed, r)| there.get(seed).map(|other| r * other)).sum::<f64>();
            df += (here.len().min(there.len()) - 1) as f64;
        }
    }
    if df > 0.0 { products / df } else { 0.0 }
}

/// Twice the residual variance of the control about a straight line within each lineage, generations 0..=`last`.
fn within_lineages(lineages: &BTreeMap<u64, Series>, last: usize) -> Option<Noise> {
    let (mut squares, mut df) = (0.0, 0.0);
    for series in lineages.values() {
        let points: Vec<(f64, f64)> =
            series.range(..=last).map(|(&g, cell)| (g as f64, cell.value)).collect();
        if points.len() >= 3 {
            squares += squares_about_line(&points);
            df += (points.len() - 2) as f64;
        }
    }
    (df > 0.0).then(|| Noise { variance: 2.0 * squares / df, df })
}

/// Residual sum of squares about the least-squares line. At least two different abscissae.
fn squares_about_line(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
    let sxx: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let sxy: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let slope = sxy / sxx;
    points.iter().map(|p| (p.1 - mean_y - slope * (p.0 - mean_x)).powi(2)).sum()
}

/// Arm minus control in one metric at one generation.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) generation: usize,
    /// Seeds paired here.
    pub(super) seeds: usize,
    pub(super) control: f64,
    pub(super) arm: f64,
    pub(super) mean: f64,
    pub(super) std_err: f64,
    /// Degrees of freedom; none where the noise of training could not be estimated.
    pub(super) df: Option<f64>,
    half_width: f64,
}

impl Difference {
    fn new(generation: usize, pairs: &[Pair], between: Option<Noise>, within: Option<Noise>) -> Self {
        let seeds = pairs.len() as f64;
        let mean = |of: &dyn Fn(&Pair) -> f64| pairs.iter().map(of).sum::<f64>() / seeds;
        let sampling = mean(&|pair| pair.arm.variance + pair.control.variance);
        let of_training = match (between, within) {
            (Some(a), Some(b)) => Some(if a.variance >= b.variance { a } else { b }),
            (a, b) => a.or(b),
        };
        let variance = of_training.map_or(sampling, |noise| noise.variance.max(sampling));
        // No two runs agree to the last bit by luck: a variance of zero means that there was nothing to judge it by.
        let df = of_training.map(|noise| noise.df).filter(|_| variance > 0.0);
        let std_err = (variance / seeds).sqrt();
        Self {
            generation,
            seeds: pairs.len(),
            control: mean(&|pair| pair.control.value),
            arm: mean(&|pair| pair.arm.value),
            mean: mean(&Pair::difference),
            std_err,
            df,
            half_width: std_err * quantile(0.025, df),
        }
    }

    pub(super) fn ci_low(&self) -> f64 {
        self.mean - self.half_width
    }

    pub(super) fn ci_high(&self) -> f64 {
        self.mean + self.half_width
    }

    pub(super) fn half_width(&self) -> f64 {
        self.half_width
    }

    /// One-sided p-value of a difference in the direction of `sign`; none where nothing can be concluded.
    pub(super) fn p_value(&self, sign: f64) -> Option<f64> {
        let student = student(self.df?)?;
        Some(student.sf(sign * self.mean / self.std_err))
    }
}

fn student(df: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, df).ok()
}

/// The value that Student's t exceeds with probability `p` < 0.5; the normal one without degrees of freedom.
pub(super) fn quantile(p: f64, df: Option<f64>) -> f64 {
    match df.filter(|&df| df < NEARLY_NORMAL).and_then(student) {
        Some(student) => student.inverse_cdf(1.0 - p),
        None => Normal::standard().inverse_cdf(1.0 - p),
    }
}

/// Degrees of freedom from which Student's t is taken for normal: the quantiles agree to four digits.
const NEARLY_NORMAL: f64 = 1e4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Upper 2.5 % points of Student's t, from any printed table.
    #[test]
    fn quantiles_are_those_of_printed_tables() {
        for (df, expected) in [(1.0, 12.706), (2.0, 4.303), (4.0, 2.776), (10.0, 2.228), (120.0, 1.980)] {
            assert!((quantile(0.025, Some(df)) - expected).abs() < 5e-4, "{df}");
        }
        assert!((quantile(0.025, None) - 1.95996).abs() < 1e-4);
    }

    #[test]
    fn quantile_and_tail_probability_are_inverse_far_out_too() {
        for df in [1.0, 1.7, 3.0, 12.5, 80.0, 1e3] {
            for p in [0.025, 1e-3, 1e-5] {
                let back = student(df).unwrap().sf(quantile(p, Some(df)));
                assert!((back / p - 1.0).abs() < 1e-3, "df {df}, p {p}: {back}");
            }
        }
    }

    /// Points (0, 1), (1, 3), (2, 2): slope 1/2 through (1, 2), residuals −1/2, 1, −1/2, squares 3/2.
    #[test]
    fn residuals_about_a_line_are_those_worked_out_by_hand() {
        assert!((squares_about_line(&[(0.0, 1.0), (1.0, 3.0), (2.0, 2.0)]) - 1.5).abs() < 1e-12);
    }
}
