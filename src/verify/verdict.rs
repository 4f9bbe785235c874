//! Checks of the verdict: how often does it err where the truth is known?
//!
//! Simulated experiments have the arms `control` and `arm`, and every headline metric is a constant plus noise. The noise
//! of a generation is either *independent* of the previous one or *chained*: a random walk, as in lineages whose models
//! continue from one another. The noise of different metrics is either independent, or four fifths of its variance
//! come from one *common* factor that pushes all metrics in their narrowing direction at once.
//!
//! | case | required |
//! |---|---|
//! | an arm like the control, 1, 2, 3 and 5 seeds | called narrowing in at most 1 %, with an upper 95 % bound of at most 2 %; a quick run makes fewer comparisons and requires only a bound of at most 3 % |
//! | the same with an arm four times as noisy as the control, 2, 3 and 5 seeds | the same |
//! | an arm that has lost one practical size in held-out metrics and nothing else, in each of these cases | called degraded as rarely |
//! | an arm that has lost three practical sizes in them, 3 and 5 seeds | called degraded in at least 95 % |
//! | an arm that loses 1.5 practical sizes per generation | called in at least 95 % |
//! | all pairs of 4 and 8 arms that are alike, 3 and 5 seeds | any claim in at most 5 % of experiments, plus 3 standard errors of that share |
//! | 95 % intervals, 2, 3 and 5 seeds | cover the true effect in 93 % to 97 %, plus or minus 3 standard errors of that share |
//!
//! A full run requires the same of lineages of language models: an n-gram (100 seeds) and a small transformer (12 seeds),
//! whose seeds are repeatedly partitioned into experiments ([`calibration::rates`]). Comparisons that share seeds are not
//! independent, so an upper bound would be misleading and only the share itself is tested. It may be at most 1 % for the
//! n-gram. For the transformer it may be 1.5 %, because a single unusual seed is part of a
//! quarter of the experiments with three seeds. Experiments of 3 and 5 seeds must also call a plain collapse by generation 3, and must
//! never call an arm with 90 % natural text collapsed.
//!
//! The command `genloss verify --only verdict` runs these checks; [`crate::verify`] has an example in code.

mod pairs;

use super::{CheckGroup, Evidence, Finding, Thoroughness, VerifyError, VerifySettings, check_interrupt};
use crate::calibration::{self, ArmRates, Contrast, Proportion};
use crate::config::{self, CONTROL};
use crate::lineage::{self, RunContext};
use crate::measure::{Catalogue, Family};
use crate::seed::{Stream, StreamKey, streams};
use crate::stage::Stage;
use crate::verdict::{self, ArmComparison, Observation, Verdict, headline_metrics};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Maximum share of false calls.
const MAX_CALLED: f64 = 0.01;

/// Maximum share of false calls where few seeds are used many times.
const MAX_CALLED_OF_FEW: f64 = 0.015;

/// Minimum share of calls of a plain collapse.
const MIN_CALLED: f64 = 0.95;

/// Makes every check of this group.
///
/// # Errors
/// If a lineage of a language model fails, or the user interrupts.
pub fn findings(
    settings: &VerifySettings,
    context: &RunContext,
    stage: &Stage,
) -> Result<Vec<Finding>, VerifyError> {
    let mut all = Vec::new();
    for (is_chained, is_common) in [(false, false), (false, true), (true, false), (true, true)] {
        for seeds in [1, 2, 3, 5] {
            check_interrupt(stage)?;
            let noise = NoiseExperiment { seeds, is_chained, is_common, ..ALIKE };
            all.extend(noise.check_no_effect(settings));
            all.push(NoiseExperiment { held_out: 1.0, ..noise }.check_loss_of_practical_size(settings));
        }
    }
    for is_common in [false, true] {
        for seeds in [2, 3, 5] {
            check_interrupt(stage)?;
            let noise = NoiseExperiment { seeds, is_common, scale: 0.1, arm_scale: 0.4, ..ALIKE };
            all.extend(noise.check_no_effect(settings));
            all.push(NoiseExperiment { held_out: 1.0, ..noise }.check_loss_of_practical_size(settings));
        }
    }
    for seeds in [1, 3, 5] {
        let quiet = NoiseExperiment { seeds, scale: 0.1, arm_scale: 0.1, ..ALIKE };
        all.push(NoiseExperiment { lost: 1.5, ..quiet }.check_plain_collapse(settings));
        if seeds > 1 {
            all.push(NoiseExperiment { held_out: 3.0, ..quiet }.check_plain_degradation(settings));
        }
    }
    check_interrupt(stage)?;
    all.extend(pairs::findings(settings));
    if settings.thoroughness == Thoroughness::Full {
        for experiment in &EXPERIMENTS {
            all.extend(experiment.findings(settings, context, stage)?);
        }
    }
    Ok(all)
}

