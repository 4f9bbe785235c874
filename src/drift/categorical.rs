//! The loop with a categorical model: count, draw, mix, count again.
//!
//! A generation is a vector of counts, and costs as much as there are types: samples are never made one by one. Memory
//! is a few vectors of counts per lineage (one more for every size that a fixed natural part takes over the
//! generations). Lineages run in parallel, and so do the types of one; the outcome depends on neither.
//!
//! Statistics, of the frequencies q that a generation's model has: `gini_simpson` 1 − Σ q², `entropy` −Σ q ln q in
//! nats, `types_alive`, `tail_types_alive` (of the rarest types that hold the last 1 % of natural mass), `tail_mass`
//! (what these hold), `hill_1` = exp entropy, `hill_2` = 1/Σ q².

use super::coalescence::coalescence;
use super::decode::decode;
use super::frequencies::Frequencies;
use super::hypergeometric::subset;
use super::multinomial::multinomial;
use super::regime::{Loop, Recipe, Regime};
use super::statistics;
use super::summary::{self, Row};
use super::survival::{Alive, alive};
use super::{DriftError, fault};
use crate::config::{Decoding, NaturalDocuments, SyntheticDocuments};
use crate::decoding;
use crate::seed::{StreamKey, streams};
use rayon::prelude::*;

/// A loop of categorical models. Holding one means that it can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    frequencies: Frequencies,
    writing: Writing,
    regime: Regime,
    replicates: usize,
    seed: u64,
}

/// How what a model writes differs from what it has learnt.
#[derive(Clone, Debug, PartialEq)]
enum Writing {
    /// A decoder acts on the model's frequencies.
    Decoded(Decoding),
    /// Every type is written so many times as often as learnt.
    Weighted(Vec<f64>),
}

impl Writing {
    fn is_plain(&self) -> bool {
        match self {
            Self::Decoded(decoding) => decoding::is_plain(decoding),
            Self::Weighted(factors) => factors.iter().all(|&factor| factor == 1.0),
        }
    }

    /// What is drawn from, where a model has the frequencies `weights` (types). If nothing that it knows is ever
    /// written, it writes as it has learnt.
    fn of(&self, weights: Vec<f64>) -> Vec<f64> {
        let changed: Vec<f64> = match self {
            _ if self.is_plain() => return weights,
            Self::Decoded(decoding) => decode(&weights, decoding),
            Self::Weighted(factors) => weights.iter().zip(factors).map(|(w, factor)| w * factor).collect(),
        };
        if changed.iter().any(|&weight| weight > 0.0) { changed } else { weights }
    }
}

impl Simulation {
    /// A loop over types with natural `frequencies`, whose models are sampled through `decoding`.
    ///
    /// # Errors
    /// When a setting makes no sense, or the mixture takes more synthetic samples than there are.
    pub fn new(frequencies: Frequencies, decoding: Decoding, plan: &Loop) -> Result<Self, DriftError> {
        if decoding.repetition_penalty != 1.0 {
            let message =
                "samples of a categorical model stand in no document, so none is a repetition; leave it at 1";
            return Err(fault("repetition-penalty", message));
        }
        let (regime, writing) = (Regime::new(plan)?, Writing::Decoded(decoding));
        Ok(Self { frequencies, writing, regime, replicates: plan.replicates, seed: plan.seed })
    }

    /// A loop over types with natural `frequencies`, each of which is written `factors` (types) times as often as a
    /// model has learnt it, relative to the others: what a decoder does to types that stand in contexts.
    ///
    /// # Errors
    /// When there is not one factor, finite and not negative, for each type, or no sample in the regime.
    pub fn weighted(
        frequencies: Frequencies,
        factors: Vec<f64>,
        regime: Regime,
        replicates: usize,
        seed: u64,
    ) -> Result<Self, DriftError> {
        let types = frequencies.probabilities().len();
        let is_factor = |factor: &f64| factor.is_finite() && *factor >= 0.0;
        if factors.len() != types || !factors.iter().all(is_factor) {
            let message = format!("give one for each of {types} types, each a number from 0 up");
            return Err(fault("factors", message));
        }
        if regime.samples == 0 {
            return Err(fault("samples", "0 samples give no model; give at least 1"));
        }
        Ok(Self { frequencies, writing: Writing::Weighted(factors), regime, replicates, seed })
    }

