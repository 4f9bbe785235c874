//! Notes on columns of a comparison that are empty because a metric has no value.

use super::{comparisons, effects, summary};
use crate::config::{CONTROL, arms_in_words};
use crate::store::RunRecord;
use crate::verdict::ArmComparison;
use std::collections::BTreeMap;

/// Notes on the columns that are empty at the last generation because the arm or the control has no value there; arms
/// and metrics with the same reason share a note.
pub(super) fn notes(recorded: &RunRecord) -> Vec<String> {
    let mut arms_by_metric: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for comparison in comparisons(recorded) {
        for (metric, reason) in empty_columns(recorded, &comparison) {
            arms_by_metric.entry((reason, metric)).or_default().push(comparison.arm.clone());
        }
    }
    let mut metrics_by_arms: BTreeMap<(String, Vec<String>), Vec<&str>> = BTreeMap::new();
    for ((reason, metric), arms) in arms_by_metric {
        metrics_by_arms.entry((reason, arms)).or_default().push(metric);
    }
    let note = |((reason, arms), metrics): ((String, Vec<String>), Vec<&str>)| {
        format!(
            "experiment \"{}\": {} cannot be compared in {}, because {reason}",
            recorded.experiment.name,
            arms_in_words(arms.iter().map(String::as_str)),
            metrics.join(", ")
        )
    };
    metrics_by_arms.into_iter().map(note).collect()
}

/// The metrics of empty columns, each with the reason.
fn empty_columns<'a>(recorded: &RunRecord, comparison: &ArmComparison) -> Vec<(&'a str, String)> {
    let last = comparison.last_generation().unwrap_or(recorded.experiment.generations);
    let is_empty = |metric: &&str| effects::at_last_generation(comparison, metric).is_none();
    let columns = summary::COLUMNS.iter().chain(&effects::COLUMNS).copied();
    let mut found: Vec<(&str, String)> = Vec::new();
    for metric in columns.filter(is_empty) {
        if found.iter().any(|(other, _)| *other == metric) {
            continue;
        }
        for (arm, whose) in [(CONTROL, "the control has"), (comparison.arm.as_str(), "they have")] {
            let mut lineages = recorded.lineages.iter().filter(|lineage| lineage.arm == arm);
            let reason = lineages.find_map(|lineage| lineage.generations.get(last)?.missing.get(metric));
            if let Some(reason) = reason {
                found.push((metric, format!("{whose} no value at generation {last}: {reason}")));
                break;
            }
        }
    }
    found
}
