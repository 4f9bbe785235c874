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

/// Every metric, family by family.
pub const METRICS: &[Metric] = &[
    metric_of("heldout_loss", "Held-out loss", "nats/token", Family::HeldOut, Direction::Up),
    metric_of("heldout_loss_head", "Held-out loss, head", "nats/token", Family::HeldOut, Direction::Up),
    metric_of("heldout_loss_torso", "Held-out loss, torso", "nats/token", Family::HeldOut, Direction::Up),
    metric_of("heldout_loss_tail", "Held-out loss, tail", "nats/token", Family::HeldOut, Direction::Up),
    metric_of("bits_per_byte", "Bits per byte", "bits/byte", Family::HeldOut, Direction::Up),
    metric_of("excess_loss", "Excess over the floor", "nats/token", Family::HeldOut, Direction::Up),
    metric_of("tail_mass", "Tail mass found", "share", Family::Tail, Direction::Down),
    metric_of("tail_coverage", "Tail coverage", "share", Family::Tail, Direction::Down),
    metric_of("tail_mass_words", "Tail mass found, words", "share", Family::Tail, Direction::Down),
    metric_of("tail_coverage_words", "Tail coverage, words", "share", Family::Tail, Direction::Down),
    metric_of("fact_recall_head", "Recall of popular facts", "share", Family::Tail, Direction::Down),
    metric_of("fact_recall_torso", "Recall of middling facts", "share", Family::Tail, Direction::Down),
    metric_of("fact_recall_tail", "Recall of rare facts", "share", Family::Tail, Direction::Down),
    metric_of("unigram_entropy", "Unigram entropy", "nats", Family::Entropy, Direction::Down),
    metric_of("unigram_entropy_words", "Unigram entropy, words", "nats", Family::Entropy, Direction::Down),
    metric_of("bigram_entropy", "Bigram entropy", "nats", Family::Entropy, Direction::Down),
    metric_of("predictive_entropy", "Predictive entropy", "nats", Family::Entropy, Direction::Down),
    metric_of("hill_0", "Hill number, order 0", "types", Family::Entropy, Direction::Down),
    metric_of("hill_1", "Hill number, order 1", "types", Family::Entropy, Direction::Down),
    metric_of("hill_2", "Hill number, order 2", "types", Family::Entropy, Direction::Down),
    metric_of("hill_0_words", "Hill number, order 0, words", "types", Family::Entropy, Direction::Down),
    metric_of("hill_1_words", "Hill number, order 1, words", "types", Family::Entropy, Direction::Down),
    metric_of("hill_2_words", "Hill number, order 2, words", "types", Family::Entropy, Direction::Down),
    metric_of("zipf_exponent", "Zipf exponent", "1", Family::Entropy, Direction::Up),
    metric_of("zipf_exponent_words", "Zipf exponent, words", "1", Family::Entropy, Direction::Up),
    metric_of("kl_unigram", "KL divergence, unigrams", "nats", Family::Divergence, Direction::Up),
    metric_of("js_unigram", "Jensen–Shannon divergence, unigrams", "nats", Family::Divergence, Direction::Up),
    metric_of("tv_unigram", "Total variation, unigrams", "share", Family::Divergence, Direction::Up),
    metric_of("kl_bigram", "KL divergence, bigrams", "nats", Family::Divergence, Direction::Up),
    metric_of("js_bigram", "Jensen–Shannon divergence, bigrams", "nats", Family::Divergence, Direction::Up),
    metric_of("tv_bigram", "Total variation, bigrams", "share", Family::Divergence, Direction::Up),
    metric_of("distinct_1", "Distinct-1", "share", Family::Form, Direction::Down),
    metric_of("distinct_2", "Distinct-2", "share", Family::Form, Direction::Down),
    metric_of("distinct_3", "Distinct-3", "share", Family::Form, Direction::Down),
    metric_of("distinct_4", "Distinct-4", "share", Family::Form, Direction::Down),
    metric_of("repetition", "Repetition", "share", Family::Form, Direction::Up),
    metric_of("compression_ratio", "Compression ratio", "ratio", Family::Form, Direction::Up),
    metric_of("novelty_4", "Novelty of 4-grams", "share", Family::Form, Direction::Unclear),
    metric_of(
        "loss_under_generation_0",
        "Loss under generation 0",
        "nats/token",
        Family::Form,
        Direction::Down,
    ),
];

const fn metric_of(
    id: &'static str,
    label: &'static str,
    unit: &'static str,
    family: Family,
    narrowing: Direction,
) -> Metric {
    Metric { id, label, unit, family, narrowing }
}

/// The metric called `id`.
#[must_use]
pub fn metric(id: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.id == id)
}
