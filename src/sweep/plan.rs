//! The generations that a sweep has to make, before any is made.

use super::{PreparedSweep, SweepPhase, UnitGroup};
use crate::config::{Arm, Experiment};
use crate::lineage::{self, LineageInputs, RunError, Workload};
use crate::store::{Address, Fingerprint};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A generation to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedGeneration<'a> {
    /// The index of its experiment.
    pub experiment: usize,
    /// Its arm, as it is in this generation.
    pub arm: Cow<'a, Arm>,
    /// Its number.
    pub generation: usize,
    /// The tokens that it handles.
    pub workload: Workload,
    /// Whether its model must be trained; otherwise another lineage of the unit group has the same model.
    pub trains: bool,
    /// Whether it must be written and measured; otherwise another lineage of the unit group has an equal generation.
    pub writes: bool,
}

impl<'a> PreparedSweep<'a> {
    /// The generations of a unit group that do not exist yet, in the order in which they are made. Reuse is predicted
    /// only for generations that train on natural text alone, because it is not known yet which corpora will be equal.
    ///
    /// # Errors
    /// If a mixture takes more synthetic text than there will be.
    pub fn missing(
        &self,
        unit: &UnitGroup,
        exists: &dyn Fn(&Experiment, Address) -> bool,
    ) -> Result<Vec<PlannedGeneration<'a>>, RunError> {
        let mut planned: Vec<PlannedGeneration> = Vec::new();
        let mut known = KnownFingerprints::default();
        for &index in &unit.experiments {
            for arm in &self.experiments[index].arms {
                planned.extend(self.planned_lineage(unit, index, arm, &mut known)?);
            }
        }
        planned.retain(|one| {
            let experiment = &self.experiments[one.experiment];
            !exists(experiment, Address::of(experiment, unit.seed, &one.arm, one.generation))
        });
        Ok(planned)
    }

    /// Experiments whose generation 0 is the same as that of another one, which should be made first and then be reused: by
    /// experiment and seed, the index of the other one.
    ///
    /// # Errors
    /// If a mixture takes more synthetic text than there will be.
    pub(super) fn leaders(&self) -> Result<BTreeMap<(usize, u64), usize>, RunError> {
        let mut leaders = BTreeMap::new();
        for group in self.groups_of(SweepPhase::First) {
            let planned = self.missing(&group, &|_, _| false)?;
            let trains = |index: usize| planned.iter().any(|one| one.experiment == index && one.trains);
            let mut leader = None;
            for &index in &group.experiments {
                match leader {
                    Some(leader) if !trains(index) => drop(leaders.insert((index, group.seed), leader)),
                    _ => leader = Some(index),
                }
            }
        }
        Ok(leaders)
    }

    /// The generations of an arm that belong to a unit group. A generation 0 that arms share belongs to the first of them.
    fn planned_lineage(
        &self,
        unit: &UnitGroup,
        index: usize,
        arm: &'a Arm,
        known: &mut KnownFingerprints,
    ) -> Result<Vec<PlannedGeneration<'a>>, RunError> {
        let experiment = &self.experiments[index];
        let workloads = lineage::workloads(experiment, arm, self.text(index))?;
        let first_of_sharing = experiment.arms.iter().find(|arm| experiment.shares_generation_0(arm));
        let is_planned_already = experiment.shares_generation_0(arm) && first_of_sharing != Some(arm);
        let inputs = LineageInputs { experiment, prepared: self.text(index), seed: unit.seed, arm };
        let mut parent = None;
        let mut planned = Vec::new();
        for (generation, workload) in workloads.into_iter().enumerate() {
            let is_natural = workload.synthetic.0 == 0 && (generation == 0 || parent.is_some());
            let fingerprints = is_natural.then(|| {
                let text = lineage::planned_natural_text(experiment, arm, generation, workload.natural);
                inputs.fingerprints(generation, &text, &[], parent.as_ref())
            });
            let belongs = match unit.phase {
                SweepPhase::First => generation == 0 && !is_planned_already,
                SweepPhase::Later => generation > 0,
            };
            if belongs {
                let (trains, writes) = fingerprints.as_ref().map_or((true, true), |one| {
                    (known.models.insert(one.model.clone()), known.generations.insert(one.generation.clone()))
                });
                let arm = experiment.at(arm, generation);
                planned.push(PlannedGeneration {
                    experiment: index,
                    arm,
                    generation,
                    workload,
                    trains,
                    writes,
                });
            }
            parent = fingerprints;
        }
        Ok(planned)
    }
}

/// The fingerprints of generations planned so far.
#[derive(Default)]
struct KnownFingerprints {
    models: BTreeSet<Fingerprint>,
    generations: BTreeSet<Fingerprint>,
}