    /// What each generation trains on.
    #[must_use]
    pub fn regime(&self) -> &Regime {
        &self.regime
    }

    /// Runs every lineage, and summarises it.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.rows_of(|replicate, each| self.lineage(replicate, each))
    }

    /// The same for lineages that `run` makes: given a replicate, it hands over the counts (types) of generations
    /// 0, 1, … in turn. A simulator of one's own is held against what is exact in this way.
    pub fn rows_of(&self, run: impl Fn(usize, &mut dyn FnMut(usize, &[u64])) + Sync) -> Vec<Row> {
        let one = |replicate| {
            let mut values = Vec::with_capacity(self.regime.recipes.len() + 1);
            run(replicate, &mut |_, counts: &[u64]| {
                values.push(statistics::of_counts(counts, self.frequencies.is_tail()));
            });
            values
        };
        let values: Vec<Vec<[f64; 7]>> = (0..self.replicates).into_par_iter().map(one).collect();
        let exact = self.exact();
        summary::rows(statistics::NAMES, &values, |generation, place| exact[generation][place])
    }

    /// The expectation of every statistic in every generation, where it is known.
    fn exact(&self) -> Vec<[Option<f64>; 7]> {
        let diversity = self.frequencies.gini_simpson();
        let tail_mass = self.frequencies.tail_mass();
        let alive = alive(&self.regime, &self.frequencies);
        let chances = coalescence(&self.regime);
        let is_plain = self.writing.is_plain();
        let of_generation = |(generation, (c, alive)): (usize, (f64, Option<Alive>))| {
            if generation > 0 && !is_plain {
                return [None; 7];
            }
            let (types, tail) = (alive.map(|alive| alive.types), alive.map(|alive| alive.tail_types));
            [Some(diversity * (1.0 - c)), None, types, tail, Some(tail_mass), None, None]
        };
        chances.into_iter().zip(alive).enumerate().map(of_generation).collect()
    }

    /// Runs the lineage of one replicate: `each` gets the counts (types) that generations 0, 1, … train on, in turn,
    /// which are the frequencies of their models.
    pub fn lineage(&self, replicate: usize, each: &mut dyn FnMut(usize, &[u64])) {
        let mut lineage = Lineage::start(self, replicate);
        each(0, &lineage.model);
        for (place, &recipe) in self.regime.recipes.iter().enumerate() {
            lineage.step(place + 1, recipe);
            each(place + 1, &lineage.model);
        }
    }

    /// The same, but `each` gets the counts (types) of a text of `samples` samples that the generation writes, drawn
    /// for this purpose alone.
    pub fn texts(&self, replicate: usize, samples: u64, each: &mut dyn FnMut(usize, &[u64])) {
        self.lineage(replicate, &mut |generation, model| {
            let place = self.place(replicate, generation, streams::DRIFT_TEXT);
            each(generation, &self.write(model, samples, &place));
        });
    }

    fn place(&self, replicate: usize, generation: usize, stage: &'static str) -> StreamKey {
        StreamKey::new(self.seed, &format!("drift {replicate}"), generation, stage)
    }

    /// A text by the model of counts `model` (types).
    fn write(&self, model: &[u64], samples: u64, place: &StreamKey) -> Vec<u64> {
        let weights = model.iter().map(|&count| count as f64).collect();
        multinomial(samples, &self.writing.of(weights), place)
    }
}

