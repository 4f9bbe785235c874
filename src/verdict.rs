//! The verdict: did an arm lose more than the control? Its functions are pure: they turn measurements into verdicts
//! with intervals.
//!
//! **The question.** Did this arm lose something that the control, with the same seeds, kept? A decrease since generation
//! 0 is no evidence: a control lineage loses something too. So every number here is a *difference* `d = arm − control` at
//! the same seed, metric and generation (generation 1 or later), averaged over seeds.
//!
//! **Intervals.** With S ≥ 2 seeds, each metric and generation has a two-sided 95 % paired t interval. It is based on
//! the spread of `d` between seeds at that generation and has S − 1 degrees of freedom. For metrics of generated text
//! the standard error is at least a tenth of the measurement error: near the end of its range a metric may be equal in
//! all seeds without being more certain. Held-out text and questions about facts are the same for arm and control:
//! their standard errors say how well they represent other text, and little about a difference.
//!
//! Where all seeds are the same computation, because what varies between them does not change it, they are one measurement,
//! with the error of measurement alone; so they are where they give the same difference, up to rounding, in a metric on fixed text. Arm and
//! control are *identical* in a metric if they are equal to the last bit in every seed, either because they are the same
//! computation (so are then all metrics of the model, or all of its text) or because the metric is measured without error.
//!
//! What only one of several seeds has, at a generation, is left out. If there is only one seed, interval and test are
//! based on the control's own steps from generation to generation: `2 g` times their variance, that of the difference
//! between two random walks of g steps. Measurement error is then a lower bound for every metric. At generation 1 there are
//! too few steps; the interval is then the measurement error alone, and nothing is concluded from it.
//!
//! **Evidence for a call** is a t-test in the narrowing direction. With three seeds the spread at one generation has two
//! degrees of freedom, with which hardly any difference is significant. So the test uses all generations so far, and the
//! steps of both lineages. There are two estimates of the variance of `d` at generation g:
//!
//! | estimate | degrees of freedom | valid |
//! |---|---|---|
//! | the spread between seeds at generations k = 1..g, each multiplied by g/k | (S − 1) g; fewer where a seed's differences are correlated across generations (Satterthwaite: divided by `1 + (g − 1) ρ²`) | exact where noise accumulates, as in lineages that continue training; else too large, by a factor of up to Σ (g/k) / g |
//! | the variance of a step from one generation to the next, about the mean step of all seeds, added up for arm and control, times (g + 1)/2 | 2 (S − 1) g; fewer where the two differ (Satterthwaite) | the middle of two extremes: too small, by a factor of 2 g / (g + 1), where noise accumulates, and g + 1 times too large where every generation trains from scratch |
//!
//! The variance used by the test is the pool of both, weighted by their degrees of freedom, or the first estimate if that
//! is larger. Its degrees of freedom are those of the pool (Satterthwaite 1946), to which an estimate far smaller than the
//! other contributes almost nothing. For generated text, the standard error is at least half of the measurement error.
//! The test of degradation has twice the variance of the control's steps as its second estimate, whatever g is: with the one
//! above, which grows, harm that shows late would be missed. The error of both is measured.
//!
//! **The decision** is sequential: generation g is judged on generations ≤ g only, so a call is the same whether or not
//! the experiment continued. A call means "at least two of the three families (tail, entropy, held-out) have narrowed",
//! and is meant to be wrong in at most 1.75 % of the arms for which that is not true, over all generations (measured: less
//! than 1 %). Of this error the first generation may spend a quarter, and each later one a quarter of what is left then.
//! The p-value of a family is the smallest one of its headline metrics, times their number; the second smallest of these
//! three p-values is doubled (the partial conjunction of Benjamini and Heller 2008) and compared with the error that the
//! generation spends. A metric that improves is never evidence of narrowing.
//!
//! * *Narrowing*: called at some generation.
//! * *Collapsed*: narrowing, and at the last common generation the interval lies beyond the practical size
//!   ([`practical_size`]) in at least two families.
//! * *Degraded*: not narrowing, but worse at natural text by more than the practical size. Called at some generation by
//!   a t-test of a held-out metric against its practical size, corrected for the number of these metrics, with an error
//!   of its own ([`DEGRADED_ERROR`]) that generations spend in the same way; and at the last common generation the
//!   interval of a held-out metric still lies beyond its practical size.
//! * *Stable*: neither narrowing nor degraded, and at the last common generation the interval of every headline metric
//!   excludes its practical size. Requires a headline metric in each family.
//! * *Inconclusive*: none of these. [`ArmComparison::possible`] lists the verdicts that the intervals of the last
//!   generation do not exclude; [`ArmComparison::seeds_needed`] is the number of seeds that would settle it: the same
//!   rules are applied with more seeds and more degrees of freedom, for true differences up to 2 standard errors on
//!   either side of the estimates. A number is given only if the smallest and the largest of these numbers are within a
//!   factor of two of each other; with few seeds that is rare. A single seed cannot show whether noise accumulates, so then a
//!   number is given only if that hardly matters.
//!
//! All this assumes that the number of seeds was fixed beforehand. Adding seeds until something is called means testing
//! more than once, and every test spends the error again.
//!
//! **Error rates** are not derived but measured on lineages of language models: see `genloss calibrate` and the tables
//! in docs/METHODOLOGY.md.
//!
//! ```
//! use genloss::measure::Catalogue;
//! use genloss::verdict::{Observation, Verdict, compare};
//!
//! // Two seeds; the arm loses 0.4 nats of token entropy and a fifth of the tail, and held-out loss rises by 0.3 nats.
//! let values = [("unigram_entropy", 6.0, 5.6), ("tail_coverage", 1.0, 0.8), ("heldout_loss", 3.0, 3.3)];
//! let mut observations = Vec::new();
//! for (metric, control, arm) in values {
//!     for (seed, generation) in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
//!         // Made-up noise.
//!         let noise = 0.01 * f64::from((3 * seed + 5 * generation) % 4);
//!         for (name, value) in [("control", control), ("replace", if generation == 0 { control } else { arm - noise })] {
//!             observations.push(Observation {
//!                 seed: seed as u64,
//!                 arm: name.to_owned(),
//!                 generation: generation as usize,
//!                 metric: metric.to_owned(),
//!                 value,
//!                 std_err: 0.005,
//!             });
//!         }
//!     }
//! }
//! let comparison = &compare("example", &observations, "control", &Catalogue::builtin())[0];
//! assert_eq!((comparison.arm.as_str(), comparison.seeds), ("replace", 2));
//! assert_ne!(comparison.verdict, Verdict::Stable);
//! ```

