//! The definition of a metric, and the trait that computes it.

use super::{CountedGeneration, Estimate, MeasureError};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One or more numbers about a generation, computed together.
///
/// See [the module](super) for an example.
pub trait Metric: Send + Sync {
    /// The definitions of the numbers, in the order of output. Every call must return the same.
    fn definitions(&self) -> Vec<MetricDefinition>;

    /// The numbers themselves, one for each of [`definitions`](Self::definitions) and in their order. None where a
    /// number is undefined or an input that it needs is missing; a number that is not finite counts as undefined.
    ///
    /// # Errors
    /// If computing fails. A missing input is not an error.
    fn measure(&self, generation: &CountedGeneration) -> Result<Vec<Option<Estimate>>, MeasureError>;

    /// Why the number `id` is undefined for this generation. None if the experiment has no input for it, such as
    /// questions about facts, so that nobody expects a value.
    fn why_missing(&self, _id: &str, _generation: &CountedGeneration) -> Option<String> {
        Some("it is undefined for this text".to_owned())
    }
}

/// The name of a metric and how to read its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricDefinition {
    /// Identifies the metric in records and tables, in `snake_case`. It must never change.
    pub id: Cow<'static, str>,
    /// A short name for figures and tables.
    pub label: Cow<'static, str>,
    /// Unit of the values, such as `nats/token`; `1` for plain numbers.
    pub unit: Cow<'static, str>,
    /// Figures show the metrics of a family together.
    pub family: Family,
    /// The direction in which the metric moves when a distribution narrows.
    pub narrowing: Direction,
    /// Whether it is computed on text that all arms share: held-out text or questions about facts. Its standard error
    /// then says how well that text represents other texts, and nothing about the difference between arms.
    pub on_fixed_text: bool,
}

impl MetricDefinition {
    /// A metric computed on the synthetic text.
    pub(super) fn builtin(
        id: &'static str,
        label: &'static str,
        unit: &'static str,
        family: Family,
        narrowing: Direction,
    ) -> Self {
        Self {
            id: id.into(),
            label: label.into(),
            unit: unit.into(),
            family,
            narrowing,
            on_fixed_text: false,
        }
    }

    /// The same metric, computed on a text that all arms share.
    pub(super) fn on_fixed_text(self) -> Self {
        Self { on_fixed_text: true, ..self }
    }

    /// The definition of a metric when a record gives only its id and unit.
    pub(super) fn unknown(id: &str, unit: &str) -> Self {
        Self {
            id: id.to_owned().into(),
            label: id.to_owned().into(),
            unit: unit.to_owned().into(),
            family: Family::Other,
            narrowing: Direction::Unclear,
            on_fixed_text: false,
        }
    }
}

/// A family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Loss of the model on natural text.
    HeldOut,
    /// Survival of rare types.
    Tail,
    /// Variety of the text.
    Entropy,
    /// Distance of the text from natural text.
    Divergence,
    /// Repetition, novelty, compressibility.
    Form,
    /// None of the above, or unknown.
    Other,
}

impl Family {
    /// Every family, in the order of output.
    pub const ALL: [Self; 6] =
        [Self::HeldOut, Self::Tail, Self::Entropy, Self::Divergence, Self::Form, Self::Other];
}

/// The direction in which a metric moves when a distribution narrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It rises.
    Up,
    /// It falls.
    Down,
    /// It may do either, or it is unknown.
    Unclear,
}
