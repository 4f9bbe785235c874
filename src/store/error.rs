//! Errors of a store.

use crate::claims::Lost;
use crate::config::ConfigError;
use crate::files;
use std::path::PathBuf;

/// An error of the store: where, what, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The note on where a generation was made is not valid.
    #[error("{}: damaged; delete this file: only the note on where the generation was made is lost", path.display())]
    Origin {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: serde_json::Error,
    },
    /// A file or folder cannot be read or written.
    #[error("{}{}", path.display(), files::remedy(source))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// A JSON record cannot be read or written.
    #[error("{}: not a record of genloss; restore it from a copy", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in the file, and what is wrong.
        source: serde_json::Error,
    },
    /// There is a folder, a device or a pipe where a file is expected.
    #[error("{}: is a folder, a device or a pipe where a file is expected; remove it", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A record or an experiment file is not what was written.
    #[error("{}: was changed after it was written; restore it from a copy, or run into another --out", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
    },
    /// A record lacks the hash that the program wrote into it.
    #[error(
        "{}: its hash (\"blake3\") was removed after it was written; restore the file from a copy, or run into \
         another --out",
        path.display()
    )]
    HashMissing {
        /// The file.
        path: PathBuf,
    },
    /// A file without which a run or a study can be neither read nor continued does not exist.
    #[error("{}: this file is missing; it holds {content}; {remedy}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Its content.
        content: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The baseline on record cannot be used.
    #[error("{}: damaged: {reason}; delete this file and run again to simulate it anew", path.display())]
    Baseline {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The text that `genloss prepare` left for workers cannot be used.
    #[error("{}: {reason}; run genloss prepare to make it again", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A record has a schema that this program does not know.
    #[error(
        "{}: written by a newer genloss (schema {found}; this program knows up to {known}); update genloss to read it",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: u64,
        /// The newest schema that this program knows.
        known: u64,
    },
    /// A Parquet file cannot be read or written.
    #[error("{}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: parquet::errors::ParquetError,
    },
    /// The recorded experiment file cannot be parsed.
    #[error("{}: the record of the experiment is damaged; restore it from a copy", path.display())]
    Experiment {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<ConfigError>,
    },
    /// The folder contains runs, such as those of a sweep, or studies, but is not itself one.
    #[error(
        "{}: no experiment here, but in folders below it; give one of them, such as {}, or all of them \
         ({}/*) to a command that takes several",
        root.display(), example.display(), root.display()
    )]
    Sweep {
        /// The folder.
        root: PathBuf,
        /// The first run or study in it.
        example: PathBuf,
    },
    /// Another process works on the run, or changes its records.
    #[error(
        "{}: {holder} works on this run; only what is missing can be made meanwhile: wait for it, or give another --out",
        root.display()
    )]
    Busy {
        /// The store.
        root: PathBuf,
        /// The other process.
        holder: String,
    },
    /// The experiment file on record was changed while this process had the run open.
    #[error("{}: its experiment was changed while this process worked on it; start again", root.display())]
    ChangedMeanwhile {
        /// The store.
        root: PathBuf,
    },
    /// Another process has taken over a unit of work.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A generation is to be written whose unit this process has not claimed.
    #[error("{}: claim the unit that makes this generation before writing it", folder.display())]
    NotClaimed {
        /// The folder of the generation.
        folder: PathBuf,
    },
    /// The folder contains something else, and no experiment.
    #[error("{}: this folder holds {found:?} and no experiment; give an empty or a new one as --out", root.display())]
    Foreign {
        /// The folder.
        root: PathBuf,
        /// The name of something in it.
        found: String,
    },
    /// The experiment is not the one on record.
    #[error("{}: holds another experiment: {}; undo the change, or give another --out", root.display(), changes.join("; "))]
    Changed {
        /// The store.
        root: PathBuf,
        /// One line for each difference.
        changes: Vec<String>,
    },
    /// A file of a committed generation does not match the manifest.
    #[error("{}: damaged: {reason}; delete this folder and run again to repeat the generation", folder.display())]
    Damaged {
        /// The generation's folder.
        folder: PathBuf,
        /// Which file differs, and how.
        reason: String,
    },
    /// A generation is in the folder of another one.
    #[error("{}: holds {found}; move the folders of this run back to where they were", folder.display())]
    Misplaced {
        /// The folder.
        folder: PathBuf,
        /// The generation that it holds, such as `generation 2 of seed 1, arm "cool"`.
        found: String,
    },
    /// A file of a study is not what was exported.
    #[error("{}: damaged: {reason}; restore it from a copy, or export the runs again", path.display())]
    Study {
        /// The study.
        path: PathBuf,
        /// Which file, and how it differs.
        reason: String,
    },
    /// A committed generation was trained on a corpus that no longer exists.
    #[error(
        "{}: was trained on a corpus that no longer exists: an earlier generation was made again and wrote different text; delete this folder and those of the generations after it, and run again",
        folder.display()
    )]
    Orphaned {
        /// The generation's folder.
        folder: PathBuf,
    },
    /// There is no experiment.
    #[error("{}: no experiment here ({file} is missing); give the folder of a run or a study, such as generations/demo", root.display())]
    NoExperiment {
        /// The folder.
        root: PathBuf,
        /// The file that makes a folder a store.
        file: &'static str,
    },
    /// A table of a study does not have the columns or rows that it should have.
    #[error("{}: {reason}; export the runs again", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A folder for others, such as a study, is only written as a new one.
    #[error("{}: this folder is not empty; give a new one as --out", folder.display())]
    FolderExists {
        /// The folder.
        folder: PathBuf,
    },
    /// A study tells its experiments apart by name.
    #[error(
        "two experiments are named \"{name}\"; export them as two studies, or give one of them another name"
    )]
    SameName {
        /// The name.
        name: String,
    },
}

impl StoreError {
    /// What is wrong, without the path and the remedy.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::File { source, .. } => source.to_string(),
            Self::Json { source, .. } => source.to_string(),
            Self::Altered { .. } => "was changed after it was written".to_owned(),
            Self::HashMissing { .. } => "its hash (\"blake3\") was removed after it was written".to_owned(),
            Self::NotAFile { .. } => "is not a file".to_owned(),
            other => other.to_string(),
        }
    }
}
