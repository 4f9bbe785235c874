//! An experiment: a TOML file, read and checked.
//!
//! Every setting is one field of one struct, which belongs to the module that acts on it. This module knows how a file is
//! put together from their tables: it merges them (an arm's or the writer's over the experiment's, values of a `[grid]`
//! and of `--set` over the file's), fills in the defaults that depend on other settings, and reads each table once.
//! Holding an [`Experiment`] means that it is valid. [`Experiment::to_toml`] is the way back: a file with every default
//! written out, which a run records.
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

mod difference;
mod document;
mod error;
mod experiment;
mod grid;
mod overrides;
mod read;
mod registry;
mod schema;

pub use difference::difference;
pub use error::ConfigError;
pub use experiment::{Arm, CONTROL, Experiment, WriterSettings};
pub use grid::Sweep;
pub use registry::Registry;

use crate::mixture::Mixture;
use document::Document;
use std::path::Path;
use toml::{Table, Value};

/// Reads and checks the experiment file at `path`, after setting each `key.path=value` of `overrides`.
///
/// # Errors
/// When the file cannot be read, or as [`parse`].
pub fn load(path: &Path, overrides: &[String]) -> Result<Experiment, ConfigError> {
    parse(&read_text(path)?, &path.display().to_string(), overrides)
}

/// Reads and checks the experiments of the file at `path`, as [`parse_sweep`].
///
/// # Errors
/// When the file cannot be read, or as [`parse_sweep`].
pub fn load_sweep(path: &Path, overrides: &[String]) -> Result<Option<Sweep>, ConfigError> {
    parse_sweep(&read_text(path)?, &path.display().to_string(), overrides)
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// Checks the text of an experiment file, which errors call `place`, with the kinds that come with the library.
///
/// # Errors
/// As [`Registry::parse`].
pub fn parse(text: &str, place: &str, overrides: &[String]) -> Result<Experiment, ConfigError> {
    Registry::builtin().parse(text, place, overrides)
}

/// Checks the text of an experiment file with a `[grid]`, with the kinds that come with the library.
///
/// # Errors
/// As [`Registry::parse_sweep`].
pub fn parse_sweep(text: &str, place: &str, overrides: &[String]) -> Result<Option<Sweep>, ConfigError> {
    Registry::builtin().parse_sweep(text, place, overrides)
}

impl Registry {
    /// Checks the text of an experiment file; `place` is what errors call it.
    ///
    /// # Errors
    /// When the text is not TOML, has unknown keys (with the nearest valid one), wrong types or values out of range, or
    /// when settings do not fit together. Errors name the line where they can.
    pub fn parse(&self, text: &str, place: &str, overrides: &[String]) -> Result<Experiment, ConfigError> {
        self.with_overrides(text, place, overrides, |table, document| read::experiment(self, table, document))
    }

    /// Checks the text of an experiment file with a `[grid]`, and returns its experiments; None if there is no grid. A
    /// setting that the grid varies may be in the file as well; the grid's values replace it.
    ///
    /// # Errors
    /// As [`Self::parse`], and when a list is empty, or there are too many combinations.
    pub fn parse_sweep(
        &self,
        text: &str,
        place: &str,
        overrides: &[String],
    ) -> Result<Option<Sweep>, ConfigError> {
        self.with_overrides(text, place, overrides, |table, document| grid::sweep(self, table, document))
    }

    /// Reads the file with all `overrides`. An error that one of them brought in names it.
    fn with_overrides<T>(
        &self,
        text: &str,
        place: &str,
        overrides: &[String],
        read: impl Fn(Table, &Document) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let document = Document::parse(text, place)?;
        let attempt = |count: usize| {
            let mut table = document.table.clone();
            overrides::apply(&mut table, &overrides[..count])?;
            read(table, &document)
        };
        let error = match attempt(overrides.len()) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
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

/// Checks a mixture outside of an experiment file: a published name such as `replace`, or an inline table such as
/// `{ natural_fraction = 0.3 }`. `place` is what errors call it.
///
/// # Errors
/// When it is neither, or a setting makes no sense.
pub fn parse_mixture(text: &str, place: &str) -> Result<Mixture, ConfigError> {
    const KEY: &str = "mixture";
    let text = text.trim();
    let is_name = !text.contains(['{', '"', '=', '\n']);
    let value = if is_name {
        Value::String(text.to_owned())
    } else {
        let mut table = Document::parse(&format!("{KEY} = {text}"), place)?.table;
        table.remove(KEY).unwrap_or_else(|| Value::String(String::new()))
    };
    Mixture::read(value).map_err(|error| ConfigError::setting(error.below(place)))
}