/// One kind of simulated experiment.
#[derive(Clone, Copy, Debug)]
struct NoiseExperiment {
    seeds: u64,
    /// Whether noise is a random walk over generations.
    is_chained: bool,
    /// Whether metrics share four fifths of their noise's variance.
    is_common: bool,
    /// Loss of the arm per generation in every metric, in practical sizes.
    lost: f64,
    /// Loss of the arm in held-out metrics from generation 1 on, in practical sizes.
    held_out: f64,
    /// Standard deviation of the control's noise in one generation, in practical sizes.
    scale: f64,
    /// Standard deviation of the arm's noise, likewise.
    arm_scale: f64,
}

/// Arms without an effect.
const ALIKE: NoiseExperiment = NoiseExperiment {
    seeds: 3,
    is_chained: false,
    is_common: false,
    lost: 0.0,
    held_out: 0.0,
    scale: 0.3,
    arm_scale: 0.3,
};

/// Generations after generation 0.
const GENERATIONS: usize = 5;

impl NoiseExperiment {
    /// Description used in the names of checks.
    fn name(&self) -> String {
        format!(
            "{} noise, {}{}, {}",
            if self.is_chained { "chained" } else { "independent" },
            if self.is_common { "common to all metrics" } else { "separate for each metric" },
            if self.arm_scale > self.scale { ", more in the arm" } else { "" },
            seeds_in_words(self.seeds),
        )
    }

    /// The comparison of `arm` with `control` in each of many simulated experiments.
    fn comparisons(&self, settings: &VerifySettings) -> Vec<ArmComparison> {
        let experiments: u64 = if settings.thoroughness == Thoroughness::Quick { 2_000 } else { 10_000 };
        let compare = |experiment: u64| {
            let observations = self.observations(settings.seed, experiment);
            verdict::compare("", &observations, CONTROL, &Catalogue::builtin()).into_iter().next()
        };
        (0..experiments).into_par_iter().filter_map(compare).collect()
    }

    /// Checks that an arm without an effect is rarely called narrowing, and that its intervals cover.
    fn check_no_effect(&self, settings: &VerifySettings) -> Vec<Finding> {
        let comparisons = self.comparisons(settings);
        let name = format!("false calls, {}", self.name());
        let mut all = vec![check_rare(name, called(&comparisons), settings)];
        // With one seed the interval is estimated from the control's changes from generation to generation, and this
        // coverage is not promised.
        if self.seeds > 1 {
            all.push(self.coverage(&comparisons));
        }
        all
    }

    /// Checks that an arm that has lost the practical size, and no more, is rarely called degraded.
    fn check_loss_of_practical_size(&self, settings: &VerifySettings) -> Finding {
        let comparisons = self.comparisons(settings);
        let name = format!("a loss of practical size is called degraded, {}", self.name());
        check_rare(name, degraded(&comparisons), settings)
    }

    /// Checks how often intervals cover the true difference, 0. The intervals of one experiment are correlated, so the
    /// standard error is that over experiments.
    fn coverage(&self, comparisons: &[ArmComparison]) -> Finding {
        let shares: Vec<f64> = comparisons
            .iter()
            .map(|comparison| {
                let covers = comparison.effects.iter().filter(|e| e.ci_low <= 0.0 && 0.0 <= e.ci_high);
                covers.count() as f64 / comparison.effects.len() as f64
            })
            .collect();
        let size = shares.len() as f64;
        let share = shares.iter().sum::<f64>() / size;
        let squares: f64 = shares.iter().map(|other| (other - share).powi(2)).sum();
        let allowed = 3.0 * (squares / (size - 1.0) / size).sqrt();
        let passed = (0.93 - allowed..=0.97 + allowed).contains(&share);
        let expected = format!("93 % to 97 %, ± {}", percent(allowed));
        finding(
            format!("95 % intervals that contain the true difference, {}", self.name()),
            percent(share),
            expected,
            passed,
        )
    }

