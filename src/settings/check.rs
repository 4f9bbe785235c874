//! Checks a table of settings against the JSON Schema of its struct.

use super::schema::{additional, choices, properties, type_names};
use super::{SettingError, nearest};
use crate::units::counted;
use serde_json::Value as Json;
use toml::Value;

/// Checks `value` against `schema`, and converts floats without a fraction where an integer is required.
pub(super) fn value(path: &str, value: &mut Value, schema: &Json) -> Result<(), SettingError> {
    let others = other_types(value, schema);
    let schema = alternative(value, schema);
    normalize_one(value, schema);
    if let Some(types) = type_names(schema)
        && !types.iter().any(|name| is_of_type(value, name))
    {
        let choices = choices(schema);
        let expected = if choices.is_empty() {
            types_in_words(&types)
        } else {
            choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(" or ")
        };
        return Err(SettingError::new(path, format!("expected {expected}, found {}", described(value))));
    }
    match value {
        Value::Table(table) => table_of(path, table, schema),
        Value::Array(items) => array(path, items, schema),
        Value::String(text) => known_choice(path, text, schema, others.as_deref()),
        Value::Integer(number) => in_range(path, *number as f64, &number.to_string(), schema),
        Value::Float(number) => in_range(path, *number, &shown(*number), schema),
        Value::Boolean(_) | Value::Datetime(_) => Ok(()),
    }
}

/// The first alternative in `schema` that allows the type of `value`. If this alternative has alternatives itself, the
/// first suitable one of those, and so on. `schema` itself if no alternative allows the type.
fn alternative<'a>(value: &Value, schema: &'a Json) -> &'a Json {
    let alternatives = schema.get("anyOf").and_then(Json::as_array).into_iter().flatten();
    let fits =
        |one: &&Json| type_names(one).is_some_and(|types| types.iter().any(|name| is_of_type(value, name)));
    alternatives.into_iter().find(fits).map_or(schema, |found| alternative(value, found))
}

/// The types other than that of `value` that `schema` allows, in words; None if there are none.
fn other_types(value: &Value, schema: &Json) -> Option<String> {
    let others: Vec<String> =
        type_names(schema)?.into_iter().filter(|name| name != "null" && !is_of_type(value, name)).collect();
    (!others.is_empty()).then(|| types_in_words(&others))
}

fn table_of(path: &str, table: &mut toml::Table, schema: &Json) -> Result<(), SettingError> {
    let known = properties(schema);
    if known.is_empty() && additional(schema) {
        return Ok(());
    }
    for (key, inner) in table.iter_mut() {
        let Some((_, property)) = known.iter().find(|(name, _)| *name == key) else {
            return Err(unknown_key(&joined(path, key), known.iter().map(|(name, _)| name.as_str())));
        };
        value(&joined(path, key), inner, property)?;
    }
    let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
    for key in required.filter_map(Json::as_str) {
        if !table.contains_key(key) {
            return Err(missing(&joined(path, key), schema, key));
        }
    }
    Ok(())
}

/// An error about an unknown key, which suggests the nearest of the `known` ones.
#[must_use]
pub fn unknown_key<'a>(path: &str, known: impl Iterator<Item = &'a str>) -> SettingError {
    let key = path.rsplit('.').next().unwrap_or(path);
    let known: Vec<&str> = known.collect();
    let list = known.join(", ");
    let advice = match (nearest(key, known.iter().copied()), &known[..]) {
        (_, []) => "this table has no keys".to_owned(),
        (_, [only]) => format!("the only valid key is \"{only}\""),
        (Some(nearest), _) => format!("the nearest valid key is \"{nearest}\" (of {list})"),
        (None, _) => format!("the valid keys are {list}"),
    };
    let message = format!("unknown key \"{key}\"; {advice}");
    SettingError { is_unknown_key: true, ..SettingError::new(path, message) }
}

fn missing(path: &str, schema: &Json, key: &str) -> SettingError {
    let hint = properties(schema).into_iter().find(|(name, _)| *name == key);
    let hint = hint.and_then(|(_, property)| property.get("x-hint").and_then(Json::as_str));
    SettingError::new(path, format!("is missing{}", hint.map_or(String::new(), |hint| format!("; {hint}"))))
}