mod decide;
mod explain;
mod headline;
mod over_repeat;
mod paired;
mod pairs;

pub use decide::{DEGRADED_ERROR, FAMILY_WISE_ERROR};
pub use headline::{HeadlineMetric, headline_metrics, practical_size};
pub use over_repeat::{
    EffectOverRepeat, SyntheticTextEffect, is_anchored, repeat_arm, with_synthetic_text_effects,
};
pub use pairs::{PAIRS_ERROR, PairDifference, compare_pairs};

use crate::measure::{Catalogue, Family, MetricDefinition};
use decide::SeedsNeeded;
use paired::{Difference, ObservationTable};
use serde::{Deserialize, Serialize};

/// One measurement of one generation of one lineage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The seed of the lineage.
    pub seed: u64,
    /// The arm of the lineage.
    pub arm: String,
    /// The generation, from 0; comparisons begin at 1.
    pub generation: usize,
    /// Id of the metric.
    pub metric: String,
    /// The measured value, in the unit of the metric.
    pub value: f64,
    /// Standard error of `value`, from the finite text that was measured.
    pub std_err: f64,
}

/// The verdict on an arm. The [module](self) defines the five verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The intervals exclude a loss of practical size relative to the control.
    Stable,
    /// The arm has lost more than the control in at least two families.
    Narrowing,
    /// The arm has lost more than the control by more than the practical size in at least two families.
    Collapsed,
    /// The arm has become worse at natural text than the control by more than the practical size, without narrowing in two
    /// families.
    Degraded,
    /// The evidence is not sufficient for any of the other verdicts.
    Inconclusive,
}

