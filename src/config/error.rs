//! What can be wrong with an experiment file.

use std::path::PathBuf;

/// A fault in an experiment file: where, what, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, a missing key or a wrong type.
    #[error("{place}:{line}:{column}: {message}")]
    Syntax {
        /// The file.
        place: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A `--set` that cannot be applied.
    #[error("--set {setting}: {message}")]
    Override {
        /// As given.
        setting: String,
        /// What is wrong.
        message: String,
    },
    /// A setting that makes no sense.
    #[error("{key}: {message}")]
    Setting {
        /// The key, with the arm it stands in.
        key: String,
        /// What is wrong, and what to try.
        message: String,
    },
}

/// A fault in the setting `key`.
pub(super) fn setting(key: impl Into<String>, message: impl Into<String>) -> ConfigError {
    ConfigError::Setting { key: key.into(), message: message.into() }
}

/// Gives a TOML error its line and column, and a misspelt key its nearest neighbour.
pub(super) fn at_place(error: &toml::de::Error, text: &str, place: &str) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..start).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let message = plain(error.message());
    ConfigError::Syntax { place: place.to_owned(), line, column, message }
}

/// The message of a TOML error on one line; serde's list of known keys is cut down to the nearest one.
pub(super) fn plain(message: &str) -> String {
    let one_line = message.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let quoted: Vec<&str> = one_line.split('`').skip(1).step_by(2).collect();
    let is_unknown = one_line.starts_with("unknown field") || one_line.starts_with("unknown variant");
    let [given, known @ ..] = quoted.as_slice() else { return one_line };
    if !is_unknown {
        return one_line;
    }
    let what = if one_line.starts_with("unknown field") { "key" } else { "value" };
    let nearest =
        known.iter().max_by(|a, b| strsim::jaro_winkler(given, a).total_cmp(&strsim::jaro_winkler(given, b)));
    match nearest {
        Some(nearest) => format!(
            "unknown {what} \"{given}\"; the nearest valid {what} is \"{nearest}\" (of {})",
            known.join(", ")
        ),
        None => format!("unknown {what} \"{given}\"; no {what} is valid here"),
    }
}
