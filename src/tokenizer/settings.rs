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
    /// The token of an existing tokenizer with which documents start, such as `"<s>"`. If it is not given: the one that
    /// `config.json`, `generation_config.json`, `tokenizer.json` or `tokenizer_config.json` in the folder of the tokenizer names;
    /// else one with a usual name; else the end token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The token of an existing tokenizer that ends a document, such as `"</s>"`. If it is not given, it is looked for as
    /// `start` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
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
        for (key, name) in [("start", &self.start), ("end", &self.end)] {
            if name.is_some() && self.path.is_none() {
                let message = "names a token of an existing tokenizer; give its path too, or leave this out";
                return Err(SettingError::new(key, message));
            }
        }
        Ok(())
    }
}
