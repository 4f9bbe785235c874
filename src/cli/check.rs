//! `genloss check`: shows an experiment's amounts of text, notes and cost on this machine, and on request every
//! resolved setting.

use super::cost::{Cost, SpeedTrials, duration, mebibytes};
use super::experiment::ExperimentArgs;
use super::machine::{self, MachineArgs};
use super::memory::ForceArgs;
use super::natural;
use super::output::{self, say};
use super::plan::SweepPlan;
use super::run::default_root;
use crate::config::{self, Arm, Experiment, Sweep};
use crate::lineage::{self, KeptTexts, PreparedText, Workload};
use crate::mixture;
use crate::model::transformer::Transformer;
use crate::sweep::{self, PreparedSweep};
use crate::units::counted;
use crate::verdict;
use anyhow::Result;
use candle_core::Device;
use std::path::Path;
use std::slice;

/// Options of `genloss check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Print the resolved file too: every setting with its value (`genloss run` records the same file).
    #[arg(long)]
    resolved: bool,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

impl Args {
    /// Checks the file and its text, and prints what a run would do.
    pub fn exec(self) -> Result<()> {
        match self.experiment.load_sweep()? {
            Some(sweep) => self.check_sweep(&sweep),
            None => self.check_experiment(&self.experiment.load()?),
        }
    }

    fn check_experiment(&self, experiment: &Experiment) -> Result<()> {
        let device = self.machine.open()?;
        let prepared = self.prepare(slice::from_ref(experiment))?;
        let text = prepared.text(0);
        let workloads = workloads(experiment, text)?;
        say("measuring how fast this machine is");
        let estimate = estimate(&prepared, &device)?;
        output::emit(&format!(
            "{}{}{}{estimate}\n{workloads}",
            self.summary(experiment, text),
            natural::to_text(&text.record) + &natural::limits(&prepared)?,
            notes(experiment, text)
        ))?;
        self.print_resolved(experiment, "resolved")
    }

    fn check_sweep(&self, sweep: &Sweep) -> Result<()> {
        let device = self.machine.open()?;
        let prepared = self.prepare(&sweep.experiments)?;
        let plan = SweepPlan::new(&prepared, &device, &|_, _| false)?;
        output::emit(&format!(
            "{}: valid\n{}{}{}",
            self.experiment.file.display(),
            texts_of(&prepared),
            natural::limits(&prepared)?,
            plan.to_text()
        ))?;
        let count = sweep.experiments.len();
        self.print_resolved(&sweep.experiments[0], &format!("resolved, experiment 1 of {count}"))
    }

    fn prepare<'a>(&self, experiments: &'a [Experiment]) -> Result<PreparedSweep<'a>> {
        let root = default_root(&experiments[0]);
        prepare(&self.experiment.file.display().to_string(), experiments, &root, self.force)
            .map_err(|error| self.experiment.located(error))
    }

    fn summary(&self, experiment: &Experiment, text: &PreparedText) -> String {
        let arms: Vec<&str> = experiment.arms.iter().map(|arm| arm.name.as_str()).collect();
        let [start, end] = text.tokenizer.special_records();
        format!(
            "{}: valid\nexperiment {}: {}, generations 0 to {}, arms {}\n\
             natural tokens: {} in the training split, {} held out, {} for reference; vocabulary {}\n\
             documents start with token {start} and end with {end}\n\
             share of the text that the tokenizer cannot represent: {}\n",
            self.experiment.file.display(),
            experiment.name,
            counted(experiment.seeds.len() as u64, "seed"),
            experiment.generations,
            arms.join(", "),
            text.train.tokens(),
            text.heldout.tokens(),
            experiment.corpus.reference_tokens,
            text.tokenizer.vocab_size(),
            lost_shares(text),
        )
    }

    fn print_resolved(&self, experiment: &Experiment, title: &str) -> Result<()> {
        if !self.resolved {
            return Ok(());
        }
        output::emit_source(&format!(
            "\n# {}, {title}\n{}",
            self.experiment.file.display(),
            experiment.to_toml()
        ))
    }
}

/// Reads the text of the experiments, to be run in the folder `root`, beside which it is kept if it is large. Returns an error
/// if they need more memory than this machine has.
pub fn prepare<'a>(
    name: &str,
    experiments: &'a [Experiment],
    root: &Path,
    force: ForceArgs,
) -> Result<PreparedSweep<'a>> {
    force.check(experiments)?;
    let what = format!("{name}: reading text and learning the tokenizer");
    let prepared =
        machine::with_status_lines(&what, || sweep::prepare_kept(experiments, &KeptTexts::beside(root)))?;
    for (index, experiment) in experiments.iter().enumerate() {
        force.check_with(slice::from_ref(experiment), |_, arm| prepared.text(index).vocab_size_of(arm))?;
    }
    Ok(prepared)
}

/// Describes the natural texts of a sweep, each of them once.
fn texts_of(prepared: &PreparedSweep) -> String {
    let indices = 0..prepared.experiments().len();
    let mut texts: Vec<String> = indices
        .map(|index| {
            let text = prepared.text(index);
            natural::to_text(&text.record) + &notes(&prepared.experiments()[index], text)
        })
        .collect();
    texts.dedup();
    texts.concat()
}