fn array(path: &str, items: &mut [Value], schema: &Json) -> Result<(), SettingError> {
    let limit = |key: &str| schema.get(key).and_then(Json::as_u64);
    if limit("minItems").is_some_and(|min| (items.len() as u64) < min) {
        let hint = schema.get("x-hint").and_then(Json::as_str).unwrap_or("give at least one value");
        let what = match items.len() {
            0 => "is empty".to_owned(),
            many => format!("has {}", counted(many as u64, "value")),
        };
        return Err(SettingError::new(path, format!("the list {what}; {hint}")));
    }
    if limit("maxItems").is_some_and(|max| items.len() as u64 > max) {
        return Err(SettingError::new(
            path,
            format!("the list has {} values; give at most {}", items.len(), limit("maxItems").unwrap_or(0)),
        ));
    }
    let Some(of_item) = schema.get("items") else { return Ok(()) };
    items.iter_mut().try_for_each(|item| value(path, item, of_item))
}

/// `others` are the types that the setting may have instead, in words.
fn known_choice(path: &str, text: &str, schema: &Json, others: Option<&str>) -> Result<(), SettingError> {
    let known = choices(schema);
    if known.is_empty() || known.iter().any(|choice| choice == text) {
        return Ok(());
    }
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let others = others.map_or(String::new(), |others| format!("; also {others}, without quotes"));
    Err(SettingError::new(path, unknown_value(text, &known) + &others))
}

/// A message about an unknown value, which suggests the nearest of the `known` ones.
pub(super) fn unknown_value(given: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(given, known.iter().copied()) {
        Some(nearest) => {
            format!("unknown value \"{given}\"; the nearest valid value is \"{nearest}\" (of {list})")
        }
        None => format!("unknown value \"{given}\"; the valid values are {list}"),
    }
}

fn in_range(path: &str, number: f64, shown: &str, schema: &Json) -> Result<(), SettingError> {
    let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
    let (least, above) = (bound("minimum"), bound("exclusiveMinimum"));
    let (most, below) = (bound("maximum"), bound("exclusiveMaximum"));
    let may_be_infinite = schema.get("x-may-be-infinite").is_some();
    let good = (number.is_finite() || may_be_infinite && number == f64::INFINITY)
        && least.is_none_or(|least| number >= least)
        && above.is_none_or(|above| number > above)
        && most.is_none_or(|most| number <= most)
        && below.is_none_or(|below| number < below);
    if good {
        return Ok(());
    }
    // The message names the range that users should keep to.
    let narrow = narrowed(schema.clone());
    let bound = |key: &str| narrow.get(key).and_then(Json::as_f64);
    let (least, above) = (bound("minimum"), bound("exclusiveMinimum"));
    let (most, below) = (bound("maximum"), bound("exclusiveMaximum"));
    let is_whole = type_names(schema).is_some_and(|types| types.iter().any(|name| name == "integer"));
    let kind = if is_whole { "whole number" } else { "number" };
    let from = match (least, above) {
        (Some(least), _) => Some(bound_shown(least)),
        (None, Some(above)) => Some(format!("above {}", bound_shown(above))),
        (None, None) => None,
    };
    let range = match (from, least, most, below) {
        (Some(from), Some(_), Some(most), _) => format!("a {kind} from {from} to {}", bound_shown(most)),
        (Some(from), Some(_), None, Some(below)) => {
            format!("a {kind} of at least {from} and below {}", bound_shown(below))
        }
        (Some(from), Some(_), None, None) => format!("a {kind} of at least {from}"),
        (Some(above), None, Some(most), _) => format!("a {kind} {above} and at most {}", bound_shown(most)),
        (Some(above), None, None, Some(below)) => {
            format!("a {kind} {above} and below {}", bound_shown(below))
        }
        (Some(above), None, None, None) => format!("a {kind} {above}"),
        (None, _, Some(most), _) => format!("a {kind} of at most {}", bound_shown(most)),
        (None, _, None, Some(below)) => format!("a {kind} below {}", bound_shown(below)),
        (None, _, None, None) => format!("a finite {kind}"),
    };
    let hint = schema.get("x-hint").and_then(Json::as_str);
    let hint = hint.map_or(String::new(), |hint| format!(" ({hint})"));
    Err(SettingError::new(path, format!("{shown} is out of range; give {range}{hint}")))
}

