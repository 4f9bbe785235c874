//! `[grid]`: one file, many experiments.
//!
//! A grid lists several values for some settings. Each such setting is an axis, and one value of every axis is a
//! combination. A setting outside of `mixture` (say, of the model or its training) also changes the results of the
//! control, so every combination of those axes is a separate experiment with its own control. The axes of `mixture`
//! do not affect the control: every combination of them is an arm of each experiment, in addition to the arms of the
//! file. A combination that equals the mixture of the control adds no arm.
//!
//! ```
//! let text = r#"
//!     name = "scaling"
//!     seeds = [1]
//!     generations = 1
//!     corpus = { source = "world", train_tokens = 1000, heldout_tokens = 500, reference_tokens = 1000 }
//!     model = { kind = "ngram" }
//!     [grid]
//!     model.order = [2, 3]
//!     mixture.natural_fraction = [0.0, 0.5]
//! "#;
//! let sweep = genloss::config::parse_sweep(text, "scaling.toml", &[])?.expect("there is a grid");
//! let names: Vec<&str> = sweep.experiments.iter().map(|experiment| experiment.name.as_str()).collect();
//! assert_eq!(names, ["order=2", "order=3"]);
//! let arms: Vec<&str> = sweep.experiments[0].arms.iter().map(|arm| arm.name.as_str()).collect();
//! assert_eq!(arms, ["control", "natural_fraction=0.0", "natural_fraction=0.5"]);
//! # Ok::<(), genloss::config::ConfigError>(())
//! ```

use super::document::Document;
use super::error::ConfigError;
use super::experiment::Experiment;
use super::read::{self, Origin};
use super::registry::Registry;
use super::{names, overrides};
use crate::mixture::Mixture;
use crate::settings::{self, SettingError};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// The experiments of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The name in the file; a valid folder name.
    pub name: String,
    /// At least one. Each is named by its values on the axes outside of `mixture`; if there are none, the only experiment
    /// has the name of the sweep.
    pub experiments: Vec<Experiment>,
}

/// Largest number of combinations of all axes. It limits the number of stores that are open at the same time.
const MAX_COMBINATIONS: usize = 500;

/// The experiments of a file; `None` if it has no grid.
pub(super) fn sweep(
    registry: &Registry,
    file: Table,
    document: &Document,
) -> Result<Option<Sweep>, ConfigError> {
    read_sweep(registry, file, document).map_err(|error| error.located(document))
}

fn read_sweep(
    registry: &Registry,
    mut file: Table,
    document: &Document,
) -> Result<Option<Sweep>, ConfigError> {
    let Some(Value::Table(grid)) = file.remove("grid") else { return Ok(None) };
    let name = file.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    names::check_new("name", &name).map_err(ConfigError::setting)?;
    let axes = axes(&grid, &registry.schema())?;
    let (arm_axes, experiment_axes): (Vec<Axis>, Vec<Axis>) =
        axes.into_iter().partition(|axis| axis.keys[0] == MIXTURE);
    check_size(&experiment_axes, &arm_axes)?;
    let arms: Vec<Table> = combinations(&arm_axes)
        .iter()
        .map(Combination::arm)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    add_arms(&mut file, arms);
    let experiments: Result<Vec<_>, _> = combinations(&experiment_axes)
        .iter()
        .map(|combination| combination.experiment(registry, &file, &name, document))
        .collect();
    Ok(Some(Sweep { name, experiments: experiments? }))
}

const MIXTURE: &str = "mixture";

/// A setting and the values that it takes.
struct Axis {
    /// Path of the setting.
    keys: Vec<String>,
    /// Name of the setting in the names of experiments and arms: its last key, or the whole path if another axis has
    /// the same last key.
    label: String,
    values: Vec<Value>,
}

impl Axis {
    fn new(keys: Vec<String>, values: &[Value]) -> Result<Self, ConfigError> {
        let path = keys.join(".");
        let key = format!("grid.{path}");
        if values.is_empty() {
            return Err(setting(key, "the list is empty; give its values, or leave the key out"));
        }
        if path == "name" || path.starts_with("grid") {
            return Err(setting(key, "cannot vary; experiments are named by their values on the other axes"));
        }
        let mut names = BTreeSet::new();
        if let Some(repeated) = values.iter().map(shown).find(|name| !names.insert(name.to_ascii_lowercase()))
        {
            let message = format!(
                "two of its values would have the same folder name {repeated}; leave one out, or use two files"
            );
            return Err(setting(key, message));
        }
        let label = keys.last().cloned().unwrap_or_default();
        Ok(Self { keys, label, values: values.to_vec() })
    }
}

/// The axes of a grid, in the order of the file. Paths may be dotted keys, quoted keys or nested tables. `schema` is the
/// schema of the whole file.
fn axes(grid: &Table, schema: &Json) -> Result<Vec<Axis>, ConfigError> {
    let mut axes = Vec::new();
    collect(grid, &[], schema, &mut axes)?;
    let all: Vec<Vec<String>> = axes.iter().map(|axis: &Axis| axis.keys.clone()).collect();
    if let Some((_, keys)) = all.iter().enumerate().find(|(index, keys)| all[..*index].contains(keys)) {
        return Err(setting(format!("grid.{}", keys.join(".")), "is given twice; keep one list"));
    }
    for axis in &mut axes {
        if all.iter().filter(|keys| keys.last() == axis.keys.last()).count() > 1 {
            axis.label = axis.keys.join(".");
        }
    }
    Ok(axes)
}

