//! Chooses the lineages that are compared, and partitions them into experiments of a few seeds.

use crate::config::{Arm, CONTROL, Experiment};
use crate::seed::Stream;
use rand::seq::SliceRandom;
use statrs::function::factorial::binomial;
use std::collections::BTreeSet;

/// A comparison between arms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contrast {
    /// An arm, by name, compared with the control.
    Effect(String),
    /// Arms with the settings of the control, including the control itself, compared with one another. Their true
    /// difference is 0.
    Alike(Vec<String>),
}

impl Contrast {
    /// The contrasts of an experiment. The one between arms with the control's settings comes first, if there is one.
    #[must_use]
    pub fn all(experiment: &Experiment) -> Vec<Self> {
        let control = experiment.control();
        let is_alike = |arm: &&Arm| Arm { name: control.name.clone(), ..(*arm).clone() } == *control;
        let (alike, others): (Vec<&Arm>, Vec<&Arm>) = experiment.arms.iter().partition(is_alike);
        let name = |arm: &&Arm| arm.name.clone();
        let alike = (alike.len() > 1).then(|| Self::Alike(alike.iter().map(name).collect()));
        alike.into_iter().chain(others.iter().map(|arm| Self::Effect(name(arm)))).collect()
    }

    /// The name of the arm that is compared; the control's for [`Contrast::Alike`].
    #[must_use]
    pub fn arm(&self) -> &str {
        match self {
            Self::Effect(arm) => arm,
            Self::Alike(_) => CONTROL,
        }
    }

    /// The pairs of arm and control of all seeds. Arms that are alike are paired at random. Each arm is in at most
    /// one pair of a seed, so one arm is left out if the number of arms is odd.
    pub(super) fn pairs(&self, seeds: usize, stream: &mut Stream) -> Vec<Pair<'_>> {
        match self {
            Self::Effect(arm) => (0..seeds).map(|seed| Pair { seed, arm, control: CONTROL }).collect(),
            Self::Alike(arms) => {
                let mut arms: Vec<&str> = arms.iter().map(String::as_str).collect();
                let mut pairs = Vec::new();
                for seed in 0..seeds {
                    arms.shuffle(stream);
                    pairs.extend(arms.chunks_exact(2).map(|two| Pair { seed, arm: two[0], control: two[1] }));
                }
                pairs
            }
        }
    }

    /// Lower bound on the number of different experiments of `size` seeds.
    fn distinct_experiments(&self, seeds: usize, size: usize) -> f64 {
        let pairs_per_seed = match self {
            Self::Effect(_) => 1,
            Self::Alike(arms) => arms.len() * (arms.len() - 1),
        };
        binomial(seeds as u64, size as u64) * (pairs_per_seed as f64).powi(size as i32)
    }
}

/// Two lineages of one seed that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair<'a> {
    /// Index of the seed among those observed.
    pub(super) seed: usize,
    pub(super) arm: &'a str,
    pub(super) control: &'a str,
}

/// Returns sequences of all pairs in random order. The first `size` pairs of a sequence form an experiment, and the
/// later pairs can extend it. There are `wanted` sequences, and their experiments all differ. There are fewer sequences
/// if it is not certain that `wanted` different experiments exist. No lineage occurs twice in a sequence. Each shuffle
/// of the pairs is cut into several experiments, which share no lineage.
pub(super) fn partition<'a>(
    contrast: &'a Contrast,
    seeds: usize,
    size: usize,
    wanted: usize,
    stream: &mut Stream,
) -> Vec<Vec<Pair<'a>>> {
    let mut sequences = Vec::new();
    let mut seen = BTreeSet::new();
    if size == 0 || size > seeds {
        return sequences;
    }
    let wanted = wanted.min(contrast.distinct_experiments(seeds, size) as usize);
    while sequences.len() < wanted {
        let mut shuffled = contrast.pairs(seeds, stream);
        shuffled.shuffle(stream);
        for start in (0..=shuffled.len() - size).step_by(size) {
            let mut sequence = shuffled.clone();
            sequence.rotate_left(start);
            let mut experiment = sequence[..size].to_vec();
            experiment.sort_unstable();
            if sequences.len() < wanted && seen.insert(experiment) {
                sequences.push(sequence);
            }
        }
    }
    sequences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::StreamKey;

    fn partitioned(contrast: &Contrast, seeds: usize, size: usize, wanted: usize) -> Vec<Vec<Pair<'_>>> {
        partition(contrast, seeds, size, wanted, &mut StreamKey::new(1, "", 0, "test").stream(0))
    }

    fn alike(arms: usize) -> Contrast {
        Contrast::Alike((0..arms).map(|arm| arm.to_string()).collect())
    }

    #[test]
    fn experiments_of_one_partition_share_no_seed() {
        let contrast = Contrast::Effect("arm".to_owned());
        let sequences = partitioned(&contrast, 7, 3, 2);
        let [first, second] = &sequences[..] else { panic!("{} experiments", sequences.len()) };
        assert!(first[..3].iter().all(|pair| !second[..3].contains(pair)));
        assert!(partitioned(&contrast, 2, 3, 5).is_empty());
    }

    /// There are C(5, 3) = 10 experiments with three of five seeds. Five arms have 5 · 4 = 20 ordered pairs for each of
    /// two seeds.
    #[test]
    fn no_experiment_occurs_twice() {
        assert_eq!(partitioned(&Contrast::Effect("arm".to_owned()), 5, 3, 1000).len(), 10);
        assert_eq!(partitioned(&alike(5), 2, 1, 1000).len(), 40);
    }

    #[test]
    fn no_lineage_occurs_twice_in_a_sequence() {
        for sequence in partitioned(&alike(5), 3, 2, 50) {
            assert_eq!(sequence.len(), 6);
            let lineages = sequence.iter().flat_map(|one| [(one.seed, one.arm), (one.seed, one.control)]);
            assert_eq!(lineages.collect::<BTreeSet<_>>().len(), 12);
        }
    }
}
