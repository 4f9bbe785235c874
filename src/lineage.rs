//! The loop: train, write, measure, mix, train again. No other module knows this order.
//!
//! [`prepare()`] reads and splits the natural text and learns the tokenizer. It writes nothing, so that bad input leaves
//! nothing behind. [`run`] opens the store and makes the missing generations: for every seed generation 0 of all arms,
//! then the later generations of every arm.
//!
//! A lineage is one arm with one seed. Lineages of a seed depend on each other only through the generation 0 that they
//! share. Several processes may work on one run: each claims a [`crate::store::Unit`] at a time. A generation that another run has already committed is found by its fingerprint ([`LineageInputs`]).
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
mod natural;
mod near_copies;
mod notes;
mod prepare;
mod work;
mod workload;

pub use cache::SiblingRuns;
pub use error::RunError;
pub use fingerprint::{LineageInputs, planned_natural_text, training_settings};
pub use footprint::Footprint;
pub use prepare::{KeptTexts, PreparedText, check_settings, prepare, prepare_together};
pub use work::{POLL_INTERVAL, SeedUnits, UnitOutcome};
pub use workload::{Workload, tokens_seen, workloads};

use crate::config::{Arm, Experiment};
use crate::live::{self, Live};
use crate::measure::Metrics;
use crate::progress::{Event, Observer};
use crate::store::{Address, Provenance, Store, StoreError, Unit};
use crate::tokenizer::Tokenizer;
use crate::training::{GroupLearner, Learner, LearnerContext, Start};
use candle_core::Device;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

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

/// The learner of an arm's model or models, whose weights start from `start`.
pub fn learner(arm: &Arm, tokenizer: &Tokenizer, start: Start, device: &Device) -> Box<dyn Learner> {
    let of = |start| arm.model.learner(LearnerContext { training: &arm.training, tokenizer, start, device });
    match arm.training.writers {
        1 => of(start),
        writers => Box::new(GroupLearner((0..writers).map(|writer| of(start.of_writer(writer))).collect())),
    }
}

/// Runs every arm and seed of `experiment` into the store at `root`, or continues where an earlier run stopped. Other
/// processes may work on the same store at the same time; each makes what nobody else is making.
///
/// # Errors
/// If the store cannot be opened, a stage fails, or the user asks to stop. Committed generations stay.
pub fn run(
    experiment: &Experiment,
    prepared: &PreparedText,
    root: &Path,
    context: &RunContext,
) -> Result<(), RunError> {
    let live = Live::new(root, context.observer);
    run_and_close(experiment, prepared, root, &context.watched_by(&live))
}

fn run_and_close(
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
    run.all_units()?;
    run.baseline()?;
    run.close()?;
    observer.observe(&Event::RunFinished);
    Ok(())
}

/// A run in progress, with its store open.
pub struct Run<'a> {
    experiment: &'a Experiment,
    prepared: &'a PreparedText,
    store: Store,
    context: &'a RunContext<'a>,
    /// Whether the models that training starts from were read by another process, possibly on another machine.
    checks_bases: bool,
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
    /// Opens the store at `root`, or creates it.
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
        Ok(Self { experiment, prepared, store, context, checks_bases: false })
    }

    /// Opens the store at `root` as it was prepared. The claims of this process are void after `lease` without a sign of
    /// life.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub fn join(
        experiment: &'a Experiment,
        prepared: &'a PreparedText,
        root: &Path,
        lease: Duration,
        context: &'a RunContext<'a>,
    ) -> Result<Self, RunError> {
        Ok(Self { experiment, prepared, store: Store::join(root, lease)?, context, checks_bases: true })
    }

    /// The store of the run.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
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
        let is_finished = Unit::all(self.experiment).iter().all(|unit| self.is_done(unit));
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

    /// How much of the run is done. Verifies every committed generation.
    ///
    /// # Errors
    /// If a committed generation is damaged.
    pub fn progress(&self) -> Result<RunProgress, RunError> {
        let mut progress = RunProgress::default();
        let mut machines = BTreeSet::new();
        for address in Unit::all(self.experiment).iter().flat_map(|unit| unit.addresses(self.experiment)) {
            progress.generations += 1;
            if self.store.exists(address) {
                self.store.verify(address)?;
                machines.extend(self.store.record(address)?.machine);
                progress.done += 1;
            }
        }
        self.store.record_machines(machines)?;
        Ok(progress)
    }

    /// If everything is done: removes what processes left, and the claims.
    ///
    /// # Errors
    /// If a record cannot be read, or if the disk fails.
    pub fn close(&self) -> Result<(), RunError> {
        let addresses =
            || Unit::all(self.experiment).into_iter().flat_map(|unit| unit.addresses(self.experiment));
        if !addresses().all(|address| self.store.exists(address)) {
            return Ok(());
        }
        let machines: Result<Vec<_>, _> =
            addresses().map(|address| Ok(self.store.record(address)?.machine)).collect();
        self.store.record_machines(machines.map_err(|error: StoreError| error)?.into_iter().flatten())?;
        self.store.clean_up()?;
        live::remove_all(self.store.root());
        Ok(self.store.remove_claims()?)
    }

    fn arm_of(&self, address: Address) -> &'a Arm {
        let arms = &self.experiment.arms;
        let is_of = |arm: &&Arm| match address.arm {
            Some(name) => arm.name == name,
            None => self.experiment.shares_generation_0(arm),
        };
        // An address is that of an arm of the experiment.
        arms.iter().find(is_of).unwrap_or(&arms[0])
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
