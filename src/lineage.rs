//! The loop: train, sample, mix, train again. The only module that knows this order.
//!
//! [`prepare()`] reads and splits the natural text and learns the tokenizer; nothing is written by then, so that bad
//! input costs nothing. [`run`] opens the store and makes, for every seed, the generation 0 that arms share and then
//! every generation of every arm that does not stand already.

mod baseline;
mod error;
mod generation;
mod prepare;

pub use error::RunError;
pub use generation::{learner, tokens_seen, tokens_written};
pub use prepare::{Prepared, prepare};

use crate::config::{Arm, Experiment};
use crate::progress::{Event, Observer};
use crate::store::{Address, Store};
use candle_core::Device;
use generation::Maker;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What a run needs besides its experiment and its text.
pub struct Surroundings<'a> {
    /// Where transformers live.
    pub device: &'a Device,
    /// Who watches.
    pub observer: &'a dyn Observer,
    /// Set when the user asks to stop.
    pub interrupt: &'a AtomicBool,
    /// Version, processor, command line: what the store records of this process.
    pub provenance: crate::store::Provenance,
}

/// Runs every arm and seed of `experiment` into the store at `root`, or goes on where it stopped.
///
/// # Errors
/// When the store refuses, a stage fails, or the user asks to stop. Every generation committed by then stands.
pub fn run(
    experiment: &Experiment,
    prepared: &Prepared,
    root: &Path,
    surroundings: &Surroundings,
) -> Result<(), RunError> {
    let provenance = prepared.provenance(surroundings.provenance.clone());
    let store = Store::open(root, experiment, &provenance, &prepared.tokenizer_json)?;
    let run = Run { experiment, store: &store };
    let (done, generations) = run.progress()?;
    let observer = surroundings.observer;
    observer.observe(&Event::RunStarted { experiment: experiment.name.clone(), generations, done });
    run.baseline(prepared, surroundings)?;
    for &seed in &experiment.seeds {
        let maker = Maker::new(experiment, prepared, &store, surroundings, seed);
        for arm in &experiment.arms {
            run.lineage(arm, seed, &maker, observer)?;
        }
    }
    run.baseline(prepared, surroundings)?;
    observer.observe(&Event::RunFinished);
    Ok(())
}

/// A run under way.
struct Run<'a> {
    experiment: &'a Experiment,
    store: &'a Store,
}

impl Run<'_> {
    fn lineage(&self, arm: &Arm, seed: u64, maker: &Maker, observer: &dyn Observer) -> Result<(), RunError> {
        let stands = self.standing(seed, arm)?;
        observer.observe(&Event::LineageStarted {
            seed,
            arm: arm.name.clone(),
            generations: stands.len() as u64,
            done: count(&stands),
        });
        let mut missing = (0..stands.len()).filter(|&generation| !stands[generation]);
        missing.try_for_each(|generation| maker.make(arm, generation))
    }

    /// Which generations of a lineage stand.
    fn standing(&self, seed: u64, arm: &Arm) -> Result<Vec<bool>, RunError> {
        let addresses = (0..=self.experiment.generations).map(|g| Address::of(self.experiment, seed, arm, g));
        let stands: Result<Vec<bool>, _> =
            addresses.map(|address| self.store.is_committed(address)).collect();
        Ok(stands?)
    }

    /// Generations that stand, and generations in all; a shared one counts once.
    fn progress(&self) -> Result<(u64, u64), RunError> {
        let (mut done, mut all) = (0, 0);
        for &seed in &self.experiment.seeds {
            let mut shared_is_counted = false;
            for arm in &self.experiment.arms {
                let standing = count(&self.standing(seed, arm)?);
                let is_shared = self.experiment.shares_generation_0(arm);
                let repeated = u64::from(is_shared && shared_is_counted);
                done += standing.saturating_sub(repeated);
                all += self.experiment.generations as u64 + 1 - repeated;
                shared_is_counted |= is_shared;
            }
        }
        Ok((done, all))
    }
}

fn count(stands: &[bool]) -> u64 {
    stands.iter().filter(|&&stands| stands).count() as u64
}
