//! The effect of an arm's synthetic text: is it better than reading the natural part again?
//!
//! An anchored arm differs from the control in two ways: it has less natural text, and it has synthetic text in its place.
//! An arm with `budget = "repeated"` has the same natural part, read again until it has as many tokens, and nothing else.
//! So the difference `d = arm − repeat` at the same seed, metric and generation is the effect of the synthetic text alone.
//! Values and intervals are those of [`compare`], with the repeat arm in place of the control.
//!
//! Anchored are arms with a constant budget and fixed natural text, of which every generation has some. The repeat arm must
//! have the same natural fractions, model and training. Metrics of the text that a model writes are compared only if both
//! arms write alike.

use super::explain::side_and_range;
use super::{ArmComparison, Effect, Observation, compare, headline::headline_metrics};
use crate::config::{Arm, Experiment};
use crate::measure::Catalogue;
use crate::mixture::{Budget, NaturalDocuments};
use crate::settings::result_table_of;
use serde::{Deserialize, Serialize};

/// The headline metrics of an arm beside those of its natural part alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyntheticTextEffect {
    /// The arm that repeats the natural part.
    pub repeat_arm: String,
    /// The number of seeds that both arms have in common.
    pub seeds: usize,
    /// The effect on the first metric, in a sentence.
    pub explanation: String,
    /// By metric, held-out loss first, then by generation.
    pub effects: Vec<EffectOverRepeat>,
}

/// The effect on one metric at one generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectOverRepeat {
    /// Id of the metric.
    pub metric: String,
    /// Label of the metric.
    #[serde(skip)]
    pub label: String,
    /// Unit of the values.
    pub unit: String,
    /// The generation, from 1.
    pub generation: usize,
    /// Mean of the repeat arm over the common seeds.
    pub repeat_value: f64,
    /// Mean of the arm over the common seeds.
    pub arm_value: f64,
    /// Mean of arm − repeat arm.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference.
    pub ci_low: f64,
    /// Upper end of the interval.
    pub ci_high: f64,
    /// Standard error of the difference.
    pub std_err: f64,
    /// As [`Effect::identical`].
    #[serde(default)]
    pub identical: bool,
    /// As [`Effect::includes_training_noise`].
    #[serde(default)]
    pub includes_training_noise: bool,
}

impl SyntheticTextEffect {
    /// The effect on `metric` at the last generation.
    #[must_use]
    pub fn at_last_generation(&self, metric: &str) -> Option<&EffectOverRepeat> {
        self.effects.iter().rfind(|effect| effect.metric == metric)
    }
}

/// Whether an arm mixes fixed natural text with synthetic text, so that its natural part alone could be repeated.
#[must_use]
pub fn is_anchored(experiment: &Experiment, arm: &Arm) -> bool {
    let mixture = &arm.mixture;
    let has_both = |fractions: Vec<f64>| {
        fractions.iter().all(|&fraction| fraction > 0.0) && fractions.iter().any(|&fraction| fraction < 1.0)
    };
    mixture.budget == Budget::Constant
        && mixture.natural == NaturalDocuments::Fixed
        && mixture.fractions(experiment.generations).is_some_and(has_both)
}

/// The arm that repeats the natural part of an [anchored](is_anchored) arm, preferably one that writes alike.
#[must_use]
pub fn repeat_arm<'a>(experiment: &'a Experiment, arm: &Arm) -> Option<&'a Arm> {
    let fractions = |arm: &Arm| arm.mixture.fractions(experiment.generations);
    let repeats = |other: &&Arm| {
        other.mixture.budget == Budget::Repeated
            && fractions(other) == fractions(arm)
            && other.model.result_table() == arm.model.result_table()
            && result_table_of(&other.training) == result_table_of(&arm.training)
    };
    let found: Vec<&Arm> =
        experiment.arms.iter().filter(|_| is_anchored(experiment, arm)).filter(repeats).collect();
    found.iter().find(|other| write_alike(other, arm)).or(found.first()).copied()
}

fn write_alike(one: &Arm, other: &Arm) -> bool {
    one.synthesis.result_table() == other.synthesis.result_table()
}

