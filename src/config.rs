//! Experiment files: TOML is read and checked into an [`Experiment`].
//!
//! Every setting is a field of a settings struct, which belongs to the module that uses it. This module assembles their
//! tables: it applies `--set` and the values of a `[grid]`, merges the tables of an arm or of the writer over those of
//! the experiment, fills in defaults that depend on other settings, and reads each table once. An [`Experiment`] is
//! always valid. [`Experiment::to_toml`] does the reverse: it writes a file with every default spelled out, which a run
//! records.
//!
//! ```
//! let text = r#"
//!     name = "smallest"
//!     seeds = [1]
//!     generations = 2
//!     corpus = { source = "world", train_tokens = 1000, heldout_tokens = 500, reference_tokens = 1e3 }
//!     model = { kind = "ngram", order = 3 }
//!     [[arm]]
//!     name = "unanchored"
//!     mixture = "replace"
//! "#;
//! let experiment = genloss::config::parse(text, "smallest.toml", &[])?;
//! assert_eq!(experiment.arms[0].name, "control");
//! assert_eq!(genloss::config::parse(&experiment.to_toml(), "resolved", &[])?, experiment);
//! # Ok::<(), genloss::config::ConfigError>(())
//! ```

mod caveats;
mod difference;
mod document;
mod error;
mod expectation;
mod experiment;
mod grid;
mod names;
mod overrides;
mod read;
mod registry;
mod schema;

pub use difference::difference;
pub use error::ConfigError;
pub use expectation::Expectation;
pub use experiment::{Arm, CONTROL, Experiment, WriterSettings};
pub use grid::Sweep;
pub use names::arms_in_words;
pub use registry::Registry;

use crate::mixture::Mixture;
use crate::settings::SettingError;
use document::Document;
use read::Origin;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use toml::{Table, Value};

/// Reads and checks the experiment file at `path`, with each `key.path=value` of `overrides` applied in order.
///
/// # Errors
/// If the file cannot be read, and as [`parse`].
pub fn load(path: &Path, overrides: &[String]) -> Result<Experiment, ConfigError> {
    parse(&read_text(path)?, &path.display().to_string(), overrides)
}

/// Reads and checks all experiments of the file at `path`; see [`parse_sweep`].
///
/// # Errors
/// If the file cannot be read, and as [`parse_sweep`].
pub fn load_sweep(path: &Path, overrides: &[String]) -> Result<Option<Sweep>, ConfigError> {
    parse_sweep(&read_text(path)?, &path.display().to_string(), overrides)
}

/// Largest size of an experiment file, in bytes. A device may have no end.
const MOST_BYTES: u64 = 16 << 20;

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            let message = format!("more than {} MB are no experiment file", MOST_BYTES >> 20);
            return Err(io::Error::other(message));
        }
        String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            io::Error::other(format!(
                "line {line} is not valid UTF-8; convert the file, for example with iconv"
            ))
        })
    };
    read().map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// Reads the text of an experiment file with the built-in [`Registry`]. `source_name` stands for the file in errors.
///
/// # Errors
/// As [`Registry::parse`].
pub fn parse(text: &str, source_name: &str, overrides: &[String]) -> Result<Experiment, ConfigError> {
    Registry::builtin().parse(text, source_name, overrides)
}

/// Uses the built-in [`Registry`] to read an experiment file that a run recorded; see [`Registry::parse_recorded`].
///
/// # Errors
/// As [`Registry::parse_recorded`].
pub fn parse_recorded(text: &str, source_name: &str) -> Result<Experiment, ConfigError> {
    Registry::builtin().parse_recorded(text, source_name)
}

/// Uses the built-in [`Registry`] to read the text of an experiment file with a `[grid]`. `source_name` stands for the
/// file in errors.
///
/// # Errors
/// As [`Registry::parse_sweep`].
pub fn parse_sweep(
    text: &str,
    source_name: &str,
    overrides: &[String],
) -> Result<Option<Sweep>, ConfigError> {
    Registry::builtin().parse_sweep(text, source_name, overrides)
}

