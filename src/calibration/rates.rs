//! Rates over many comparisons: how often an arm was called, and how often intervals covered the true effect.

use super::folds::{Contrast, Pair, partition};
use crate::config::CONTROL;
use crate::measure::Catalogue;
use crate::seed::{StreamKey, streams};
use crate::verdict::{self, ArmComparison, Observation, Verdict, headline_metrics};
use rayon::prelude::*;
use serde::Serialize;
use statrs::distribution::{Beta, ContinuousCDF};
use std::collections::BTreeMap;

/// A proportion: `count` successes in `of` trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proportion {
    /// Number of successes.
    pub count: usize,
    /// Number of trials.
    pub of: usize,
}

impl Proportion {
    fn add(&mut self, is_success: bool) {
        self.count += usize::from(is_success);
        self.of += 1;
    }

    /// count/of, and 0 if there were no trials.
    #[must_use]
    pub fn value(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }

    /// The upper end of the one-sided 95 % interval of Clopper and Pearson (1934): the true proportion at which this
    /// many successes, or fewer, have probability 5 %.
    #[must_use]
    pub fn upper_bound(self) -> f64 {
        if self.count >= self.of {
            return 1.0;
        }
        let beta = Beta::new(self.count as f64 + 1.0, (self.of - self.count) as f64);
        beta.map_or(1.0, |beta| beta.inverse_cdf(0.95))
    }
}

/// The outcomes of all comparisons of one contrast.
#[derive(Clone, Debug, Serialize)]
pub struct ArmRates {
    /// The arm; `"control"` when arms with the control's own settings are compared with one another.
    pub arm: String,
    /// S: seeds per experiment.
    pub seeds: usize,
    /// Number of comparisons.
    pub comparisons: usize,
    /// Called narrowing or collapsed.
    pub called: Proportion,
    /// Called collapsed.
    pub collapsed: Proportion,
    /// Called degraded.
    pub degraded: Proportion,
    /// Called stable.
    pub stable: Proportion,
    /// Called narrowing or collapsed at generation 1 or earlier, 2 or earlier, …
    pub called_by: Vec<Proportion>,
    /// Headline effects whose 95 % interval covers the true effect: the mean over all seeds, or 0 among arms that are
    /// alike. Unless arms are alike, none are counted if an experiment has all seeds. Effects of exactly 0 are left out: arm and control agree to the last bit, so no interval was estimated.
    pub covered: Proportion,
    /// The same as `covered`, for each headline metric.
    pub covered_by_metric: BTreeMap<String, Proportion>,
    /// How often [`ArmComparison::seeds_needed`] was right within a factor of 2, among inconclusive comparisons.
    /// Counted only where at least twice that number of seeds is available.
    // The JSON name means: the verdict was settled by about the predicted number of seeds.
    #[serde(rename = "settled_as_said")]
    pub seeds_estimate_right: Proportion,
}

/// Partitions `observed`, one list of observations per seed, into experiments of `seeds` seeds and judges them. Each
/// contrast gets `comparisons` experiments, or fewer if there are not that many different ones.
#[must_use]
pub fn rates(
    observed: &[Vec<Observation>],
    contrasts: &[Contrast],
    seeds: usize,
    comparisons: usize,
) -> Vec<ArmRates> {
    contrasts.iter().map(|contrast| rates_of(observed, contrast, seeds, comparisons)).collect()
}

fn rates_of(
    observed: &[Vec<Observation>],
    contrast: &Contrast,
    seeds: usize,
    comparisons: usize,
) -> ArmRates {
    let mut stream = StreamKey::new(seeds as u64, "", 0, streams::CALIBRATION).stream(0);
    let over_all_seeds = judge(observed, &contrast.pairs(observed.len(), &mut stream));
    // The first `seeds` pairs of a sequence are one experiment; the rest extend it to more seeds.
    let sequences = partition(contrast, observed.len(), seeds, comparisons, &mut stream);
    let judged: Vec<(ArmComparison, Option<bool>)> = sequences
        .par_iter()
        .filter_map(|sequence| {
            let found = judge(observed, &sequence[..seeds])?;
            let is_right =
                found.seeds_needed.and_then(|needed| was_estimate_right(observed, sequence, seeds, needed));
            Some((found, is_right))
        })
        .collect();
    // An experiment with all seeds is where this truth comes from.
    let has_truth = matches!(contrast, Contrast::Alike(_)) || seeds < observed.len();
    let truth = over_all_seeds.iter().filter(|_| has_truth).flat_map(|found| &found.effects).map(|effect| {
        match contrast {
            Contrast::Effect(_) => (effect.metric_and_generation(), effect.difference),
            Contrast::Alike(_) => (effect.metric_and_generation(), 0.0),
        }
    });
    let truth: Truth = truth.collect();
    let mut rates = ArmRates::new(contrast.arm(), seeds);
    for (found, is_right) in &judged {
        rates.add(found, *is_right, &truth);
    }
    rates
}

