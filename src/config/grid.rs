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

use super::document::{self, Document};
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
    read_sweep(registry, file, document).map_err(|error| document.locate(error))
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
    let grid = Grid { registry, document, experiment_axes, arm_axes };
    add_arms(&mut file, grid.arms()?);
    Ok(Some(Sweep { experiments: grid.experiments(&file, &name)?, name }))
}

const MIXTURE: &str = "mixture";

/// A setting and the values that it takes.
struct Axis {
    /// Path of the setting.
    keys: Vec<String>,
    /// Path of the list in the file.
    place: Vec<String>,
    /// Name of the setting in the names of experiments and arms: its last key, or the whole path if another axis has
    /// the same last key.
    label: String,
    values: Vec<Value>,
}

impl Axis {
    fn new(keys: Vec<String>, place: Vec<String>, values: &[Value]) -> Result<Self, ConfigError> {
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
        Ok(Self { keys, place, label, values: values.to_vec() })
    }
}

/// The axes of a grid, in the order of the file. Paths may be dotted keys, quoted keys or nested tables. `schema` is the
/// schema of the whole file.
fn axes(grid: &Table, schema: &Json) -> Result<Vec<Axis>, ConfigError> {
    let mut axes = Vec::new();
    collect(grid, &[], &["grid".to_owned()], schema, &mut axes)?;
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

/// Adds an axis for each list of a table and of the tables inside it. `above` is the path of the settings of the table,
/// and `place` that of the table in the file.
fn collect(
    table: &Table,
    above: &[String],
    place: &[String],
    schema: &Json,
    axes: &mut Vec<Axis>,
) -> Result<(), ConfigError> {
    for (key, value) in table {
        let path = [above, std::slice::from_ref(key)].concat().join(".");
        let invalid = |message: String| setting(format!("grid.{path}"), message);
        let quoted = if key.contains(['.', '"']) { key.clone() } else { format!("\"{key}\"") };
        let keys = [above, &overrides::parse_path(&quoted).map_err(invalid)?].concat();
        let place = [place, std::slice::from_ref(key)].concat();
        match value {
            Value::Array(values) => {
                let values: Vec<Value> =
                    values.iter().map(|value| normalized(&keys, value, schema)).collect();
                axes.push(Axis::new(keys, place, &values)?);
            }
            Value::Table(inner) => collect(inner, &keys, &place, schema, axes)?,
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
}

/// The axes of a grid, and the file that it is in.
struct Grid<'a> {
    registry: &'a Registry,
    document: &'a Document,
    experiment_axes: Vec<Axis>,
    arm_axes: Vec<Axis>,
}

impl Grid<'_> {
    /// The arms that the axes of `mixture` add to the file. A mixture that equals that of the control adds none.
    fn arms(&self) -> Result<Vec<Table>, ConfigError> {
        let all: Result<Vec<Option<Table>>, ConfigError> =
            combinations(&self.arm_axes).iter().map(|combination| self.arm(combination)).collect();
        Ok(all?.into_iter().flatten().collect())
    }

    fn arm(&self, combination: &Combination) -> Result<Option<Table>, ConfigError> {
        let mut table = Table::new();
        self.set_in(&mut table, combination)?;
        let Some(value) = table.get(MIXTURE) else { return Ok(None) };
        let mixture = Mixture::read(value.clone())
            .map_err(|error| self.located(ConfigError::setting(error.below(MIXTURE)), combination))?;
        table.insert("name".to_owned(), Value::String(combination.name()));
        Ok((mixture != Mixture::control()).then_some(table))
    }

    /// For each combination of the other axes, the experiment of `file` in which its values replace those of the file.
    fn experiments(&self, file: &Table, sweep: &str) -> Result<Vec<Experiment>, ConfigError> {
        let of_combination = |combination: &Combination| {
            let name = if combination.0.is_empty() { sweep.to_owned() } else { combination.name() };
            let mut table = file.clone();
            self.set_in(&mut table, combination)?;
            table.insert("name".to_owned(), Value::String(name));
            read::experiment(self.registry, table, self.document, Origin::User)
                .map_err(|error| self.located(error, combination))
        };
        combinations(&self.experiment_axes).iter().map(of_combination).collect()
    }

    /// Sets the values of a combination. Kinds come first, because another kind removes settings of the one before.
    fn set_in(&self, table: &mut Table, combination: &Combination) -> Result<(), ConfigError> {
        let is_kind = |axis: &Axis| self.registry.section_of_kind(&axis.keys).is_some();
        let (kinds, others): (Vec<_>, Vec<_>) = combination.0.iter().partition(|(axis, _)| is_kind(axis));
        for (axis, value) in kinds.into_iter().chain(others) {
            overrides::set(self.registry, table, &axis.keys, (*value).clone()).map_err(|message| {
                let position = Some(self.document.position(&axis.place));
                let key = format!("grid, {}: {}", combination.name(), axis.keys.join("."));
                ConfigError::Setting { position, key, message }
            })?;
        }
        Ok(())
    }

    /// The error with the combination in front of its key, and at the line of the grid if that sets the key.
    fn located(&self, error: ConfigError, combination: &Combination) -> ConfigError {
        match error {
            ConfigError::Setting { position, key, message } => {
                let position = self.position(&key).or(position);
                let key = match combination.0.is_empty() {
                    true => key,
                    false => format!("grid, {}: {key}", combination.name()),
                };
                ConfigError::Setting { position, key, message }
            }
            ConfigError::Unreadable { .. } | ConfigError::Syntax { .. } | ConfigError::Override { .. } => {
                error
            }
        }
    }

    /// The position of the axis that sets `key`; of the grid if the key is neither on an axis nor in the file. None if
    /// the key is in the file only.
    fn position(&self, key: &str) -> Option<String> {
        let (arm, keys) = document::split_key(key);
        let own = [arm.map_or(Vec::new(), document::arm_path), keys.clone()].concat();
        if arm.is_some() && self.document.has(&own) {
            return None;
        }
        let sets_key = |axis: &&Axis| keys.starts_with(&axis.keys) || axis.keys.starts_with(&keys);
        let place = match self.experiment_axes.iter().chain(&self.arm_axes).find(sets_key) {
            Some(axis) => axis.place.clone(),
            None if self.document.has(&keys[..1]) => return None,
            None => vec!["grid".to_owned()],
        };
        Some(self.document.position(&place))
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
