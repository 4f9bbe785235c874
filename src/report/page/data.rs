//! The data behind the interactive figures: the series that the static figures are drawn from, as JSON.
//!
//! Arrays are indexed by arm, then by seed where there are values of single seeds, then by generation; a value that is
//! missing is `null`. Seeds are texts, because JavaScript cannot represent all of them as numbers.

use super::ExperimentSection;
use super::differing::differing_settings;
use super::key::key;
use super::texts::{documents, excerpt};
use crate::attribution::{Attribution, attribute};
use crate::fit::TAIL;
use crate::measure::{Catalogue, Direction, Explanation, Family, MetricDefinition, explanation};
use crate::report::figures::{
    FACTS, RARITY, Topic, floor, natural_ranks, natural_survival, ranks, survival, training_loss, under_drift,
};
use crate::report::series::{Series, Spread, has, last_generation, lineages, longest_lineage, spreads};
use crate::store::{GenerationRecord, LineageRecord, RunRecord};
use crate::terminal::printable;
use crate::verdict::{ArmComparison, headline_metrics, practical_size};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that the page's script draws.
#[derive(Debug, Serialize)]
pub(super) struct PageData<'a> {
    experiments: Vec<ExperimentData<'a>>,
    metrics: Vec<MetricData>,
    /// Ids of the metrics of some figures.
    groups: Groups,
}

#[derive(Debug, Serialize)]
struct Groups {
    headline: Vec<&'static str>,
    tail_left: &'static [&'static str],
    rarity: &'static [&'static str],
    facts: &'static [&'static str],
}

/// A metric and how to read it.
#[derive(Debug, Serialize)]
struct MetricData {
    id: String,
    label: String,
    unit: String,
    family: Family,
    narrowing: Direction,
    #[serde(flatten)]
    explanation: Option<Explanation>,
    /// The difference that matters in practice, signed in the narrowing direction; null for most metrics.
    practical: Option<f64>,
}

#[derive(Debug, Serialize)]
struct ExperimentData<'a> {
    name: &'a str,
    arms: Vec<ArmData<'a>>,
    seeds: Vec<String>,
    /// The settings in which the experiments of the page differ.
    settings: BTreeMap<String, String>,
    /// The last generation on record.
    last: usize,
    /// Metric → arm → seed → generation.
    values: BTreeMap<String, Vec<Vec<Vec<Option<Value>>>>>,
    /// Metric → arm → generation.
    means: BTreeMap<String, Vec<Vec<Option<Mean>>>>,
    /// Metric → arm → generation.
    differences: BTreeMap<String, Vec<Vec<Option<Difference>>>>,
    /// The loss of an ideal reader, by metric.
    floors: BTreeMap<String, f64>,
    /// Metric → arm → generation: where drift and decoding alone would take an arm.
    drift: BTreeMap<String, Vec<Vec<f64>>>,
    curves: BTreeMap<&'static str, CurveData>,
    causes: Vec<Cause<'a>>,
    /// Arm → generation → documents.
    texts: Vec<Vec<Vec<String>>>,
}

#[derive(Debug, Serialize)]
struct ArmData<'a> {
    name: &'a str,
    /// Red, green, blue.
    color: (u8, u8, u8),
    /// Number of the style among plotly's dashes: solid, dash, dot.
    dash: usize,
    /// Its marker among plotly's symbols.
    symbol: &'static str,
    /// A piece of its line with the marker, as markup.
    key: String,
    seeds: usize,
}

/// Value, standard error, and the number of tokens, words, n-grams or facts behind them.
#[derive(Debug, Serialize)]
struct Value(f64, f64, u64);

/// Mean, lowest and highest value over seeds, ends of the 95 % interval of the mean, and the number of seeds.
#[derive(Debug, Serialize)]
struct Mean(f64, f64, f64, Option<f64>, Option<f64>, usize);

/// Arm minus control: difference, ends of its 95 % interval, and whether it is evidence of narrowing.
#[derive(Debug, Serialize)]
struct Difference(f64, f64, f64, bool);

/// Coordinates of the points of a curve.
#[derive(Debug, Default, Serialize)]
struct Curve(Vec<f64>, Vec<f64>);

#[derive(Debug, Serialize)]
struct CurveData {
    /// Arm → generation, of one seed.
    arms: Vec<Vec<Curve>>,
    /// The seed of each arm; null if it has no lineage.
    seeds: Vec<Option<String>>,
    /// What natural text of the same size has; without points if there is nothing to compare with.
    natural: Curve,
}

/// The components of a difference from the control, at the last generation that was compared.
#[derive(Debug, Serialize)]
struct Cause<'a> {
    arm: &'a str,
    #[serde(flatten)]
    found: Attribution,
}

