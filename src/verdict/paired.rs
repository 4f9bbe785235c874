//! Differences paired by seed, and their noise. The estimates are explained in the parent module.

use super::{Observation, headline::headline_metrics};
use crate::measure::{Catalogue, MetricDefinition};
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal, StudentsT};
use std::collections::{BTreeMap, BTreeSet};

/// A value and its squared standard error.
#[derive(Clone, Copy)]
struct MeasuredValue {
    value: f64,
    variance: f64,
}

/// One metric of one lineage, by generation.
type Series = BTreeMap<usize, MeasuredValue>;

/// Observations by metric, arm, seed and generation.
pub(super) struct ObservationTable<'a> {
    /// By metric and arm, then by seed.
    series: BTreeMap<(&'a str, &'a str), BTreeMap<u64, Series>>,
    /// The number of values that are not finite, by arm.
    not_finite: BTreeMap<&'a str, usize>,
}

impl<'a> ObservationTable<'a> {
    pub(super) fn new(observations: &'a [Observation]) -> Self {
        let mut table = Self { series: BTreeMap::new(), not_finite: BTreeMap::new() };
        for observation in observations {
            let lineages = table.series.entry((&observation.metric, &observation.arm)).or_default();
            let series = lineages.entry(observation.seed).or_default();
            if observation.value.is_finite() && observation.std_err.is_finite() {
                let (value, variance) = (observation.value, observation.std_err.powi(2));
                series.insert(observation.generation, MeasuredValue { value, variance });
            } else {
                *table.not_finite.entry(&observation.arm).or_default() += 1;
            }
        }
        table
    }

    /// The number of values of an arm that are not finite.
    pub(super) fn not_finite(&self, arm: &str) -> usize {
        self.not_finite.get(arm).copied().unwrap_or(0)
    }

    /// The headline metrics that were measured for an arm, including those without finite values.
    pub(super) fn headline_metrics_of(&self, arm: &str) -> Vec<&'static str> {
        let ids = headline_metrics().iter().map(|headline| headline.metric);
        ids.filter(|id| self.series.contains_key(&(*id, arm))).collect()
    }

    /// The number of seeds in which arm or control have any value.
    pub(super) fn seeds_of_either(&self, arm: &str, control: &str) -> usize {
        let of_either = self.series.iter().filter(|((_, name), _)| [arm, control].contains(name));
        of_either.flat_map(|(_, lineages)| lineages.keys()).collect::<BTreeSet<&u64>>().len()
    }

    /// The number of seeds in which arm and control have a metric and a generation ≥ 1 in common.
    pub(super) fn common_seeds(&self, arm: &str, control: &str, catalogue: &Catalogue) -> usize {
        let seeds: BTreeSet<u64> = catalogue
            .iter()
            .flat_map(|metric| self.pairs(&metric.id, arm, control).into_values().flatten())
            .map(|pair| pair.seed)
            .collect();
        seeds.len()
    }

    /// The generations at which two arms are the same computation in every seed that they have in common: all metrics of
    /// the models are equal to the last bit, and those of their texts.
    pub(super) fn same_computations(
        &self,
        arm: &str,
        other: &str,
        catalogue: &Catalogue,
    ) -> SameComputations {
        let mut same = SameComputations::default();
        for metric in catalogue {
            for (generation, pairs) in self.pairs(&metric.id, arm, other) {
                same.add(metric, generation, pairs.iter().all(|pair| pair.difference() == 0.0));
            }
        }
        same
    }

    /// The generations at which each of two arms is the same computation in all of its seeds, of which there are several.
    pub(super) fn repeated_computations(&self, arms: [&str; 2], catalogue: &Catalogue) -> SameComputations {
        let mut repeated = SameComputations::default();
        for metric in catalogue {
            for lineages in arms.iter().filter_map(|arm| self.series.get(&(&*metric.id, *arm))) {
                let mut by_generation: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
                for (&generation, measured) in lineages.values().flatten() {
                    by_generation.entry(generation).or_default().push(measured.value);
                }
                for (generation, values) in by_generation {
                    let is_equal = values.len() > 1 && values.iter().all(|&value| value == values[0]);
                    repeated.add(metric, generation, is_equal);
                }
            }
        }
        repeated
    }

    /// The difference in a metric at every generation ≥ 1 that arm and control have in common in some seed, given where they
    /// are the same computation, and where their seeds are.
    pub(super) fn differences(
        &self,
        metric: &MetricDefinition,
        arm: &str,
        control: &str,
        [same, repeated]: [&SameComputations; 2],
    ) -> Vec<Difference> {
        let pairs = self.pairs(&metric.id, arm, control);
        let lineages_of = |name| self.series.get(&(&*metric.id, name));
        let spreads = spreads_between_seeds(&pairs);
        let steps = [arm, control].map(|name| lineages_of(name).map(steps_between_seeds).unwrap_or_default());
        let steps_at = |generation| {
            let up_to = |steps: &BTreeMap<usize, Noise>| {
                steps.range(..=generation).next_back().map(|(_, noise)| *noise)
            };
            [up_to(&steps[0]), up_to(&steps[1])]
        };
        pairs
            .iter()
            .map(|(&generation, here)| {
                let is_same = same.at(metric, generation);
                let is_repeated = repeated.at(metric, generation);
                let floor = if metric.on_fixed_text { 0.0 } else { measurement_variance(here) };
                match spreads.get(&generation) {
                    Some(spread) => {
                        let noises = match is_repeated {
                            true => Noises::UNKNOWN,
                            false => spread.noises(steps_at(generation), generation, floor),
                        };
                        Difference::new(generation, here, noises, is_same)
                            .with_pooled(spread.pooled.at_least(floor / 100.0))
                    }
                    None => {
                        let walk =
                            lineages_of(control).and_then(|lineages| random_walk(lineages, generation));
                        let alone = walk.map(|noise| noise.at_least(measurement_variance(here)));
                        let noises = Noises { interval: alone, narrowing: alone, degradation: alone };
                        Difference::new(generation, here, noises, is_same)
                    }
                }
            })
            .collect()
    }

    fn pairs(&self, metric: &str, arm: &str, control: &str) -> BTreeMap<usize, Vec<PairedValues>> {
        let mut pairs: BTreeMap<usize, Vec<PairedValues>> = BTreeMap::new();
        let (Some(arms), Some(controls)) =
            (self.series.get(&(metric, arm)), self.series.get(&(metric, control)))
        else {
            return pairs;
        };
        for (&seed, series) in arms {
            let Some(control_series) = controls.get(&seed) else { continue };
            for (&generation, &arm) in series.range(1..) {
                if let Some(&control) = control_series.get(&generation) {
                    pairs.entry(generation).or_default().push(PairedValues { seed, arm, control });
                }
            }
        }
        pairs
    }
}

