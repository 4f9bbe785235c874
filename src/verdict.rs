//! Measurements of arms and control in, verdicts with intervals out. Pure.
//!
//! **The question.** Did this arm lose something that the control, under the same seeds, kept? A fall since generation 0
//! is no evidence: a control lineage falls too. So every number here is a *difference* `d = arm − control` of the same
//! seed, metric and generation (generation 1 or later), averaged over seeds.
//!
//! **How wide an interval is.** With two seeds and more it is the paired t interval: the spread of `d` between seeds at
//! that generation, S − 1 degrees of freedom, 95 %, two-sided, for each metric and generation by itself. Metrics of text
//! that is written anew get at least a tenth of the error of measuring: near the end of its range a metric may be the same
//! in all seeds, and is no surer for it. Held-out text and questions about facts are the same for arm and control: their
//! standard errors say how well they stand for other text, and nothing of a difference. Where only one seed has come so
//! far, the interval shows what the control's own steps from generation to generation would explain (below), or, at
//! generation 1, the error of measuring alone, from which nothing is concluded; for want of anything better that error
//! is a floor under every metric then.
//!
//! **What a call rests on.** A t-test in the narrowing direction. Two things are known of the variance of `d`:
//!
//! | estimate | holds | weak because |
//! |---|---|---|
//! | spread between seeds, at this generation or pooled over 1..g, the larger; when a seed's differences resemble each other across generations its degrees of freedom are reduced (Satterthwaite: `df / (1 + (G − 1) ρ²)`) | always | few degrees of freedom with few seeds |
//! | `2 g` times the variance of the control's steps from one generation to the next: two random walks of g steps | for lineages that start anew every generation, and for chained ones, whose noise adds up | too large, by `2 g` for those that start anew; too small where an arm varies more than the control |
//!
//! The second one is a bound that steadies the first: the noise is both pooled, each weighing as much as it has degrees
//! of freedom, but no less than the first. Its degrees of freedom are those of the pool (Satterthwaite 1946), to which an
//! estimate far smaller than the other adds next to nothing. Text that is written anew has the whole error of measuring
//! as a floor.
//!
//! **When it is called.** The decision is sequential: generation g is judged on generations ≤ g only, so a call is the
//! same whether or not the experiment went on. It says "at least two of the three families (tail, entropy, held-out) have
//! narrowed", and is meant to be wrong in at most 2.5 % of arms of which that is not true, over all generations: generation g
//! spends a quarter of what is left. A family's p-value is the smallest of its headline metrics', times their number; the
//! second smallest of the three is doubled (the partial conjunction of Benjamini and Heller 2008). A metric that improves
//! is never evidence of narrowing.
//!
//! * *Narrowing*: called at some generation.
//! * *Collapsed*: narrowing, and at the last common generation the interval lies beyond the practical size
//!   ([`practical_size`]) in at least two families.
//! * *Stable*: not narrowing, and at the last common generation the interval of every headline metric excludes its
//!   practical size. Needs a headline metric of each family.
//! * *Inconclusive*: neither; [`ArmComparison::seeds_needed`] says how many seeds would settle it if effects and noise
//!   stayed as they are: the same rules are applied to them, with more seeds and the degrees of freedom that those bring.
//!   One seed cannot tell whether noise adds up; it gives a number only if it hardly matters.
//!
//! All this holds for a number of seeds that was fixed beforehand. Who adds seeds until something is called looks more
//! than once, and spends the error each time.
//!
//! **How often it is wrong** is not derived but measured, on lineages of language models: `genloss calibrate`, and the
//! tables in docs/METHODOLOGY.md.

mod decide;
mod explain;
mod headline;
mod paired;

pub use decide::FAMILY_WISE_ERROR;
pub use headline::{Headline, headline, practical_size};

use crate::measure::{Catalogue, Family};
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
    /// Label of the metric.
    #[serde(skip)]
    pub label: String,
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
    /// Whether this headline metric speaks for narrowing at this generation: two such, of different families, are a
    /// call. Always false for other metrics.
    pub significant: bool,
    /// The difference that would matter in practice, signed in the narrowing direction; of headline metrics only.
    pub practical_size: Option<f64>,
}

impl Effect {
    /// Metric and generation.
    #[must_use]
    pub fn place(&self) -> (&str, usize) {
        (&self.metric, self.generation)
    }
}

/// Compares every arm with the arm called `control`, in the order in which the arms first occur.
///
/// Observations of metrics that `catalogue` does not define are ignored. Values that are not finite are left out, and the
/// explanation says how many. Lineages may stop at different generations.
#[must_use]
pub fn compare(
    experiment: &str,
    observations: &[Observation],
    control: &str,
    catalogue: &Catalogue,
) -> Vec<ArmComparison> {
    let table = paired::Table::new(observations);
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
    table: &paired::Table,
    arm: &str,
    control: &str,
    catalogue: &Catalogue,
) -> ArmComparison {
    let differences: Vec<(_, paired::Difference)> = catalogue
        .iter()
        .flat_map(|metric| {
            let differences = table.differences(metric, arm, control);
            differences.into_iter().map(move |difference| (metric, difference))
        })
        .collect();
    let missing = table.not_numbers(arm) + table.not_numbers(control);
    let seeds = table.paired_seeds(arm, control, catalogue);
    let decision = decide::decide(&differences, &table.headlines_measured(arm), seeds);
    let effects = differences
        .iter()
        .map(|(metric, difference)| Effect {
            metric: metric.id.to_string(),
            label: metric.label.to_string(),
            unit: metric.unit.to_string(),
            family: metric.family,
            generation: difference.generation,
            control: difference.control,
            arm_value: difference.arm,
            difference: difference.mean,
            ci_low: difference.ci_low(),
            ci_high: difference.ci_high(),
            std_err: difference.std_err,
            significant: decision.is_significant(&metric.id, difference.generation),
            practical_size: practical_size(&metric.id),
        })
        .collect();
    ArmComparison {
        experiment: experiment.to_owned(),
        arm: arm.to_owned(),
        seeds,
        verdict: decision.verdict,
        called_at_generation: decision.called_at,
        explanation: explain::explain(&decision, &differences, seeds, missing, catalogue),
        seeds_needed: decision.seeds_needed,
        effects,
    }
}