/// Compares the arms of `pairs`, each pair counting as one seed. None if there are no observations of any pair.
fn judge(observed: &[Vec<Observation>], pairs: &[Pair]) -> Option<ArmComparison> {
    let mut observations = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        for observation in &observed[pair.seed] {
            let role = if observation.arm == pair.control { CONTROL } else { ARM };
            if observation.arm == pair.arm || role == CONTROL {
                let (seed, arm) = (index as u64, role.to_owned());
                observations.push(Observation { seed, arm, ..observation.clone() });
            }
        }
    }
    verdict::compare("", &observations, CONTROL, &Catalogue::builtin()).into_iter().next()
}

/// The name under which the arm of a pair is compared with the control.
const ARM: &str = "arm";

/// Whether the estimate `needed` of the number of seeds was right within a factor of 2: the verdict is inconclusive
/// with `needed / 2` seeds and settled with `2 * needed`. None if `sequence` has fewer than `2 * needed` pairs.
fn was_estimate_right(
    observed: &[Vec<Observation>],
    sequence: &[Pair],
    seeds: usize,
    needed: usize,
) -> Option<bool> {
    let is_settled =
        |pairs: &[Pair]| judge(observed, pairs).is_some_and(|one| one.verdict != Verdict::Inconclusive);
    let twice = sequence.get(..2 * needed)?;
    Some(is_settled(twice) && (needed / 2 <= seeds || !is_settled(&sequence[..needed / 2])))
}

/// The true difference between arm and control, by metric and generation.
type Truth<'a> = BTreeMap<(&'a str, usize), f64>;

impl ArmRates {
    fn new(arm: &str, seeds: usize) -> Self {
        Self {
            arm: arm.to_owned(),
            seeds,
            comparisons: 0,
            called: Proportion::default(),
            collapsed: Proportion::default(),
            degraded: Proportion::default(),
            stable: Proportion::default(),
            called_by: Vec::new(),
            covered: Proportion::default(),
            covered_by_metric: BTreeMap::new(),
            seeds_estimate_right: Proportion::default(),
        }
    }

    fn add(&mut self, found: &ArmComparison, is_estimate_right: Option<bool>, truth: &Truth) {
        self.comparisons += 1;
        let is_called = matches!(found.verdict, Verdict::Narrowing | Verdict::Collapsed);
        self.called.add(is_called);
        self.collapsed.add(found.verdict == Verdict::Collapsed);
        self.degraded.add(found.verdict == Verdict::Degraded);
        self.stable.add(found.verdict == Verdict::Stable);
        self.called_by.resize(found.last_generation().unwrap_or(0), Proportion::default());
        for (index, share) in self.called_by.iter_mut().enumerate() {
            share.add(is_called && found.called_at_generation.is_some_and(|called| called <= index + 1));
        }
        if let Some(is_right) = is_estimate_right {
            self.seeds_estimate_right.add(is_right);
        }
        for effect in &found.effects {
            let is_headline = headline_metrics().iter().any(|headline| headline.metric == effect.metric);
            if let Some(truth) =
                truth.get(&effect.metric_and_generation()).filter(|_| is_headline && effect.difference != 0.0)
            {
                let covers = effect.ci_low <= *truth && *truth <= effect.ci_high;
                self.covered.add(covers);
                self.covered_by_metric.entry(effect.metric.clone()).or_default().add(covers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 of n has the upper bound 1 − 0.05^(1/n), the rule of three. 1 of 10 has 0.3942 in tables of the interval.
    #[test]
    fn upper_bounds_are_those_of_clopper_and_pearson() {
        assert!((Proportion { count: 0, of: 1000 }.upper_bound() - (1.0 - 0.05_f64.powf(1e-3))).abs() < 1e-9);
        assert!((Proportion { count: 1, of: 10 }.upper_bound() - 0.394_163).abs() < 1e-5);
        assert_eq!(Proportion { count: 3, of: 3 }.upper_bound(), 1.0);
    }

    /// Three seeds whose arm is between 0.9 and 1.1 above the control.
    #[test]
    fn an_experiment_with_all_seeds_tells_nothing_of_coverage() {
        let of_seed = |seed: u64| {
            let of = |arm: &str, generation: usize, value: f64| Observation {
                seed,
                arm: arm.to_owned(),
                generation,
                metric: "heldout_loss".to_owned(),
                value,
                std_err: 0.01,
            };
            let control = |generation: usize| 3.0 + 0.01 * ((seed + generation as u64) % 3) as f64;
            (0..=2)
                .flat_map(|generation| {
                    let lost = if generation == 0 { 0.0 } else { 0.9 + 0.1 * seed as f64 };
                    let control = control(generation);
                    [of(CONTROL, generation, control), of("replace", generation, control + lost)]
                })
                .collect::<Vec<_>>()
        };
        let observed: Vec<Vec<Observation>> = (0..3).map(of_seed).collect();
        let contrasts = [Contrast::Effect("replace".to_owned())];
        let covered = |seeds| rates(&observed, &contrasts, seeds, 10)[0].covered.of;
        assert!(covered(2) > 0);
        assert_eq!(covered(3), 0);
    }
}
