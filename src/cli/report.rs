//! `genloss report`: draws figures and writes an HTML page.

use super::{compare, output};
use crate::report;
use crate::store;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Synthetic documents on the page per generation.
const SAMPLES: usize = 3;

/// Options of `genloss report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs or studies.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Folder for report.html and figures/ [default: the first DIR].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Args {
    /// Writes the report and prints its path.
    pub fn exec(self) -> Result<()> {
        let out = self.out.unwrap_or_else(|| self.folders[0].clone());
        let page = write(&self.folders, &out)?;
        output::emit(&format!("{}\n", page.display()))
    }
}

/// Writes a report on the runs in `folders` into `out`, and returns the path of the page.
pub fn write(folders: &[PathBuf], out: &Path) -> Result<PathBuf> {
    let (mut recorded, mut samples) = (Vec::new(), Vec::new());
    for (folder, experiment) in compare::read_with_folders(folders)? {
        samples.extend(store::samples(folder, &experiment, SAMPLES)?);
        recorded.push(experiment);
    }
    let comparisons: Vec<_> = recorded.iter().flat_map(compare::comparisons).collect();
    Ok(report::write(&recorded, &comparisons, &samples, out)?)
}
