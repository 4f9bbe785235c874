//! What can go wrong with a store.

use std::path::PathBuf;

/// A fault of the store: where, what, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or its permissions.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process is writing.
    #[error("{}: another process is writing this experiment; wait for it, or give another --out", root.display())]
    Locked {
        /// The store.
        root: PathBuf,
    },
    /// The folder holds something else.
    #[error("{}: this folder holds {found:?} and no experiment; give an empty or a new one as --out", root.display())]
    Foreign {
        /// The folder.
        root: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The experiment is not the one on record.
    #[error("{}: holds another experiment: {}; undo the change, or give another --out", root.display(), changes.join("; "))]
    Changed {
        /// The store.
        root: PathBuf,
        /// Each difference.
        changes: Vec<String>,
    },
    /// A committed generation is not whole any more.
    #[error("{}: damaged: {reason}; delete this folder and run again to have the generation made anew", folder.display())]
    Damaged {
        /// The generation's folder.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What a committed generation has learnt from is gone.
    #[error("{}: has learnt from a text that is no longer there: a generation before it was made anew, and came out otherwise; delete this folder and those of the generations after it, and run again", folder.display())]
    Orphaned {
        /// The generation's folder.
        folder: PathBuf,
    },
    /// There is no experiment.
    #[error("{}: no experiment here ({file} is missing); give the folder of a run, such as generations/demo", root.display())]
    NoExperiment {
        /// The folder.
        root: PathBuf,
        /// What makes a folder a store.
        file: &'static str,
    },
}