/// What a lineage carries from generation to generation. All vectors are counts (types).
struct Lineage<'a> {
    simulation: &'a Simulation,
    replicate: usize,
    /// Nested natural samples, with their sizes.
    prefixes: Vec<(u64, Vec<u64>)>,
    /// What the last generation trained on.
    model: Vec<u64>,
    /// All corpora, where the mixture draws on all of them.
    pool: Vec<u64>,
    pool_size: u64,
}

impl<'a> Lineage<'a> {
    fn start(simulation: &'a Simulation, replicate: usize) -> Self {
        let probabilities = simulation.frequencies.probabilities();
        let samples = simulation.regime.samples;
        // Generation 0 comes first, so that it is the same whatever later generations train on.
        let model =
            multinomial(samples, probabilities, &simulation.place(replicate, 0, streams::DRIFT_NATURAL));
        let (smaller, larger): (Vec<u64>, Vec<u64>) = simulation
            .regime
            .natural_sizes()
            .into_iter()
            .filter(|&size| size != samples)
            .partition(|&size| size < samples);
        let mut prefixes = vec![(samples, model.clone())];
        let mut last = model.clone();
        for (item, size) in smaller.into_iter().rev().enumerate() {
            last = subset(size, &last, &simulation.place(replicate, item, streams::DRIFT_NATURAL_SUBSET));
            prefixes.push((size, last.clone()));
        }
        let (mut last, mut held) = (model.clone(), samples);
        for (item, size) in larger.into_iter().enumerate() {
            // What a prefix has beyond the next smaller one is as independent of it as any other sample.
            let place = simulation.place(replicate, item + 1, streams::DRIFT_NATURAL);
            add(&mut last, &multinomial(size - held, probabilities, &place));
            held = size;
            prefixes.push((size, last.clone()));
        }
        let pool = vec![0; model.len()];
        Self { simulation, replicate, prefixes, model, pool, pool_size: 0 }
    }

    fn prefix(&self, size: u64) -> &[u64] {
        let found = self.prefixes.iter().find(|(other, _)| *other == size);
        found.map_or(&[], |(_, counts)| counts)
    }

    fn place(&self, generation: usize, stage: &'static str) -> StreamKey {
        self.simulation.place(self.replicate, generation, stage)
    }

    /// Trains generation `generation` ≥ 1.
    fn step(&mut self, generation: usize, recipe: Recipe) {
        let regime = &self.simulation.regime;
        let written = regime.written_for(recipe);
        let corpus = self.corpus(generation - 1, written);
        let (source, held) = match regime.synthetic {
            SyntheticDocuments::Latest => (corpus, written),
            SyntheticDocuments::All => {
                add(&mut self.pool, &corpus);
                self.pool_size += written;
                (self.pool.clone(), self.pool_size)
            }
        };
        let subset_place = self.place(generation, streams::DRIFT_SUBSET);
        let natural = self.natural(generation, recipe.natural());
        self.model = match recipe {
            Recipe::Parts { synthetic, .. } => {
                let mut training =
                    if synthetic < held { subset(synthetic, &source, &subset_place) } else { source };
                add(&mut training, &natural);
                training
            }
            Recipe::Drawn { taken, .. } => {
                let mut whole = source;
                add(&mut whole, &natural);
                subset(taken, &whole, &subset_place)
            }
        };
    }

    /// What generation `author` writes.
    fn corpus(&self, author: usize, samples: u64) -> Vec<u64> {
        self.simulation.write(&self.model, samples, &self.place(author, streams::DRIFT_CORPUS))
    }

    /// Natural samples of generation `generation`; none is an empty vector.
    fn natural(&self, generation: usize, samples: u64) -> Vec<u64> {
        if samples == 0 {
            return Vec::new();
        }
        match self.simulation.regime.natural {
            NaturalDocuments::Fixed => self.prefix(samples).to_vec(),
            NaturalDocuments::Fresh => {
                let place = self.place(generation, streams::DRIFT_FRESH);
                multinomial(samples, self.simulation.frequencies.probabilities(), &place)
            }
        }
    }
}

fn add(counts: &mut [u64], others: &[u64]) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count += other;
    }
}
