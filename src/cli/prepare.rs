//! `genloss prepare`: records an experiment and its text, so that any number of processes can work on it.

use super::check;
use super::experiment::ExperimentArgs;
use super::machine;
use super::memory::ForceArgs;
use super::output;
use crate::config::Experiment;
use crate::store::Unit;
use crate::sweep;
use crate::units::counted;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Options of `genloss prepare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Folder of the run or sweep [default: generations/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArgs,
}

impl Args {
    /// Reads the text, writes the records, and says how to go on.
    pub fn exec(self) -> Result<()> {
        let target = Target::of(&self.experiment, self.out.as_deref())?;
        target.prepare(self.force).map_err(|error| self.experiment.located(error))?;
        let units: usize = target.experiments.iter().map(|experiment| Unit::all(experiment).len()).sum();
        let root = target.root.display();
        output::emit(&format!(
            "{root}: ready, {}\nmake them, with any number of processes: genloss work {root}\nthen: genloss collect {root}\n",
            counted(units as u64, "unit")
        ))
    }
}

/// Experiments, and the folder that they are run in.
pub struct Target {
    /// The name of the experiment or sweep.
    pub name: String,
    /// The experiments.
    pub experiments: Vec<Experiment>,
    /// Whether they come from a file with a grid, so that each has a folder of its own below [`Self::root`].
    pub is_sweep: bool,
    /// The folder.
    pub root: PathBuf,
}

impl Target {
    /// The experiments of a file, to be run in `out` or `generations/NAME`.
    pub fn of(arguments: &ExperimentArgs, out: Option<&Path>) -> Result<Self> {
        let (name, experiments, is_sweep) = match arguments.load_sweep()? {
            Some(sweep) => (sweep.name, sweep.experiments, true),
            None => {
                let experiment = arguments.load()?;
                (experiment.name.clone(), vec![experiment], false)
            }
        };
        let root = out.map_or_else(|| Path::new("generations").join(&name), Path::to_owned);
        Ok(Self { name, experiments, is_sweep, root })
    }

    /// The folder of each experiment.
    pub fn folders(&self) -> Vec<PathBuf> {
        let folder = |experiment: &Experiment| match self.is_sweep {
            true => sweep::folder(&self.root, experiment),
            false => self.root.clone(),
        };
        self.experiments.iter().map(folder).collect()
    }

    /// Reads the text and writes the records.
    pub fn prepare(&self, force: ForceArgs) -> Result<()> {
        let prepared = check::prepare(&self.name, &self.experiments, &self.root, force)?;
        Ok(prepared.save(&self.folders(), &machine::provenance_of_preparation())?)
    }
}
