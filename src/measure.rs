//! Metrics: how does a generation's text, and its model, differ from natural text?
//!
//! A [`Reference`] counts natural text once per experiment. [`measure`] then compares one generation with it: n tokens
//! of synthetic text (the same n for every generation and arm), and the model's scores of held-out text. Each metric's
//! question, formula, bias and standard error are explained at the top of its file in `src/measure/metrics/`;
//! `uncertainty` explains how standard errors are computed, and `natural` which types count as rare.
//!
//! A metric without a finite value is left out: text of fewer than two tokens gives no standard error, a reference
//! without a tail has no tail mass, and JSON cannot represent an infinite loss. Measuring draws no random numbers.
//!
//! # Adding a metric
//!
//! A program that uses this crate implements [`Metric`], adds it to [`Metrics::builtin`], and passes the result as the
//! `metrics` of [`RunContext`](crate::lineage::RunContext) or directly to [`measure`]:
//!
//! ```
//! use genloss::measure::{
//!     CountedGeneration, Direction, Estimate, Family, MeasureError, Metric, MetricDefinition, Metrics,
//! };
//!
//! /// Mean length of the synthetic documents.
//! struct DocumentLength;
//!
//! impl Metric for DocumentLength {
//!     fn definitions(&self) -> Vec<MetricDefinition> {
//!         vec![MetricDefinition {
//!             id: "document_length".into(),
//!             label: "mean document length".into(),
//!             unit: "tokens".into(),
//!             family: Family::Form,
//!             narrowing: Direction::Unclear,
//!             on_fixed_text: false,
//!         }]
//!     }
//!
//!     fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError> {
//!         let documents = generation.inputs().synthetic.iter();
//!         let lengths: Vec<(f64, f64)> = documents.map(|document| (document.len() as f64, 1.0)).collect();
//!         Ok(vec![Estimate::ratio(&lengths)])
//!     }
//! }
//!
//! let metrics = Metrics::builtin().with(Box::new(DocumentLength))?;
//! assert_eq!(metrics.catalogue().label("document_length"), "mean document length");
//! # Ok::<(), MeasureError>(())
//! ```
//!
//! Records on disk contain the definitions of such metrics, so `genloss compare` and `genloss report` show them too.
//! Inside this crate, a metric is one file in `src/measure/metrics/`, one line in the list of [`Metrics::builtin`], and
//! its [`Explanation`].

use crate::stage::Stage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod catalogue;
mod counts;
mod curves;
mod explanations;
mod facts;
mod four_grams;
mod generation;
mod grams;
mod metric;
mod metrics;
mod natural;
mod openings;
mod pair_bins;
mod reference;
mod uncertainty;
mod unigrams;
mod words;

pub use catalogue::Catalogue;
pub use counts::TypeCounts;
pub use curves::{Curves, RankPoint, SurvivalBin};
pub use explanations::{Explanation, explanation};
pub use facts::{Fact, FactAnswer, recall};
pub use four_grams::FourGrams;
pub use generation::{CountedGeneration, Inputs};
pub use metric::{Direction, Family, Metric, MetricDefinition};
pub use metrics::Metrics;
pub use metrics::own_text_loss::own_text_sample;
pub use reference::Reference;
pub use uncertainty::Estimate;
pub use unigrams::{Heldout, Occurrence, Unigrams};

/// The value of one metric for one generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Id of the metric.
    pub metric: String,
    /// Unit of `value`.
    pub unit: String,
    /// Always finite.
    pub value: f64,
    /// Standard error of `value`, from sampling documents. Always finite.
    pub std_err: f64,
    /// How many tokens (or words, n-grams, facts) `value` was computed from.
    pub n: u64,
}

impl Measurement {
    /// None if the value or its standard error is not finite.
    fn new(definition: &MetricDefinition, Estimate { value, std_err, n }: Estimate) -> Option<Self> {
        let measurement = || Self {
            metric: definition.id.to_string(),
            unit: definition.unit.to_string(),
            // Adding 0 turns −0, the sum of nothing, into 0.
            value: value + 0.0,
            std_err,
            n,
        };
        (value.is_finite() && std_err.is_finite()).then(measurement)
    }
}

