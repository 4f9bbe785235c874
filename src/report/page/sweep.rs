//! The beginning of a page of several experiments: a table of them, with the settings in which they differ.

use super::ExperimentSection;
use super::data::PageData;
use crate::store::RunRecord;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// A row per experiment, a column per setting, and the verdicts on its arms.
pub(super) fn overview(sections: &[ExperimentSection], data: &PageData) -> Markup {
    let arms: BTreeSet<&str> = sections.iter().flat_map(|s| &s.comparisons).map(|c| c.arm.as_str()).collect();
    html! {
        section id="experiments" {
            h2 { (sections.len()) " experiments" }
            div.scroll tabindex="0" role="group" aria-label="Experiments, scrolls sideways" {
                table.records.experiments {
                    caption { "The settings in which the experiments differ, and the verdict on each arm." }
                    thead {
                        tr {
                            th scope="col" { "Experiment" }
                            @for name in data.settings() { th scope="col" { (name) } }
                            @for arm in &arms { th scope="col" { (arm) } }
                        }
                    }
                    tbody {
                        @for (index, section) in sections.iter().enumerate() { (row(index, section, data, &arms)) }
                    }
                }
            }
        }
    }
}

fn row(index: usize, section: &ExperimentSection, data: &PageData, arms: &BTreeSet<&str>) -> Markup {
    let verdict = |arm: &str| section.comparisons.iter().find(|comparison| comparison.arm == arm);
    html! {
        tr {
            th scope="row" { a href={ "#e" (index + 1) "-verdicts" } { (section.recorded.experiment.name) } }
            @for value in data.settings_of(index) { td { (value) } }
            @for arm in arms {
                td {
                    @match verdict(arm) {
                        Some(comparison) => { span.badge.(comparison.verdict.word()) { (comparison.verdict.word()) } }
                        None => { "–" }
                    }
                }
            }
        }
    }
}

/// The settings in which runs differ, with the value in each run; empty where a run does not have the setting. Names and
/// arms are left out: they have columns of their own.
pub(super) fn differing_settings(recorded: &[&RunRecord]) -> Vec<BTreeMap<String, String>> {
    let mut all: Vec<BTreeMap<String, String>> = recorded.iter().map(|one| settings(one)).collect();
    let names: BTreeSet<String> = all.iter().flat_map(BTreeMap::keys).cloned().collect();
    for name in names {
        let values: BTreeSet<Option<String>> = all.iter().map(|one| one.get(&name).cloned()).collect();
        for one in &mut all {
            if values.len() == 1 {
                one.remove(&name);
            } else {
                one.entry(name.clone()).or_default();
            }
        }
    }
    all
}

fn settings(recorded: &RunRecord) -> BTreeMap<String, String> {
    let file: Table = recorded.experiment_toml.parse().unwrap_or_default();
    let mut found = BTreeMap::new();
    for (key, value) in file.iter().filter(|(key, _)| !["name", "arm"].contains(&key.as_str())) {
        flatten(key, value, &mut found);
    }
    found
}

fn flatten(key: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            table.iter().for_each(|(name, value)| flatten(&format!("{key}.{name}"), value, found));
        }
        Value::String(text) => drop(found.insert(key.to_owned(), text.clone())),
        other => drop(found.insert(key.to_owned(), other.to_string())),
    }
}