/// Adds an axis for each list of a table and of the tables inside it.
fn collect(table: &Table, above: &[String], schema: &Json, axes: &mut Vec<Axis>) -> Result<(), ConfigError> {
    for (key, value) in table {
        let path = [above, std::slice::from_ref(key)].concat().join(".");
        let invalid = |message: String| setting(format!("grid.{path}"), message);
        let quoted = if key.contains(['.', '"']) { key.clone() } else { format!("\"{key}\"") };
        let keys = [above, &overrides::parse_path(&quoted).map_err(invalid)?].concat();
        match value {
            Value::Array(values) => {
                let values: Vec<Value> =
                    values.iter().map(|value| normalized(&keys, value, schema)).collect();
                axes.push(Axis::new(keys, &values)?);
            }
            Value::Table(inner) => collect(inner, &keys, schema, axes)?,
            one => {
                return Err(invalid(format!("{one} is not a list; give a list of values, such as [{one}]")));
            }
        }
    }
    Ok(())
}

/// The value as it will be read at this path: a whole number that is written as a float becomes an integer.
fn normalized(keys: &[String], value: &Value, schema: &Json) -> Value {
    let property =
        |schema: &'_ Json, key: &String| schema.get("properties").and_then(|all| all.get(key)).cloned();
    let schema = keys.iter().try_fold(schema.clone(), |schema, key| property(&schema, key));
    let mut value = value.clone();
    if let Some(schema) = schema {
        settings::normalize(&mut value, &schema);
    }
    value
}

fn check_size(experiment_axes: &[Axis], arm_axes: &[Axis]) -> Result<(), ConfigError> {
    let axes = experiment_axes.iter().chain(arm_axes);
    let combinations = axes.fold(1_usize, |product, axis| product.saturating_mul(axis.values.len()));
    if combinations <= MAX_COMBINATIONS {
        return Ok(());
    }
    let message = format!(
        "{combinations} combinations are more than the {MAX_COMBINATIONS} that a sweep can have; leave values out, or use two files"
    );
    Err(setting("grid", message))
}

/// One value of each axis.
struct Combination<'a>(Vec<(&'a Axis, &'a Value)>);

/// Every combination of the values; the last axis varies fastest.
fn combinations(axes: &[Axis]) -> Vec<Combination<'_>> {
    let mut all = vec![Vec::new()];
    for axis in axes {
        let longer = |shorter: &Vec<_>| -> Vec<Vec<_>> {
            axis.values.iter().map(|value| [&shorter[..], &[(axis, value)]].concat()).collect()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all.into_iter().map(Combination).collect()
}

impl Combination<'_> {
    fn name(&self) -> String {
        let parts = self.0.iter().map(|(axis, value)| format!("{}={}", axis.label, shown(value)));
        shortened(parts.collect::<Vec<_>>().join(","))
    }

    fn set_in(&self, table: &mut Table) -> Result<(), ConfigError> {
        for (axis, value) in &self.0 {
            let keys: Vec<&str> = axis.keys.iter().map(String::as_str).collect();
            overrides::set(table, &keys, (*value).clone())
                .map_err(|message| self.located(ConfigError::setting(SettingError::new("grid", message))))?;
        }
        Ok(())
    }

    /// The arm with this mixture; `None` if there are no axes, or if the mixture is that of the control.
    fn arm(&self) -> Result<Option<Table>, ConfigError> {
        let mut table = Table::new();
        self.set_in(&mut table)?;
        let Some(value) = table.get(MIXTURE) else { return Ok(None) };
        let mixture = Mixture::read(value.clone())
            .map_err(|error| self.located(ConfigError::setting(error.below(MIXTURE))))?;
        table.insert("name".to_owned(), Value::String(self.name()));
        Ok((mixture != Mixture::control()).then_some(table))
    }

    /// The experiment of `file` in which the values of this combination replace those of the file.
    fn experiment(
        &self,
        registry: &Registry,
        file: &Table,
        sweep: &str,
        document: &Document,
    ) -> Result<Experiment, ConfigError> {
        let name = if self.0.is_empty() { sweep.to_owned() } else { self.name() };
        let mut table = file.clone();
        self.set_in(&mut table)?;
        table.insert("name".to_owned(), Value::String(name));
        read::experiment(registry, table, document, Origin::User).map_err(|error| self.located(error))
    }

    /// The error with the combination in front of its key.
    fn located(&self, error: ConfigError) -> ConfigError {
        if self.0.is_empty() {
            return error;
        }
        match error {
            ConfigError::Setting { position, key, message } => {
                ConfigError::Setting { position, key: format!("grid, {}: {key}", self.name()), message }
            }
            ConfigError::Unreadable { .. } | ConfigError::Syntax { .. } | ConfigError::Override { .. } => {
                error
            }
        }
    }
}

/// An error about a setting of the grid.
fn setting(key: impl Into<String>, message: impl Into<String>) -> ConfigError {
    ConfigError::setting(SettingError::new(key, message))
}

/// Shortens a name that is too long for a folder. The result ends with a hash of the whole name, so that names with the
/// same beginning stay different.
fn shortened(name: String) -> String {
    const HASH_CHARS: usize = 16;
    if name.len() <= names::MAX_NAME_BYTES {
        return name;
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let kept: String = name.chars().take(names::MAX_NAME_BYTES - HASH_CHARS - 1).collect();
    format!("{kept}-{}", &hash[..HASH_CHARS])
}

fn add_arms(file: &mut Table, arms: Vec<Table>) {
    let all = file.entry("arm").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(all) = all.as_array_mut() {
        all.extend(arms.into_iter().map(Value::Table));
    }
}

/// A value in the name of an experiment or arm, with characters that folder names cannot have replaced by `-`.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join("-"),
        Value::Table(table) => {
            table.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    let replaced = |c: char| if c.is_ascii_alphanumeric() || "-_.=,".contains(c) { c } else { '-' };
    text.chars().map(replaced).collect()
}
