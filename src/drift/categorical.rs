//! The training loop with a categorical model: count, draw, mix, count again.
//!
//! A generation is a vector of counts, one per type. Samples are never made one by one, so the cost of a generation
//! grows with the number of types and not with the number of samples. A lineage holds a few such vectors, and one more
//! for every size that the fixed natural part has in some generation. Lineages are simulated in parallel, and so are
//! blocks of types within a lineage; the result does not depend on the number of threads.
//!
//! Statistics of a generation's frequencies q: `gini_simpson` 1 − Σ q², `entropy` −Σ q ln q in nats, `types_alive`
//! (number of types with q > 0), `tail_types_alive` (number of tail types with q > 0; tail types are the rarest types,
//! which together have the last 1 % of natural mass), `tail_mass` (the mass of the tail types), `hill_1` =
//! exp(entropy), `hill_2` = 1/Σ q².
//!
//! ```
//! use genloss::config;
//! use genloss::decoding::SamplingSettings;
//! use genloss::drift::{DriftSettings, Frequencies, categorical::CategoricalSimulation};
//!
//! let mixture = config::parse_mixture("replace", "mixture")?;
//! let settings = DriftSettings { samples: 100, generations: 1, mixture, replicates: 1, seed: 1 };
//! let natural = Frequencies::new(&[0.5, 0.3, 0.2])?;
//! let simulation = CategoricalSimulation::new(natural, SamplingSettings::GREEDY, &settings)?;
//! let mut last = Vec::new();
//! simulation.lineage(0, &mut |_, counts| last = counts.to_vec());
//! // Greedy decoding writes the most frequent type only.
//! assert_eq!(last, [100, 0, 0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use super::coalescence::{Coalescence, coalescence};
use super::decode::decode;
use super::frequencies::Frequencies;
use super::hypergeometric::subset;
use super::multinomial::multinomial;
use super::schedule::{DriftSettings, SampleSchedule, TrainingCounts};
use super::statistics;
use super::summary::{self, DriftRow};
use super::survival::{SurvivingTypes, surviving_types};
use super::{DriftError, invalid};
use crate::decoding::SamplingSettings;
use crate::mixture::{NaturalDocuments, SyntheticDocuments};
use crate::seed::{StreamKey, streams};
use rayon::prelude::*;

/// A simulation with categorical models.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoricalSimulation {
    frequencies: Frequencies,
    writing: Writing,
    schedule: SampleSchedule,
    replicates: usize,
    seed: u64,
}

/// How the frequencies with which a model writes types follow from the frequencies that it has learnt.
#[derive(Clone, Debug, PartialEq)]
enum Writing {
    /// A decoder acts on the model's frequencies.
    Decoded(SamplingSettings),
    /// The frequency of each type is multiplied by the factor of that type, and the result is renormalised.
    Weighted(Vec<f64>),
}

impl Writing {
    fn is_plain(&self) -> bool {
        match self {
            Self::Decoded(decoding) => decoding.is_plain(),
            Self::Weighted(factors) => factors.iter().all(|&factor| factor == 1.0),
        }
    }

    /// The weight with which each type is drawn from a model whose types have the frequencies `weights`. If every type
    /// that the model knows would get weight 0, `weights` are returned unchanged.
    fn apply(&self, weights: Vec<f64>) -> Vec<f64> {
        if self.is_plain() {
            return weights;
        }
        let changed: Vec<f64> = match self {
            Self::Decoded(decoding) => decode(&weights, decoding),
            Self::Weighted(factors) => weights.iter().zip(factors).map(|(w, factor)| w * factor).collect(),
        };
        if changed.iter().any(|&weight| weight > 0.0) { changed } else { weights }
    }
}

impl CategoricalSimulation {
    /// A simulation whose types have the natural `frequencies` and whose models are sampled with `decoding`.
    ///
    /// # Errors
    /// If a setting is out of range, or the mixture takes more synthetic samples than exist.
    pub fn new(
        frequencies: Frequencies,
        decoding: SamplingSettings,
        settings: &DriftSettings,
    ) -> Result<Self, DriftError> {
        if decoding.repetition_penalty != 1.0 {
            let message =
                "samples of a categorical model do not form documents, so nothing is repeated; leave it at 1";
            return Err(invalid("repetition-penalty", message));
        }
        let (schedule, writing) = (SampleSchedule::new(settings)?, Writing::Decoded(decoding));
        Ok(Self { frequencies, writing, schedule, replicates: settings.replicates, seed: settings.seed })
    }