/// The share of unknown and dropped text in each split.
fn lost_shares(text: &PreparedText) -> String {
    let shares = text.coverage().iter().map(|(split, coverage)| {
        let lost = coverage.lost_share().max(coverage.unknown_share());
        format!("{split} {:.2} %", 100.0 * lost)
    });
    shares.collect::<Vec<_>>().join(", ")
}

fn notes(experiment: &Experiment, text: &PreparedText) -> String {
    let notes = text.notes(experiment).into_iter().chain(note_on_repeat_arms(experiment));
    notes.map(|note| output::paragraph(&format!("note: {note}"))).collect()
}

/// How the effect of synthetic text could be told from that of natural text that is read again; None if it is, or if no
/// arm mixes the two.
fn note_on_repeat_arms(experiment: &Experiment) -> Option<String> {
    let lacks_one =
        |arm: &&Arm| verdict::is_anchored(experiment, arm) && verdict::repeat_arm(experiment, arm).is_none();
    let arms: Vec<&str> = experiment.arms.iter().filter(lacks_one).map(|arm| arm.name.as_str()).collect();
    (!arms.is_empty()).then(|| {
        format!(
            "{}: an arm with the same natural_fraction and budget = \"repeated\" would show what the synthetic text adds",
            config::arms_in_words(arms)
        )
    })
}

/// A table of the tokens that every generation of every arm trains on and writes. Consecutive generations with the
/// same numbers are merged into one row.
fn workloads(experiment: &Experiment, text: &PreparedText) -> Result<String> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for arm in &experiment.arms {
        let workloads = lineage::workloads(experiment, arm, text)?;
        let tokens = workloads.iter().enumerate().map(|(generation, work)| tokens(arm, generation, work));
        for (first, last, tokens) in runs_of_equal(tokens) {
            let generations = if first == last { first.to_string() } else { format!("{first}–{last}") };
            rows.push([vec![arm.name.clone(), generations], tokens.to_vec()].concat());
        }
    }
    let header = ["arm", "generation", "natural tokens", "synthetic tokens", "tokens seen", "tokens written"];
    Ok(output::table(&header, &rows))
}

/// Natural and synthetic tokens of the mixture, tokens seen in training, tokens written.
fn tokens(arm: &Arm, generation: usize, work: &Workload) -> [String; 4] {
    let is_drawn = mixture::is_drawn_from_whole_pool(&arm.mixture, generation);
    let about = if is_drawn { "about " } else { "" };
    let text =
        if work.natural_text < work.natural { format!(" of {}", work.natural_text) } else { String::new() };
    [
        format!("{about}{}{text}", work.natural),
        format!("{about}{}", work.synthetic),
        work.seen.to_string(),
        work.written.to_string(),
    ]
}

/// Merges consecutive equal items: their first index, their last index, and the item.
fn runs_of_equal<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<(usize, usize, T)> {
    let mut runs: Vec<(usize, usize, T)> = Vec::new();
    for (index, item) in items.enumerate() {
        match runs.last_mut() {
            Some((_, last, same)) if *same == item => *last = index,
            _ => runs.push((index, index, item)),
        }
    }
    runs
}

/// The cost of an experiment whose lineages run one after the other, as in `genloss run`.
fn estimate(prepared: &PreparedSweep, device: &Device) -> Result<String> {
    let mut planned = Vec::new();
    for unit in prepared.groups() {
        planned.extend(prepared.missing(&unit, &|_, _| false)?);
    }
    // The text has been read and its tokens are in memory, as at the same point of a run. A base was in memory for its check;
    // this process still holds that memory and uses it again.
    let before_trials = machine::used_memory_bytes().unwrap_or_default();
    let held = before_trials.now.saturating_sub(largest_base_bytes(prepared.experiments())?);
    let cost = Cost::of(&planned, &SpeedTrials::of(&planned, prepared, device, 1)?, prepared);
    let memory_bytes = (held + cost.memory_bytes).max(before_trials.most);
    Ok(format!(
        "estimate for this machine: {} in about {}; {} of memory; {} on disk in {}\n",
        counted(cost.generations, "generation"),
        duration(cost.seconds),
        mebibytes(memory_bytes),
        mebibytes(cost.disk_bytes),
        default_root(&prepared.experiments()[0]).display(),
    ))
}

/// Bytes of the weights of the largest model that training starts from; 0 if none does.
fn largest_base_bytes(experiments: &[Experiment]) -> Result<u64> {
    let bases = experiments.iter().flat_map(|one| &one.arms).filter_map(|arm| arm.training.base.as_deref());
    let bytes = |base| Ok(size_of::<f32>() as u64 * Transformer::shape_of(base)?.parameters());
    bases.map(bytes).try_fold(0, |largest, bytes: Result<u64>| Ok(largest.max(bytes?)))
}

#[cfg(test)]
mod tests {
    use super::runs_of_equal;

    #[test]
    fn consecutive_equal_items_are_merged() {
        assert_eq!(runs_of_equal([5, 7, 7, 7, 5].into_iter()), [(0, 0, 5), (1, 3, 7), (4, 4, 5)]);
    }
}
