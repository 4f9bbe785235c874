//! Settings: one struct per table of an experiment file, which is read from the file, checked, described and written back.
//!
//! A settings struct derives `Serialize`, `Deserialize` and `JsonSchema`; each setting is one field of it. The doc
//! comment is the description that users read, the `Default` value or `#[serde(default)]` is the default, and the
//! attributes `#[schemars(range(…))]` or `#[schemars(extend("exclusiveMinimum" = …))]` are the range. From these
//! [`read`] finds unknown keys, wrong types and values out of range, and `genloss schema` the JSON Schema.
//!
//! Two extensions of the schema have a meaning here: `"x-run-time-only"` marks a setting that no result depends on
//! (see [`without_run_time_only`]), and `"x-hint"` is added to the error about a value out of range.
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
//! assert!(error.to_string().contains("the nearest valid key is \"top_k\""));
//! ```

mod check;
mod kinds;
mod schema;

pub use check::unknown_key;
pub use kinds::{Chosen, Kind, Kinds, Registered};
pub use schema::{properties, schema_of};

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use toml::{Table, Value};

/// A setting that cannot be used: which one, what is wrong, and what to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SettingError {
    /// Dotted path of the setting, relative to the table that was read.
    pub key: String,
    /// What is wrong, and what to try.
    pub message: String,
}

impl SettingError {
    /// An error about the setting at `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// The same error with its key below `table`.
    #[must_use]
    pub fn below(self, table: &str) -> Self {
        let key = if self.key.is_empty() { table.to_owned() } else { format!("{table}.{}", self.key) };
        Self { key, ..self }
    }
}

/// What a settings struct has to be able to do; implemented for every type that can.
pub trait Settings: Serialize + DeserializeOwned + JsonSchema {}

impl<T: Serialize + DeserializeOwned + JsonSchema> Settings for T {}

/// Reads a table of settings. Whole numbers may be written as floats without a fraction (`2e5`).
///
/// # Errors
/// When a key is unknown, a value is missing, has the wrong type or is out of range.
pub fn read<T: Settings>(table: Table) -> Result<T, SettingError> {
    read_value(Value::Table(table))
}

/// Reads one value of settings, as [`read`]; keys of errors are relative to it.
///
/// # Errors
/// As [`read`].
pub fn read_value<T: Settings>(mut value: Value) -> Result<T, SettingError> {
    check::value("", &mut value, &schema_of::<T>())?;
    value.try_into().map_err(|error: toml::de::Error| SettingError::new("", one_line(error.message())))
}

/// Converts whole numbers that are written as floats, wherever `schema` asks for a whole number.
pub fn normalize(value: &mut Value, schema: &Json) {
    check::normalize(value, schema);
}

/// Checks the ranges of settings that were not read from a file.
///
/// # Errors
/// When a value is out of range.
pub fn check_ranges<T: Settings>(settings: &T) -> Result<(), SettingError> {
    check::value("", &mut Value::Table(table_of(settings)), &schema_of::<T>())
}

/// The settings as a table: every default written out, options that are not set left out.
///
/// # Panics
/// When the type is not a struct that TOML can represent.
pub fn table_of<T: Serialize>(settings: &T) -> Table {
    Table::try_from(settings).expect("settings are a TOML table")
}

/// The settings that results depend on, as a table with every default written out.
pub fn result_table_of<T: Settings>(settings: &T) -> Table {
    without_run_time_only(table_of(settings), &schema_of::<T>())
}

/// The settings of `table` that results depend on. `schema` says which others there are.
#[must_use]
pub fn without_run_time_only(mut table: Table, schema: &Json) -> Table {
    for (key, property) in properties(schema) {
        if property.get("x-run-time-only").is_some() {
            table.remove(key);
        }
    }
    table
}

/// The name among `known` that is most like `given`.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(given, name);
    known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// A message of several lines on one.
pub(crate) fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
