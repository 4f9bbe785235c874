//! What is to be made, before anything is.

use super::{PreparedSweep, SweepPhase, WorkUnit};
use crate::config::{Arm, Experiment};
use crate::lineage::{self, ArmOf, RunError, Workload};
use crate::store::Address;
use std::borrow::Cow;

/// A generation to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedGeneration<'a> {
    /// The place of its experiment.
    pub experiment: usize,
    /// Its arm, as it is in this generation.
    pub arm: Cow<'a, Arm>,
    /// Which it is.
    pub generation: usize,
    /// What it takes.
    pub work: Workload,
    /// Whether its model must be trained; else another lineage of the unit has the same.
    pub trains: bool,
    /// Whether it must be written and measured; else another lineage of the unit has the same.
    pub writes: bool,
}

impl<'a> PreparedSweep<'a> {
    /// The generations of a unit that do not stand yet, in the order in which they are made. What is in common is
    /// foreseen where lineages train on natural text alone: texts by models cannot be known to be the same.
    ///
    /// # Errors
    /// When a mixture cannot be made.
    pub fn missing(
        &self,
        unit: &WorkUnit,
        stands: &dyn Fn(&Experiment, Address) -> bool,
    ) -> Result<Vec<PlannedGeneration<'a>>, RunError> {
        let mut planned: Vec<PlannedGeneration> = Vec::new();
        let mut made = Made::default();
        for &place in &unit.experiments {
            for arm in &self.experiments[place].arms {
                planned.extend(self.lineage(unit, place, arm, &mut made)?);
            }
        }
        planned.retain(|step| {
            let experiment = &self.experiments[step.experiment];
            !stands(experiment, Address::of(experiment, unit.seed, &step.arm, step.generation))
        });
        Ok(planned)
    }

    /// The generations of an arm that belong to a unit; the first that arms share belongs to the first of them.
    fn lineage(
        &self,
        unit: &WorkUnit,
        place: usize,
        arm: &'a Arm,
        made: &mut Made<'a>,
    ) -> Result<Vec<PlannedGeneration<'a>>, RunError> {
        let experiment = &self.experiments[place];
        let works = lineage::work(experiment, arm, self.text(place))?;
        let natural = works.iter().take_while(|work| work.synthetic.0 == 0).count();
        let first_of_sharing = experiment.arms.iter().find(|arm| experiment.shares_generation_0(arm));
        let is_shared = experiment.shares_generation_0(arm) && first_of_sharing != Some(arm);
        let belongs = |&(generation, _): &(usize, Workload)| match unit.phase {
            SweepPhase::First => generation == 0 && !is_shared,
            SweepPhase::Later => generation > 0,
        };
        let step = |(generation, work)| {
            let own = ArmOf { experiment, arm };
            let (trains, writes) =
                if generation < natural { made.lacks(own, generation) } else { (true, true) };
            PlannedGeneration {
                experiment: place,
                arm: experiment.at(arm, generation),
                generation,
                work,
                trains,
                writes,
            }
        };
        Ok(works.into_iter().enumerate().filter(belongs).map(step).collect())
    }
}

/// The generations on natural text that a unit has by then.
#[derive(Default)]
struct Made<'a>(Vec<(ArmOf<'a>, usize)>);

impl<'a> Made<'a> {
    /// Whether none of them has the model of `generation` of an arm, and whether none is the same as it. It is among them
    /// from now on.
    fn lacks(&mut self, one: ArmOf<'a>, generation: usize) -> (bool, bool) {
        let same_text = |other: ArmOf| generation == 0 || other.arm.mixture == one.arm.mixture;
        let has_same_model = |&&(other, at): &&(ArmOf, usize)| {
            at == generation && same_text(other) && one.trains_alike(other, generation)
        };
        let alike: Vec<ArmOf> = self.0.iter().filter(has_same_model).map(|&(other, _)| other).collect();
        self.0.push((one, generation));
        (alike.is_empty(), !alike.iter().any(|&other| one.writes_alike(other, generation)))
    }
}
