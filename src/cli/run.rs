//! `genloss run`: runs every arm and seed of an experiment, resuming where an interrupted run stopped.

use super::compare;
use super::experiment::ExperimentArgs;
use super::machine::{self, MachineArgs};
use super::memory::ForceArgs;
use super::output::say;
use super::stop;
use super::watch::WatchArgs;
use crate::config::Experiment;
use crate::interop::tensorboard::Follower;
use crate::lineage::{self, KeptTexts, RunContext, RunError};
use crate::measure::Metrics;
use crate::progress::Observer;
use anyhow::Result;
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Options of `genloss run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Folder of the run [default: generations/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also write each generation into a log folder of TensorBoard as soon as it is committed.
    #[arg(long, value_name = "LOGDIR")]
    tensorboard: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// The user stopped a command that can be resumed.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; finished work is kept in {}. Resume with: {command}", root.display())]
pub struct Interrupted {
    root: PathBuf,
    command: String,
}

impl Args {
    /// Runs the experiment and prints the comparison of its arms.
    pub fn exec(self) -> Result<()> {
        let experiment = self.experiment.load()?;
        self.force.check(slice::from_ref(&experiment))?;
        let root = self.out.unwrap_or_else(|| default_root(&experiment));
        let _watch = self.watch.start(&[&root])?;
        let tensorboard = self.tensorboard.as_deref();
        Runner::new(&self.machine)?
            .run(&experiment, &root, tensorboard)
            .map_err(|error| self.experiment.located(error))?;
        compare::print_summary(&[root])
    }
}

/// The folder of a run without `--out`: `generations/NAME`.
pub fn default_root(experiment: &Experiment) -> PathBuf {
    Path::new("generations").join(&experiment.name)
}

/// Runs experiments, one after the other.
pub struct Runner<'a> {
    machine: &'a MachineArgs,
    device: Device,
    interrupt: Option<Arc<AtomicBool>>,
}

impl<'a> Runner<'a> {
    /// Starts the threads and opens the device. Call this at most once.
    pub fn new(machine: &'a MachineArgs) -> Result<Self> {
        Ok(Self { machine, device: machine.open()?, interrupt: None })
    }

    /// Runs an experiment into `root`, with progress on standard error and perhaps in a log folder of TensorBoard, until it
    /// is done or the user interrupts it.
    pub fn run(&mut self, experiment: &Experiment, root: &Path, tensorboard: Option<&Path>) -> Result<()> {
        let shown = machine::observer();
        let follower =
            tensorboard.map(|logdir| Follower::new(experiment, root, logdir, shown.as_ref())).transpose()?;
        let observer = follower.as_ref().map_or(shown.as_ref(), |follower| follower as &dyn Observer);
        say(&format!("{}: reading text and learning the tokenizer", experiment.name));
        let what = format!("{}: reading text and learning the tokenizer", experiment.name);
        let early = self.interrupt.is_none().then(stop::early).transpose()?;
        let kept = KeptTexts::beside(root);
        let prepared = machine::with_status_lines(&what, || kept.prepare_together(&[experiment]))?;
        let interrupt = match self.interrupt.take() {
            Some(interrupt) => interrupt,
            None => stop::interrupt(stop::WhenAsked::WriteCheckpoint)?,
        };
        drop(early);
        let context = RunContext {
            device: &self.device,
            observer,
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance: self.machine.provenance(),
        };
        let outcome = lineage::run(experiment, &prepared, root, &context);
        self.interrupt = Some(interrupt);
        outcome.map_err(|error| explained(error, root))
    }
}

/// The error of a run in `root`. If the user interrupted the run, the error names the command that resumes it.
pub fn explained(error: RunError, root: &Path) -> anyhow::Error {
    match error {
        RunError::Interrupted => Interrupted { root: root.to_owned(), command: this_command() }.into(),
        error => error.into(),
    }
}

/// The command line of this process, quoted for a shell where necessary.
fn this_command() -> String {
    machine::command_line().iter().map(|word| shell_quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it, in quotes if necessary.
pub fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::shell_quoted;

    #[test]
    fn words_that_a_shell_would_split_are_quoted() {
        let quoted = ["a/b.toml", "", "two words", "it's", "x=[1]"].map(shell_quoted);
        assert_eq!(quoted, ["a/b.toml", "''", "'two words'", r"'it'\''s'", "'x=[1]'"]);
    }
}