/// Adds the effect of its synthetic text to the comparison of every arm that has a [`repeat_arm`].
#[must_use]
pub fn with_synthetic_text_effects(
    mut comparisons: Vec<ArmComparison>,
    experiment: &Experiment,
    observations: &[Observation],
    catalogue: &Catalogue,
) -> Vec<ArmComparison> {
    for comparison in &mut comparisons {
        let arm = experiment.arms.iter().find(|arm| arm.name == comparison.arm);
        let found = arm.and_then(|arm| Some((arm, repeat_arm(experiment, arm)?)));
        comparison.synthetic_text =
            found.and_then(|(arm, repeat)| effect_over(repeat, arm, observations, catalogue));
    }
    comparisons
}

/// None if the two arms have no generation after generation 0 in common.
fn effect_over(
    repeat: &Arm,
    arm: &Arm,
    observations: &[Observation],
    catalogue: &Catalogue,
) -> Option<SyntheticTextEffect> {
    // From generation 0 to 1 the repeat arm turns from all natural text to a part of it: that step is no noise.
    let of_both = |one: &&Observation| one.generation > 0 && (one.arm == arm.name || one.arm == repeat.name);
    let of_both: Vec<Observation> = observations.iter().filter(of_both).cloned().collect();
    let compared = compare("", &of_both, &repeat.name, catalogue).into_iter().next()?;
    let is_comparable =
        |id: &str| write_alike(repeat, arm) || catalogue.get(id).is_some_and(|metric| metric.on_fixed_text);
    let headline = headline_metrics().iter().map(|headline| headline.metric);
    let first = headline.clone().filter(|id| *id == FIRST);
    let ids = first.chain(headline.filter(|id| *id != FIRST)).filter(|id| is_comparable(id));
    let effects = |id: &'static str| compared.effects.iter().filter(move |effect| effect.metric == id);
    let effects: Vec<&Effect> = ids.flat_map(effects).collect();
    let first = effects.iter().take_while(|effect| effect.metric == effects[0].metric).last()?;
    Some(SyntheticTextEffect {
        repeat_arm: repeat.name.clone(),
        seeds: compared.seeds,
        explanation: explanation(first),
        effects: effects.iter().map(|effect| EffectOverRepeat::new(effect)).collect(),
    })
}

/// The metric that the explanation is about, if it was measured.
const FIRST: &str = "heldout_loss";

impl EffectOverRepeat {
    fn new(effect: &Effect) -> Self {
        Self {
            metric: effect.metric.clone(),
            label: effect.label.clone(),
            unit: effect.unit.clone(),
            generation: effect.generation,
            repeat_value: effect.control,
            arm_value: effect.arm_value,
            difference: effect.difference,
            ci_low: effect.ci_low,
            ci_high: effect.ci_high,
            std_err: effect.std_err,
            identical: effect.identical,
            includes_training_noise: effect.includes_training_noise,
        }
    }
}

fn explanation(effect: &Effect) -> String {
    let Effect { generation, seeds, unit, difference, ci_low, ci_high, .. } = effect;
    let has_interval = effect.includes_training_noise;
    let excludes_zero = has_interval && (*ci_low > 0.0 || *ci_high < 0.0);
    let narrows = effect.practical_size.is_some_and(|size| size * difference > 0.0);
    let verb = match (excludes_zero, narrows) {
        (false, _) => "makes no difference that can be told from chance",
        (true, false) => "helps",
        (true, true) => "harms",
    };
    if effect.identical {
        return format!(
            "Its synthetic text makes no difference: at generation {generation}, {} is what its natural part alone, repeated, \
             gives, to the last bit.",
            effect.label.to_lowercase()
        );
    }
    let (side, range) = side_and_range(*difference, *ci_low, *ci_high);
    let interval = match (has_interval, seeds) {
        (false, 1) => {
            " (one seed shows nothing of the noise of training in its first generations)".to_owned()
        }
        (false, _) => {
            " (all seeds give the same difference, which shows nothing of the noise of training)".to_owned()
        }
        (true, 1) => format!(
            " (95 % interval {range}; with one seed, noise is estimated from the generations of that arm)"
        ),
        (true, _) => format!(" (95 % interval {range})"),
    };
    format!(
        "Its synthetic text {verb}: at generation {generation}, {} is {:.2} {unit} {side} what its natural part alone, \
         repeated, gives{interval}.",
        effect.label.to_lowercase(),
        difference.abs(),
    )
}
