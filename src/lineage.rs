//! The loop: train, sample, mix, train again. The only module that knows this order.
//!
//! [`prepare()`] reads and splits the natural text and learns the tokenizer; nothing is written by then, so that bad
//! input costs nothing. [`run`] opens the store and makes, for every seed, the generation 0 that arms share and then
//! every generation of every arm that does not stand already.

mod baseline;
mod error;
mod generation;
mod prepare;
mod twins;
mod work;

pub use error::RunError;
pub use generation::{learner, tokens_seen, tokens_written};
pub use prepare::{PreparedText, prepare, prepare_together};
pub use twins::ArmOf;
pub use work::{Workload, work};

use crate::config::{Arm, Experiment};
use crate::measure::Metrics;
use crate::progress::{Event, Observer};
use crate::store::{Address, Store};
use candle_core::Device;
use generation::GenerationRunner;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What a run needs besides its experiment and its text.
pub struct RunContext<'a> {
    /// Where transformers live.
    pub device: &'a Device,
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// Set when the user asks to stop.
    pub interrupt: &'a AtomicBool,
    /// The metrics that each generation is measured by.
    pub metrics: &'a Metrics,
    /// Version, processor, command line: what the store records of this process.
    pub provenance: crate::store::Provenance,
}

impl<'a> RunContext<'a> {
    /// The same, watched by another.
    #[must_use]
    pub fn watched_by<'b>(&self, observer: &'b dyn Observer) -> RunContext<'b>
    where
        'a: 'b,
    {
        RunContext { observer, provenance: self.provenance.clone(), ..*self }
    }
}

/// Runs every arm and seed of `experiment` into the store at `root`, or goes on where it stopped.
///
/// # Errors
/// When the store refuses, a stage fails, or the user asks to stop. Every generation committed by then stands.
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
    prepared.notes(experiment).into_iter().for_each(|note| observer.observe(&Event::Note(note)));
    run.baseline()?;
    for &seed in &experiment.seeds {
        run.seed(seed, &[&run])?;
    }
    run.baseline()?;
    observer.observe(&Event::RunFinished);
    Ok(())
}

/// An experiment under way: its store is open.
pub struct Run<'a> {
    experiment: &'a Experiment,
    prepared: &'a PreparedText,
    store: Store,
    context: &'a RunContext<'a>,
}

/// How far a run is; a generation that arms share counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// Generations in all.
    pub generations: u64,
    /// Those that stand.
    pub done: u64,
}

impl<'a> Run<'a> {
    /// Opens the store at `root`.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn open(
        experiment: &'a Experiment,
        prepared: &'a PreparedText,
        root: &Path,
        context: &'a RunContext<'a>,
    ) -> Result<Self, RunError> {
        let provenance = prepared.provenance(experiment, context.provenance.clone());
        let store = Store::open(root, experiment, &provenance, &prepared.tokenizer_json)?;
        Ok(Self { experiment, prepared, store, context })
    }

    /// What it runs.
    #[must_use]
    pub fn experiment(&self) -> &'a Experiment {
        self.experiment
    }

    /// Makes what is missing of every lineage of a seed. `sibling_runs` are the runs on the same natural text, this one among
    /// them: what they have made already and is the same, is used.
    ///
    /// # Errors
    /// When a stage fails or the user asks to stop.
    pub fn seed(&self, seed: u64, sibling_runs: &[&Run]) -> Result<(), RunError> {
        let runner = GenerationRunner::new(self, sibling_runs, seed);
        self.experiment.arms.iter().try_for_each(|arm| self.lineage(arm, seed, &runner))
    }

    /// Makes what is missing of generation 0 of a seed, in every arm that has one of its own, as [`Self::seed`].
    ///
    /// # Errors
    /// The first fault of a stage, after every arm was tried; or that the user asks to stop.
    pub fn first_generation(&self, seed: u64, sibling_runs: &[&Run]) -> Result<(), RunError> {
        let runner = GenerationRunner::new(self, sibling_runs, seed);
        let make = |arm| if self.has_first(seed, arm)? { Ok(()) } else { runner.make(arm, 0) };
        all_of(self.experiment.arms.iter().map(make))
    }

    /// Makes what is missing of the other generations of a seed, in every arm whose generation 0 stands, as [`Self::seed`].
    ///
    /// # Errors
    /// When a stage fails or the user asks to stop.
    pub fn later_generations(&self, seed: u64, sibling_runs: &[&Run]) -> Result<(), RunError> {
        let runner = GenerationRunner::new(self, sibling_runs, seed);
        let make = |arm| if self.has_first(seed, arm)? { self.lineage(arm, seed, &runner) } else { Ok(()) };
        self.experiment.arms.iter().try_for_each(make)
    }

    /// Whether generation 0 of an arm stands.
    fn has_first(&self, seed: u64, arm: &Arm) -> Result<bool, RunError> {
        Ok(self.store.is_committed(Address::of(self.experiment, seed, arm, 0))?)
    }

    fn lineage(&self, arm: &Arm, seed: u64, runner: &GenerationRunner) -> Result<(), RunError> {
        let stands = self.committed_of(seed, arm)?;
        self.context.observer.observe(&Event::LineageStarted {
            seed,
            arm: arm.name.clone(),
            generations: stands.len() as u64,
            done: count(&stands),
        });
        let mut missing = (0..stands.len()).filter(|&generation| !stands[generation]);
        missing.try_for_each(|generation| runner.make(arm, generation))
    }

    /// Which generations of a lineage stand.
    fn committed_of(&self, seed: u64, arm: &Arm) -> Result<Vec<bool>, RunError> {
        let addresses = (0..=self.experiment.generations).map(|g| Address::of(self.experiment, seed, arm, g));
        let stands: Result<Vec<bool>, _> =
            addresses.map(|address| self.store.is_committed(address)).collect();
        Ok(stands?)
    }

    /// How far it is.
    ///
    /// # Errors
    /// When a generation that stands is damaged.
    pub fn progress(&self) -> Result<RunProgress, RunError> {
        let mut progress = RunProgress::default();
        for &seed in &self.experiment.seeds {
            let mut shared_is_counted = false;
            for arm in &self.experiment.arms {
                let stands = self.committed_of(seed, arm)?;
                let is_shared = self.experiment.shares_generation_0(arm);
                let is_repeated = is_shared && shared_is_counted;
                progress.done += count(&stands) - u64::from(is_repeated && stands[0]);
                progress.generations += stands.len() as u64 - u64::from(is_repeated);
                shared_is_counted |= is_shared;
            }
        }
        Ok(progress)
    }
}

/// Does everything, whatever fails, until the user asks to stop; the first fault, if there was one.
pub fn all_of(made: impl Iterator<Item = Result<(), RunError>>) -> Result<(), RunError> {
    let mut all = Ok(());
    for one in made {
        if matches!(one, Err(RunError::Interrupted)) {
            return one;
        }
        all = all.and(one);
    }
    all
}

fn count(stands: &[bool]) -> u64 {
    stands.iter().filter(|&&stands| stands).count() as u64
}
