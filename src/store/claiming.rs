//! The claims of a process on the units of a run.

use super::{
    Address, EXPERIMENT, PARTIAL, Store, StoreError, UNITS, Unit, UnitState, disk, lock, open, state,
};
use crate::claims::{Claim, ClaimState, Taken};
use crate::config::Experiment;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

impl Store {
    /// Claims a unit for this process. If another process works on it, or if it is done, the inner result says so.
    ///
    /// # Errors
    /// If another process is changing the records of the run or has changed them, or if the disk fails.
    pub fn claim(&self, unit: &Unit) -> Result<Result<(), Taken>, StoreError> {
        let claim = match disk::at(&self.root, self.claims.claim(&unit.key()))? {
            Ok(claim) => claim,
            Err(taken) => return Ok(Err(taken)),
        };
        // A process that changes the records first claims the preparation and then looks for claims on units. Here the
        // order is reversed, so that at least one of the two finds the other.
        if let Err(error) = open::check_not_prepared(&self.root).and_then(|()| self.check_experiment()) {
            disk::at(&self.root, claim.release(None))?;
            return Err(error);
        }
        for lineage in self.lineage_folders(unit) {
            for name in disk::names_if_any(&lineage)? {
                if name.starts_with(PARTIAL) {
                    disk::remove_dir(&lineage.join(name))?;
                }
            }
        }
        lock(&self.held).insert(unit.clone(), Arc::new(claim));
        Ok(Ok(()))
    }

    /// Gives back a unit that this process has claimed. With an error, the attempt is recorded as failed.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn release(&self, unit: &Unit, error: Option<String>) -> Result<(), StoreError> {
        self.give_up(unit).map_or(Ok(()), |claim| disk::at(&self.root, claim.release(error)))
    }

    /// Marks a unit that this process has claimed as done, after `time` of work.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn finish(&self, unit: &Unit, time: Duration) -> Result<(), StoreError> {
        let note = time.as_secs_f64().to_string();
        self.give_up(unit).map_or(Ok(()), |claim| disk::at(&self.root, claim.finish(&note)))
    }

    /// Removes everything that is known about claims on a unit.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn forget(&self, unit: &Unit) -> Result<(), StoreError> {
        disk::at(&self.root, self.claims.forget(&unit.key()))
    }

    /// The state of every unit, from one listing of the claims. Units that nobody has claimed yet count as not done.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn survey(&self, experiment: &Experiment) -> Result<Vec<(Unit, UnitState)>, StoreError> {
        let surveyed = open::survey(&self.claims, &self.root)?;
        let done: BTreeSet<Unit> =
            surveyed.iter().filter(|(_, state)| state.is_done()).map(|(unit, _)| unit.clone()).collect();
        Ok(state::states(experiment, surveyed, &|unit| done.contains(unit)))
    }

    /// The units that were ever claimed, and whether each is done, from one listing. No claim is read.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn marks(&self) -> Result<BTreeMap<Unit, bool>, StoreError> {
        let marks = disk::at(&self.root, self.claims.marks())?;
        Ok(marks.into_iter().filter_map(|(key, done)| Some((Unit::from_key(&key)?, done))).collect())
    }

    /// The state of the claims on a unit; `None` if it was never claimed.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn claim_state(&self, unit: &Unit) -> Result<Option<ClaimState>, StoreError> {
        disk::at(&self.root, self.claims.state_of(&unit.key()))
    }

    /// Forgets attempts that failed, so that workers make them again.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn forget_failures(&self, experiment: &Experiment) -> Result<(), StoreError> {
        let failed = |(unit, state): (Unit, UnitState)| matches!(state, UnitState::Failed(_)).then_some(unit);
        self.survey(experiment)?.into_iter().filter_map(failed).try_for_each(|unit| self.forget(&unit))
    }

    /// Removes the marks of units that are no longer complete, so that workers make what is missing.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn reopen_incomplete(&self, experiment: &Experiment) -> Result<(), StoreError> {
        let is_complete =
            |unit: &Unit| unit.addresses(experiment).iter().all(|&address| self.exists(address));
        let marked = |(unit, state): (Unit, UnitState)| (state == UnitState::Done).then_some(unit);
        let mut marked = self.survey(experiment)?.into_iter().filter_map(marked);
        marked.try_for_each(|unit| if is_complete(&unit) { Ok(()) } else { self.forget(&unit) })
    }

    /// Removes the claims of a finished run.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove_claims(&self) -> Result<(), StoreError> {
        disk::remove_dir(&self.root.join(UNITS))
    }

    /// Returns true if another process holds what this process had claimed.
    #[must_use]
    pub fn has_lost(&self, unit: &Unit) -> bool {
        lock(&self.held).get(unit).is_some_and(|claim| claim.check().is_err())
    }

    fn give_up(&self, unit: &Unit) -> Option<Claim> {
        lock(&self.held).remove(unit).and_then(Arc::into_inner)
    }

    pub(super) fn held(&self, address: Address) -> Result<Arc<Claim>, StoreError> {
        let held = lock(&self.held);
        let claim = held.iter().find(|(unit, _)| unit.makes(address)).map(|(_, claim)| Arc::clone(claim));
        claim.ok_or_else(|| StoreError::NotClaimed { folder: address.folder(&self.root) })
    }

    fn check_experiment(&self) -> Result<(), StoreError> {
        match disk::read_sealed(&self.root.join(EXPERIMENT))? == self.experiment_toml {
            true => Ok(()),
            false => Err(StoreError::ChangedMeanwhile { root: self.root.clone() }),
        }
    }

    fn lineage_folders(&self, unit: &Unit) -> Vec<PathBuf> {
        let seed = self.root.join(Unit::first(unit.seed).to_string());
        match unit.is_first() {
            true => vec![seed],
            false => unit.arms.iter().map(|arm| seed.join(arm)).collect(),
        }
    }
}
