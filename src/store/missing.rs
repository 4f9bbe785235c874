//! Metrics that have no value on record, with the reason.

use super::RunRecord;
use crate::config::arms_in_words;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Metrics that have no value in some generations of the same arms, for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingMetrics {
    /// Ids of the metrics, sorted.
    pub metrics: Vec<String>,
    /// The arms, in the order of the experiment.
    pub arms: Vec<String>,
    /// The generations, over all seeds, sorted.
    pub generations: Vec<usize>,
    /// Why they have no value.
    pub reason: String,
}

/// Arms and generations by reason and metric.
type Places<'a> = BTreeMap<(&'a str, &'a str), (BTreeSet<usize>, BTreeSet<usize>)>;

impl RunRecord {
    /// Metrics without a value, those with the same reason together.
    #[must_use]
    pub fn missing_metrics(&self) -> Vec<MissingMetrics> {
        let mut places = Places::new();
        for lineage in &self.lineages {
            let place = self.experiment.arms.iter().position(|arm| arm.name == lineage.arm);
            for (generation, record) in lineage.generations.iter().enumerate() {
                for (metric, reason) in &record.missing {
                    let (arms, generations) = places.entry((reason, metric)).or_default();
                    arms.extend(place);
                    generations.insert(generation);
                }
            }
        }
        let mut grouped: Vec<MissingMetrics> = Vec::new();
        for ((reason, metric), (arms, generations)) in places {
            let arms: Vec<String> =
                arms.iter().map(|&place| self.experiment.arms[place].name.clone()).collect();
            let generations: Vec<usize> = generations.into_iter().collect();
            let is_same = |one: &&mut MissingMetrics| {
                one.reason == reason && one.arms == arms && one.generations == generations
            };
            match grouped.iter_mut().find(is_same) {
                Some(one) => one.metrics.push(metric.to_owned()),
                None => grouped.push(MissingMetrics {
                    metrics: vec![metric.to_owned()],
                    arms,
                    generations,
                    reason: reason.to_owned(),
                }),
            }
        }
        grouped
    }
}

impl fmt::Display for MissingMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generations: Vec<String> = self.generations.iter().map(ToString::to_string).collect();
        let noun = if generations.len() == 1 { "generation" } else { "generations" };
        write!(
            f,
            "no {} in {noun} {} of {}: {}",
            self.metrics.join(", "),
            generations.join(", "),
            arms_in_words(self.arms.iter().map(String::as_str)),
            self.reason
        )
    }
}