impl Registry {
    /// Reads the text of an experiment file. `source_name` stands for the file in errors.
    ///
    /// # Errors
    /// If the text is not TOML, has an unknown key (the error suggests the nearest valid one), a wrong type or a value
    /// out of range, or if settings contradict each other. The error has a line number if the setting is in the file.
    pub fn parse(
        &self,
        text: &str,
        source_name: &str,
        overrides: &[String],
    ) -> Result<Experiment, ConfigError> {
        let read = |table: Table, document: &Document| read::experiment(self, table, document, Origin::User);
        self.with_overrides(text, source_name, overrides, read)
    }

    /// Reads an experiment file that a run recorded. Values and names that only earlier versions allowed are accepted,
    /// although no new experiment can have them.
    ///
    /// # Errors
    /// If no version of genloss could have recorded the file.
    pub fn parse_recorded(&self, text: &str, source_name: &str) -> Result<Experiment, ConfigError> {
        let document = Document::parse(text, source_name)?;
        read::experiment(self, document.table.clone(), &document, Origin::Record)
    }

    /// Reads all experiments of a file with a `[grid]`; `None` if there is no grid. The values of the grid replace
    /// those in the rest of the file.
    ///
    /// # Errors
    /// As [`Self::parse`], and if a list is empty or there are too many combinations.
    pub fn parse_sweep(
        &self,
        text: &str,
        source_name: &str,
        overrides: &[String],
    ) -> Result<Option<Sweep>, ConfigError> {
        self.with_overrides(text, source_name, overrides, |table, document| {
            grid::sweep(self, table, document)
        })
    }

    /// Reads the file with all `overrides` applied. If one of them causes the error, the error names it.
    fn with_overrides<T>(
        &self,
        text: &str,
        source_name: &str,
        overrides: &[String],
        read: impl Fn(Table, &Document) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let document = Document::parse(text, source_name)?;
        let attempt = |count: usize| {
            let mut table = document.table.clone();
            overrides::apply(self, &mut table, &overrides[..count])?;
            read(table, &document)
        };
        let error = match attempt(overrides.len()) {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        // The one that set the key of the error, or else the first with which it appears.
        let sets_key = |setting: &&String| {
            let path = setting.split_once('=').map_or("", |(path, _)| path.trim());
            matches!(&error, ConfigError::Setting { key, .. } if key == path)
        };
        if let Some(setting) = overrides.iter().rfind(sets_key) {
            return Err(ConfigError::Override { setting: setting.clone(), message: error.message() });
        }
        let has_error =
            |count: &usize| attempt(*count).is_err_and(|other| other.message() == error.message());
        match (0..=overrides.len()).find(has_error) {
            Some(count) if count > 0 && !matches!(error, ConfigError::Override { .. }) => {
                let setting = overrides[count - 1].clone();
                Err(ConfigError::Override { setting, message: error.message() })
            }
            Some(_) | None => Err(error),
        }
    }
}

/// Where a setting stands in the text of an experiment file: `file:line:column`, or only the file if neither the
/// setting nor an enclosing table is in the text. `key` is the dotted path of the setting, and may begin with the name
/// of an arm, as in `arm "anchored": model.context`.
///
/// # Errors
/// If the text is not TOML.
pub fn position(text: &str, source_name: &str, key: &str) -> Result<String, ConfigError> {
    Ok(Document::parse(text, source_name)?.position_of_key(key))
}

/// Reads a mixture from text outside of an experiment file: a published name such as `replace`, or an inline table such
/// as `{ natural_fraction = 0.3 }`. `source_name` stands for the text in errors.
///
/// # Errors
/// If the text is neither a published name nor an inline table, or a setting is invalid.
pub fn parse_mixture(text: &str, source_name: &str) -> Result<Mixture, ConfigError> {
    const KEY: &str = "mixture";
    let text = text.trim();
    let is_name = !text.contains(['{', '"', '=', '\n']);
    let value = if is_name {
        Value::String(text.to_owned())
    } else {
        let mut table = Document::parse(&format!("{KEY} = {text}"), source_name)?.table;
        table.remove(KEY).unwrap_or_else(|| Value::String(String::new()))
    };
    let mixture = Mixture::read(value).map_err(|error| ConfigError::setting(error.below(source_name)))?;
    if mixture.synthetic_from.is_empty() {
        return Ok(mixture);
    }
    let message = "there are no other arms here; leave it out";
    Err(ConfigError::setting(SettingError::new("synthetic_from", message).below(source_name)))
}