    /// A simulation whose types have the natural `frequencies`. When a model writes, the frequency of each type is
    /// multiplied by the factor of that type in `factors`, and the result is renormalised. A factor is the effect of a
    /// decoder, averaged over the contexts in which the type occurs.
    ///
    /// # Errors
    /// If the number of factors is not the number of types, a factor is negative or not finite, or the schedule's
    /// budget is 0.
    pub fn weighted(
        frequencies: Frequencies,
        factors: Vec<f64>,
        schedule: SampleSchedule,
        replicates: usize,
        seed: u64,
    ) -> Result<Self, DriftError> {
        let types = frequencies.probabilities().len();
        let is_factor = |factor: &f64| factor.is_finite() && *factor >= 0.0;
        if factors.len() != types || !factors.iter().all(is_factor) {
            let message = format!("give one for each of {types} types, each a number from 0 up");
            return Err(invalid("factors", message));
        }
        if schedule.samples == 0 {
            return Err(invalid("samples", "0 samples give no model; give at least 1"));
        }
        Ok(Self { frequencies, writing: Writing::Weighted(factors), schedule, replicates, seed })
    }

    /// The numbers of samples that each generation trains on and writes.
    #[must_use]
    pub fn schedule(&self) -> &SampleSchedule {
        &self.schedule
    }

    /// Runs every lineage and summarises them.
    #[must_use]
    pub fn rows(&self) -> Vec<DriftRow> {
        self.rows_of(|replicate, each| self.lineage(replicate, each))
    }

    /// Summarises the lineages of another simulator and compares them with the exact expectations of this one. `run`
    /// simulates the lineage of one replicate, and calls its second argument for generations 0, 1, … in order, with the
    /// generation's number and the count of each type.
    pub fn rows_of(&self, run: impl Fn(usize, &mut dyn FnMut(usize, &[u64])) + Sync) -> Vec<DriftRow> {
        let statistics_of_lineage = |replicate| {
            let mut values = Vec::with_capacity(self.schedule.training.len() + 1);
            run(replicate, &mut |_, counts: &[u64]| {
                values.push(statistics::of_counts(counts, self.frequencies.is_tail()));
            });
            values
        };
        let values: Vec<Vec<[f64; 7]>> =
            (0..self.replicates).into_par_iter().map(statistics_of_lineage).collect();
        let exact = self.exact();
        summary::rows(statistics::NAMES, &values, |generation, index| exact[generation][index])
    }

    /// The expectation of every statistic in every generation, where it is known.
    fn exact(&self) -> Vec<[Option<f64>; 7]> {
        if self.schedule.natural_limit.is_some() {
            return vec![[None; 7]; self.schedule.training.len() + 1];
        }
        let diversity = self.frequencies.gini_simpson();
        let tail_mass = self.frequencies.tail_mass();
        let is_plain = self.writing.is_plain();
        let of_generation = |(generation, (c, surviving)): (usize, (Coalescence, Option<SurvivingTypes>))| {
            if generation > 0 && !is_plain {
                return [None; 7];
            }
            let types = surviving.map(|surviving| surviving.types);
            let tail_types = surviving.map(|surviving| surviving.tail_types);
            [Some(diversity * c.different), None, types, tail_types, Some(tail_mass), None, None]
        };
        let surviving = surviving_types(&self.schedule, &self.frequencies);
        coalescence(&self.schedule).into_iter().zip(surviving).enumerate().map(of_generation).collect()
    }

    /// Runs the lineage of one replicate. `each` is called for generations 0, 1, … in order, with the number of the
    /// generation and the count of each type in its training set. The counts are also the unnormalised frequencies of
    /// the generation's model.
    pub fn lineage(&self, replicate: usize, each: &mut dyn FnMut(usize, &[u64])) {
        let mut lineage = Lineage::start(self, replicate);
        each(0, &lineage.model);
        for (&counts, generation) in self.schedule.training.iter().zip(1..) {
            lineage.step(generation, counts);
            each(generation, &lineage.model);
        }
    }

    /// Runs the same lineage as [`lineage`](Self::lineage), but passes to `each` the count of each type in a text of
    /// `samples` samples that the generation writes. The text has its own random stream and does not enter later
    /// generations.
    pub fn texts(&self, replicate: usize, samples: u64, each: &mut dyn FnMut(usize, &[u64])) {
        self.lineage(replicate, &mut |generation, model| {
            let key = self.key(replicate, generation, streams::DRIFT_TEXT);
            each(generation, &self.write(model, samples, &key));
        });
    }

    fn key(&self, replicate: usize, generation: usize, stage: &'static str) -> StreamKey {
        StreamKey::new(self.seed, &format!("drift {replicate}"), generation, stage)
    }

    /// The count of each type in `samples` samples from a model that was trained on the counts `model`.
    fn write(&self, model: &[u64], samples: u64, key: &StreamKey) -> Vec<u64> {
        let weights = model.iter().map(|&count| count as f64).collect();
        multinomial(samples, &self.writing.apply(weights), key)
    }
}

