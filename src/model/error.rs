//! Errors of models and model folders.

use crate::documents::TokenId;
use std::error::Error;
use std::path::{Path, PathBuf};

/// An underlying error of any type.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// An error of a model or a model folder.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A model folder is missing, incomplete, damaged, or of a kind that is not supported.
    #[error("model folder {}: {reason}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What is wrong, and what to try.
        reason: String,
        /// The underlying error, if there is one.
        #[source]
        cause: Option<Cause>,
    },
    /// A file could not be read or written.
    #[error("{}{}", path.display(), crate::files::remedy(source))]
    File {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A device cannot be used.
    #[error("device {name}: {reason}")]
    Device {
        /// Name that the user gave.
        name: String,
        /// What is wrong, and what to try.
        reason: String,
    },
    /// Contrastive search was requested from a model without hidden states.
    #[error(
        "contrastive search compares hidden states, and an n-gram has none; try a transformer or another decoder"
    )]
    NoHiddenStates,
    /// A text contains a token that the model does not have.
    #[error(
        "token {token} is outside the vocabulary of {vocab_size}; was the text encoded with another tokenizer?"
    )]
    UnknownToken {
        /// The token.
        token: TokenId,
        /// Size of the model's vocabulary.
        vocab_size: usize,
    },
    /// A prediction is not a number.
    #[error(
        "{place}: the model's prediction is not a number, because its weights overflow 32-bit floats{largest}"
    )]
    NotFinite {
        /// The document and token, as far as they are known.
        place: String,
        /// The end of the message, which names the largest weight; empty if that is unknown.
        largest: String,
    },
    /// A text or a vocabulary is too large for 32-bit counts.
    #[error(
        "a text of {tokens} tokens with a vocabulary of {vocab_size} is too large for an n-gram model, which allows up to 2^32 − 2 of each; lower corpus.train_tokens"
    )]
    TooManyToCount {
        /// Tokens of the text.
        tokens: u64,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// A problem with the contents of a folder, not yet combined with the path of the folder.
#[derive(Debug)]
pub(crate) struct FolderProblem {
    reason: String,
    cause: Option<Cause>,
}

impl FolderProblem {
    /// A problem with an underlying error. `reason` should not repeat the text of `cause`.
    pub(crate) fn caused_by(reason: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self { reason: reason.into(), cause: Some(cause.into()) }
    }

    /// Prefixes the reason with the part of the folder that it concerns: `"context: reason"`.
    pub(crate) fn within(self, context: &str) -> Self {
        Self { reason: format!("{context}: {}", self.reason), ..self }
    }

    /// Appends what the user can try to the reason: `"reason; remedy"`.
    pub(crate) fn with_remedy(self, remedy: &str) -> Self {
        Self { reason: format!("{}; {remedy}", self.reason), ..self }
    }

    /// The reason and the cause.
    pub(crate) fn into_parts(self) -> (String, Option<Cause>) {
        (self.reason, self.cause)
    }

    /// The error that reports this problem in the model folder `dir`.
    pub(crate) fn of_folder(self, dir: &Path) -> ModelError {
        ModelError::Folder { dir: dir.to_owned(), reason: self.reason, cause: self.cause }
    }
}

impl<S: Into<String>> From<S> for FolderProblem {
    fn from(reason: S) -> Self {
        Self { reason: reason.into(), cause: None }
    }
}
