//! The baseline: what would drift alone have done inside an experiment, and what with its decoders?
//!
//! Every arm is run once more with models that know nothing but how often each type occurs, and know that without
//! error ([`crate::drift::categorical`]): the same mixture, budget, number of generations, and tokens written and
//! measured. Types are the tokens of the reference text, and its words, a word standing for as many tokens as a
//! word of the reference text has; natural frequencies are their counts. Of every metric that is a function of counts
//! ([`Unigrams`]) this gives two means over [`REPLICATES`] lineages, generation by generation:
//!
//! - `sampling`: drift alone. What is lost, was lost because a sample is finite.
//! - `decoding`: drift, where everything is written through the arm's decoder. What that does to a type is seen where the
//!   type stands: see [`mod@factors`]. A decoder that draws from predictions as they are changes nothing, so both are the
//!   same numbers then.
//!
//! # What it is not
//!
//! - A token of text is not drawn by itself. Tokens of a document hang together, so text drifts as a smaller sample
//!   would, and that part of the drift is not in here.
//! - Weights of earlier generations that training starts from (`training.init`), text of which training sees only a
//!   part (`training.tokens`), and prompts of natural text are none of a counting model's business.
//! - Recall of facts has no counterpart: an answer is not a count.
//!
//! Random streams are named by one seed. All arms share them, so that a difference between two of them is known better
//! than either.

pub mod factors;

use crate::config::{Arm, Decoding, Experiment, Method, Synthesis};
use crate::decoding;
use crate::drift::categorical::CategoricalSimulation;
use crate::drift::{DriftError, DriftRow, Frequencies, SampleSchedule};
use crate::measure::{Heldout, Reference, Unigrams};
use crate::stage::Stage;
use factors::factors;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lineages that each mean is over.
pub const REPLICATES: usize = 64;

/// What drift alone would have done in every arm of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Lineages that each mean is over.
    pub replicates: usize,
    /// By arm, in the experiment's order, and metric. A metric that has no answer in some lineage is left out, and so is
    /// one of words where it cannot be seen what the decoder does to words.
    pub curves: Vec<Curve>,
}

/// One metric of one arm, by generation from 0 on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The arm.
    pub arm: String,
    /// Id of the metric.
    pub metric: String,
    /// Under drift alone.
    pub sampling: Vec<Mean>,
    /// Under drift and the arm's decoder.
    pub decoding: Vec<Mean>,
}

/// A mean over replicates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub std_err: f64,
}

/// For each of some models, how much more probable a decoder makes each token of the held-out text: the natural logarithm
/// of the ratio, in the order of [`crate::documents::Documents::flat`]; −∞ for a token that it would never write.
pub type LogRatios = Vec<Vec<f32>>;

/// What can go wrong with a baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A loop that cannot be simulated.
    #[error("arm \"{arm}\" by drift alone: {source}")]
    Drift {
        /// The arm.
        arm: String,
        /// Why.
        source: DriftError,
    },
}

/// By generation, the metrics of tokens or words; None where some lineage has no answer.
type Curves = Vec<[Option<Mean>; 5]>;

impl Baseline {
    /// Whether this is of an experiment with these arms and generations.
    #[must_use]
    pub fn fits(&self, experiment: &Experiment) -> bool {
        let is_whole = |curve: &Curve| {
            let lengths = [curve.sampling.len(), curve.decoding.len()];
            lengths.iter().all(|&length| length == experiment.generations + 1)
        };
        let has_arm = |curve: &Curve| experiment.arms.iter().any(|arm| arm.name == curve.arm);
        self.replicates == REPLICATES && self.curves.iter().all(|curve| is_whole(curve) && has_arm(curve))
    }

    /// The curve of a metric of an arm.
    #[must_use]
    pub fn curve(&self, arm: &str, metric: &str) -> Option<&Curve> {
        self.curves.iter().find(|curve| curve.arm == arm && curve.metric == metric)
    }

    /// Simulates every arm of `experiment`, whose random streams are those of the seed of `stage`. An arm whose decoder is
    /// not plain needs its `log_ratios`, by name; without them it is left out, as an arm always is that writes by a search,
    /// decodes only some of its tokens, or whose generation 0 has another decoder.
    ///
    /// # Errors
    /// When a loop cannot be simulated, or the run is interrupted.
    pub fn simulate(
        experiment: &Experiment,
        reference: &Reference,
        heldout: Heldout,
        log_ratios: &BTreeMap<&str, LogRatios>,
        stage: &Stage,
    ) -> Result<Self, BaselineError> {
        let unigrams = reference.unigrams(experiment.measured_tokens);
        stage.begin((experiment.arms.len() * unigrams.len()) as u64, "loops");
        let mut curves = Vec::new();
        for arm in &experiment.arms {
            // Under drift a lineage has one decoder.
            if !decodes_alike(experiment, arm) {
                continue;
            }
            for types in &unigrams {
                // A budget that rounds to no word at all.
                if experiment.corpus.train_tokens.0 as f64 * types.per_token() < 0.5 {
                    continue;
                }
                let decoding = decoder(&arm.synthesis);
                let factors = if decoding.is_some_and(decoding::is_plain) {
                    Some(vec![1.0; types.counts().len()])
                } else {
                    let log_ratios = log_ratios.get(arm.name.as_str());
                    log_ratios.and_then(|of| factors(types.counts(), &types.occurrences(heldout), of))
                };
                if let Some(factors) = factors {
                    curves.extend(Drifting { experiment, arm, types, stage }.curves(factors)?);
                }
                stage.advance(1);
            }
        }
        stage.end();
        Ok(Self { replicates: REPLICATES, curves })
    }
}