/// Whether models and texts are the same computation, by generation: all of their metrics are then equal.
#[derive(Default)]
pub(super) struct SameComputations {
    /// By the metrics on fixed text.
    model: BTreeMap<usize, bool>,
    /// By those of generated text.
    text: BTreeMap<usize, bool>,
}

impl SameComputations {
    /// Adds whether `metric` is equal at `generation`.
    fn add(&mut self, metric: &MetricDefinition, generation: usize, is_equal: bool) {
        let same = if metric.on_fixed_text { &mut self.model } else { &mut self.text };
        *same.entry(generation).or_insert(true) &= is_equal;
    }

    /// Whether `metric` is measured on the same model or the same text at `generation`.
    pub(super) fn at(&self, metric: &MetricDefinition, generation: usize) -> bool {
        let same = if metric.on_fixed_text { &self.model } else { &self.text };
        same.get(&generation).copied().unwrap_or(false)
    }
}

/// A metric of the arm and of the control at the same seed and generation.
struct PairedValues {
    seed: u64,
    arm: MeasuredValue,
    control: MeasuredValue,
}

impl PairedValues {
    fn difference(&self) -> f64 {
        self.arm.value - self.control.value
    }
}

/// An estimate of the variance of a difference in one seed, and its degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Noise {
    variance: f64,
    df: f64,
}

impl Noise {
    fn times(self, factor: f64) -> Self {
        Self { variance: factor * self.variance, ..self }
    }

    /// The variance of a sum or difference of independent values, with Satterthwaite's degrees of freedom.
    fn plus(self, other: Self) -> Self {
        let variance = self.variance + other.variance;
        let squares = self.variance.powi(2) / self.df + other.variance.powi(2) / other.df;
        let df = if squares > 0.0 { variance.powi(2) / squares } else { self.df + other.df };
        Self { variance, df }
    }