impl<'a> PageData<'a> {
    pub(super) fn new(sections: &'a [ExperimentSection]) -> Self {
        let mut catalogue = Catalogue::builtin();
        for definition in sections
            .iter()
            .flat_map(|section| section.recorded.catalogue().iter().cloned().collect::<Vec<_>>())
        {
            catalogue.add_if_new(&definition);
        }
        let is_measured =
            |metric: &&MetricDefinition| sections.iter().any(|section| has(section.recorded, &metric.id));
        let metrics = catalogue.iter().filter(is_measured).map(MetricData::new).collect();
        let headline = headline_metrics().iter().map(|headline| headline.metric).collect();
        let groups = Groups { headline, tail_left: &TAIL, rarity: &RARITY, facts: &FACTS };
        let recorded: Vec<&RunRecord> = sections.iter().map(|section| section.recorded).collect();
        let settings = differing_settings(&recorded);
        let experiments =
            sections.iter().zip(settings).map(|(section, settings)| ExperimentData::new(section, settings));
        Self { experiments: experiments.collect(), metrics, groups }
    }

    /// The names of the settings in which the experiments differ.
    pub(super) fn settings(&self) -> impl Iterator<Item = &str> {
        self.experiments.iter().take(1).flat_map(|experiment| experiment.settings.keys().map(String::as_str))
    }

    /// The values of these settings in experiment number `index`.
    pub(super) fn settings_of(&self, index: usize) -> impl Iterator<Item = &str> {
        self.experiments[index].settings.values().map(String::as_str)
    }

    /// Whether experiment number `index` has data for a chapter.
    pub(super) fn has_figures(&self, index: usize, topic: Topic) -> bool {
        let experiment = &self.experiments[index];
        let any_of = |ids: &[&str]| ids.iter().any(|id| experiment.means.contains_key(*id));
        match topic {
            Topic::Effects => !experiment.differences.is_empty() && any_of(&self.groups.headline),
            Topic::Causes => !experiment.causes.is_empty(),
            Topic::TailLeft => any_of(self.groups.tail_left),
            Topic::Trajectories => !experiment.means.is_empty(),
            Topic::RankFrequency => experiment.curves.contains_key("rank_frequency"),
            Topic::Survival => experiment.curves.contains_key("survival"),
            Topic::Rarity => any_of(self.groups.rarity),
            Topic::Facts => any_of(self.groups.facts),
            Topic::Training => experiment.curves.contains_key("training"),
            Topic::Laws => false,
        }
    }
}

impl MetricData {
    fn new(metric: &MetricDefinition) -> Self {
        Self {
            id: metric.id.to_string(),
            label: metric.label.to_string(),
            unit: metric.unit.to_string(),
            family: metric.family,
            narrowing: metric.narrowing,
            explanation: explanation(&metric.id),
            practical: practical_size(&metric.id),
        }
    }
}

impl<'a> ExperimentData<'a> {
    fn new(section: &'a ExperimentSection, settings: BTreeMap<String, String>) -> Self {
        let (recorded, arms) = (section.recorded, &section.arms);
        let catalogue = recorded.catalogue();
        let metrics: Vec<&MetricDefinition> =
            catalogue.iter().filter(|metric| has(recorded, &metric.id)).collect();
        let by_metric = |of: &dyn Fn(&str) -> Vec<_>| {
            metrics.iter().map(|metric| (metric.id.to_string(), of(&metric.id))).collect()
        };
        Self {
            name: &recorded.experiment.name,
            arms: arms.iter().map(|arm| ArmData::new(recorded, arm)).collect(),
            seeds: recorded.experiment.seeds.iter().map(u64::to_string).collect(),
            settings,
            last: last_generation(recorded),
            values: metrics
                .iter()
                .map(|metric| (metric.id.to_string(), values(recorded, arms, &metric.id)))
                .collect(),
            means: by_metric(&|metric| arms.iter().map(|arm| means(recorded, arm, metric)).collect()),
            differences: metrics.iter().filter_map(|metric| differences(section, &metric.id)).collect(),
            floors: metrics
                .iter()
                .filter_map(|metric| Some((metric.id.to_string(), floor(recorded, metric)?)))
                .collect(),
            drift: metrics.iter().filter_map(|metric| drift(recorded, arms, metric)).collect(),
            curves: curves(recorded, arms),
            causes: causes(recorded, &section.comparisons),
            texts: arms.iter().map(|arm| texts(section, arm)).collect(),
        }
    }
}

impl<'a> ArmData<'a> {
    fn new(recorded: &'a RunRecord, arm: &Series<'a>) -> Self {
        Self {
            name: arm.name,
            color: arm.style.ink.rgb,
            dash: arm.style.dash_number(),
            symbol: arm.style.symbol(),
            key: key(arm.style).into_string(),
            seeds: lineages(recorded, arm.name).count(),
        }
    }
}

/// The values of single seeds.
fn values(recorded: &RunRecord, arms: &[Series], metric: &str) -> Vec<Vec<Vec<Option<Value>>>> {
    let of_generation = |record: &GenerationRecord| {
        let found = record.measurements.iter().find(|measurement| measurement.metric == metric)?;
        found.value.is_finite().then(|| Value(rounded(found.value), rounded(found.std_err), found.n))
    };
    let of_seed = |arm: &Series, seed: u64| {
        let lineage = lineages(recorded, arm.name).find(|lineage| lineage.seed == seed);
        lineage.map_or_else(Vec::new, |lineage| lineage.generations.iter().map(of_generation).collect())
    };
    let seeds = &recorded.experiment.seeds;
    arms.iter().map(|arm| seeds.iter().map(|&seed| of_seed(arm, seed)).collect()).collect()
}

