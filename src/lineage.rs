//! The loop: train, write, measure, mix, train again. No other module knows this order.
//!
//! [`prepare()`] reads and splits the natural text and learns the tokenizer. It writes nothing, so that bad input leaves
//! nothing behind. [`run`] opens the store and makes the missing generations: for every seed the generation 0 that arms
//! share, then every generation of every arm.
//!
//! A lineage is one arm with one seed. Lineages of a seed depend on each other only through the generation 0 that they
//! share. A generation that another run has already committed is found by its fingerprint ([`LineageInputs`]).
//!
//! `tests/it/lineage.rs` runs a whole experiment and looks at every generation of it.

mod baseline;
mod bases;
mod cache;
mod error;
mod fingerprint;
mod footprint;
mod generation;
mod mixing;
mod near_copies;
mod prepare;
mod workload;

pub use cache::SiblingRuns;
pub use error::RunError;
pub use fingerprint::{LineageInputs, planned_natural_text, training_settings};
pub use footprint::Footprint;
pub use generation::learner;
pub use prepare::{PreparedText, check_settings, prepare, prepare_together};
pub use workload::{Workload, tokens_seen, tokens_written, workloads};

use crate::config::{Arm, Experiment};
use crate::measure::Metrics;
use crate::progress::{Event, Observer};
use crate::store::{Address, Provenance, Store};
use candle_core::Device;
use generation::GenerationRunner;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Everything that a run needs besides its experiment and its text.
pub struct RunContext<'a> {
    /// The device for transformer models.
    pub device: &'a Device,
    /// Receives every event of the run.
    pub observer: &'a dyn Observer,
    /// Set when the user asks to stop.
    pub interrupt: &'a AtomicBool,
    /// The metrics that each generation is measured by.
    pub metrics: &'a Metrics,
    /// Version, processor and command line of this process; the run adds hashes and sizes of its text.
    pub provenance: Provenance,
}

impl<'a> RunContext<'a> {
    /// The same context with another observer.
    #[must_use]
    pub fn watched_by<'b>(&self, observer: &'b dyn Observer) -> RunContext<'b>
    where
        'a: 'b,
    {
        RunContext { observer, provenance: self.provenance.clone(), ..*self }
    }
}

/// Runs every arm and seed of `experiment` into the store at `root`, or continues where an earlier run stopped.
///
/// # Errors
/// If the store cannot be opened, a stage fails, or the user asks to stop. Committed generations stay.
pub fn run(
    experiment: &Experiment,
    prepared: &PreparedText,
    root: &Path,
    context: &RunContext,
) -> Result<(), RunError> {
    let run = Run::open(experiment, prepared, root, context)?;
    let RunProgress { generations, done } = run.progress()?;
    let observer = context.observer;
    observer.observe(&Event::RunStarted { experiment: experiment.name.clone(), generations, done });
    let notes = prepared.notes(experiment).into_iter().chain(run.note_on_machine());
    notes.for_each(|note| observer.observe(&Event::Note(note)));
    run.baseline()?;
    for &seed in &experiment.seeds {
        run.all_generations(&SiblingRuns::new(vec![&run], seed))?;
    }
    run.baseline()?;
    observer.observe(&Event::RunFinished);
    Ok(())
}

/// A run in progress, with its store open.
pub struct Run<'a> {
    experiment: &'a Experiment,
    prepared: &'a PreparedText,
    store: Store,
    context: &'a RunContext<'a>,
}

/// How much of a run is done. A generation that several arms share counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// Generations in all.
    pub generations: u64,
    /// Committed generations.
    pub done: u64,
}

impl<'a> Run<'a> {
    /// Opens the store at `root`, and removes what a killed process left there.
    ///
    /// # Errors
    /// If the store cannot be opened: see [`Store::open`].
    pub fn open(
        experiment: &'a Experiment,
        prepared: &'a PreparedText,
        root: &Path,
        context: &'a RunContext<'a>,
    ) -> Result<Self, RunError> {
        let provenance = prepared.provenance(experiment, context.provenance.clone());
        let store = Store::open(root, experiment, &provenance, &prepared.tokenizer_json)?;
        store.clean_up()?;
        Ok(Self { experiment, prepared, store, context })
    }