/// The results of measuring a generation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The metrics that have a value, in the order of output.
    pub measurements: Vec<Measurement>,
    /// The metrics without a value for this text, each with the reason. Metrics for which the experiment has no input,
    /// such as questions about facts for text from files, are not listed.
    pub missing: BTreeMap<String, String>,
    /// Curves for figures.
    pub curves: Curves,
}

impl Measured {
    fn add(&mut self, metric: &dyn Metric, generation: &CountedGeneration) -> Result<(), MeasureError> {
        let definitions = metric.definitions();
        let estimates = metric.measure(generation)?;
        if estimates.len() != definitions.len() {
            let id = definitions.first().map_or_else(String::new, |first| first.id.to_string());
            return Err(MeasureError::EstimateCount {
                id,
                definitions: definitions.len(),
                estimates: estimates.len(),
            });
        }
        for (definition, estimate) in definitions.iter().zip(estimates) {
            match estimate.and_then(|estimate| Measurement::new(definition, estimate)) {
                Some(measurement) => self.measurements.push(measurement),
                None => {
                    let why = metric.why_missing(&definition.id, generation);
                    self.missing.extend(why.map(|why| (definition.id.to_string(), why)));
                }
            }
        }
        Ok(())
    }
}

/// Computes those of `metrics` for which the inputs suffice, and the curves.
///
/// # Errors
/// If the inputs do not belong together, a metric fails, or the run is interrupted.
pub fn measure(inputs: &Inputs, metrics: &Metrics, stage: &Stage) -> Result<Measured, MeasureError> {
    let generation = CountedGeneration::new(*inputs)?;
    stage.begin(metrics.catalogue().len() as u64, "metrics");
    let mut measured = Measured { curves: curves::curves(&generation), ..Measured::default() };
    for metric in metrics.iter() {
        measured.add(metric, &generation)?;
        stage.advance(metric.definitions().len() as u64);
        if stage.interrupted() {
            return Err(MeasureError::Interrupted);
        }
    }
    stage.end();
    Ok(measured)
}

fn same_size(
    left: &'static str,
    left_size: usize,
    right: &'static str,
    right_size: usize,
) -> Result<(), MeasureError> {
    if left_size == right_size {
        return Ok(());
    }
    Err(MeasureError::Mismatch { left, left_size, right, right_size })
}

/// Why measuring failed.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The user interrupted the run.
    #[error("interrupted")]
    Interrupted,
    /// Two inputs that belong together have different sizes.
    #[error("there are {left_size} {left} for {right_size} {right}; both must be of the same text")]
    Mismatch {
        /// The name of one input, in the plural.
        left: &'static str,
        /// Its size.
        left_size: usize,
        /// The name of the other input, in the plural.
        right: &'static str,
        /// Its size.
        right_size: usize,
    },
    /// zstd failed.
    #[error("compressing the synthetic text: {reason}")]
    Compression {
        /// The message of zstd.
        reason: &'static str,
    },
    /// A metric cannot be registered, because another one has the same id.
    #[error("there are two metrics with the id \"{id}\"; rename one of them")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// A metric cannot be registered, because its id is not in `snake_case`.
    #[error("\"{id}\" is not the id of a metric; use lower-case letters, digits and underscores")]
    InvalidId {
        /// The id.
        id: String,
    },
    /// A metric returned more or fewer estimates than it has definitions.
    #[error(
        "metric \"{id}\" returned {estimates} estimates for {definitions} definitions; return one for each"
    )]
    EstimateCount {
        /// The id of its first definition.
        id: String,
        /// The number of its definitions.
        definitions: usize,
        /// The number of estimates that it returned.
        estimates: usize,
    },
    /// A metric failed.
    #[error("metric \"{id}\"")]
    Metric {
        /// The id of the metric.
        id: String,
        /// Its own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
