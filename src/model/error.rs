//! What can go wrong with a model.

use crate::documents::TokenId;
use std::error::Error;
use std::path::{Path, PathBuf};

/// An error of any type that caused another one.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// What can go wrong with a model.
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
        /// The error that revealed it, if there is one.
        #[source]
        cause: Option<Cause>,
    },
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A device cannot be used.
    #[error("device {name}: {reason}")]
    Device {
        /// As the user named it.
        name: String,
        /// What is wrong, and what to try.
        reason: String,
    },
    /// Contrastive search with a model that has no hidden states.
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
    /// A text or a vocabulary is too large to be counted in 32 bits.
    #[error(
        "a text of {tokens} tokens with a vocabulary of {vocab_size} is too large for an n-gram model, which counts up to 2^32 − 2 of each; lower corpus.train_tokens"
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

/// What is wrong with a model folder, before it is known which folder.
#[derive(Debug)]
pub(crate) struct FolderProblem {
    reason: String,
    cause: Option<Cause>,
}

impl FolderProblem {
    /// A problem that another error revealed; `reason` does not repeat it.
    pub(crate) fn caused_by(reason: impl Into<String>, cause: impl Into<Cause>) -> Self {
        Self { reason: reason.into(), cause: Some(cause.into()) }
    }

    /// The same problem, told with what it concerns: `"context: reason"`.
    pub(crate) fn within(self, context: &str) -> Self {
        Self { reason: format!("{context}: {}", self.reason), ..self }
    }

    /// The same problem with what to try.
    pub(crate) fn with_remedy(self, remedy: &str) -> Self {
        Self { reason: format!("{}; {remedy}", self.reason), ..self }
    }

    /// The reason and the cause.
    pub(crate) fn into_parts(self) -> (String, Option<Cause>) {
        (self.reason, self.cause)
    }

    /// The error of a folder with this problem.
    pub(crate) fn of_folder(self, dir: &Path) -> ModelError {
        ModelError::Folder { dir: dir.to_owned(), reason: self.reason, cause: self.cause }
    }
}

impl<S: Into<String>> From<S> for FolderProblem {
    fn from(reason: S) -> Self {
        Self { reason: reason.into(), cause: None }
    }
}