    /// Checks that an arm with a large effect is nearly always called.
    fn check_plain_collapse(&self, settings: &VerifySettings) -> Finding {
        let called = called(&self.comparisons(settings));
        let name = format!("a plain collapse is called, {}", seeds_in_words(self.seeds));
        finding(name, percent_of(called), "at least 95 %".to_owned(), called.value() >= MIN_CALLED)
    }

    /// Checks that an arm that has lost much in held-out text alone is nearly always called degraded.
    fn check_plain_degradation(&self, settings: &VerifySettings) -> Finding {
        let degraded = degraded(&self.comparisons(settings));
        let name = format!("a plain degradation is called, {}", seeds_in_words(self.seeds));
        finding(name, percent_of(degraded), "at least 95 %".to_owned(), degraded.value() >= MIN_CALLED)
    }

    /// All observations of one simulated experiment.
    fn observations(&self, seed: u64, experiment: u64) -> Vec<Observation> {
        let mut observations = Vec::new();
        for lineage in 0..self.seeds {
            for arm in [CONTROL, "arm"] {
                let key = StreamKey::new(seed, arm, experiment as usize, streams::VERIFY_VERDICT);
                self.observe_lineage(arm, lineage, &mut key.stream(lineage), &mut observations);
            }
        }
        observations
    }

    fn observe_lineage(&self, arm: &str, seed: u64, rng: &mut Stream, observations: &mut Vec<Observation>) {
        let (scale, has_effect) = if arm == CONTROL { (self.scale, 0.0) } else { (self.arm_scale, 1.0) };
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let mut noise = vec![0.0; headline_metrics().len()];
        for generation in 0..=GENERATIONS {
            let common = normal();
            for (headline, noise) in headline_metrics().iter().zip(&mut noise) {
                let kept = if self.is_chained { *noise } else { 0.0 };
                let new = if self.is_common {
                    0.8_f64.sqrt() * common + 0.2_f64.sqrt() * normal()
                } else {
                    normal()
                };
                *noise = kept + scale * new;
                let held_out = headline.family == Family::HeldOut && generation > 0;
                let held_out = if held_out { self.held_out } else { 0.0 };
                let lost = has_effect * (self.lost * generation as f64 + held_out);
                observations.push(Observation {
                    seed,
                    arm: arm.to_owned(),
                    generation,
                    metric: headline.metric.to_owned(),
                    value: 3.0 + headline.practical * headline.sign * (lost + *noise),
                    std_err: 0.02 * headline.practical,
                });
            }
        }
    }
}

/// The number of comparisons that were called narrowing or collapsed.
fn called(comparisons: &[ArmComparison]) -> Proportion {
    let is_called = |one: &&ArmComparison| matches!(one.verdict, Verdict::Narrowing | Verdict::Collapsed);
    Proportion { count: comparisons.iter().filter(is_called).count(), of: comparisons.len() }
}

/// The number of comparisons that were called degraded.
fn degraded(comparisons: &[ArmComparison]) -> Proportion {
    let count = comparisons.iter().filter(|one| one.verdict == Verdict::Degraded).count();
    Proportion { count, of: comparisons.len() }
}

/// Checks that few comparisons have a verdict that would be false.
fn check_rare(name: String, wrong: Proportion, settings: &VerifySettings) -> Finding {
    let bound = wrong.upper_bound();
    let (most, most_bound) = match settings.thoroughness {
        Thoroughness::Quick => (1.0, 0.03),
        Thoroughness::Full => (MAX_CALLED, 0.02),
    };
    let passed = wrong.of > 0 && wrong.value() <= most && bound <= most_bound;
    let share = if most < most_bound { format!("at most {:.0} %, ", 100.0 * most) } else { String::new() };
    let expected = format!("{share}at most {:.0} % with 95 % certainty", 100.0 * most_bound);
    finding(name, format!("{}, bound {}", percent_of(wrong), percent(bound)), expected, passed)
}

/// A built-in experiment with language models.
struct BuiltInExperiment {
    /// The kind of model, as shown in the names of checks.
    model: &'static str,
    /// Text of the experiment file.
    file: &'static str,
    /// Path of the file, for error messages.
    path: &'static str,
    /// Number of seeds to run.
    seeds: u64,
    /// Maximum share of false calls.
    max_called: f64,
}

