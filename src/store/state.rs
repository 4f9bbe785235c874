//! Which units of a run are done, who works on the others, and which can be made.

use super::{LEASE, StoreError, Unit, claims_folder, open};
use crate::claims::{ClaimState, Claims, Failure, Holder, Process};
use crate::config::Experiment;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// The state of a unit.
#[derive(Clone, Debug, PartialEq)]
pub enum UnitState {
    /// Every generation is committed.
    Done,
    /// A live process works on it.
    Claimed(Holder),
    /// The last attempt failed.
    Failed(Failure),
    /// It can be made.
    Ready,
    /// It needs another unit, which is not done.
    Waiting(Unit),
}

/// The state of every unit of the run at `root`, in the order in which a single process makes them. Units that nobody has
/// claimed yet are looked for in the store.
///
/// # Errors
/// If the disk fails.
pub fn unit_states(root: &Path, experiment: &Experiment) -> Result<Vec<(Unit, UnitState)>, StoreError> {
    let claims = Claims::new(&claims_folder(root), Process::this(), LEASE);
    let surveyed = open::survey(&claims, root)?;
    let is_done = |unit: &Unit| unit.addresses(experiment).iter().all(|address| address.exists_in(root));
    let done: BTreeMap<Unit, bool> = Unit::all(experiment)
        .into_par_iter()
        .map(|unit| {
            let done = match surveyed.get(&unit) {
                Some(state) => state.is_done(),
                None => is_done(&unit),
            };
            (unit, done)
        })
        .collect();
    Ok(states(experiment, surveyed, &|unit| done[unit]))
}

/// As [`unit_states`], from a survey of the claims. `is_done` is asked about every unit.
pub(super) fn states(
    experiment: &Experiment,
    mut surveyed: BTreeMap<Unit, ClaimState>,
    is_done: &dyn Fn(&Unit) -> bool,
) -> Vec<(Unit, UnitState)> {
    let state = |unit: &Unit| {
        let needed = unit.needs().filter(|needed| !is_done(needed));
        match (surveyed.remove(unit), needed) {
            _ if is_done(unit) => UnitState::Done,
            (Some(ClaimState::Held(holder)), _) => UnitState::Claimed(holder),
            (_, Some(needed)) => UnitState::Waiting(needed),
            (Some(ClaimState::Failed(failure)), None) => UnitState::Failed(failure),
            (Some(ClaimState::Free | ClaimState::Done) | None, None) => UnitState::Ready,
        }
    };
    let units = Unit::all(experiment);
    let states: Vec<UnitState> = units.iter().map(state).collect();
    units.into_iter().zip(states).collect()
}

/// The seconds that a unit took, if it is marked as done.
#[must_use]
pub fn unit_seconds(root: &Path, unit: &Unit) -> Option<f64> {
    let claims = Claims::new(&claims_folder(root), Process::this(), LEASE);
    claims.note(&unit.key())?.parse().ok()
}
