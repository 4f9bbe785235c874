//! The table `[tokenizer]`: the vocabulary size of a new tokenizer, or the file of an existing one.

use crate::settings::SettingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::Table;

/// A byte-level BPE tokenizer that is trained on natural training text, or an existing tokenizer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerSettings {
    /// Vocabulary size of the tokenizer to train, including the 256 bytes and the end-of-text token. 2048 if neither this
    /// nor `path` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 257, max = 1_048_576))]
    pub vocab_size: Option<usize>,
    /// Path of an existing `tokenizer.json`, which is used instead of training one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

impl TokenizerSettings {
    /// Adds the default of `vocab_size` if no tokenizer is given.
    pub(crate) fn complete(table: &mut Table) {
        if !table.contains_key("path") {
            table.entry("vocab_size").or_insert_with(|| 2048.into());
        }
    }

    pub(crate) fn check(&self) -> Result<(), SettingError> {
        if self.vocab_size.is_some() && self.path.is_some() {
            return Err(SettingError::new("", "has both vocab_size and path; keep one"));
        }
        Ok(())
    }
}
