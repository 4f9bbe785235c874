//! Arguments of commands that read an experiment file.

use crate::config::{self, ConfigError, Experiment, Sweep};
use std::path::PathBuf;

/// An experiment file and settings that override it.
#[derive(Debug, clap::Args)]
pub struct ExperimentArgs {
    /// The experiment file.
    pub file: PathBuf,
    /// Change a setting: training.tokens=200000, arm.anchored.mixture.natural_fraction=0.2,
    /// 'grid.model.width=[32, 64]'.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    settings: Vec<String>,
}

impl ExperimentArgs {
    /// The experiment of a file without a grid.
    pub fn load(&self) -> Result<Experiment, ConfigError> {
        config::load(&self.file, &self.settings)
    }

    /// The experiments of a file with a grid; None if the file has no grid.
    pub fn load_sweep(&self) -> Result<Option<Sweep>, ConfigError> {
        config::load_sweep(&self.file, &self.settings)
    }
}
