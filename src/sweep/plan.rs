//! What is to be made, before anything is.

use super::{Ready, Strand};
use crate::config::{Arm, Experiment};
use crate::lineage::{self, RunError, Work};
use crate::store::Address;

/// A generation to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// The place of its experiment.
    pub experiment: usize,
    /// Its arm.
    pub arm: &'a Arm,
    /// Which it is.
    pub generation: usize,
    /// What it takes.
    pub work: Work,
    /// Whether its model must be trained; else another lineage of the strand has the same.
    pub trains: bool,
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
        let mut trained = Trained::default();
        for &place in &strand.experiments {
            for arm in &self.experiments[place].arms {
                steps.extend(self.lineage(place, arm, &mut trained)?);
            }
        }
        steps.retain(|step| {
            let experiment = &self.experiments[step.experiment];
            !stands(experiment, Address::of(experiment, strand.seed, step.arm, step.generation))
        });
        Ok(steps)
    }

    /// The generations of an arm; the first that arms share belongs to the first of them.
    fn lineage(
        &self,
        place: usize,
        arm: &'a Arm,
        trained: &mut Trained<'a>,
    ) -> Result<Vec<Step<'a>>, RunError> {
        let experiment = &self.experiments[place];
        let works = lineage::work(experiment, arm, self.text(place))?;
        let natural = works.iter().take_while(|work| work.synthetic.0 == 0).count();
        let first_of_sharing = experiment.arms.iter().find(|arm| experiment.shares_generation_0(arm));
        let is_shared = experiment.shares_generation_0(arm) && first_of_sharing != Some(arm);
        let step = |(generation, work)| Step {
            experiment: place,
            arm,
            generation,
            work,
            trains: generation >= natural || trained.is_new(arm, generation),
        };
        Ok(works.into_iter().enumerate().skip(usize::from(is_shared)).map(step).collect())
    }
}

/// The models of natural text that a strand has by then.
#[derive(Default)]
struct Trained<'a>(Vec<(&'a Arm, usize)>);

impl<'a> Trained<'a> {
    /// Whether none of them is the model of `generation` of `arm`, which is among them from now on.
    fn is_new(&mut self, arm: &'a Arm, generation: usize) -> bool {
        let same_text = |other: &Arm| generation == 0 || other.mixture == arm.mixture;
        let is_same = |&(other, at): &(&Arm, usize)| {
            at == generation && same_text(other) && lineage::train_alike(arm, other, generation)
        };
        let is_new = !self.0.iter().any(is_same);
        self.0.push((arm, generation));
        is_new
    }
}