/// The decoder that every token of a corpus comes from, as far as it goes token by token. A command of the user's has its
/// own, which is not known of, and counts as none. Where only some tokens are drawn, those that stay are not decoded.
#[must_use]
pub fn decoder(synthesis: &Synthesis) -> Option<&Decoding> {
    let decoding = synthesis.decoding.token_by_token();
    match synthesis.method {
        Method::External { .. } => Some(&Decoding::PLAIN),
        Method::Rephrase { fidelity, .. } if fidelity > 0.0 => decoding.filter(|one| decoding::is_plain(one)),
        Method::TokenEdit { .. } => decoding.filter(|one| decoding::is_plain(one)),
        _ => decoding,
    }
}

/// Whether generation 0 of an arm has the decoder of those that follow.
#[must_use]
pub fn decodes_alike(experiment: &Experiment, arm: &Arm) -> bool {
    decoder(&experiment.at(arm, 0).synthesis) == decoder(&arm.synthesis)
}

/// One arm, of which tokens or words drift.
struct Drifting<'a> {
    experiment: &'a Experiment,
    arm: &'a Arm,
    types: &'a Unigrams<'a>,
    stage: &'a Stage<'a>,
}

impl Drifting<'_> {
    /// The curves of an arm through whose decoder each type is written `factors` times as often as learnt.
    fn curves(&self, factors: Vec<f64>) -> Result<Vec<Curve>, BaselineError> {
        let plain = vec![1.0; factors.len()];
        let sampling = self.means(plain.clone())?;
        let decoding = if factors == plain { sampling.clone() } else { self.means(factors)? };
        let all = self.types.metrics().into_iter().enumerate().filter_map(|(place, metric)| {
            let of = |curves: &Curves| curves.iter().map(|means| means[place]).collect::<Option<Vec<Mean>>>();
            Some(Curve {
                arm: self.arm.name.clone(),
                metric: metric.to_owned(),
                sampling: of(&sampling)?,
                decoding: of(&decoding)?,
            })
        });
        Ok(all.collect())
    }

    /// What becomes of the types when each is written `factors` times as often as learnt.
    fn means(&self, factors: Vec<f64>) -> Result<Curves, BaselineError> {
        let simulation = self
            .simulation(factors)
            .map_err(|source| BaselineError::Drift { arm: self.arm.name.clone(), source })?;
        let lineages = (0..REPLICATES).into_par_iter().map(|replicate| self.lineage(&simulation, replicate));
        let lineages: Vec<Vec<[Option<f64>; 5]>> = lineages.collect::<Result<_, _>>()?;
        let mean = |generation: usize, place: usize| {
            let values: Option<Vec<f64>> = lineages.iter().map(|values| values[generation][place]).collect();
            let row = DriftRow::new(generation, self.types.metrics()[place], &values?, None);
            Some(Mean { mean: row.mean, std_err: row.std_err.unwrap_or(0.0) })
        };
        let generations = 0..=self.experiment.generations;
        Ok(generations.map(|generation| std::array::from_fn(|place| mean(generation, place))).collect())
    }

    fn simulation(&self, factors: Vec<f64>) -> Result<CategoricalSimulation, DriftError> {
        let counts: Vec<u64> = self.types.counts().iter().map(|&count| u64::from(count)).collect();
        let (budget, written) = (self.experiment.corpus.train_tokens, self.arm.synthesis.tokens);
        let schedule =
            SampleSchedule::of(&self.arm.mixture, self.experiment.generations, budget.0, written.0)?;
        let schedule = schedule.scaled(self.types.per_token());
        let seed = self.stage.key().seed;
        CategoricalSimulation::weighted(
            Frequencies::from_counts(&counts)?,
            factors,
            schedule,
            REPLICATES,
            seed,
        )
    }

    /// The metrics of one lineage, by generation.
    fn lineage(
        &self,
        simulation: &CategoricalSimulation,
        replicate: usize,
    ) -> Result<Vec<[Option<f64>; 5]>, BaselineError> {
        if self.stage.interrupted() {
            return Err(BaselineError::Interrupted);
        }
        let mut values = Vec::with_capacity(self.experiment.generations + 1);
        simulation.texts(replicate, self.types.measured(), &mut |_, counts| {
            let counts: Vec<u32> = counts.iter().map(|&count| count as u32).collect();
            values.push(self.types.measure(&counts));
        });
        Ok(values)
    }
}
