//! What is to be made, before anything is.

use super::{Part, Ready, Strand};
use crate::config::{Arm, Experiment};
use crate::lineage::{self, ArmOf, RunError, Work};
use crate::store::Address;
use std::borrow::Cow;

/// A generation to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<'a> {
    /// The place of its experiment.
    pub experiment: usize,
    /// Its arm, as it is in this generation.
    pub arm: Cow<'a, Arm>,
    /// Which it is.
    pub generation: usize,
    /// What it takes.
    pub work: Work,
    /// Whether its model must be trained; else another lineage of the strand has the same.
    pub trains: bool,
    /// Whether it must be written and measured; else another lineage of the strand has the same.
    pub writes: bool,
}

impl<'a> Ready<'a> {
    /// The generations of a strand that do not stand yet, in the order in which they are made. What is in common is
    /// foreseen where lineages train on natural text alone: texts by models cannot be known to be the same.
    ///
    /// # Errors
    /// When a mixture cannot be made.
    pub fn missing(
        &self,
        strand: &Strand,
        stands: &dyn Fn(&Experiment, Address) -> bool,
    ) -> Result<Vec<Step<'a>>, RunError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut made = Made::default();
        for &place in &strand.experiments {
            for arm in &self.experiments[place].arms {
                steps.extend(self.lineage(strand, place, arm, &mut made)?);
            }
        }
        steps.retain(|step| {
            let experiment = &self.experiments[step.experiment];
            !stands(experiment, Address::of(experiment, strand.seed, &step.arm, step.generation))
        });
        Ok(steps)
    }

    /// The generations of an arm that belong to a strand; the first that arms share belongs to the first of them.
    fn lineage(
        &self,
        strand: &Strand,
        place: usize,
        arm: &'a Arm,
        made: &mut Made<'a>,
    ) -> Result<Vec<Step<'a>>, RunError> {
        let experiment = &self.experiments[place];
        let works = lineage::work(experiment, arm, self.text(place))?;
        let natural = works.iter().take_while(|work| work.synthetic.0 == 0).count();
        let first_of_sharing = experiment.arms.iter().find(|arm| experiment.shares_generation_0(arm));
        let is_shared = experiment.shares_generation_0(arm) && first_of_sharing != Some(arm);
        let belongs = |&(generation, _): &(usize, Work)| match strand.part {
            Part::First => generation == 0 && !is_shared,
            Part::Later => generation > 0,
        };
        let step = |(generation, work)| {
            let own = ArmOf { experiment, arm };
            let (trains, writes) =
                if generation < natural { made.lacks(own, generation) } else { (true, true) };
            Step { experiment: place, arm: experiment.at(arm, generation), generation, work, trains, writes }
        };
        Ok(works.into_iter().enumerate().filter(belongs).map(step).collect())
    }
}

/// The generations on natural text that a strand has by then.
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