/// Checks every number of a table against the range of meaningful values ([`SENSIBLE`]), which may be narrower than the
/// range of values that can be computed with.
pub(super) fn sensible(path: &str, value: &Value, schema: &Json) -> Result<(), SettingError> {
    match value {
        Value::Table(table) => properties(schema)
            .into_iter()
            .filter_map(|(key, property)| Some((key, table.get(key)?, property)))
            .try_for_each(|(key, inner, property)| sensible(&joined(path, key), inner, property)),
        Value::Integer(number) => in_sensible_range(path, *number as f64, &number.to_string(), schema),
        Value::Float(number) => in_sensible_range(path, *number, &shown(*number), schema),
        Value::Array(_) | Value::String(_) | Value::Boolean(_) | Value::Datetime(_) => Ok(()),
    }
}

fn in_sensible_range(path: &str, number: f64, shown: &str, schema: &Json) -> Result<(), SettingError> {
    if schema.get(SENSIBLE).is_none() {
        return Ok(());
    }
    let why = schema[SENSIBLE].get("why").cloned().unwrap_or_default();
    let mut narrowed = narrowed(schema.clone());
    narrowed["x-hint"] = why;
    in_range(path, number, shown, &narrowed)
}

/// The schema of a table or setting, with the range of every number narrowed to the meaningful values.
pub(super) fn narrowed(mut schema: Json) -> Json {
    if let Some(Json::Object(sensible)) = schema.as_object_mut().and_then(|all| all.remove(SENSIBLE)) {
        for (bound, value) in sensible.into_iter().filter(|(bound, _)| bound != "why") {
            if bound == "minimum" {
                schema.as_object_mut().and_then(|all| all.remove("exclusiveMinimum"));
            }
            schema[&bound] = value;
        }
    }
    match &mut schema {
        Json::Object(all) => all.values_mut().for_each(|inner| *inner = narrowed(inner.take())),
        Json::Array(all) => all.iter_mut().for_each(|inner| *inner = narrowed(inner.take())),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
    schema
}

/// The extension of the schema with the bounds of the meaningful values (`minimum`, `maximum`), and the reason for them
/// (`why`).
const SENSIBLE: &str = "x-sensible";

/// Converts floats without a fraction to integers wherever `schema` requires an integer.
pub(super) fn normalize(value: &mut Value, schema: &Json) {
    let schema = alternative(value, schema);
    normalize_one(value, schema);
    match value {
        Value::Table(table) => {
            for (key, property) in properties(schema) {
                if let Some(inner) = table.get_mut(key) {
                    normalize(inner, property);
                }
            }
        }
        Value::Array(items) => {
            if let Some(of_item) = schema.get("items") {
                items.iter_mut().for_each(|item| normalize(item, of_item));
            }
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

/// 2^53. Below this limit, an f64 represents every integer exactly, and no two integers round to the same value.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

fn normalize_one(value: &mut Value, schema: &Json) {
    if let Value::Float(number) = *value
        && number.fract() == 0.0
        && number.abs() < LARGEST_EXACT
        && type_names(schema).is_some_and(|types| types.iter().any(|name| name == "integer"))
    {
        *value = Value::Integer(number as i64);
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match value {
        Value::String(_) => name == "string",
        Value::Integer(_) => name == "integer" || name == "number",
        Value::Float(_) => name == "number",
        Value::Boolean(_) => name == "boolean",
        Value::Array(_) => name == "array",
        Value::Table(_) => name == "object",
        Value::Datetime(_) => false,
    }
}

fn types_in_words(types: &[String]) -> String {
    let words: Vec<&str> = types
        .iter()
        .filter_map(|name| match name.as_str() {
            "integer" => Some("a whole number"),
            "number" => Some("a number"),
            "string" => Some("a string"),
            "boolean" => Some("true or false"),
            "array" => Some("a list"),
            "object" => Some("a table"),
            _ => None,
        })
        .collect();
    words.join(" or ")
}

/// A value in an error about its type.
pub(crate) fn described(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string \"{text}\""),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) if number.fract() == 0.0 && number.abs() >= LARGEST_EXACT => {
            format!("the number {number:e}, which is too large to be exact; write its digits")
        }
        Value::Float(number) => format!("the number {}", shown(*number)),
        Value::Boolean(truth) => truth.to_string(),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Datetime(date) => format!("the date {date}"),
    }
}

fn shown(number: f64) -> String {
    let is_long = number.abs() >= 1e15 || number.abs() < 1e-6 && number != 0.0;
    if number.is_finite() && is_long { format!("{number:e}") } else { number.to_string() }
}

fn bound_shown(bound: f64) -> String {
    // The largest whole number of TOML, which a float cannot hold.
    if bound == i64::MAX as f64 { i64::MAX.to_string() } else { bound.to_string() }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