    fn at_least(self, variance: f64) -> Self {
        Self { variance: self.variance.max(variance), ..self }
    }

    /// The variance that is at least the true one with probability `quantile`; the estimate itself for the median.
    fn at_quantile(self, quantile: f64) -> Self {
        let of = |probability| ChiSquared::new(self.df).map_or(1.0, |chi| chi.inverse_cdf(probability));
        Self { variance: self.variance * of(0.5) / of(1.0 - quantile), ..self }
    }

    /// Pools both estimates, weighted by their degrees of freedom. The variance is not smaller than the variance of
    /// `self`. The degrees of freedom follow Satterthwaite: an estimate far smaller than the other adds almost none.
    fn stabilised_by(self, other: Self) -> Self {
        let sum = |of: &dyn Fn(Self) -> f64| of(self) + of(other);
        let weighted = sum(&|noise| noise.df * noise.variance);
        if weighted == 0.0 {
            return self;
        }
        Self {
            variance: self.variance.max(weighted / sum(&|noise| noise.df)),
            df: weighted.powi(2) / sum(&|noise| noise.df * noise.variance.powi(2)),
        }
    }
}

/// The spread of the differences between seeds.
struct BetweenSeeds {
    /// At this generation.
    own: Noise,
    /// At all generations up to it. Noise of an earlier generation counts as much as if it had grown until this one, as it does
    /// where it accumulates; where it does not, the estimate is too large.
    pooled: Noise,
}

impl BetweenSeeds {
    /// The noise at `generation`, given the variances of a step of arm and control and that of measurement.
    fn noises(&self, [arm, control]: [Option<Noise>; 2], generation: usize, measurement: f64) -> Noises {
        let both = arm.zip(control).map(|(arm, control)| arm.plus(control));
        let growing = both.map(|both| both.times((generation as f64 + 1.0) / 2.0));
        let twice = control.map(|control| control.times(2.0));
        let [narrowing, degradation] = [growing, twice].map(|steps| {
            let stabilised = steps.map_or(self.pooled, |steps| self.pooled.stabilised_by(steps));
            Some(stabilised.at_least(measurement / 4.0))
        });
        Noises { interval: Some(self.own.at_least(measurement / 100.0)), narrowing, degradation }
    }
}

/// The spread at every generation that at least two seeds have reached.
fn spreads_between_seeds(pairs: &BTreeMap<usize, Vec<PairedValues>>) -> BTreeMap<usize, BetweenSeeds> {
    let mut residuals = Residuals::default();
    let reached = pairs.iter().filter(|(_, here)| here.len() >= 2);
    let spreads = reached.map(|(&generation, here)| {
        let own = residuals.add(generation, here);
        (generation, BetweenSeeds { own, pooled: residuals.pooled(generation) })
    });
    spreads.collect()
}

/// Sums over the residuals of all generations so far. A residual is the difference of a seed less the mean over seeds, divided
/// by the square root of the generation: noise that adds up has then the same variance at all generations.
#[derive(Default)]
struct Residuals {
    generations: usize,
    df: f64,
    squares: f64,
    /// By seed.
    sums: BTreeMap<u64, f64>,
    /// The sum of the products of a seed's residuals at two different generations, and the degrees of freedom behind it.
    products: f64,
    products_df: f64,
    /// The number of generations with so many seeds.
    sizes: BTreeMap<usize, usize>,
}

impl Residuals {
    /// Adds a generation that at least two seeds have reached. Returns its own noise.
    fn add(&mut self, generation: usize, here: &[PairedValues]) -> Noise {
        let seeds = here.len();
        let mean = here.iter().map(PairedValues::difference).sum::<f64>() / seeds as f64;
        let mut squares = 0.0;
        for pair in here {
            let residual = (pair.difference() - mean) / (generation as f64).sqrt();
            let sum = self.sums.entry(pair.seed).or_default();
            self.products += residual * *sum;
            *sum += residual;
            squares += residual * residual;
        }
        let in_common = |(&others, &generations): (&usize, &usize)| (seeds.min(others) - 1) * generations;
        self.products_df += self.sizes.iter().map(in_common).sum::<usize>() as f64;
        *self.sizes.entry(seeds).or_default() += 1;
        let df = (seeds - 1) as f64;
        self.generations += 1;
        self.df += df;
        self.squares += squares;
        Noise { variance: generation as f64 * squares / df, df }
    }

