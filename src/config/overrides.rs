//! `--set key.path=value`: changes to an experiment file from the command line.

use super::document::syntax_message;
use super::error::ConfigError;
use super::experiment::CONTROL;
use super::registry::Registry;
use crate::settings::nearest;
use toml::{Table, Value};

/// Applies every `key.path=value` to the tables of a file. A value that is not TOML is taken as a string. The path of an
/// arm contains its name, quoted if it has a dot: `arm.anchored.mixture.natural_fraction=0.2`.
pub(super) fn apply(registry: &Registry, table: &mut Table, settings: &[String]) -> Result<(), ConfigError> {
    let mut earlier: Vec<(Vec<String>, Value)> = Vec::new();
    for setting in settings {
        let invalid = |message: String| ConfigError::Override { setting: setting.clone(), message };
        let (path, value) =
            setting.split_once('=').ok_or_else(|| invalid("expected key.path=value".to_owned()))?;
        let keys = parse_path(path.trim()).map_err(invalid)?;
        let value = parse_value(value.trim()).map_err(invalid)?;
        set(registry, table, &keys, value.clone()).map_err(invalid)?;
        if let Some(section) = registry.section_of_kind(&keys) {
            // Another kind keeps nothing that the file sets for the kind before, but all that the command line sets.
            let is_inside = |other: &[String]| other.len() > section.len() && other.starts_with(section);
            for (other, value) in earlier.iter().filter(|(other, _)| is_inside(other) && *other != keys) {
                set(registry, table, other, value.clone()).map_err(invalid)?;
            }
        }
        earlier.push((keys, value));
    }
    Ok(())
}

/// Largest number of keys in a path: more than any setting has, and few enough for every TOML parser.
const MAX_DEPTH: usize = 16;

/// Splits a dotted path into its keys, each bare or quoted as in TOML.
pub(super) fn parse_path(path: &str) -> Result<Vec<String>, String> {
    let invalid = || format!("{path:?} is not a key; write key.path=value");
    if path.matches('.').count() >= MAX_DEPTH || path.contains('\n') {
        return Err("the key has too many parts or a line break".to_owned());
    }
    let mut value = Value::Table(toml::from_str::<Table>(&format!("{path} = 0")).map_err(|_| invalid())?);
    let mut keys = Vec::new();
    while let Value::Table(table) = value {
        let (key, inner) = table.into_iter().next().ok_or_else(invalid)?;
        keys.push(key);
        value = inner;
    }
    Ok(keys)
}

/// Reads text as a value in TOML, or as a string if it is not TOML. Text that looks like a number, a list or a table
/// but is not TOML is an error.
fn parse_value(text: &str) -> Result<Value, String> {
    let document = format!("value = {text}");
    let parsed = toml::from_str::<Table>(&document);
    if let Ok(mut table) = parsed.clone()
        && table.len() == 1
        && let Some(value) = table.remove("value")
    {
        return Ok(value);
    }
    let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || "+-_".contains(c));
    match parsed {
        Err(error) if is_number || text.starts_with(['[', '{']) => Err(syntax_message(&error)),
        Ok(_) | Err(_) => Ok(Value::String(text.to_owned())),
    }
}

/// Sets the value at a path, and creates the enclosing tables that are missing. If it chooses another kind of model or
/// another method, the settings that belong to the one before are removed.
pub(super) fn set(
    registry: &Registry,
    table: &mut Table,
    keys: &[String],
    value: Value,
) -> Result<(), String> {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    set_at(registry, table, &keys, value)
}

fn set_at(registry: &Registry, table: &mut Table, keys: &[&str], value: Value) -> Result<(), String> {
    match keys {
        [] | [""] => Err("the key is empty".to_owned()),
        [key] => {
            table.insert((*key).to_owned(), value);
            Ok(())
        }
        ["arm", name, rest @ ..] if !rest.is_empty() => {
            set_at(registry, arm_table(table, name)?, rest, value)
        }
        [key, rest @ ..] => {
            let inner = table.entry((*key).to_owned()).or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => {
                    if let [kind] = rest {
                        registry.choose_kind(key, kind, &value, inner);
                    }
                    set_at(registry, inner, rest, value)
                }
                other => Err(format!(
                    "{key} is {other}, which has no keys; set it as a whole: {key} = {{ {} = {value} }}",
                    rest.join(".")
                )),
            }
        }
    }
}

fn arm_table<'a>(table: &'a mut Table, name: &str) -> Result<&'a mut Table, String> {
    let arms = table.entry("arm").or_insert_with(|| Value::Array(Vec::new()));
    let arms = arms.as_array_mut().ok_or("expected tables that each begin with [[arm]]")?;
    let name_of = |arm: &Value| arm.get("name").and_then(Value::as_str).map(str::to_owned);
    let names: Vec<String> = arms.iter().filter_map(name_of).collect();
    if name == CONTROL && !names.iter().any(|known| known == CONTROL) {
        // The control exists also where the file does not name it.
        arms.push(Value::Table(Table::from_iter([("name".to_owned(), Value::String(name.to_owned()))])));
    }
    let found = arms.iter_mut().find(|arm| name_of(arm).as_deref() == Some(name));
    found.and_then(Value::as_table_mut).ok_or_else(|| {
        let nearest = nearest(name, names.iter().map(String::as_str));
        let advice = nearest.map_or(String::new(), |nearest| format!("; the nearest is \"{nearest}\""));
        format!("there is no arm \"{name}\"{advice}")
    })
}