impl Verdict {
    /// Every verdict, from the worst to the best, and last the one that concludes nothing.
    pub const ALL: [Self; 5] =
        [Self::Collapsed, Self::Narrowing, Self::Degraded, Self::Stable, Self::Inconclusive];

    /// The verdict in lower case, as in tables and records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Narrowing => "narrowing",
            Self::Collapsed => "collapsed",
            Self::Degraded => "degraded",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// What the verdict means, in one or two sentences for readers of a report.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Stable => {
                "The arm has not lost a practical size in any headline metric: at the last generation, the 95 % intervals \
                 exclude such a loss. A smaller one is possible."
            }
            Self::Narrowing => {
                "At some generation the arm has lost more than the control in at least two of the three families tail, entropy \
                 and held-out loss, beyond chance. It is not shown that what is lost at the last generation exceeds the \
                 practical size in two of them."
            }
            Self::Collapsed => {
                "The arm has lost more than the control in at least two of the three families tail, entropy and held-out \
                 loss, beyond chance. At the last generation, 95 % intervals lie beyond the practical size in two of \
                 them or more."
            }
            Self::Degraded => {
                "The arm predicts natural text worse than the control, by more than the practical size. Narrowing is not \
                 shown in two of the three families tail, entropy and held-out loss."
            }
            Self::Inconclusive => {
                "The evidence is not sufficient for any of the other verdicts. The comparison says what the intervals \
                 leave open and, where it can be known, how many seeds would settle it."
            }
        }
    }
}

/// The comparison of an arm with the control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmComparison {
    /// The name of the experiment.
    pub experiment: String,
    /// The name of the arm.
    pub arm: String,
    /// The number of seeds that arm and control have in common; not all of them need have reached the last generation.
    pub seeds: usize,
    /// The verdict at the last generation compared.
    pub verdict: Verdict,
    /// The first generation at which narrowing was called; for a degraded arm, at which degradation was.
    pub called_at_generation: Option<usize>,
    /// The reason for the verdict, in a sentence.
    pub explanation: String,
    /// The verdicts that an inconclusive comparison leaves open, from the worst to the best.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub possible: Vec<Verdict>,
    /// The number of seeds that would settle an inconclusive verdict, if it can be estimated within a factor of two and is
    /// at most 50.
    pub seeds_needed: Option<usize>,
    /// The difference in every metric that arm and control have in common: by metric in the order of the catalogue, then
    /// by generation.
    pub effects: Vec<Effect>,
    /// The difference from the arm that repeats the natural part alone, if there is one: see
    /// [`with_synthetic_text_effects`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic_text: Option<SyntheticTextEffect>,
}

impl ArmComparison {
    /// The last generation compared; None if there is none.
    #[must_use]
    pub fn last_generation(&self) -> Option<usize> {
        self.effects.iter().map(|effect| effect.generation).max()
    }
}

/// The difference between an arm and the control in one metric at one generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Id of the metric.
    pub metric: String,
    /// Label of the metric.
    #[serde(skip)]
    pub label: String,
    /// Unit of the values.
    pub unit: String,
    /// Family of the metric.
    pub family: Family,
    /// The generation, from 1.
    pub generation: usize,
    /// The number of seeds in which arm and control have the metric at this generation.
    pub seeds: usize,
    /// Mean of the control over these seeds.
    pub control: f64,
    /// Mean of the arm over these seeds.
    pub arm_value: f64,
    /// Mean of arm − control.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference.
    pub ci_low: f64,
    /// Upper end of the interval.
    pub ci_high: f64,
    /// Standard error of the difference.
    pub std_err: f64,
    /// Whether arm and control are equal to the last bit in every seed, because they are the same computation or the metric
    /// is measured without error. The interval then says nothing, and has no width.
    #[serde(default)]
    pub identical: bool,
    /// Whether the interval includes the noise of training. Otherwise it has the error of measurement alone: with one seed in its
    /// first generations, and where all seeds are the same computation.
    #[serde(default)]
    pub includes_training_noise: bool,
    /// Whether this headline metric is evidence of narrowing at this generation. Such evidence in two families makes a
    /// call. Always false for other metrics.
    pub significant: bool,
    /// The difference that matters in practice, signed in the narrowing direction. None for metrics that are not headline
    /// metrics.
    pub practical_size: Option<f64>,
}

