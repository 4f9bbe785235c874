//! `genloss sweep`: runs every experiment of a grid, resuming where an interrupted sweep stopped.

use super::experiment::ExperimentArgs;
use super::machine::{self, MachineArgs};
use super::memory::ForceArgs;
use super::output::{self, say};
use super::plan::SweepPlan;
use super::stop;
use super::watch::WatchArgs;
use super::{check, compare, run};
use crate::config::{Experiment, Sweep};
use crate::lineage::{RunContext, RunError};
use crate::measure::Metrics;
use crate::store;
use crate::sweep::{self, PreparedSweep};
use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;
use std::path::{Path, PathBuf};

/// Options of `genloss sweep`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Folder of the sweep, with a folder for each experiment [default: generations/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the remaining work and its cost, then stop.
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

impl Args {
    /// Prints the plan, runs what is missing and prints the comparison of the arms.
    pub fn exec(self) -> Result<()> {
        let sweep = self.load()?;
        let root = self.root(&sweep)?;
        let device = self.machine.open()?;
        say(&format!("{}: reading text and learning the tokenizer", sweep.name));
        let prepared = check::prepare(&sweep.name, &sweep.experiments, &root, self.force)
            .map_err(|error| self.experiment.located(error))?;
        prepared.check(&root, &self.machine.provenance())?;
        let is_done =
            |experiment: &Experiment, at: store::Address| at.exists_in(&sweep::folder(&root, experiment));
        let plan = SweepPlan::new(&prepared, &device, &is_done)?;
        if plan.units.is_empty() {
            say(&format!("{}: nothing is left to do", root.display()));
        } else {
            output::emit(&format!("{}\n", plan.to_text()))?;
        }
        if self.plan {
            return Ok(());
        }
        let _watch = self.watch.start(&[&root])?;
        // A finished sweep is run too, because running verifies its generations.
        let outcome = self.run(&prepared, &plan, &root, &device)?;
        let finished = finished(&sweep, &root);
        if !finished.is_empty() {
            compare::print_overview(&finished)?;
        }
        outcome.context("not every experiment is finished")
    }

    fn load(&self) -> Result<Sweep> {
        match self.experiment.load_sweep()? {
            Some(sweep) => Ok(sweep),
            None => bail!(
                "{}: has no [grid]; run a single experiment with genloss run",
                self.experiment.file.display()
            ),
        }
    }

    fn root(&self, sweep: &Sweep) -> Result<PathBuf> {
        let root = self.out.clone().unwrap_or_else(|| Path::new("generations").join(&sweep.name));
        ensure!(root.is_dir() || !root.exists(), "{}: is not a folder; give another --out", root.display());
        ensure!(!store::is_store(&root), "{}: contains a single run; give another --out", root.display());
        Ok(root)
    }

    /// Runs what is missing. If experiments fail, the inner error is that of the first one. The other experiments are
    /// still run.
    fn run(
        &self,
        prepared: &PreparedSweep,
        plan: &SweepPlan,
        root: &Path,
        device: &Device,
    ) -> Result<Result<(), RunError>> {
        let observer = machine::observer();
        let interrupt = stop::interrupt(stop::WhenAsked::WriteCheckpoint)?;
        let provenance = self.machine.provenance();
        let context = RunContext {
            device,
            observer: observer.as_ref(),
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance,
        };
        match prepared.run(root, &plan.units, plan.parallel_units, &context) {
            Err(RunError::Interrupted) => Err(run::explained(RunError::Interrupted, root)),
            outcome => Ok(outcome),
        }
    }
}

/// Folders of the experiments that are finished and readable.
fn finished(sweep: &Sweep, root: &Path) -> Vec<PathBuf> {
    let folders = sweep.experiments.iter().map(|experiment| (experiment, sweep::folder(root, experiment)));
    folders
        .filter(|(experiment, folder)| store::is_finished(folder, experiment) && store::read(folder).is_ok())
        .map(|(_, folder)| folder)
        .collect()
}
