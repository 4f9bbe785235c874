//! The baseline: how much would an experiment lose through drift alone, and through drift and its decoders?
//!
//! Every arm is simulated with models that learn only how often each type occurs in their training text, and learn it
//! without error ([`crate::drift::categorical`]). Mixture, budget, number of generations and the numbers of tokens
//! written and measured are those of the arm. Each arm is simulated twice, once with the tokens of the reference text
//! as types and once with its words. The natural frequency of a type is its count in the reference text. Budgets are
//! converted from tokens to words by the average number of tokens per word of the reference text.
//!
//! For every metric that is a function of counts ([`Unigrams`]) the result is two means over [`REPLICATES`] lineages in
//! each generation:
//!
//! - `sampling`: drift alone. All loss is due to finite samples.
//! - `decoding`: drift, where all synthetic text is written with the arm's decoder. The effect of a decoder on a type
//!   is observed in held-out text: see [`mod@factors`]. Plain sampling from the predictions has no effect, so both
//!   means are then identical.
//!
//! # What it leaves out
//!
//! - The tokens of a document depend on each other, so text drifts like a smaller sample of independent tokens. The
//!   simulation draws tokens independently and leaves out this additional drift.
//! - Initial weights from earlier generations (`training.init`), training on part of the text (`training.tokens`) and
//!   prompts of natural text have no counterpart in a model that only counts types.
//! - Recall of facts is not a function of counts.
//!
//! All arms share the random streams of one seed, so that a difference between two arms is more precise than the value
//! of either arm.
//!
//! `genloss run` writes the baseline of an experiment; [`attribute`](crate::attribution::attribute) uses it to split a
//! difference between two arms:
//!
//! ```
//! use genloss::baseline::{Baseline, DriftCurve, ReplicateMean};
//!
//! let curve = DriftCurve {
//!     arm: "replace".to_owned(),
//!     metric: "hill_0".to_owned(),
//!     sampling: vec![ReplicateMean { mean: 900.0, std_err: 1.0 }, ReplicateMean { mean: 850.0, std_err: 1.0 }],
//!     decoding: vec![ReplicateMean { mean: 900.0, std_err: 1.0 }, ReplicateMean { mean: 700.0, std_err: 1.0 }],
//! };
//! let baseline = Baseline { replicates: 64, curves: vec![curve] };
//! assert_eq!(baseline.curve("replace", "hill_0").map(|curve| curve.decoding[1].mean), Some(700.0));
//! ```

pub mod factors;

use crate::config::{Arm, Experiment};
use crate::decoding::SamplingSettings;
use crate::drift::categorical::CategoricalSimulation;
use crate::drift::{DriftError, DriftRow, Frequencies, SampleSchedule};
use crate::measure::{Heldout, Reference, Unigrams};
use crate::stage::Stage;
use crate::synthesis::{SynthesisSettings, TokenChoice};
use factors::factors;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number of simulated lineages per mean.
pub const REPLICATES: usize = 64;

/// The effect of drift, and of drift and decoding, on every arm of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The number of simulated lineages per mean.
    pub replicates: usize,
    /// One curve for every arm and metric, with the arms in the experiment's order. Metrics that are undefined in some
    /// lineage are left out. Word metrics are also left out if the decoder's effect on words cannot be observed.
    pub curves: Vec<DriftCurve>,
}

/// One metric of one arm under drift, by generation from 0 on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftCurve {
    /// The name of the arm.
    pub arm: String,
    /// Id of the metric.
    pub metric: String,
    /// Under drift alone.
    pub sampling: Vec<ReplicateMean>,
    /// Under drift and the arm's decoder.
    pub decoding: Vec<ReplicateMean>,
}

/// A mean over simulated lineages, in the unit of its metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicateMean {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub std_err: f64,
}

/// ln q′/q of every held-out token, one list per model: q is the model's probability of the token, and q′ its
/// probability after decoding. The value of a token that the decoder never chooses is −∞. The tokens are in the order
/// of [`crate::documents::Documents::flat`].
pub type LogRatios = Vec<Vec<f32>>;