fn means(recorded: &RunRecord, arm: &Series, metric: &str) -> Vec<Option<Mean>> {
    let mut means: Vec<Option<Mean>> = (0..=last_generation(recorded)).map(|_| None).collect();
    for spread in spreads(recorded, arm.name, metric) {
        let Spread { generation, mean, low, high, interval, seeds } = spread;
        let (ci_low, ci_high) = interval.map(|(low, high)| (rounded(low), rounded(high))).unzip();
        means[generation] = Some(Mean(rounded(mean), rounded(low), rounded(high), ci_low, ci_high, seeds));
    }
    means
}

/// The differences of all arms in one metric; None if no arm has been compared in it.
fn differences(section: &ExperimentSection, metric: &str) -> Option<(String, Vec<Vec<Option<Difference>>>)> {
    let of_arm = |arm: &Series| {
        let mut all: Vec<Option<Difference>> = Vec::new();
        let comparison = section.comparisons.iter().find(|comparison| comparison.arm == arm.name);
        let effects = comparison.into_iter().flat_map(|comparison| &comparison.effects);
        for effect in effects.filter(|effect| effect.metric == metric) {
            all.resize_with(all.len().max(effect.generation + 1), || None);
            let [difference, low, high] = [effect.difference, effect.ci_low, effect.ci_high].map(rounded);
            all[effect.generation] = Some(Difference(difference, low, high, effect.significant));
        }
        all
    };
    let all: Vec<_> = section.arms.iter().map(of_arm).collect();
    all.iter().any(|arm| !arm.is_empty()).then(|| (metric.to_owned(), all))
}

fn drift(
    recorded: &RunRecord,
    arms: &[Series],
    metric: &MetricDefinition,
) -> Option<(String, Vec<Vec<f64>>)> {
    let of_arm = |arm: &Series| {
        under_drift(recorded, arm, metric).into_iter().map(|(_, mean)| rounded(mean)).collect()
    };
    let all: Vec<Vec<f64>> = arms.iter().map(of_arm).collect();
    all.iter().any(|arm| !arm.is_empty()).then(|| (metric.id.to_string(), all))
}

fn curves(recorded: &RunRecord, arms: &[Series]) -> BTreeMap<&'static str, CurveData> {
    type OfGeneration = fn(&GenerationRecord) -> Vec<(f64, f64)>;
    type OfLineage = fn(&LineageRecord) -> Vec<(f64, f64)>;
    let kinds: [(&str, OfGeneration, OfLineage); 3] = [
        ("rank_frequency", ranks, natural_ranks),
        ("survival", survival, natural_survival),
        ("training", training_loss, |_| Vec::new()),
    ];
    let longest: Vec<Option<&LineageRecord>> =
        arms.iter().map(|arm| longest_lineage(recorded, arm.name)).collect();
    let data = |of_generation: OfGeneration, natural: OfLineage| CurveData {
        arms: longest
            .iter()
            .map(|lineage| {
                lineage
                    .iter()
                    .flat_map(|lineage| &lineage.generations)
                    .map(|record| curve(of_generation(record)))
                    .collect()
            })
            .collect(),
        seeds: longest.iter().map(|lineage| lineage.map(|lineage| lineage.seed.to_string())).collect(),
        natural: longest
            .iter()
            .flatten()
            .map(|lineage| natural(lineage))
            .find(|points| !points.is_empty())
            .map(curve)
            .unwrap_or_default(),
    };
    let has_line = |data: &CurveData| data.arms.iter().flatten().any(|curve| curve.0.len() > 1);
    let all = kinds.map(|(name, of_generation, natural)| (name, data(of_generation, natural)));
    all.into_iter().filter(|(_, data)| has_line(data)).collect()
}

fn curve(points: Vec<(f64, f64)>) -> Curve {
    let finite = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite());
    let (x, y) = finite.map(|(x, y)| (rounded(x), rounded(y))).unzip();
    Curve(x, y)
}

fn causes<'a>(recorded: &RunRecord, comparisons: &[&'a ArmComparison]) -> Vec<Cause<'a>> {
    let Some(baseline) = &recorded.baseline else { return Vec::new() };
    let of_arm = |comparison: &&'a ArmComparison| {
        let last = comparison.last_generation();
        let arm = comparison.arm.as_str();
        let at_last =
            attribute(comparison, baseline).into_iter().filter(move |found| Some(found.generation) == last);
        at_last.map(move |found| Cause { arm, found })
    };
    comparisons.iter().flat_map(of_arm).collect()
}

/// The first documents of an arm in each generation.
fn texts(section: &ExperimentSection, arm: &Series) -> Vec<Vec<String>> {
    let shown = |text: &String| printable(&excerpt(text, TEXT)).into_owned();
    let of = |generation| documents(section, arm.name, generation).iter().map(shown).collect();
    (0..=last_generation(section.recorded)).map(of).collect()
}

/// Characters of a document that the page carries.
const TEXT: usize = 800;

/// Six significant digits, which is more than a screen can show.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}