    /// The experiment that is run.
    #[must_use]
    pub fn experiment(&self) -> &'a Experiment {
        self.experiment
    }

    /// A remark if generations are still missing and this process would make them with other vector instructions or on
    /// another device than those on record.
    #[must_use]
    pub fn note_on_machine(&self) -> Option<String> {
        let (then, now) = (self.store.machines(), self.context.provenance.machine());
        let is_finished = self.experiment.seeds.iter().all(|&seed| {
            self.experiment
                .arms
                .iter()
                .all(|arm| self.committed(seed, arm).iter().all(|&committed| committed))
        });
        if is_finished || then.is_empty() || then.contains(&now) {
            return None;
        }
        let then: Vec<String> = then.iter().map(ToString::to_string).collect();
        Some(format!(
            "goes on with {now} after {}: the last bits of results will differ from those of an uninterrupted run; each \
             generation records what it was made with",
            then.join("; ")
        ))
    }

    /// Makes the missing generations of every lineage with the seed of `siblings`. Reuses what `siblings`, which are
    /// runs on the same natural text, have committed already.
    ///
    /// # Errors
    /// If a stage fails or the user asks to stop.
    pub fn all_generations(&self, siblings: &SiblingRuns) -> Result<(), RunError> {
        let runner = GenerationRunner::new(self, siblings);
        self.experiment.arms.iter().try_for_each(|arm| self.lineage(arm, &runner))
    }

    /// As [`Self::all_generations`], but only generation 0: the one that arms share, and the one of each arm that does
    /// not share it.
    ///
    /// # Errors
    /// The first error of a stage, after all arms were tried; or an interruption by the user.
    pub fn first_generation(&self, siblings: &SiblingRuns) -> Result<(), RunError> {
        let runner = GenerationRunner::new(self, siblings);
        let make = |arm| if self.has_first(siblings.seed(), arm) { Ok(()) } else { runner.make(arm, 0) };
        all_of(self.experiment.arms.iter().map(make))
    }

    /// As [`Self::all_generations`], but only lineages whose generation 0 is committed.
    ///
    /// # Errors
    /// If a stage fails or the user asks to stop.
    pub fn later_generations(&self, siblings: &SiblingRuns) -> Result<(), RunError> {
        let runner = GenerationRunner::new(self, siblings);
        let has_first = |arm: &&Arm| self.has_first(siblings.seed(), arm);
        self.experiment.arms.iter().filter(has_first).try_for_each(|arm| self.lineage(arm, &runner))
    }

    fn has_first(&self, seed: u64, arm: &Arm) -> bool {
        self.store.exists(Address::of(self.experiment, seed, arm, 0))
    }

    /// Makes the missing generations of an arm.
    fn lineage(&self, arm: &Arm, runner: &GenerationRunner) -> Result<(), RunError> {
        let committed = self.committed(runner.seed, arm);
        self.context.observer.observe(&Event::LineageStarted {
            seed: runner.seed,
            arm: arm.name.clone(),
            generations: committed.len() as u64,
            done: count(&committed),
        });
        let mut missing = (0..committed.len()).filter(|&generation| !committed[generation]);
        missing.try_for_each(|generation| runner.make(arm, generation))
    }

    /// For each generation of a lineage, whether it is committed.
    fn committed(&self, seed: u64, arm: &Arm) -> Vec<bool> {
        let addresses = (0..=self.experiment.generations).map(|g| Address::of(self.experiment, seed, arm, g));
        addresses.map(|address| self.store.exists(address)).collect()
    }

    /// How much of the run is done. Verifies every committed generation.
    ///
    /// # Errors
    /// If a committed generation is damaged.
    pub fn progress(&self) -> Result<RunProgress, RunError> {
        let mut progress = RunProgress::default();
        for &seed in &self.experiment.seeds {
            let mut shared_is_counted = false;
            for arm in &self.experiment.arms {
                let committed = self.committed(seed, arm);
                for generation in (0..committed.len()).filter(|&generation| committed[generation]) {
                    self.store.verify(Address::of(self.experiment, seed, arm, generation))?;
                }
                let is_shared = self.experiment.shares_generation_0(arm);
                let is_repeated = is_shared && shared_is_counted;
                progress.done += count(&committed) - u64::from(is_repeated && committed[0]);
                progress.generations += committed.len() as u64 - u64::from(is_repeated);
                shared_is_counted |= is_shared;
            }
        }
        Ok(progress)
    }
}

/// Carries out every item even if some fail, until the user asks to stop.
///
/// # Errors
/// The first error, or an interruption by the user.
pub fn all_of(results: impl Iterator<Item = Result<(), RunError>>) -> Result<(), RunError> {
    let mut first_error = Ok(());
    for result in results {
        if matches!(result, Err(RunError::Interrupted)) {
            return result;
        }
        first_error = first_error.and(result);
    }
    first_error
}

fn count(committed: &[bool]) -> u64 {
    committed.iter().filter(|&&committed| committed).count() as u64
}
