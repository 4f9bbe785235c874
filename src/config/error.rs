//! What can be wrong with an experiment file.

use crate::settings::SettingError;
use std::path::PathBuf;

/// An error in an experiment file: where, what, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The text is not TOML.
    #[error("{position}: {message}")]
    Syntax {
        /// `file:line:column`.
        position: String,
        /// What is wrong.
        message: String,
    },
    /// A `--set` that cannot be applied, or that makes the experiment invalid.
    #[error("--set {setting}: {message}")]
    Override {
        /// As given.
        setting: String,
        /// What is wrong, and what to try.
        message: String,
    },
    /// A setting that makes no sense.
    #[error("{}{key}: {message}", position.as_ref().map_or(String::new(), |position| format!("{position}: ")))]
    Setting {
        /// `file:line:column`, if it is known.
        position: Option<String>,
        /// The key, with the arm that it belongs to.
        key: String,
        /// What is wrong, and what to try.
        message: String,
    },
}

impl ConfigError {
    /// An error about a setting that is not in a file.
    pub(super) fn setting(error: SettingError) -> Self {
        let SettingError { key, message } = error;
        Self::Setting { position: None, key, message }
    }

    /// The error without its position.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Setting { key, message, .. } => format!("{key}: {message}"),
            Self::Syntax { message, .. } => message.clone(),
            Self::Unreadable { .. } | Self::Override { .. } => self.to_string(),
        }
    }
}
