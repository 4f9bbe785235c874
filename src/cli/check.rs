//! `genloss check`: what an experiment resolves to, what it trains on, and what it will cost on this machine.

use super::cost::{Cost, Trials, duration, mebibytes};
use super::experiment::ExperimentArgs;
use super::output;
use super::plan::Plan;
use super::run::default_root;
use super::surroundings::MachineArgs;
use crate::config::{Arm, Experiment};
use crate::lineage::{self, PreparedText, Workload};
use crate::mixture;
use crate::sweep::{self, PreparedSweep};
use anyhow::Result;
use candle_core::Device;
use std::slice;

/// Options of `genloss check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Checks the file and its text, and prints what a run would do.
    pub fn exec(self) -> Result<()> {
        let place = self.experiment.file.display();
        if let Some(sweep) = self.experiment.load_sweep()? {
            let device = self.machine.open()?;
            let ready = sweep::prepare(&sweep.experiments)?;
            let plan = Plan::of(&ready, &device, &|_, _| false)?;
            let (of, first) = (sweep.experiments.len(), sweep.experiments[0].to_toml());
            return output::emit(&format!(
                "# {place}, resolved, 1 of {of} experiments\n{first}\n{}",
                plan.shown()
            ));
        }
        let experiment = self.experiment.load()?;
        let device = self.machine.open()?;
        let ready = sweep::prepare(slice::from_ref(&experiment))?;
        let counts = counts(&experiment, ready.text(0))?;
        let estimate = estimate(&ready, &device)?;
        output::emit(&format!("# {place}, resolved\n{}\n{counts}{estimate}", experiment.to_toml()))
    }
}

/// What every generation of every arm trains on.
fn counts(experiment: &Experiment, prepared: &PreparedText) -> Result<String> {
    let mut rows = Vec::new();
    for arm in &experiment.arms {
        for (generation, work) in lineage::workloads(experiment, arm, prepared)?.iter().enumerate() {
            rows.push(row(arm, generation, work));
        }
    }
    let header = ["arm", "generation", "natural tokens", "synthetic tokens", "tokens seen", "tokens written"];
    let splits = format!(
        "train split {} tokens, held-out {}, reference {}; vocabulary {}\n",
        prepared.train.tokens(),
        prepared.heldout.tokens(),
        experiment.corpus.reference_tokens,
        prepared.tokenizer.vocab_size(),
    );
    let notes = prepared.notes(experiment).into_iter().map(|note| format!("note: {note}\n"));
    Ok(format!("{}{splits}{}\n", output::table(&header, &rows), notes.collect::<String>()))
}

fn row(arm: &Arm, generation: usize, work: &Workload) -> Vec<String> {
    let is_drawn = mixture::is_drawn_from_whole_pool(&arm.mixture, generation);
    let about = if is_drawn { "about " } else { "" };
    vec![
        arm.name.clone(),
        generation.to_string(),
        format!("{about}{}", work.natural),
        format!("{about}{}", work.synthetic),
        work.seen.to_string(),
        work.written.to_string(),
    ]
}

/// What an experiment costs as `genloss run` makes it, one lineage after the other.
fn estimate(ready: &PreparedSweep, device: &Device) -> Result<String> {
    let mut steps = Vec::new();
    for unit in ready.units() {
        steps.extend(ready.missing(&unit, &|_, _| false)?);
    }
    let cost = Cost::of(&steps, &Trials::of(&steps, ready, device, 1)?, ready);
    Ok(format!(
        "estimate for this machine: {} generations, about {}; {} on disk below {}; {} of memory\n",
        cost.generations,
        duration(cost.seconds),
        mebibytes(cost.disk_bytes),
        default_root(&ready.experiments()[0]).display(),
        mebibytes(cost.memory_bytes),
    ))
}
