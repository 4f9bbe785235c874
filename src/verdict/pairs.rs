//! All pairs of arms: which differ, if all pairs of an experiment are judged together?
//!
//! [`compare`](super::compare) judges each arm against the control, so an experiment with many arms has many chances to
//! err. Here every arm is compared with the control and with every other arm, in any number of headline metrics, and
//! the *family-wise* error is controlled: if no two arms differ, the chance that any pair of the experiment is said to
//! differ is at most [`PAIRS_ERROR`]; if some do, so is the chance of any false claim among the others.
//!
//! For each pair, S differences `d` between lineages of the same seed are taken at the last generation that at least
//! two seeds of both arms have reached. Then `t = mean(d) / (sd(d) / √S)` with S − 1 degrees of freedom gives a two-sided
//! p-value. For metrics of generated text, sd(d) is at least the measurement error of a difference. Noise of lineages
//! of one seed may depend on each other in any way.
//!
//! - *Claims*: the method of Holm (1979) on the m p-values of an experiment. In ascending order, the adjusted values
//!   are `max_{j ≤ i} min(1, (m − j + 1) p_j)`; a pair differs if its adjusted value is at most [`PAIRS_ERROR`].
//! - *Intervals* are simultaneous by Bonferroni: each has the level `1 − PAIRS_ERROR / m`, so all m together cover in at
//!   least 95 % of experiments. Holm's method claims whatever these intervals exclude 0 for, and sometimes more.
//!
//! With few seeds the intervals are wide: with 3 seeds and 10 pairs, 14 standard errors. A pair without a claim is not
//! shown to be equal.

use super::paired::{ObservationTable, SameComputations, is_more_than_rounding};
use super::{HeadlineMetric, Observation};
use crate::measure::{Catalogue, MetricDefinition};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::BTreeMap;

/// The largest probability of any false claim among all pairs of an experiment.
pub const PAIRS_ERROR: f64 = 0.05;

/// The difference between two arms in one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairDifference {
    /// The name of the experiment.
    pub experiment: String,
    /// Id of the metric.
    pub metric: String,
    /// Unit of the values.
    pub unit: String,
    /// The generation, from 1.
    pub generation: usize,
    /// One arm.
    pub arm: String,
    /// The arm that it is compared with; the control, if that is one of the two.
    pub other: String,
    /// S: seeds in common, at least 2.
    pub seeds: usize,
    /// Mean of `arm` over these seeds.
    pub arm_value: f64,
    /// Mean of `other`.
    pub other_value: f64,
    /// Mean of arm − other.
    pub difference: f64,
    /// Lower end of the simultaneous interval; None where the noise could not be estimated, because the differences of
    /// all seeds are equal.
    pub ci_low: Option<f64>,
    /// Upper end of the interval.
    pub ci_high: Option<f64>,
    /// Standard error of the difference.
    pub std_err: f64,
    /// Two-sided p-value of this pair alone; 1 where the noise could not be estimated.
    pub p_value: f64,
    /// The p-value adjusted for all pairs of the experiment (Holm).
    pub p_adjusted: f64,
    /// m: the pairs that are judged together, over all metrics.
    pub judged_together: usize,
    /// The arm that is worse, that is, further in the metric's narrowing direction; None if it cannot be told.
    pub worse: Option<String>,
}

