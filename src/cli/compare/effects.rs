//! Effects of arms: rows for other programs, and a Markdown table.

use super::{ComparedArm, has_several_experiments};
use crate::attribution::Attribution;
use crate::cli::output;
use crate::measure::Catalogue;
use crate::verdict::{ArmComparison, Effect, EffectOverRepeat};
use serde::Serialize;

/// Metrics of the columns of the Markdown table.
pub(super) const COLUMNS: [&str; 5] =
    ["heldout_loss", "heldout_loss_tail", "unigram_entropy", "tail_coverage", "tail_coverage_words"];

/// A Markdown table with a row per arm and the effects at the last generation.
pub(super) fn markdown(arms: &[ComparedArm]) -> String {
    let names_experiments = has_several_experiments(arms);
    let experiment = names_experiments.then_some("experiment");
    let catalogue = Catalogue::builtin();
    let titles = COLUMNS.iter().map(|metric| catalogue.label(metric));
    let header: Vec<&str> =
        experiment.into_iter().chain(["arm", "verdict", "called at"]).chain(titles).collect();
    let rows: Vec<Vec<String>> = arms.iter().map(|arm| row(&arm.comparison, names_experiments)).collect();
    output::markdown(&header, &rows)
}

fn row(arm: &ArmComparison, names_experiment: bool) -> Vec<String> {
    let called = arm.called_at_generation.map_or("–".to_owned(), |generation| generation.to_string());
    let experiment = names_experiment.then(|| arm.experiment.clone());
    let effects = COLUMNS.iter().map(|metric| {
        at_last_generation(arm, metric).map_or("–".to_owned(), |effect| {
            let [difference, low, high] =
                [effect.difference, effect.ci_low, effect.ci_high].map(|value| output::signed(value, 3));
            if effect.identical { "identical".to_owned() } else { format!("{difference} [{low}, {high}]") }
        })
    });
    experiment
        .into_iter()
        .chain([arm.arm.clone(), arm.verdict.word().to_owned(), called])
        .chain(effects)
        .collect()
}

/// A difference and half of its interval, which says nothing if two arms are equal to the last bit.
pub(super) fn plus_or_minus(difference: f64, ci_low: f64, ci_high: f64, is_identical: bool) -> String {
    let half = (ci_high - ci_low) / 2.0;
    let shown = || format!("{} ± {half:.3}", output::signed(difference, 3));
    if is_identical { "identical".to_owned() } else { shown() }
}

/// The effect of a metric at the last generation of an arm.
pub(super) fn at_last_generation<'a>(arm: &'a ArmComparison, metric: &str) -> Option<&'a Effect> {
    let last = arm.last_generation();
    arm.effects.iter().find(|effect| effect.metric == metric && Some(effect.generation) == last)
}

/// One effect of one arm at one generation.
#[derive(Serialize)]
pub(super) struct EffectRow<'a> {
    experiment: &'a str,
    arm: &'a str,
    seeds: usize,
    verdict: &'static str,
    called_at_generation: Option<usize>,
    metric: &'a str,
    label: &'a str,
    unit: &'a str,
    generation: usize,
    control: f64,
    arm_value: f64,
    difference: f64,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    std_err: f64,
    identical: bool,
    includes_training_noise: bool,
    significant: bool,
    control_by_drift: Option<f64>,
    arm_by_drift: Option<f64>,
    sampling: Option<f64>,
    decoding: Option<f64>,
    misfit: Option<f64>,
    misfit_ci_low: Option<f64>,
    misfit_ci_high: Option<f64>,
    repeat_arm: Option<&'a str>,
    repeat_value: Option<f64>,
    over_repeat: Option<f64>,
    over_repeat_ci_low: Option<f64>,
    over_repeat_ci_high: Option<f64>,
}

impl<'a> EffectRow<'a> {
    pub(super) fn new(arm: &'a ArmComparison, effect: &'a Effect, part: Option<&Attribution>) -> Self {
        let synthetic = arm.synthetic_text.as_ref();
        let belongs = |over: &&EffectOverRepeat| {
            (over.metric.as_str(), over.generation) == effect.metric_and_generation()
        };
        let over = synthetic.and_then(|synthetic| synthetic.effects.iter().find(belongs));
        Self {
            experiment: &arm.experiment,
            arm: &arm.arm,
            seeds: effect.seeds,
            verdict: arm.verdict.word(),
            called_at_generation: arm.called_at_generation,
            metric: &effect.metric,
            label: &effect.label,
            unit: &effect.unit,
            generation: effect.generation,
            control: effect.control,
            arm_value: effect.arm_value,
            difference: effect.difference,
            ci_low: (!effect.identical).then_some(effect.ci_low),
            ci_high: (!effect.identical).then_some(effect.ci_high),
            std_err: effect.std_err,
            identical: effect.identical,
            includes_training_noise: effect.includes_training_noise,
            significant: effect.significant,
            control_by_drift: part.map(|part| part.control_by_drift),
            arm_by_drift: part.map(|part| part.arm_by_drift),
            sampling: part.map(|part| part.sampling),
            decoding: part.map(|part| part.decoding),
            misfit: part.map(|part| part.misfit),
            misfit_ci_low: part.map(|part| part.misfit_ci_low),
            misfit_ci_high: part.map(|part| part.misfit_ci_high),
            repeat_arm: synthetic.filter(|_| over.is_some()).map(|synthetic| synthetic.repeat_arm.as_str()),
            repeat_value: over.map(|over| over.repeat_value),
            over_repeat: over.map(|over| over.difference),
            over_repeat_ci_low: over.filter(|over| !over.identical).map(|over| over.ci_low),
            over_repeat_ci_high: over.filter(|over| !over.identical).map(|over| over.ci_high),
        }
    }
}