    /// The variance at generation `last`, by the residuals of all generations, and its degrees of freedom (Satterthwaite, with
    /// one correlation ρ between any two generations of a seed).
    fn pooled(&self, last: usize) -> Noise {
        let variance = self.squares / self.df;
        let is_known = variance > 0.0 && self.products_df > 0.0;
        let correlation = if is_known { self.products / self.products_df / variance } else { 0.0 };
        let shrink = 1.0 + (self.generations - 1) as f64 * correlation.clamp(0.0, 1.0).powi(2);
        Noise { variance: last as f64 * variance, df: self.df / shrink }
    }
}

/// The variance of the steps of lineages from one generation to the next, up to each generation. Steps are compared with
/// the mean step of all seeds at the same generation, so that a trend that all lineages share is no noise. Generations before
/// the first with two of them are left out.
fn steps_between_seeds(lineages: &BTreeMap<u64, Series>) -> BTreeMap<usize, Noise> {
    let mut by_generation: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for series in lineages.values() {
        for ((_, before), (generation, after)) in series.iter().zip(series.iter().skip(1)) {
            by_generation.entry(*generation).or_default().push(after.value - before.value);
        }
    }
    let (mut df, mut squares) = (0, 0.0);
    let up_to = by_generation.into_iter().map(|(generation, steps)| {
        df += steps.len() - 1;
        squares += sum_of_squares(&steps);
        (generation, Noise { variance: squares / df as f64, df: df as f64 })
    });
    up_to.filter(|(_, noise)| noise.df > 0.0).collect()
}

/// The variance of the difference between two random walks of `last` steps. The variance of a step is estimated from
/// the control's steps. For lineages that train from scratch in every generation the result is an upper bound.
fn random_walk(lineages: &BTreeMap<u64, Series>, last: usize) -> Option<Noise> {
    let steps: Vec<f64> = lineages
        .values()
        .flat_map(|series| {
            let values: Vec<f64> = series.range(..=last).map(|(_, measured)| measured.value).collect();
            values.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
        })
        .collect();
    let df = steps.len().checked_sub(1).filter(|&df| df > 0)? as f64;
    Some(Noise { variance: 2.0 * last as f64 * sum_of_squares(&steps) / df, df })
}

/// The sum of the squared differences from the mean.
fn sum_of_squares(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// Whether a variance between differences of `values` is more than rounding can leave: numbers of 53 bits that should be equal
/// agree to far more than twelve digits, and two runs do not.
pub(super) fn is_more_than_rounding(variance: f64, values: impl Iterator<Item = f64>) -> bool {
    variance.sqrt() > 1e-12 * values.map(f64::abs).fold(0.0, f64::max)
}

/// The variance of a difference due to measurement error alone: the squared errors of arm and control, averaged over
/// seeds.
fn measurement_variance(pairs: &[PairedValues]) -> f64 {
    pairs.iter().map(|pair| pair.arm.variance + pair.control.variance).sum::<f64>() / pairs.len() as f64
}

/// The noise of a difference as intervals and tests estimate it; None if the noise of training could not be estimated.
#[derive(Clone, Copy, Debug)]
struct Noises {
    interval: Option<Noise>,
    /// For the test of narrowing.
    narrowing: Option<Noise>,
    /// For the test of degradation.
    degradation: Option<Noise>,
}

impl Noises {
    const UNKNOWN: Self = Self { interval: None, narrowing: None, degradation: None };

    fn map(self, of: impl Fn(Option<Noise>) -> Option<Noise>) -> Self {
        Self { interval: of(self.interval), narrowing: of(self.narrowing), degradation: of(self.degradation) }
    }
}

/// Arm minus control in one metric at one generation.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) generation: usize,
    /// The number of seeds in common at this generation.
    pub(super) seeds: usize,
    /// Mean of the control over these seeds.
    pub(super) control: f64,
    /// Mean of the arm.
    pub(super) arm: f64,
    /// Mean of arm − control.
    pub(super) mean: f64,
    /// Standard error of `mean`.
    pub(super) std_err: f64,
    /// Whether arm and control are equal to the last bit in every seed, and not only because two counts agree by chance: they
    /// are the same computation, or the metric has no error of measuring, as at the ends of its range.
    pub(super) is_identical: bool,
    /// Whether arm and control are equal to the last bit in every seed, for whatever reason.
    pub(super) is_equal: bool,
    noises: Noises,
    /// The noise at all generations so far, which is known best; None with one seed.
    pooled: Option<Noise>,
    /// Half the width of the 95 % interval.
    half_width: f64,
}

