//! Which lineages are held against which, and how they are dealt into experiments.

use crate::config::{Arm, CONTROL, Experiment};
use crate::seed::Stream;
use rand::seq::SliceRandom;
use statrs::function::factorial::binomial;
use std::collections::BTreeSet;

/// What is held against what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contrast {
    /// An arm against the control.
    Effect(String),
    /// Arms with the settings of the control, the control among them, against each other: nothing differs in truth.
    Alike(Vec<String>),
}

impl Contrast {
    /// Those that an experiment holds, arms that are alike first.
    #[must_use]
    pub fn all(experiment: &Experiment) -> Vec<Self> {
        let control = experiment.control();
        let is_alike = |arm: &&Arm| Arm { name: control.name.clone(), ..(*arm).clone() } == *control;
        let (alike, others): (Vec<&Arm>, Vec<&Arm>) = experiment.arms.iter().partition(is_alike);
        let name = |arm: &&Arm| arm.name.clone();
        let alike = (alike.len() > 1).then(|| Self::Alike(alike.iter().map(name).collect()));
        alike.into_iter().chain(others.iter().map(|arm| Self::Effect(name(arm)))).collect()
    }

    /// The name of the arm; the control's where arms are alike.
    #[must_use]
    pub fn arm(&self) -> &str {
        match self {
            Self::Effect(arm) => arm,
            Self::Alike(_) => CONTROL,
        }
    }

    /// A lineage and its control for every seed; of arms that are alike as many as can be paired off at random.
    pub(super) fn couples(&self, seeds: usize, stream: &mut Stream) -> Vec<Couple<'_>> {
        match self {
            Self::Effect(arm) => (0..seeds).map(|seed| Couple { seed, arm, control: CONTROL }).collect(),
            Self::Alike(arms) => {
                let mut arms: Vec<&str> = arms.iter().map(String::as_str).collect();
                let mut couples = Vec::new();
                for seed in 0..seeds {
                    arms.shuffle(stream);
                    couples.extend(arms.chunks_exact(2).map(|two| Couple {
                        seed,
                        arm: two[0],
                        control: two[1],
                    }));
                }
                couples
            }
        }
    }

    /// How many different experiments of `size` seeds there are, at least.
    fn different(&self, seeds: usize, size: usize) -> f64 {
        let couples_of_a_seed = match self {
            Self::Effect(_) => 1,
            Self::Alike(arms) => arms.len() * (arms.len() - 1),
        };
        binomial(seeds as u64, size as u64) * (couples_of_a_seed as f64).powi(size as i32)
    }
}

/// A lineage and the one that it is held against, of the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Couple<'a> {
    /// The index of their seed.
    pub(super) seed: usize,
    pub(super) arm: &'a str,
    pub(super) control: &'a str,
}

/// Orders of couples, of which the first `size` make an experiment, each a different one: `wanted` of them, or as many as
/// are sure to exist. No lineage stands in an order twice, and experiments of a round share none.
pub(super) fn deal<'a>(
    contrast: &'a Contrast,
    seeds: usize,
    size: usize,
    wanted: usize,
    stream: &mut Stream,
) -> Vec<Vec<Couple<'a>>> {
    let mut orders = Vec::new();
    let mut dealt = BTreeSet::new();
    if size == 0 || size > seeds {
        return orders;
    }
    let wanted = wanted.min(contrast.different(seeds, size) as usize);
    while orders.len() < wanted {
        let mut order = contrast.couples(seeds, stream);
        order.shuffle(stream);
        for start in (0..=order.len() - size).step_by(size) {
            let mut order = order.clone();
            order.rotate_left(start);
            let mut experiment = order[..size].to_vec();
            experiment.sort_unstable();
            if orders.len() < wanted && dealt.insert(experiment) {
                orders.push(order);
            }
        }
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::StreamKey;

    fn dealt(contrast: &Contrast, seeds: usize, size: usize, wanted: usize) -> Vec<Vec<Couple<'_>>> {
        deal(contrast, seeds, size, wanted, &mut StreamKey::new(1, "", 0, "test").stream(0))
    }

    fn alike(arms: usize) -> Contrast {
        Contrast::Alike((0..arms).map(|arm| arm.to_string()).collect())
    }

    #[test]
    fn experiments_of_a_round_share_no_seed() {
        let contrast = Contrast::Effect("arm".to_owned());
        let orders = dealt(&contrast, 7, 3, 2);
        let [first, second] = &orders[..] else { panic!("{} experiments", orders.len()) };
        assert!(first[..3].iter().all(|couple| !second[..3].contains(couple)));
        assert!(dealt(&contrast, 2, 3, 5).is_empty());
    }

    /// Of five seeds ten experiments of three can be made; of five arms that are alike, 20 couples of each of two seeds.
    #[test]
    fn there_are_as_many_experiments_as_there_are_different_ones() {
        assert_eq!(dealt(&Contrast::Effect("arm".to_owned()), 5, 3, 1000).len(), 10);
        assert_eq!(dealt(&alike(5), 2, 1, 1000).len(), 40);
    }

    #[test]
    fn no_lineage_stands_in_an_order_twice() {
        for order in dealt(&alike(5), 3, 2, 50) {
            assert_eq!(order.len(), 6);
            let lineages = order.iter().flat_map(|one| [(one.seed, one.arm), (one.seed, one.control)]);
            assert_eq!(lineages.collect::<BTreeSet<_>>().len(), 12);
        }
    }
}
