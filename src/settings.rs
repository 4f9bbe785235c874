//! Settings structs: one for each table of an experiment file. A struct determines how its table is read, checked,
//! documented and written.
//!
//! A settings struct derives `Serialize`, `Deserialize` and `JsonSchema`, and has one field per setting. The doc
//! comment of a field is the description that users read; `Default` or `#[serde(default)]` gives the default; and the
//! attributes `#[schemars(range(…))]` or `#[schemars(extend("exclusiveMinimum" = …))]` give the range. [`read`] uses
//! these to detect unknown keys, wrong types and values out of range, and `genloss schema` to print the JSON Schema.
//!
//! Four extensions of the schema are used: `"x-run-time-only"` marks a setting that does not affect results (see
//! [`without_run_time_only`]), `"x-hint"` is added to errors about a value that is missing or out of range,
//! `"x-may-be-infinite"` allows infinity, and `"x-sensible"` narrows a range to the meaningful values (see
//! [`check_sensible`]).
//!
//! ```
//! use genloss::settings;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Truncation {
//!     /// Number of most probable tokens kept.
//!     #[schemars(range(min = 1, max = 1000))]
//!     top_k: usize,
//! }
//! impl Default for Truncation {
//!     fn default() -> Self {
//!         Self { top_k: 50 }
//!     }
//! }
//!
//! let read = |text: &str| settings::read::<Truncation>(text.parse().unwrap());
//! assert_eq!(read("").unwrap().top_k, 50);
//! assert_eq!(read("top_k = 1e2").unwrap().top_k, 100);
//! let error = read("top_k = 0").unwrap_err();
//! assert_eq!(error.to_string(), "top_k: 0 is out of range; give a whole number from 1 to 1000");
//! let error = read("top_p = 0.5").unwrap_err();
//! assert!(error.to_string().contains("the only valid key is \"top_k\""));
//! ```

mod check;
mod kinds;
mod schema;

pub(crate) use check::described;
pub use check::unknown_key;
pub use kinds::{Chosen, Kind, Kinds, Registered};
pub use schema::{properties, schema_of};

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use toml::{Table, Value};

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SettingError {
    /// Dotted path of the setting, relative to the table that was read.
    pub key: String,
    /// The problem and how to fix it.
    pub message: String,
    /// Whether the table that was read has no such key; another table may have it.
    pub is_unknown_key: bool,
}

impl SettingError {
    /// `key` is relative to the table that was read, and empty for the table itself.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), is_unknown_key: false }
    }

    /// Puts `table` in front of the key, which is then relative to the table that contains `table`.
    #[must_use]
    pub fn below(self, table: &str) -> Self {
        let key = if self.key.is_empty() { table.to_owned() } else { format!("{table}.{}", self.key) };
        Self { key, ..self }
    }
}

/// A settings struct. Implemented for every type that derives `Serialize`, `Deserialize` and `JsonSchema`.
pub trait Settings: Serialize + DeserializeOwned + JsonSchema {}

impl<T: Serialize + DeserializeOwned + JsonSchema> Settings for T {}

/// Reads a table of settings. Whole numbers may be written as floats without a fraction (`2e5`).
///
/// # Errors
/// If a key is unknown, or a value is missing, has the wrong type or is out of range.
pub fn read<T: Settings>(table: Table) -> Result<T, SettingError> {
    read_value(Value::Table(table))
}

/// Reads a value that need not be a table, like [`read`]. Keys in errors are relative to the value.
///
/// # Errors
/// As [`read`].
pub fn read_value<T: Settings>(mut value: Value) -> Result<T, SettingError> {
    check::value("", &mut value, &schema_of::<T>())?;
    value.try_into().map_err(|error: toml::de::Error| SettingError::new("", one_line(error.message())))
}

/// Converts floats without a fraction to integers wherever `schema` requires an integer.
pub fn normalize(value: &mut Value, schema: &Json) {
    check::normalize(value, schema);
}

/// Checks the ranges of settings that were not made by [`read`].
///
/// # Errors
/// If a value is out of range.
pub fn check_ranges<T: Settings>(settings: &T) -> Result<(), SettingError> {
    check::value("", &mut Value::Table(table_of(settings)), &schema_of::<T>())
}

/// Checks every number of a table that has been read against the range of meaningful values, such as `"x-sensible" = {
/// "minimum": 0.01, "why": "below it …" }`. Values outside this range are possible, and occur in the records of
/// earlier versions.
///
/// # Errors
/// If a value is outside of its range; the error says why.
pub fn check_sensible(table: &Table, schema: &Json) -> Result<(), SettingError> {
    check::sensible("", &Value::Table(table.clone()), schema)
}

/// A schema for users: every range is narrowed to the one that [`check_sensible`] checks.
#[must_use]
pub fn sensible_schema(schema: Json) -> Json {
    check::narrowed(schema)
}

/// The settings as a table. Defaults are written out; optional settings that are not set are left out.
///
/// # Panics
/// If the type is not a struct that TOML can represent.
pub fn table_of<T: Serialize>(settings: &T) -> Table {
    Table::try_from(settings).expect("settings are a TOML table")
}

/// The settings that affect results, as a table with every default written out.
pub fn result_table_of<T: Settings>(settings: &T) -> Table {
    without_run_time_only(table_of(settings), &schema_of::<T>())
}

/// `table` without the settings that `schema` marks as run-time-only.
#[must_use]
pub fn without_run_time_only(mut table: Table, schema: &Json) -> Table {
    for (key, property) in properties(schema) {
        if property.get("x-run-time-only").is_some() {
            table.remove(key);
        }
    }
    table
}

/// The name in `known` that is most similar to `given` (Jaro–Winkler); `None` if none is similar.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.7;
    let similarity = |name: &str| strsim::jaro_winkler(&given.to_lowercase(), name);
    let nearest = known.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    nearest.filter(|name| similarity(name) >= SIMILAR)
}

/// Joins the lines of a message with "; ".
pub(crate) fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