/// Why a baseline could not be simulated.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The user interrupted the run.
    #[error("interrupted")]
    Interrupted,
    /// The settings of an arm cannot be simulated.
    #[error("simulating drift in arm \"{arm}\"")]
    Drift {
        /// The name of the arm.
        arm: String,
        /// The reason.
        source: DriftError,
    },
}

impl Baseline {
    /// Whether this can be the baseline of `experiment`: whether its arms, generations and number of replicates agree.
    #[must_use]
    pub fn fits(&self, experiment: &Experiment) -> bool {
        let is_whole = |curve: &DriftCurve| {
            let lengths = [curve.sampling.len(), curve.decoding.len()];
            lengths.iter().all(|&length| length == experiment.generations + 1)
        };
        let has_arm = |curve: &DriftCurve| experiment.arms.iter().any(|arm| arm.name == curve.arm);
        self.replicates == REPLICATES && self.curves.iter().all(|curve| is_whole(curve) && has_arm(curve))
    }

    /// The curve of a metric of an arm, if there is one.
    #[must_use]
    pub fn curve(&self, arm: &str, metric: &str) -> Option<&DriftCurve> {
        self.curves.iter().find(|curve| curve.arm == arm && curve.metric == metric)
    }

    /// Simulates every arm of `experiment` with the random streams of the seed of `stage`.
    ///
    /// An arm whose decoder changes the predictions needs an entry in `log_ratios` under its name, and is left out if
    /// there is none. An arm is always left out if it writes by beam search or contrastive search, if a decoder
    /// that changes the predictions draws only some of its tokens and the others are copied, if its generation 0 has
    /// another decoder, or if it learns from the text of other arms.
    ///
    /// # Errors
    /// If an arm cannot be simulated, or the run is interrupted.
    pub fn simulate(
        experiment: &Experiment,
        reference: &Reference,
        heldout: Heldout,
        log_ratios: &BTreeMap<&str, LogRatios>,
        stage: &Stage,
    ) -> Result<Self, BaselineError> {
        let unigrams = reference.unigrams(experiment.measured_tokens);
        stage.begin((experiment.arms.len() * unigrams.len()) as u64, "simulations");
        let mut curves = Vec::new();
        for arm in experiment.arms.iter().filter(|arm| can_be_simulated(experiment, arm)) {
            for types in &unigrams {
                let simulated = SimulatedArm { experiment, arm, types, stage };
                if simulated.has_no_draws() {
                    continue;
                }
                let log_ratios = log_ratios.get(arm.name.as_str());
                if let Some(factors) = simulated.factors(heldout, log_ratios) {
                    curves.extend(simulated.curves(factors)?);
                }
                stage.advance(1);
            }
        }
        stage.end();
        Ok(Self { replicates: REPLICATES, curves })
    }
}

/// The decoder to simulate for a corpus. None for beam search and contrastive search, and for a decoder that changes
/// the predictions but draws only some of the tokens. An external command or an oracle counts as plain sampling: the
/// decoder of a command is unknown, and an oracle has none.
#[must_use]
pub fn decoder(synthesis: &SynthesisSettings) -> Option<&SamplingSettings> {
    let decoding = synthesis.decoding.token_by_token();
    let method = &synthesis.method;
    if method.facts().token_choice != TokenChoice::Decoder {
        return Some(&SamplingSettings::PLAIN);
    }
    decoding.filter(|decoding| decoding.is_plain() || !method.properties().rewrites_documents)
}

/// Whether generation 0 of an arm has the same decoder as the later generations, and all synthetic text is the arm's own. The
/// simulation supports only one decoder and one writer per lineage.
#[must_use]
pub fn can_be_simulated(experiment: &Experiment, arm: &Arm) -> bool {
    arm.mixture.synthetic_from.is_empty()
        && decoder(&experiment.at(arm, 0).synthesis) == decoder(&arm.synthesis)
}

/// The metrics of one lineage or their means, by generation. None where a metric is undefined.
type ByGeneration<T> = Vec<[Option<T>; 5]>;

/// One arm, simulated for tokens or for words.
struct SimulatedArm<'a> {
    experiment: &'a Experiment,
    arm: &'a Arm,
    types: &'a Unigrams<'a>,
    stage: &'a Stage<'a>,
}

