//! Errors of reading an experiment file.

use crate::settings::SettingError;
use std::path::PathBuf;

/// An error in an experiment file: where, what, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The experiment file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The text is not TOML.
    #[error("{position}: {message}")]
    Syntax {
        /// `file:line:column`.
        position: String,
        /// Message of the TOML parser.
        message: String,
    },
    /// A `--set` that cannot be applied, or that makes the experiment invalid.
    #[error("--set {setting}: {message}")]
    Override {
        /// `key.path=value`, as given.
        setting: String,
        /// The problem and how to fix it.
        message: String,
    },
    /// A setting is invalid.
    #[error("{}{key}: {message}", position.as_ref().map_or(String::new(), |position| format!("{position}: ")))]
    Setting {
        /// `file:line:column`, if the setting is in a file.
        position: Option<String>,
        /// Dotted path of the setting, after the name of its arm if it belongs to one.
        key: String,
        /// The problem and how to fix it.
        message: String,
    },
}

impl ConfigError {
    /// An error about a setting, without a position in a file.
    pub(super) fn setting(error: SettingError) -> Self {
        let SettingError { key, message, .. } = error;
        Self::Setting { position: None, key, message }
    }

    /// The error message without the position.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Setting { key, message, .. } => format!("{key}: {message}"),
            Self::Syntax { message, .. } => message.clone(),
            Self::Unreadable { .. } | Self::Override { .. } => self.to_string(),
        }
    }
}