/// The state that a lineage carries from one generation to the next. Every vector of counts has one count per type.
struct Lineage<'a> {
    simulation: &'a CategoricalSimulation,
    replicate: usize,
    /// Nested natural samples, each with its size.
    prefixes: Vec<(u64, Vec<u64>)>,
    /// The training set of the latest generation.
    model: Vec<u64>,
    /// All corpora so far, if the mixture draws on all of them.
    pool: Vec<u64>,
    pool_size: u64,
}

impl<'a> Lineage<'a> {
    fn start(simulation: &'a CategoricalSimulation, replicate: usize) -> Self {
        let probabilities = simulation.frequencies.probabilities();
        let samples = simulation.schedule.distinct(simulation.schedule.samples);
        // Generation 0 is drawn first, so that it does not depend on what later generations train on.
        let model =
            multinomial(samples, probabilities, &simulation.key(replicate, 0, streams::DRIFT_NATURAL));
        let (smaller, larger): (Vec<u64>, Vec<u64>) = simulation
            .schedule
            .natural_sizes()
            .into_iter()
            .filter(|&size| size != samples)
            .partition(|&size| size < samples);
        let mut prefixes = vec![(samples, model.clone())];
        let mut last = model.clone();
        for (item, size) in smaller.into_iter().rev().enumerate() {
            last = subset(size, &last, &simulation.key(replicate, item, streams::DRIFT_NATURAL_SUBSET));
            prefixes.push((size, last.clone()));
        }
        let (mut last, mut last_size) = (model.clone(), samples);
        for (item, size) in larger.into_iter().enumerate() {
            // The samples by which a prefix exceeds the next smaller prefix are independent of the smaller one.
            let key = simulation.key(replicate, item + 1, streams::DRIFT_NATURAL);
            add(&mut last, &multinomial(size - last_size, probabilities, &key));
            last_size = size;
            prefixes.push((size, last.clone()));
        }
        let pool = vec![0; model.len()];
        let mut lineage = Self { simulation, replicate, prefixes, model, pool, pool_size: 0 };
        lineage.model = lineage.prefix(simulation.schedule.samples);
        lineage
    }

    /// The first `size` natural samples, read again from the beginning if there are fewer.
    fn prefix(&self, size: u64) -> Vec<u64> {
        let prefix = |size: u64| {
            let found = self.prefixes.iter().find(|(other, _)| *other == size);
            found.map_or(&[][..], |(_, counts)| counts)
        };
        match self.simulation.schedule.natural_limit {
            Some(limit) if size > limit => {
                let mut counts: Vec<u64> = prefix(limit).iter().map(|count| count * (size / limit)).collect();
                add(&mut counts, prefix(size % limit));
                counts
            }
            Some(_) | None => prefix(size).to_vec(),
        }
    }

    fn key(&self, generation: usize, stage: &'static str) -> StreamKey {
        self.simulation.key(self.replicate, generation, stage)
    }

    /// Trains generation `generation` ≥ 1.
    fn step(&mut self, generation: usize, counts: TrainingCounts) {
        let schedule = &self.simulation.schedule;
        let written = schedule.written_for(counts);
        let corpus = self.corpus(generation - 1, written);
        let (source, source_size) = match schedule.synthetic {
            SyntheticDocuments::Latest => (corpus, written),
            SyntheticDocuments::All => {
                add(&mut self.pool, &corpus);
                self.pool_size += written;
                (self.pool.clone(), self.pool_size)
            }
        };
        let subset_key = self.key(generation, streams::DRIFT_SUBSET);
        let natural = self.natural(generation, counts.natural());
        self.model = match counts {
            TrainingCounts::Separate { synthetic, .. } => {
                let mut training =
                    if synthetic < source_size { subset(synthetic, &source, &subset_key) } else { source };
                add(&mut training, &natural);
                training
            }
            TrainingCounts::Pooled { taken, .. } => {
                let mut whole = source;
                add(&mut whole, &natural);
                subset(taken, &whole, &subset_key)
            }
        };
    }

    /// The corpus of generation `author`, whose training set is `self.model`.
    fn corpus(&self, author: usize, samples: u64) -> Vec<u64> {
        self.simulation.write(&self.model, samples, &self.key(author, streams::DRIFT_CORPUS))
    }

    /// Natural samples that generation `generation` draws on; empty for 0 samples.
    fn natural(&self, generation: usize, samples: u64) -> Vec<u64> {
        if samples == 0 {
            return Vec::new();
        }
        match self.simulation.schedule.natural {
            NaturalDocuments::Fixed => self.prefix(samples),
            NaturalDocuments::Fresh => {
                let key = self.key(generation, streams::DRIFT_FRESH);
                multinomial(samples, self.simulation.frequencies.probabilities(), &key)
            }
        }
    }
}

fn add(counts: &mut [u64], others: &[u64]) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count += other;
    }
}