impl SimulatedArm<'_> {
    /// Whether the training text of a generation, converted to draws of these types, rounds to zero.
    fn has_no_draws(&self) -> bool {
        self.schedule().is_ok_and(|schedule| {
            schedule.smallest_set() == 0 || schedule.natural_limit.is_some_and(|limit| limit == 0)
        })
    }

    /// The numbers of draws of these types that the arm's generations train on and write.
    fn schedule(&self) -> Result<SampleSchedule, DriftError> {
        let Experiment { corpus, generations, .. } = self.experiment;
        let written = self.arm.synthesis.tokens.0;
        let schedule = SampleSchedule::of(&self.arm.mixture, *generations, corpus.train_tokens.0, written)?;
        let limit = corpus.natural_tokens.map(|tokens| tokens.0);
        Ok(schedule.within(limit).scaled(self.types.per_token()))
    }

    /// The decoder's effect on each type, as a factor; None if it cannot be observed.
    fn factors(&self, heldout: Heldout, log_ratios: Option<&LogRatios>) -> Option<Vec<f64>> {
        let counts = self.types.counts();
        if decoder(&self.arm.synthesis).is_some_and(SamplingSettings::is_plain) {
            return Some(vec![1.0; counts.len()]);
        }
        factors(counts, &self.types.occurrences(heldout), log_ratios?)
    }

    /// The curves of the arm, whose decoder multiplies the frequency of each type by its entry of `factors`.
    fn curves(&self, factors: Vec<f64>) -> Result<Vec<DriftCurve>, BaselineError> {
        let plain = vec![1.0; factors.len()];
        let sampling = self.means(plain.clone())?;
        let decoding = if factors == plain { sampling.clone() } else { self.means(factors)? };
        let metrics = self.types.metrics().into_iter().enumerate();
        let curves = metrics.filter_map(|(index, metric)| {
            Some(DriftCurve {
                arm: self.arm.name.clone(),
                metric: metric.to_owned(),
                sampling: column(&sampling, index)?,
                decoding: column(&decoding, index)?,
            })
        });
        Ok(curves.collect())
    }

    /// Means over [`REPLICATES`] lineages with the same `factors` as in [`curves`](Self::curves).
    fn means(&self, factors: Vec<f64>) -> Result<ByGeneration<ReplicateMean>, BaselineError> {
        let simulation = self
            .simulation(factors)
            .map_err(|source| BaselineError::Drift { arm: self.arm.name.clone(), source })?;
        let lineages = (0..REPLICATES).into_par_iter().map(|replicate| self.lineage(&simulation, replicate));
        let lineages: Vec<ByGeneration<f64>> = lineages.collect::<Result<_, _>>()?;
        let mean = |generation: usize, index: usize| {
            let values: Option<Vec<f64>> = lineages.iter().map(|values| values[generation][index]).collect();
            let row = DriftRow::new(generation, self.types.metrics()[index], &values?, None);
            Some(ReplicateMean { mean: row.mean, std_err: row.std_err.unwrap_or(0.0) })
        };
        let generations = 0..=self.experiment.generations;
        Ok(generations.map(|generation| std::array::from_fn(|index| mean(generation, index))).collect())
    }

    fn simulation(&self, factors: Vec<f64>) -> Result<CategoricalSimulation, DriftError> {
        let counts: Vec<u64> = self.types.counts().iter().map(|&count| u64::from(count)).collect();
        let schedule = self.schedule()?;
        let natural = Frequencies::from_counts(&counts)?;
        let seed = self.stage.key().seed;
        CategoricalSimulation::weighted(natural, factors, schedule, REPLICATES, seed)
    }

    /// The metrics of one lineage.
    fn lineage(
        &self,
        simulation: &CategoricalSimulation,
        replicate: usize,
    ) -> Result<ByGeneration<f64>, BaselineError> {
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

/// One metric in every generation; None if it is undefined in any.
fn column(means: &ByGeneration<ReplicateMean>, index: usize) -> Option<Vec<ReplicateMean>> {
    means.iter().map(|means| means[index]).collect()
}
