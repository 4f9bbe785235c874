//! Simulators that are wrong on purpose, to test whether the oracles would notice.
//!
//! [`ReferenceSimulator`] does the same as [`crate::drift::categorical`] in a short and slow way: samples are made one
//! by one and kept in lists, and sampling a model means picking from the list that it was trained on. It shares no
//! sampler with the production simulator. Without a [`Fault`] it passes the same oracles (a test checks that), so a
//! check that fails with a fault has detected the fault, not a difference between the simulators.
//!
//! ```
//! use genloss::config;
//! use genloss::drift::{DriftSettings, Frequencies, SampleSchedule};
//! use genloss::verify::injected::{Fault, ReferenceSimulator};
//!
//! let mixture = config::parse_mixture("replace", "mixture")?;
//! let settings = DriftSettings { samples: 100, generations: 1, mixture, replicates: 1, seed: 1 };
//! let simulator = ReferenceSimulator {
//!     frequencies: &Frequencies::zipf(10, 1.0, 0.0)?,
//!     schedule: &SampleSchedule::new(&settings)?,
//!     seed: 1,
//!     fault: Some(Fault::TokenMismatch),
//! };
//! let mut last = 0;
//! simulator.lineage(0, &mut |_, counts| last = counts.iter().sum());
//! assert_eq!(last, 95);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::drift::{Frequencies, SampleSchedule, TrainingCounts};
use crate::mixture::{NaturalDocuments, SyntheticDocuments};
use crate::seed::{Stream, StreamKey, streams};
use rand::Rng;
use rand::seq::SliceRandom;

/// A mistake that a simulator of the training loop could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One in 200 samples of rare types is replaced by the most frequent type.
    SamplingBias,
    /// The natural part of a mixture is not natural but written by the previous generation.
    StaleNatural,
    /// Generations train on 5 % fewer samples than the schedule says.
    TokenMismatch,
    /// A generation trains on text of the generation before the previous one.
    OffByOneGeneration,
    /// Every sample is replaced by the most frequent type.
    GreedyInsteadOfSampling,
}

/// [`Fault::SamplingBias`] affects types whose natural frequency is below this.
const RARE: f64 = 0.05;

/// Fraction of the samples of rare types that [`Fault::SamplingBias`] replaces.
const BIAS: f64 = 0.005;

/// Fraction of its scheduled samples that a generation trains on with the fault [`Fault::TokenMismatch`].
const TRAINED_SHARE: f64 = 0.95;

impl Fault {
    /// All faults.
    pub const ALL: [Self; 5] = [
        Self::SamplingBias,
        Self::StaleNatural,
        Self::TokenMismatch,
        Self::OffByOneGeneration,
        Self::GreedyInsteadOfSampling,
    ];

    /// Name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SamplingBias => "sampling-bias",
            Self::StaleNatural => "stale-natural",
            Self::TokenMismatch => "token-mismatch",
            Self::OffByOneGeneration => "off-by-one-generation",
            Self::GreedyInsteadOfSampling => "greedy-instead-of-sampling",
        }
    }

    /// Whether the fault makes a difference under this schedule.
    #[must_use]
    pub fn affects(self, schedule: &SampleSchedule) -> bool {
        let mixes = |counts: &TrainingCounts| counts.natural() > 0;
        match self {
            Self::StaleNatural => {
                schedule.synthetic == SyntheticDocuments::Latest && schedule.training.iter().any(mixes)
            }
            Self::SamplingBias
            | Self::TokenMismatch
            | Self::OffByOneGeneration
            | Self::GreedyInsteadOfSampling => true,
        }
    }
}

/// The training loop with categorical models, simulated sample by sample, with or without a fault.
pub struct ReferenceSimulator<'a> {
    /// Natural frequencies of types.
    pub frequencies: &'a Frequencies,
    /// Training sets of the generations.
    pub schedule: &'a SampleSchedule,
    /// Seed of all random streams.
    pub seed: u64,
    /// The fault, or None for a correct simulator.
    pub fault: Option<Fault>,
}