/// Compares all pairs of arms of an experiment in `metrics`, which share one error: metric by metric, first every arm
/// with the arm called `control`, then the other arms with each other. Pairs without two seeds in common are left out.
#[must_use]
pub fn compare_pairs(
    experiment: &str,
    observations: &[Observation],
    control: &str,
    metrics: &[HeadlineMetric],
    catalogue: &Catalogue,
) -> Vec<PairDifference> {
    let pairs = pairs_of(observations, control);
    let table = ObservationTable::new(observations);
    let same: Vec<SameComputations> =
        pairs.iter().map(|(arm, other)| table.same_computations(arm, other, catalogue)).collect();
    let mut found = Vec::new();
    for headline in metrics {
        let Some(metric) = catalogue.get(headline.metric) else { continue };
        let lineages = lineages(observations, headline.metric);
        for (&(arm, other), same) in pairs.iter().zip(&same) {
            let Some(paired) = Paired::at_last_generation(&lineages, arm, other) else { continue };
            let is_same = same.at(metric, paired.generation);
            found.push((headline, paired.difference(experiment, metric, [arm, other], is_same)));
        }
    }
    let p_values: Vec<f64> = found.iter().map(|(_, pair)| pair.p_value).collect();
    let judged = found.into_iter().zip(holm(&p_values));
    judged.map(|((headline, pair), adjusted)| pair.judged(headline, adjusted, p_values.len())).collect()
}

/// Every arm with the control, then every arm with those after it, in the order in which arms first occur.
fn pairs_of<'a>(observations: &'a [Observation], control: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut arms: Vec<&str> = Vec::new();
    for observation in observations {
        if observation.arm != control && !arms.contains(&observation.arm.as_str()) {
            arms.push(&observation.arm);
        }
    }
    let with_control = arms.iter().map(|&arm| (arm, control));
    let later = |index: usize| arms[index + 1..].iter().copied();
    let with_others =
        arms.iter().enumerate().flat_map(|(index, &arm)| later(index).map(move |other| (arm, other)));
    with_control.chain(with_others).collect()
}

/// Value and standard error by arm, generation and seed.
type Lineages<'a> = BTreeMap<&'a str, BTreeMap<usize, BTreeMap<u64, (f64, f64)>>>;

/// The finite values of a metric, from generation 1 on.
fn lineages<'a>(observations: &'a [Observation], metric: &str) -> Lineages<'a> {
    let mut lineages = Lineages::new();
    for one in observations.iter().filter(|one| one.metric == metric && one.generation > 0) {
        if one.value.is_finite() && one.std_err.is_finite() {
            let of_arm = lineages.entry(one.arm.as_str()).or_default();
            of_arm.entry(one.generation).or_default().insert(one.seed, (one.value, one.std_err));
        }
    }
    lineages
}

/// The values of two arms in the same seeds.
struct Paired {
    generation: usize,
    arm: Vec<f64>,
    other: Vec<f64>,
    /// Mean over seeds of the squared standard errors of both values.
    measurement_variance: f64,
}

impl Paired {
    /// At the last generation with at least two seeds in common; None if there is none.
    fn at_last_generation(lineages: &Lineages, arm: &str, other: &str) -> Option<Self> {
        let (arms, others) = (lineages.get(arm)?, lineages.get(other)?);
        arms.iter().rev().find_map(|(&generation, here)| {
            let there = others.get(&generation)?;
            let both: Vec<_> =
                here.iter().filter_map(|(seed, arm)| Some((*arm, *there.get(seed)?))).collect();
            let squares = both.iter().map(|((_, arm), (_, other))| arm * arm + other * other);
            (both.len() >= 2).then(|| Self {
                generation,
                measurement_variance: squares.sum::<f64>() / both.len() as f64,
                arm: both.iter().map(|(arm, _)| arm.0).collect(),
                other: both.iter().map(|(_, other)| other.0).collect(),
            })
        })
    }

