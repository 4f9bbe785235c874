//! `genloss sweep`: every experiment of a grid, from where it stopped.

use super::experiment::ExperimentArgs;
use super::output::{self, say};
use super::plan::Plan;
use super::surroundings::{self, MachineArgs};
use super::{compare, run};
use crate::config::Experiment;
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
    /// Where to keep the experiments, a folder each [default: generations/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print what is left to do and what it will cost, and do nothing.
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Prints the plan, runs what is missing and prints how the arms compare.
    pub fn exec(self) -> Result<()> {
        let Some(sweep) = self.experiment.load_sweep()? else {
            bail!(
                "{}: has no [grid]; genloss run is for a single experiment",
                self.experiment.file.display()
            );
        };
        let root = self.out.clone().unwrap_or_else(|| Path::new("generations").join(&sweep.name));
        ensure!(root.is_dir() || !root.exists(), "{}: is no folder; give another --out", root.display());
        ensure!(!store::is_store(&root), "{}: holds a single run; give another --out", root.display());
        let folder = |experiment: &Experiment| sweep::folder(&root, experiment);
        let device = self.machine.open()?;
        say(&format!("{}: reading text and learning the tokenizer", sweep.name));
        let prepared = sweep::prepare(&sweep.experiments)?;
        prepared.check(&root, &self.machine.provenance())?;
        let plan = Plan::of(&prepared, &device, &|experiment, at| at.exists_in(&folder(experiment)))?;
        if plan.units.is_empty() {
            say(&format!("{}: nothing is left to do", root.display()));
        } else {
            output::emit(&format!("{}\n", plan.shown()))?;
        }
        if self.plan {
            return Ok(());
        }
        // Even where nothing is left to do it is seen whether all is whole.
        let made = self.run(&prepared, &plan, &root, &device)?;
        let is_whole =
            |one: &&Experiment| store::is_finished(&folder(one), one) && store::read(&folder(one)).is_ok();
        let whole: Vec<PathBuf> = sweep.experiments.iter().filter(is_whole).map(folder).collect();
        if !whole.is_empty() {
            compare::print_overview(&whole)?;
        }
        made.context("not every experiment is finished")
    }

    /// Makes what is missing. What comes back inside is the first fault of an experiment, after which the others went on.
    fn run(
        &self,
        prepared: &PreparedSweep,
        plan: &Plan,
        root: &Path,
        device: &Device,
    ) -> Result<Result<(), RunError>> {
        let observer = surroundings::observer();
        let interrupt = surroundings::interrupt()?;
        let provenance = self.machine.provenance();
        let context = RunContext {
            device,
            observer: observer.as_ref(),
            interrupt: &interrupt,
            metrics: &Metrics::builtin(),
            provenance,
        };
        match prepared.run(root, &plan.units, plan.at_a_time, &context) {
            Err(RunError::Interrupted) => Err(run::explained(RunError::Interrupted, root)),
            made => Ok(made),
        }
    }
}
