//! An experiment: the TOML file, typed, then checked.
//!
//! [`mod@file`] mirrors the file word for word; `check` turns it into the types of [`settings`]. Holding an
//! [`Experiment`] means that it is valid. Going back, `ExperimentFile::from(&experiment)` spells out every default,
//! and that resolved file is what a run records.
//!
//! ```
//! let text = r#"
//!     name = "smallest"
//!     seeds = [1]
//!     generations = 2
//!     corpus = { source = "world", train_tokens = 1000, heldout_tokens = 500, reference_tokens = 1000 }
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

mod check;
mod difference;
mod error;
pub mod file;
mod grid;
mod inherit;
mod overrides;
mod regimes;
pub mod selection;
pub mod settings;
mod written;

pub use difference::{difference, is_run_time_only};
pub use error::ConfigError;
pub use grid::Sweep;
pub use regimes::PUBLISHED_REGIMES;
pub use selection::Selection;
pub use settings::*;

use file::{ExperimentFile, MixtureValue, SynthesisTable};
use serde::Deserialize;
use std::path::Path;

/// Reads and checks the experiment file at `path`, after setting each `key.path=value` of `overrides`.
///
/// # Errors
/// When the file cannot be read, or as [`parse`].
pub fn load(path: &Path, overrides: &[String]) -> Result<Experiment, ConfigError> {
    parse(&read(path)?, &path.display().to_string(), overrides)
}

/// Reads and checks the experiments of the file at `path`, as [`parse_sweep`].
///
/// # Errors
/// When the file cannot be read, or as [`parse_sweep`].
pub fn load_sweep(path: &Path, overrides: &[String]) -> Result<Option<Sweep>, ConfigError> {
    parse_sweep(&read(path)?, &path.display().to_string(), overrides)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// Checks the text of an experiment file; `place` is what errors call it.
///
/// # Errors
/// When the text is not TOML, has unknown keys or wrong types (with line, column and the nearest valid key), or
/// when a setting makes no sense.
pub fn parse(text: &str, place: &str, overrides: &[String]) -> Result<Experiment, ConfigError> {
    let mut file: ExperimentFile =
        toml::from_str(text).map_err(|error| error::at_place(&error, text, place))?;
    if !overrides.is_empty() {
        let table = overrides::apply(text, place, overrides)?;
        file = overrides::typed(&table)
            .map_err(|message| ConfigError::Override { setting: overrides.join(" "), message })?;
    }
    check::experiment(file)
}

/// Checks the text of an experiment file with a `[grid]`, and spells out its experiments; None where there is no grid.
/// What the grid varies may stand in the file besides, and must where it has no default: a file is whole without its
/// grid.
///
/// # Errors
/// As [`parse`], and when a list is empty, or combinations are too many.
pub fn parse_sweep(text: &str, place: &str, overrides: &[String]) -> Result<Option<Sweep>, ConfigError> {
    // Read as an experiment file first, a fault has its line and column.
    let _: ExperimentFile = toml::from_str(text).map_err(|error| error::at_place(&error, text, place))?;
    grid::sweep(overrides::apply(text, place, overrides)?)
}

/// Checks a mixture that stands outside of an experiment file: a published name such as `replace`, or an inline table
/// such as `{ natural_fraction = 0.3 }`. `place` is what errors call it.
///
/// # Errors
/// As [`parse`].
pub fn parse_mixture(text: &str, place: &str) -> Result<Mixture, ConfigError> {
    #[derive(Deserialize)]
    struct Alone {
        mixture: MixtureValue,
    }
    let text = text.trim();
    let is_name = !text.contains(['{', '"', '=', '\n']);
    let value = if is_name {
        MixtureValue::Name(text.to_owned())
    } else {
        let whole = format!("mixture = {text}");
        let alone: Alone = toml::from_str(&whole).map_err(|error| error::at_place(&error, &whole, place))?;
        alone.mixture
    };
    check::mixture_value(place, &value)
}

/// Checks how tokens are chosen, outside of an experiment file: the keys of `table` that [`Decoding`] is made of.
/// `name` turns a key such as `top_p` into what errors call it.
///
/// # Errors
/// When a setting makes no sense.
pub fn check_decoding(
    table: &SynthesisTable,
    name: &dyn Fn(&str) -> String,
) -> Result<Decoding, ConfigError> {
    check::decoding::token_by_token(name, table)
}

impl Experiment {
    /// The resolved experiment file: every default written out.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&ExperimentFile::from(self)).expect("an experiment file is representable in TOML")
    }
}