const EXPERIMENTS: [BuiltInExperiment; 2] = [
    BuiltInExperiment {
        model: "n-gram",
        file: include_str!("../../configs/calibration-ngram.toml"),
        path: "configs/calibration-ngram.toml",
        seeds: 100,
        max_called: MAX_CALLED,
    },
    BuiltInExperiment {
        model: "transformer",
        file: include_str!("../../configs/calibration-transformer.toml"),
        path: "configs/calibration-transformer.toml",
        seeds: 12,
        max_called: MAX_CALLED_OF_FEW,
    },
];

/// Comparisons per arm and per number of seeds.
const COMPARISONS: usize = 1000;

impl BuiltInExperiment {
    fn findings(
        &self,
        settings: &VerifySettings,
        context: &RunContext,
        stage: &Stage,
    ) -> Result<Vec<Finding>, VerifyError> {
        let experiment = config::parse(self.file, self.path, &[])?;
        let prepared = lineage::prepare(&experiment)?;
        // Different seeds in `settings` give disjoint sets of seeds.
        let first = settings.seed.wrapping_mul(self.seeds) % (u64::MAX / 2);
        let seeds = first..first + self.seeds;
        let observed = calibration::observe(&experiment, &prepared, seeds, context, stage)?;
        let contrasts = Contrast::all(&experiment);
        let mut all = Vec::new();
        for size in [1, 3, 5] {
            for rates in calibration::rates(&observed, &contrasts, size, COMPARISONS) {
                all.extend(self.check_arm(&rates, size));
            }
        }
        Ok(all)
    }

    /// The check of an arm; None if nothing is checked for this arm. With a single seed only false calls are checked.
    fn check_arm(&self, rates: &ArmRates, seeds: usize) -> Option<Finding> {
        let of = format!("{}, {}", self.model, seeds_in_words(seeds as u64));
        match rates.arm.as_str() {
            CONTROL => {
                let passed = rates.called.of > 0 && rates.called.value() <= self.max_called;
                let expected = format!("at most {:.1} %", 100.0 * self.max_called);
                Some(finding(format!("false calls, {of}"), percent_of(rates.called), expected, passed))
            }
            "replace" if seeds > 1 => {
                let called = rates.called_by.get(2).copied().unwrap_or_default();
                let name = format!("a plain collapse is called by generation 3, {of}");
                let passed = called.value() >= MIN_CALLED;
                Some(finding(name, percent_of(called), "at least 95 %".to_owned(), passed))
            }
            "anchored-90" if seeds > 1 => {
                let name = format!("an arm with 90 % natural text is called collapsed, {of}");
                let passed = rates.collapsed.of > 0 && rates.collapsed.count == 0;
                Some(finding(name, percent_of(rates.collapsed), "never".to_owned(), passed))
            }
            _ => None,
        }
    }
}

fn finding(name: String, found: String, expected: String, passed: bool) -> Finding {
    Finding { group: CheckGroup::Verdict, name, found, expected, evidence: Evidence::Decided(passed) }
}

fn seeds_in_words(seeds: u64) -> String {
    if seeds == 1 { "1 seed".to_owned() } else { format!("{seeds} seeds") }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn percent_of(share: Proportion) -> String {
    format!("{} of {}", percent(share.value()), share.of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An arm that collapses must fail the checks for arms without an effect, including that of its intervals.
    #[test]
    fn checks_for_no_effect_fail_on_an_arm_with_an_effect() {
        let settings = VerifySettings { seed: 1, thoroughness: Thoroughness::Quick, fault: None };
        let noise = |lost| NoiseExperiment { lost, scale: 0.1, arm_scale: 0.1, ..ALIKE };
        let passed = |lost| noise(lost).check_no_effect(&settings).into_iter().map(|found| found.evidence);
        assert!(passed(0.0).all(|found| found == Evidence::Decided(true)));
        assert!(passed(1.5).all(|found| found == Evidence::Decided(false)));
        assert_eq!(noise(0.0).check_plain_collapse(&settings).evidence, Evidence::Decided(false));
        assert_eq!(noise(0.0).check_plain_degradation(&settings).evidence, Evidence::Decided(false));
        let degraded = NoiseExperiment { held_out: 2.0, ..noise(0.0) };
        assert_eq!(degraded.check_loss_of_practical_size(&settings).evidence, Evidence::Decided(false));
    }
}
