//! `genloss export`: writes runs as Parquet tables.

use super::compare;
use crate::cli::output;
use crate::store;
use anyhow::Result;
use std::path::PathBuf;

/// Options of `genloss export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs: one experiment each, such as the cells of a sweep.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// The study to write: a folder that does not exist yet, or is empty.
    #[arg(long, value_name = "STUDY")]
    out: PathBuf,
}

impl Args {
    /// Writes the study and prints its path.
    pub fn exec(self) -> Result<()> {
        let recorded = compare::read_all(&self.folders)?;
        store::export(&recorded, &self.out)?;
        output::emit(&format!("{}\n", self.out.display()))
    }
}
