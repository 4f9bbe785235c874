//! Errors of writing for other tools.

use crate::store::StoreError;
use std::path::PathBuf;

/// A folder for another tool could not be written.
#[derive(Debug, thiserror::Error)]
pub enum InteropError {
    /// A run could not be read, or a file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The natural text as it can be read now is not the one that a run was made with.
    #[error(
        "{}: its natural text cannot be made again: the files have changed, or it was shared with other experiments of a \
         sweep; restore the files, or leave it out with --without-natural",
        folder.display()
    )]
    OtherText {
        /// The folder of the run.
        folder: PathBuf,
    },
    /// The synthetic text of a run is not on record.
    #[error("{}: the synthetic text of this run is not kept; run it again into another --out", folder.display())]
    NoText {
        /// The folder of the run.
        folder: PathBuf,
    },
    /// No model on record is wanted.
    #[error("{}: no generation on record matches --arm, --seed and --generation", folder.display())]
    NoModel {
        /// The folder of the run.
        folder: PathBuf,
    },
}