/// The type of each sample.
type Samples = Vec<u32>;

impl ReferenceSimulator<'_> {
    /// Runs the lineage of one replicate. Calls `each` for generations 0, 1, … in order, with the generation's number
    /// and, for every type, how often it occurs in the training set.
    pub fn lineage(&self, replicate: usize, each: &mut dyn FnMut(usize, &[u64])) {
        let mut rng = StreamKey::new(self.seed, "twin", replicate, streams::DRIFT_TWIN).stream(0);
        let most = self.schedule.natural_sizes().last().copied().unwrap_or(self.schedule.samples);
        let natural = self.natural(most, &mut rng);
        // Training sets of the latest generation and of the one before it.
        let mut last = natural[..self.schedule.samples as usize].to_vec();
        let mut second_to_last = last.clone();
        let mut pool = Samples::new();
        each(0, &self.counts(&last));
        for (&counts, generation) in self.schedule.training.iter().zip(1..) {
            let author = if self.has(Fault::OffByOneGeneration) { &second_to_last } else { &last };
            let corpus = self.write(author, self.schedule.written_for(counts), &mut rng);
            if self.schedule.synthetic == SyntheticDocuments::Latest {
                pool.clear();
            }
            pool.extend(corpus);
            let natural = if self.has(Fault::StaleNatural) {
                self.write(author, counts.natural(), &mut rng)
            } else {
                match self.schedule.natural {
                    NaturalDocuments::Fixed => natural[..counts.natural() as usize].to_vec(),
                    NaturalDocuments::Fresh => self.natural(counts.natural(), &mut rng),
                }
            };
            let mut training = match counts {
                TrainingCounts::Separate { synthetic, .. } => {
                    [natural, subset(synthetic, &pool, &mut rng)].concat()
                }
                TrainingCounts::Pooled { taken, .. } => {
                    subset(taken, &[natural, pool.clone()].concat(), &mut rng)
                }
            };
            if self.has(Fault::TokenMismatch) {
                training.shuffle(&mut rng);
                training.truncate((training.len() as f64 * TRAINED_SHARE) as usize);
            }
            second_to_last = std::mem::replace(&mut last, training);
            each(generation, &self.counts(&last));
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Samples from the natural distribution.
    fn natural(&self, samples: u64, rng: &mut Stream) -> Samples {
        let sums = self.frequencies.probabilities().iter().scan(0.0, |sum, p| {
            *sum += p;
            Some(*sum)
        });
        let sums: Vec<f64> = sums.collect();
        let last = sums.len() - 1;
        let mut sample = || {
            let draw: f64 = rng.random();
            sums.partition_point(|&sum| sum <= draw).min(last) as u32
        };
        (0..samples).map(|_| sample()).collect()
    }

    /// Samples of a model that was trained on `training`.
    fn write(&self, training: &[u32], samples: u64, rng: &mut Stream) -> Samples {
        let counts = self.counts(training);
        let most_frequent = (0..counts.len()).max_by_key(|&id| counts[id]).unwrap_or(0) as u32;
        let p = self.frequencies.probabilities();
        let sample = |_| {
            let sample = training[rng.random_range(0..training.len())];
            let is_biased = self.has(Fault::SamplingBias) && p[sample as usize] < RARE;
            if self.has(Fault::GreedyInsteadOfSampling) || (is_biased && rng.random_bool(BIAS)) {
                most_frequent
            } else {
                sample
            }
        };
        (0..samples).map(sample).collect()
    }

    fn counts(&self, samples: &[u32]) -> Vec<u64> {
        let mut counts = vec![0; self.frequencies.probabilities().len()];
        for &sample in samples {
            counts[sample as usize] += 1;
        }
        counts
    }
}

/// A uniform subset without replacement; all samples if there are no more than `wanted`.
fn subset(wanted: u64, samples: &[u32], rng: &mut Stream) -> Samples {
    let mut samples = samples.to_vec();
    if (wanted as usize) < samples.len() {
        samples.shuffle(rng);
        samples.truncate(wanted as usize);
    }
    samples
}