impl Effect {
    fn new(metric: &MetricDefinition, difference: &Difference, significant: bool) -> Self {
        Self {
            metric: metric.id.to_string(),
            label: metric.label.to_string(),
            unit: metric.unit.to_string(),
            family: metric.family,
            generation: difference.generation,
            seeds: difference.seeds,
            control: difference.control,
            arm_value: difference.arm,
            difference: difference.mean,
            ci_low: difference.ci_low(),
            ci_high: difference.ci_high(),
            std_err: difference.std_err,
            identical: difference.is_identical,
            includes_training_noise: difference.is_usable(),
            significant,
            practical_size: practical_size(&metric.id),
        }
    }

    /// The id of the metric, and the generation.
    #[must_use]
    pub fn metric_and_generation(&self) -> (&str, usize) {
        (&self.metric, self.generation)
    }
}

/// Compares every arm with the arm called `control`, in the order in which the arms first occur.
///
/// Observations of metrics that `catalogue` does not define are ignored. Values that are not finite are left out, and the
/// explanation says how many. Lineages may stop at different generations; those that only one of several seeds has reached
/// are left out.
#[must_use]
pub fn compare(
    experiment: &str,
    observations: &[Observation],
    control: &str,
    catalogue: &Catalogue,
) -> Vec<ArmComparison> {
    let table = ObservationTable::new(observations);
    let mut arms: Vec<&str> = Vec::new();
    for observation in observations {
        if observation.arm != control && !arms.contains(&observation.arm.as_str()) {
            arms.push(&observation.arm);
        }
    }
    arms.into_iter().map(|arm| compare_arm(experiment, &table, arm, control, catalogue)).collect()
}

fn compare_arm(
    experiment: &str,
    table: &ObservationTable,
    arm: &str,
    control: &str,
    catalogue: &Catalogue,
) -> ArmComparison {
    let same = table.same_computations(arm, control, catalogue);
    let repeated = table.repeated_computations([arm, control], catalogue);
    let mut differences: Vec<(&MetricDefinition, Difference)> = Vec::new();
    for metric in catalogue {
        let of_metric = table.differences(metric, arm, control, [&same, &repeated]);
        differences.extend(of_metric.into_iter().map(|difference| (metric, difference)));
    }
    let goes_on = drop_single_seeds(&mut differences);
    let left_out = table.not_finite(arm) + table.not_finite(control);
    let seeds = table.common_seeds(arm, control, catalogue);
    let decision = decide::decide(&differences, &table.headline_metrics_of(arm), seeds);
    let effects = differences
        .iter()
        .map(|(metric, difference)| {
            let significant = decision.is_significant(&metric.id, difference.generation);
            Effect::new(metric, difference, significant)
        })
        .collect();
    ArmComparison {
        experiment: experiment.to_owned(),
        arm: arm.to_owned(),
        seeds,
        verdict: decision.verdict,
        called_at_generation: decision.called_at,
        explanation: explain::Evidence {
            decision: &decision,
            differences: &differences,
            goes_on,
            seeds,
            all_seeds: table.seeds_of_either(arm, control),
            left_out,
        }
        .explain(catalogue),
        possible: decision.possible,
        seeds_needed: match decision.seeds_needed {
            Some(SeedsNeeded::Number(seeds)) => Some(seeds),
            Some(SeedsNeeded::TooMany | SeedsNeeded::Unknown) | None => None,
        },
        effects,
        synthetic_text: None,
    }
}

/// Drops the differences of a single seed, unless there is no other seed: one seed shows nothing of the noise between seeds.
/// Returns whether later generations were dropped.
fn drop_single_seeds(differences: &mut Vec<(&MetricDefinition, Difference)>) -> bool {
    let last = |all: &[(&MetricDefinition, Difference)]| all.iter().map(|(_, one)| one.generation).max();
    let before = last(differences);
    if differences.iter().any(|(_, difference)| difference.seeds > 1) {
        differences.retain(|(_, difference)| difference.seeds > 1);
    }
    last(differences) < before
}