impl Difference {
    /// Discards noise estimates of 0: two runs never agree to the last bit by chance, so a variance of 0 means
    /// that they were the same computation and says nothing about noise. `is_same` says whether arm and control are.
    fn new(generation: usize, pairs: &[PairedValues], noises: Noises, is_same: bool) -> Self {
        let seeds = pairs.len() as f64;
        let mean = |of: &dyn Fn(&PairedValues) -> f64| pairs.iter().map(of).sum::<f64>() / seeds;
        let values = || pairs.iter().flat_map(|pair| [pair.arm.value, pair.control.value]);
        let is_noise = |noise: &Noise| is_more_than_rounding(noise.variance, values());
        let measurement = measurement_variance(pairs);
        let is_equal = pairs.iter().all(|pair| pair.difference() == 0.0);
        let is_identical = is_equal && (is_same || measurement == 0.0);
        let difference = Self {
            generation,
            seeds: pairs.len(),
            control: mean(&|pair| pair.control.value),
            arm: mean(&|pair| pair.arm.value),
            mean: mean(&PairedValues::difference),
            std_err: 0.0,
            is_identical,
            is_equal,
            noises: if is_identical { Noises::UNKNOWN } else { noises.map(|noise| noise.filter(is_noise)) },
            pooled: None,
            half_width: 0.0,
        };
        difference.with_interval(measurement)
    }

    fn with_pooled(self, pooled: Noise) -> Self {
        Self { pooled: self.noises.interval.and(Some(pooled)), ..self }
    }

    /// The difference with `std_err` and `half_width` computed from its noise, or from the variance of measurement if the
    /// noise could not be estimated: seeds that all give the same are one measurement.
    fn with_interval(self, measurement_variance: f64) -> Self {
        let std_err = match self.noises.interval {
            _ if self.is_identical => 0.0,
            Some(noise) => (noise.variance / self.seeds as f64).sqrt(),
            None => measurement_variance.sqrt(),
        };
        Self {
            std_err,
            half_width: std_err * quantile(0.025, self.noises.interval.map(|noise| noise.df)),
            ..self
        }
    }

    /// The same difference as it would be with another number of seeds, if its true value were `shift` standard errors
    /// above the estimate, and the variance behind its interval the `quantile` of what the estimate leaves open. The interval
    /// rests on the noise at all generations, which is known best. For two seeds or more.
    pub(super) fn expected(&self, seeds: usize, shift: f64, quantile: f64) -> Self {
        let noise = self.pooled.or(self.noises.interval);
        let std_err = noise.map_or(0.0, |noise| (noise.variance / self.seeds as f64).sqrt());
        let df = (self.seeds - 1) as f64;
        let interval = noise.map(|noise| Noise { df, ..noise.at_quantile(quantile) });
        let noises = Noises { interval, ..self.noises };
        Self { mean: self.mean + shift * std_err, noises, ..self.clone() }.with_seeds(seeds, 1.0)
    }

    /// The same difference as it would be with another number of seeds and with the variance per seed multiplied by
    /// `variance_factor`.
    pub(super) fn with_seeds(&self, seeds: usize, variance_factor: f64) -> Self {
        let (before, after) = if self.seeds > 1 { (self.seeds - 1, seeds - 1) } else { (self.seeds, seeds) };
        let more = after as f64 / before as f64;
        let scaled = |one: Noise| Noise { variance: one.variance * variance_factor, df: one.df * more };
        let noises = self.noises.map(|noise| noise.map(scaled));
        Self { seeds, noises, ..self.clone() }.with_interval(0.0)
    }