    /// The difference without the results that depend on other pairs. `is_same` says whether the arms are the same
    /// computation.
    fn difference(
        &self,
        experiment: &str,
        metric: &MetricDefinition,
        [arm, other]: [&str; 2],
        is_same: bool,
    ) -> PairDifference {
        let seeds = self.arm.len();
        let differences: Vec<f64> =
            self.arm.iter().zip(&self.other).map(|(arm, other)| arm - other).collect();
        let difference = mean(&differences);
        let squares: f64 = differences.iter().map(|one| (one - difference).powi(2)).sum();
        let variance = squares / (seeds - 1) as f64;
        let values = self.arm.iter().chain(&self.other).copied();
        let variance = if is_more_than_rounding(variance, values) { variance } else { 0.0 };
        let floor = if metric.on_fixed_text || is_same { 0.0 } else { self.measurement_variance };
        let std_err = (variance.max(floor) / seeds as f64).sqrt();
        let p_value = if std_err > 0.0 { 2.0 * student(seeds).sf((difference / std_err).abs()) } else { 1.0 };
        PairDifference {
            experiment: experiment.to_owned(),
            metric: metric.id.to_string(),
            unit: metric.unit.to_string(),
            generation: self.generation,
            arm: arm.to_owned(),
            other: other.to_owned(),
            seeds,
            arm_value: mean(&self.arm),
            other_value: mean(&self.other),
            difference,
            ci_low: None,
            ci_high: None,
            std_err,
            p_value,
            p_adjusted: 1.0,
            judged_together: 0,
            worse: None,
        }
    }
}

impl PairDifference {
    /// Half of the width of the simultaneous interval.
    #[must_use]
    pub fn half_width(&self) -> Option<f64> {
        Some((self.ci_high? - self.ci_low?) / 2.0)
    }

    /// The same difference, judged together with others, `together` in all.
    fn judged(self, headline: &HeadlineMetric, p_adjusted: f64, together: usize) -> Self {
        let quantile = || student(self.seeds).inverse_cdf(1.0 - PAIRS_ERROR / (2 * together) as f64);
        let half = (self.std_err > 0.0).then(|| self.std_err * quantile());
        let arm_is_worse = headline.sign * self.difference > 0.0;
        let worse = if arm_is_worse { &self.arm } else { &self.other };
        Self {
            ci_low: half.map(|half| self.difference - half),
            ci_high: half.map(|half| self.difference + half),
            p_adjusted,
            judged_together: together,
            worse: (p_adjusted <= PAIRS_ERROR).then(|| worse.clone()),
            ..self
        }
    }
}

