//! What is measured about a generation, each family of metrics in a file of its own.

use serde::{Deserialize, Serialize};

/// One number about one generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// A stable snake_case id out of [`METRICS`].
    pub metric: String,
    /// The unit of `value`.
    pub unit: String,
    /// The number.
    pub value: f64,
    /// Its standard error, from sampling documents.
    pub std_err: f64,
    /// How many tokens (or words, or facts) it rests on.
    pub n: u64,
}

/// What is known of a metric before it is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Stable snake_case id.
    pub id: &'static str,
    /// A name a reader understands.
    pub label: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// The family it belongs to.
    pub family: Family,
    /// Which way it moves when a distribution narrows.
    pub narrowing: Direction,
}

/// A family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// How surprised the model is by natural text.
    HeldOut,
    /// Whether rare types live on.
    Tail,
    /// How spread out the text is.
    Entropy,
    /// How far from natural the text is.
    Divergence,
    /// How the text looks: repetition, novelty, compressibility.
    Form,
}

/// Which way a metric moves when a distribution narrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It rises.
    Up,
    /// It falls.
    Down,
    /// Either way.
    Unclear,
}

/// What a figure draws beside the numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// Relative frequency of word types by rank in the synthetic text, at about 60 log-spaced ranks.
    pub rank_frequency_words: Vec<RankPoint>,
    /// The same of natural reference text, at equal n.
    pub natural_rank_frequency_words: Vec<RankPoint>,
    /// Survival of token types by their natural frequency.
    pub survival: Vec<SurvivalBin>,
}

/// A point of a rank–frequency curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankPoint {
    /// 1 is the most frequent type.
    pub rank: u64,
    /// Share of all tokens.
    pub frequency: f64,
}

/// Types of about one natural frequency, and how many of them still occur.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurvivalBin {
    /// Lowest natural frequency in the bin (share of reference tokens).
    pub frequency_from: f64,
    /// Highest natural frequency in the bin.
    pub frequency_to: f64,
    /// Types in the bin.
    pub types: u64,
    /// How many of them occur in the synthetic text.
    pub found: u64,
    /// How many would be expected in natural text of the same size.
    pub expected: f64,
}