    /// Whether the interval includes the noise of training.
    pub(super) fn is_usable(&self) -> bool {
        self.noises.interval.is_some()
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

    /// One-sided p-value of a difference in the direction of `sign`; None if the noise could not be estimated.
    pub(super) fn p_of_narrowing(&self, sign: f64) -> Option<f64> {
        self.p_value(self.noises.narrowing?, sign, 0.0)
    }

    /// One-sided p-value of a difference of more than `size` in the direction of `sign`; None if the noise could not be
    /// estimated.
    pub(super) fn p_of_degradation(&self, sign: f64, size: f64) -> Option<f64> {
        self.p_value(self.noises.degradation?, sign, size)
    }

    fn p_value(&self, noise: Noise, sign: f64, size: f64) -> Option<f64> {
        let std_err = (noise.variance / self.seeds as f64).sqrt();
        Some(student(noise.df)?.sf((sign * self.mean - size) / std_err))
    }
}

fn student(df: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, df).ok()
}

/// The value that Student's t exceeds with probability `p` < 0.5; that of the normal distribution if `df` is None.
fn quantile(p: f64, df: Option<f64>) -> f64 {
    match df.filter(|&df| df < NEARLY_NORMAL).and_then(student) {
        Some(student) => student.inverse_cdf(1.0 - p),
        None => Normal::standard().inverse_cdf(1.0 - p),
    }
}

/// From this many degrees of freedom on, Student's t counts as normal: the quantiles agree to four digits.
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
    fn quantile_and_tail_probability_are_inverse_far_out_in_the_tail_too() {
        for df in [1.0, 1.7, 3.0, 12.5, 80.0, 1e3] {
            for p in [0.025, 1e-3, 1e-5] {
                let back = student(df).unwrap().sf(quantile(p, Some(df)));
                assert!((back / p - 1.0).abs() < 1e-3, "df {df}, p {p}: {back}");
            }
        }
    }

    /// Every residual, multiplied by √(last/generation), and every pair of residuals of a seed, as the documentation of the
    /// parent module has it. Seed 3 has no generation 2.
    #[test]
    fn sums_so_far_give_the_noise_that_all_residuals_give() {
        let differences = [vec![0.1, 0.4, -0.2], vec![0.2, 0.7], vec![0.3, 0.9, -0.7], vec![0.2, 1.4, -1.2]];
        let exact = |value| MeasuredValue { value, variance: 0.0 };
        let pair =
            |(seed, &value): (u64, &f64)| PairedValues { seed, arm: exact(value), control: exact(0.0) };
        let pairs: BTreeMap<usize, Vec<PairedValues>> =
            (1..).zip(&differences).map(|(g, here)| (g, (1..).zip(here).map(pair).collect())).collect();
        for (last, spread) in spreads_between_seeds(&pairs) {
            let residuals: Vec<Vec<f64>> = (1..=last)
                .zip(&differences)
                .map(|(g, here)| {
                    let mean = here.iter().sum::<f64>() / here.len() as f64;
                    here.iter().map(|value| (last as f64 / g as f64).sqrt() * (value - mean)).collect()
                })
                .collect();
            let df: f64 = residuals.iter().map(|here| here.len() as f64 - 1.0).sum();
            let variance = residuals.iter().flatten().map(|r| r * r).sum::<f64>() / df;
            let (mut products, mut products_df) = (0.0, 0.0);
            for (index, here) in residuals.iter().enumerate() {
                for there in &residuals[..index] {
                    products += here.iter().zip(there).map(|(a, b)| a * b).sum::<f64>();
                    products_df += here.len().min(there.len()) as f64 - 1.0;
                }
            }
            let correlation = if products_df > 0.0 { products / products_df / variance } else { 0.0 };
            let shrink = 1.0 + (last as f64 - 1.0) * correlation.clamp(0.0, 1.0).powi(2);
            assert!((spread.pooled.variance / variance - 1.0).abs() < 1e-12, "{last}");
            assert!((spread.pooled.df / (df / shrink) - 1.0).abs() < 1e-12, "{last}");
            assert!(shrink > 1.0 || last == 1, "the seeds keep their order");
        }
    }

    /// Steps 1, 3 and 2: variance 1; after three generations, the difference of two walks has variance 2 · 3 · 1.
    #[test]
    fn the_random_walk_of_the_control_has_the_variance_computed_by_hand() {
        let values = [0.0, 1.0, 4.0, 6.0].into_iter().enumerate();
        let series: Series = values.map(|(g, value)| (g, MeasuredValue { value, variance: 0.0 })).collect();
        let noise = random_walk(&BTreeMap::from([(1, series)]), 3);
        assert_eq!(noise, Some(Noise { variance: 6.0, df: 2.0 }));
    }
}