/// The p-values adjusted by the method of Holm, in the order given.
fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// Student's t for a mean over `seeds`, of which there are at least two.
fn student(seeds: usize) -> StudentsT {
    StudentsT::new(0.0, 1.0, (seeds - 1) as f64).expect("a positive number of degrees of freedom")
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::headline_metrics;

    fn observed(values: &[(&str, &[f64])]) -> Vec<Observation> {
        let of_arm = |&(arm, values): &(&str, &[f64])| {
            let observation = |(seed, &value): (u64, &f64)| Observation {
                seed,
                arm: arm.to_owned(),
                generation: 2,
                metric: "heldout_loss".to_owned(),
                value,
                std_err: 0.5,
            };
            (1..).zip(values).map(observation).collect::<Vec<_>>()
        };
        values.iter().flat_map(of_arm).collect()
    }

    fn pairs(observations: &[Observation]) -> Vec<PairDifference> {
        let headline = headline_metrics().iter().filter(|one| one.metric == "heldout_loss");
        let metrics: Vec<HeadlineMetric> = headline.copied().collect();
        compare_pairs("x", observations, "control", &metrics, &Catalogue::builtin())
    }

    /// Holm's method by hand: 3 · 0.01, then 2 · 0.02 = 0.04, then 0.03, raised to the value before it.
    #[test]
    fn p_values_are_adjusted_as_by_hand() {
        let adjusted = holm(&[0.03, 0.01, 0.02]);
        for (found, expected) in adjusted.into_iter().zip([0.04, 0.03, 0.04]) {
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
    }

    /// Differences of `a` from the control 1.0, 1.1, 1.2: mean 1.1, standard error 0.1/√3, t = 11√3 = 19.05 with two
    /// degrees of freedom, for which p = 1 − t/√(t² + 2) exactly. Three pairs: the interval reaches t at
    /// q = 1 − 0.05/6, which is (2q − 1)/√(2q(1 − q)) = 7.649 standard errors.
    #[test]
    fn the_t_test_and_the_interval_of_a_pair_equal_the_values_computed_by_hand() {
        let found = pairs(&observed(&[
            ("control", &[3.0, 3.2, 3.1]),
            ("a", &[4.0, 4.3, 4.3]),
            ("b", &[3.0, 3.4, 2.9]),
        ]));
        let names: Vec<_> = found.iter().map(|pair| (pair.arm.as_str(), pair.other.as_str())).collect();
        assert_eq!(names, [("a", "control"), ("b", "control"), ("a", "b")]);
        let pair = &found[0];
        let t = 11.0 * 3.0_f64.sqrt();
        assert!((pair.difference - 1.1).abs() < 1e-12 && (pair.std_err - 0.1 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert!((pair.p_value - (1.0 - t / (t * t + 2.0).sqrt())).abs() < 1e-9, "{}", pair.p_value);
        let q: f64 = 1.0 - 0.05 / 6.0;
        let half = pair.std_err * (2.0 * q - 1.0) / (2.0 * q * (1.0 - q)).sqrt();
        assert!((pair.half_width().unwrap() - half).abs() < 1e-6, "{pair:?}");
        assert_eq!((pair.worse.as_deref(), pair.judged_together), (Some("a"), 3));
        assert!((pair.p_adjusted - 3.0 * pair.p_value).abs() < 1e-12);
        assert_eq!(found[1].worse, None, "0.0, 0.2 and −0.2 tell nothing");
    }

    #[test]
    fn the_lower_loss_is_the_better_one_whatever_the_order() {
        let found = pairs(&observed(&[("control", &[3.0, 3.01, 3.02]), ("a", &[2.0, 2.0, 2.02])]));
        assert_eq!(found[0].worse.as_deref(), Some("control"));
    }

    /// Each p-value alone would pass at 5 %, but not all of six together.
    #[test]
    fn one_difference_that_is_plain_alone_is_not_claimed_among_many() {
        let one = [("control", &[3.0, 3.0, 3.0][..]), ("a", &[3.10, 3.15, 3.20])];
        assert_eq!(pairs(&observed(&one))[0].worse.as_deref(), Some("a"));
        let many = [one[0], one[1], ("b", &[3.0, 2.9, 3.1]), ("c", &[3.1, 2.9, 3.0])];
        let found = pairs(&observed(&many));
        assert_eq!(found.len(), 6);
        assert!(found[0].p_value < 0.05 && found.iter().all(|pair| pair.worse.is_none()), "{found:#?}");
    }

    #[test]
    fn a_pair_needs_two_seeds_in_common_and_identical_arms_do_not_differ() {
        assert_eq!(pairs(&observed(&[("control", &[3.0]), ("a", &[4.0])])), []);
        let found = pairs(&observed(&[("control", &[3.0, 3.1]), ("a", &[3.0, 3.1])]));
        assert_eq!((found[0].difference, found[0].p_value, found[0].half_width()), (0.0, 1.0, None));
        assert_eq!(found[0].worse, None);
    }

    /// Tail coverage is measured on generated text: its measurement error of 0.5 in each arm is a lower bound, where
    /// held-out loss on the same text has none.
    #[test]
    fn the_error_of_measuring_generated_text_is_a_lower_bound() {
        let mut observations = observed(&[("control", &[1.0, 1.01]), ("a", &[0.5, 0.52])]);
        observations.iter_mut().for_each(|one| one.metric = "tail_coverage".to_owned());
        let headline = headline_metrics().iter().find(|one| one.metric == "tail_coverage").unwrap();
        let found = compare_pairs("x", &observations, "control", &[*headline], &Catalogue::builtin());
        assert!((found[0].std_err - 0.5).abs() < 1e-12, "√((0.5² + 0.5²) / 2)");
    }
}
