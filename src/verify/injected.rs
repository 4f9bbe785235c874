//! Simulators that are wrong on purpose: would the oracles notice?
//!
//! A plain twin of [`crate::drift::categorical`], as slow as it is short: samples are made one by one and kept in lists,
//! and to sample a model is to pick from the list that it was trained on. It shares no sampler with the production
//! simulator. With a [`Fault`] it differs from the loop in exactly one line; without one it passes the same oracles,
//! which a test holds, so that what the oracles notice is the fault and not the twin.

use crate::config::{NaturalDocuments, SyntheticDocuments};
use crate::drift::{Frequencies, SampleSchedule, TrainingCounts};
use crate::seed::{Stream, StreamKey, streams};
use rand::Rng;
use rand::seq::SliceRandom;

/// One way to get the loop wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One in 200 samples of rare types comes out as the most frequent type.
    SamplingBias,
    /// The natural part of a mixture is in truth more of the last generation's text.
    StaleNatural,
    /// Generations train on 5 % fewer samples than they say.
    TokenMismatch,
    /// A generation trains on the text of the last generation but one.
    OffByOneGeneration,
    /// The most probable type is written, again and again, instead of a sample.
    GreedyInsteadOfSampling,
}

/// A type rarer than this suffers from the sampling bias.
const RARE: f64 = 0.05;

/// Share of the samples of rare types that the sampling bias takes.
const BIAS: f64 = 0.005;

/// Share of its samples that a generation really trains on under the token mismatch.
const TRAINED_SHARE: f64 = 0.95;

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SamplingBias,
        Self::StaleNatural,
        Self::TokenMismatch,
        Self::OffByOneGeneration,
        Self::GreedyInsteadOfSampling,
    ];

    /// Its name on the command line.
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

    /// Whether a loop of this regime can show it.
    #[must_use]
    pub fn concerns(self, schedule: &SampleSchedule) -> bool {
        let mixes = |counts: &TrainingCounts| counts.natural() > 0;
        match self {
            Self::StaleNatural => {
                schedule.synthetic == SyntheticDocuments::Latest && schedule.training.iter().any(mixes)
            }
            _ => true,
        }
    }
}

/// The plain loop, with a fault or without.
pub struct ReferenceSimulator<'a> {
    /// Natural frequencies of types.
    pub frequencies: &'a Frequencies,
    /// What each generation trains on.
    pub schedule: &'a SampleSchedule,
    /// Names the random streams.
    pub seed: u64,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// Samples, each by its type.
type Samples = Vec<u32>;

impl ReferenceSimulator<'_> {
    /// Runs the lineage of one replicate: `each` gets the counts (types) of generations 0, 1, … in turn.
    pub fn lineage(&self, replicate: usize, each: &mut dyn FnMut(usize, &[u64])) {
        let mut rng = StreamKey::new(self.seed, "twin", replicate, streams::DRIFT_TWIN).stream(0);
        let most = self.schedule.natural_sizes().last().copied().unwrap_or(self.schedule.samples);
        let natural = self.natural(most, &mut rng);
        // What the last generation and the one before it were trained on.
        let mut last = natural[..self.schedule.samples as usize].to_vec();
        let mut last_but_one = last.clone();
        let mut pool = Samples::new();
        each(0, &self.counts(&last));
        for (place, &counts) in self.schedule.training.iter().enumerate() {
            let author = if self.has(Fault::OffByOneGeneration) { &last_but_one } else { &last };
            let corpus = self.write(author, self.schedule.written_for(counts), &mut rng);
            if self.schedule.synthetic == SyntheticDocuments::Latest {
                pool.clear();
            }
            pool.extend(corpus);
            let natural = match self.schedule.natural {
                _ if self.has(Fault::StaleNatural) => self.write(author, counts.natural(), &mut rng),
                NaturalDocuments::Fixed => natural[..counts.natural() as usize].to_vec(),
                NaturalDocuments::Fresh => self.natural(counts.natural(), &mut rng),
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
            last_but_one = std::mem::replace(&mut last, training);
            each(place + 1, &self.counts(&last));
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Samples from nature.
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

    /// What a model writes that was trained on `training`.
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

/// A uniform subset without replacement; all, if there are no more.
fn subset(wanted: u64, samples: &[u32], rng: &mut Stream) -> Samples {
    let mut samples = samples.to_vec();
    if (wanted as usize) < samples.len() {
        samples.shuffle(rng);
        samples.truncate(wanted as usize);
    }
    samples
}
