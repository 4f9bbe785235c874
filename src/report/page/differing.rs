//! The settings in which several runs differ.

use crate::store::RunRecord;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

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
    // With every default, also of settings that are newer than the run.
    let file: Table = recorded.experiment.to_toml().parse().unwrap_or_default();
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
