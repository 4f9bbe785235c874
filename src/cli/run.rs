//! `genloss run`: every arm and seed of an experiment, from where it stopped.

use super::experiment::ExperimentArgs;
use super::output::say;
use super::surroundings::{self, MachineArgs};
use super::{compare, output};
use crate::config::Experiment;
use crate::lineage::{self, RunContext, RunError};
use crate::measure::Metrics;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Options of `genloss run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Where to keep the run [default: generations/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: MachineArgs,
}

/// The user asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; what was done is kept in {}. Go on with: {again}", root.display())]
pub struct Interrupted {
    root: PathBuf,
    again: String,
}

impl Args {
    /// Runs the experiment and prints what `compare` prints.
    pub fn exec(self) -> Result<()> {
        let experiment = self.experiment.load()?;
        let root = self.out.unwrap_or_else(|| default_root(&experiment));
        run(&experiment, &root, &self.machine)?;
        compare::print(&[root], output::Format::Table)
    }
}

/// Where a run is kept unless the user says otherwise.
pub fn default_root(experiment: &Experiment) -> PathBuf {
    Path::new("generations").join(&experiment.name)
}

/// Runs an experiment into `root`, watched and stoppable.
pub fn run(experiment: &Experiment, root: &Path, machine: &MachineArgs) -> Result<()> {
    let device = machine.open()?;
    let observer = surroundings::observer();
    say(&format!("{}: reading text and learning the tokenizer", experiment.name));
    let prepared = lineage::prepare(experiment)?;
    // Until here Ctrl-C ends the process at once: there is nothing to lose.
    let interrupt = surroundings::interrupt()?;
    let context = RunContext {
        device: &device,
        observer: observer.as_ref(),
        interrupt: &interrupt,
        metrics: &Metrics::builtin(),
        provenance: machine.provenance(),
    };
    lineage::run(experiment, &prepared, root, &context).map_err(|error| explained(error, root))
}

/// What ended a run into `root`, and how to go on if it was the user.
pub fn explained(error: RunError, root: &Path) -> anyhow::Error {
    match error {
        RunError::Interrupted => Interrupted { root: root.to_owned(), again: this_command() }.into(),
        error => error.into(),
    }
}

/// The command line of this process, quoted for a shell where it must be.
fn this_command() -> String {
    let quoted = surroundings::command_line().into_iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
