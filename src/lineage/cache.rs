//! Reuses results that another run has already committed, by looking up their fingerprints.
//!
//! Lineages with the same seed and the same training have bit-identical models, even if their models then write
//! differently. This holds for generation 0 of arms that differ only in writing, and for every generation of the
//! controls of experiments that differ only in writing. If lineages also write alike, whole generations are identical:
//! for instance, generation 0 of experiments with the same writer.

use super::{LineageInputs, Run, RunError};
use crate::config::Arm;
use crate::store::{Address, CommittedFolder, Fingerprint, Fingerprints};
use crate::training::TrainingRecord;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A committed generation that equals the one to be made, or at least has the same model.
pub(super) enum CachedResult {
    /// An equal generation, in this folder.
    Generation(PathBuf),
    /// The same model, in the folder `model_dir`.
    Model { model_dir: PathBuf, training: TrainingRecord },
}

/// Several runs, and an index of their committed generations with one seed, by fingerprint.
pub struct SiblingRuns<'a> {
    runs: Vec<&'a Run<'a>>,
    seed: u64,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    models: BTreeMap<Fingerprint, Location>,
    generations: BTreeMap<Fingerprint, Location>,
}

#[derive(Clone)]
struct Location {
    /// Index into the runs.
    run: usize,
    arm: Option<String>,
    generation: usize,
}

impl<'a> SiblingRuns<'a> {
    /// Indexes the committed generations of `seed` in `runs`. A generation whose manifest or record cannot be read
    /// is left out.
    #[must_use]
    pub fn new(runs: Vec<&'a Run<'a>>, seed: u64) -> Self {
        let siblings = Self { runs, seed, index: Mutex::default() };
        for run in siblings.runs.iter().filter(|run| run.experiment.seeds.contains(&seed)) {
            for arm in &run.experiment.arms {
                for generation in 0..=run.experiment.generations {
                    let address = Address::of(run.experiment, seed, arm, generation);
                    let found = [
                        run.fingerprints(seed, arm, generation),
                        run.store.outgrown_fingerprints(address).map_err(RunError::from),
                    ];
                    for fingerprints in found.into_iter().flatten().flatten() {
                        siblings.insert(run, address, fingerprints);
                    }
                }
            }
        }
        siblings
    }

    /// The seed whose generations are indexed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Adds a committed generation of `run`, if `run` is one of the sibling runs.
    pub(super) fn insert(&self, run: &Run, address: Address, fingerprints: Fingerprints) {
        let Some(run) = self.runs.iter().position(|sibling| std::ptr::eq(*sibling, run)) else { return };
        let location = Location { run, arm: address.arm.map(str::to_owned), generation: address.generation };
        let mut index = self.index();
        index.models.entry(fingerprints.model).or_insert_with(|| location.clone());
        index.generations.entry(fingerprints.generation).or_insert(location);
    }

    /// A committed and verified result with one of these fingerprints. A whole generation is preferred to a model
    /// alone.
    pub(super) fn find(&self, fingerprints: &Fingerprints) -> Result<Option<CachedResult>, RunError> {
        let (generation, model) = {
            let index = self.index();
            let generation = index.generations.get(&fingerprints.generation).cloned();
            (generation, index.models.get(&fingerprints.model).cloned())
        };
        if let Some(folder) = self.verified(generation.as_ref())? {
            return Ok(Some(CachedResult::Generation(folder.path().to_owned())));
        }
        let Some(folder) = self.verified(model.as_ref())? else { return Ok(None) };
        Ok(Some(CachedResult::Model { model_dir: folder.model_dir(), training: folder.record()?.training }))
    }

    /// The folder of a generation that still exists.
    fn verified(&self, location: Option<&Location>) -> Result<Option<CommittedFolder>, RunError> {
        let Some(Location { run, arm, generation }) = location else { return Ok(None) };
        let address = Address { seed: self.seed, arm: arm.as_deref(), generation: *generation };
        Ok(self.runs[*run].store.find(address)?)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // A panic between the two insertions leaves an index that lacks an entry, but has no wrong one.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run<'_> {
    /// The fingerprints of a committed generation: those in its manifest, or, if an older version wrote the
    /// manifest, computed from the records of its lineage. `None` if it is not committed, or its lineage has a gap.
    pub(super) fn fingerprints(
        &self,
        seed: u64,
        arm: &Arm,
        generation: usize,
    ) -> Result<Option<Fingerprints>, RunError> {
        let address = Address::of(self.experiment, seed, arm, generation);
        if !self.store.exists(address) {
            return Ok(None);
        }
        if let Some(fingerprints) = self.store.fingerprints(address)? {
            return Ok(Some(fingerprints));
        }
        let parent = match generation.checked_sub(1) {
            None => None,
            Some(earlier) => match self.fingerprints(seed, arm, earlier)? {
                None => return Ok(None),
                found => found,
            },
        };
        let record = self.store.record(address)?;
        let inputs = self.inputs(seed, arm);
        let text = &record.mixture.hash;
        Ok(Some(inputs.fingerprints(generation, text, &record.metrics, parent.as_ref())))
    }

    pub(super) fn inputs<'b>(&'b self, seed: u64, arm: &'b Arm) -> LineageInputs<'b> {
        LineageInputs { experiment: self.experiment, prepared: self.prepared, seed, arm }
    }
}
