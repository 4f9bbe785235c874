//! Measurements of arms and control in, verdicts with intervals out. Pure.
//!
//! **The question.** Did this arm lose something that the control, under the same seeds, kept? A fall since generation 0
//! is no evidence: a control lineage falls too. So every number here is a *difference* `d = arm − control` of the same
//! seed, metric and generation (generation 1 or later), averaged over seeds.
//!
//! **How sure.** The variance of one `d` is the largest of three estimates, because each is blind to something:
//!
//! | estimate | sees | is blind to |
//! |---|---|---|
//! | spread of `d` between seeds, pooled over generations 1..g | everything | needs two seeds; rough with few |
//! | twice the residual variance of the control about a straight line within its lineages, generations 0..g | training and sampling anew | what a seed's draw of natural text does for good |
//! | mean of `se_arm² + se_control²` | the finite text that was measured | training |
//!
//! The mean over S seeds has that variance over S. Its distribution is Student's t with the degrees of freedom of the
//! larger of the first two estimates; those of the pooled spread are reduced when a seed's differences resemble each
//! other across generations (Satterthwaite: `df / (1 + (G − 1) ρ²)`). Where neither of the two exists (one seed,
//! generation 1) the interval shows measuring error alone, and nothing is concluded from it. Intervals hold 95 %,
//! pointwise, two-sided.
//!
//! **When it is called.** The decision is sequential: generation g is judged on generations ≤ g only, so a call is the
//! same whether or not the experiment went on. One family-wise error of 5 % per arm covers all headline metrics and
//! all generations: generation g spends `0.05 / (g (g + 1))`, which sums to 5 % over any number of generations, and
//! Holm's procedure divides it over the headline metrics, one-sided in the narrowing direction. A metric that improves
//! is never evidence of narrowing.
//!
//! * *Narrowing*: at some generation, significant in at least two of the three families (tail, entropy, held-out).
//! * *Collapsed*: narrowing, and at the last common generation the interval lies beyond the practical size
//!   ([`practical_size`]) in at least two families.
//! * *Stable*: not narrowing, and at the last common generation the interval of every headline metric excludes its
//!   practical size. Needs a headline metric of each family.
//! * *Inconclusive*: neither; [`ArmComparison::seeds_needed`] says how many seeds would settle it if the effects stayed
//!   as they are and intervals shrank as `1/√S`.
//!
//! **What this is not.** The thresholds are reasoned, not calibrated: the rate of false calls has been checked on
//! simulated normal noise, not on lineages of language models. Where an arm's noise is greater than the control's and
//! there is one seed, intervals are too short.

mod decide;
mod explain;
mod headline;
mod paired;

pub use headline::{Headline, headline, practical_size};

use crate::measure::{Family, METRICS};
use serde::{Deserialize, Serialize};

/// One measurement of one generation of one lineage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The seed.
    pub seed: u64,
    /// The arm.
    pub arm: String,
    /// The generation.
    pub generation: usize,
    /// Id of the metric.
    pub metric: String,
    /// The number.
    pub value: f64,
    /// Its standard error, from the finite text that was measured.
    pub std_err: f64,
}

/// What can be said of an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As far as can be told it keeps what the control keeps.
    Stable,
    /// It loses more than the control.
    Narrowing,
    /// It has lost more than a practical size.
    Collapsed,
    /// The evidence does not suffice.
    Inconclusive,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Narrowing => "narrowing",
            Self::Collapsed => "collapsed",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// An arm against the control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmComparison {
    /// The experiment.
    pub experiment: String,
    /// The arm.
    pub arm: String,
    /// Seeds that both the arm and the control have.
    pub seeds: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// The first generation at which the evidence for narrowing sufficed.
    pub called_at_generation: Option<usize>,
    /// Why, in a sentence.
    pub explanation: String,
    /// Seeds that would settle an inconclusive verdict, where that can be known and is practical.
    pub seeds_needed: Option<usize>,
    /// Every metric that both have, in the order of the catalogue, generation after generation.
    pub effects: Vec<Effect>,
}

impl ArmComparison {
    /// The last generation compared.
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
    /// Unit of the values.
    pub unit: String,
    /// Family of the metric.
    pub family: Family,
    /// The generation.
    pub generation: usize,
    /// Mean of the control over the paired seeds.
    pub control: f64,
    /// Mean of the arm over the paired seeds.
    pub arm_value: f64,
    /// Mean of arm − control.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
    /// Standard error of the difference.
    pub std_err: f64,
    /// Whether this headline metric narrows significantly at this generation, all metrics and generations considered.
    /// Always false for other metrics.
    pub significant: bool,
    /// The difference that would matter in practice, signed in the narrowing direction; of headline metrics only.
    pub practical_size: Option<f64>,
}

/// Compares every arm with the arm called `control`, in the order in which the arms first occur.
///
/// Observations of metrics that the catalogue does not know are ignored; values that are not numbers are left out and
/// mentioned. Lineages may stop at different generations.
#[must_use]
pub fn compare(experiment: &str, observations: &[Observation], control: &str) -> Vec<ArmComparison> {
    let table = paired::Table::new(observations);
    let mut arms: Vec<&str> = Vec::new();
    for observation in observations {
        if observation.arm != control && !arms.contains(&observation.arm.as_str()) {
            arms.push(&observation.arm);
        }
    }
    arms.into_iter().map(|arm| compare_arm(experiment, &table, arm, control)).collect()
}

fn compare_arm(experiment: &str, table: &paired::Table, arm: &str, control: &str) -> ArmComparison {
    let differences: Vec<(_, paired::Difference)> = METRICS
        .iter()
        .flat_map(|metric| {
            let differences = table.differences(metric.id, arm, control);
            differences.into_iter().map(move |difference| (metric, difference))
        })
        .collect();
    let missing = table.not_numbers(arm) + table.not_numbers(control);
    let decision = decide::decide(&differences, &table.headlines_measured(arm));
    let seeds = table.paired_seeds(arm, control);
    let effects = differences
        .iter()
        .map(|(metric, difference)| Effect {
            metric: metric.id.to_owned(),
            unit: metric.unit.to_owned(),
            family: metric.family,
            generation: difference.generation,
            control: difference.control,
            arm_value: difference.arm,
            difference: difference.mean,
            ci_low: difference.ci_low(),
            ci_high: difference.ci_high(),
            std_err: difference.std_err,
            significant: decision.significant.contains(&(metric.id, difference.generation)),
            practical_size: practical_size(metric.id),
        })
        .collect();
    ArmComparison {
        experiment: experiment.to_owned(),
        arm: arm.to_owned(),
        seeds,
        verdict: decision.verdict,
        called_at_generation: decision.called_at,
        explanation: explain::explain(&decision, &differences, seeds, missing),
        seeds_needed: decision.seeds_needed,
        effects,
    }
}
