//! What is measured about a generation, each family of metrics in a file of its own.
//!
//! A [`Reference`] is prepared once per experiment: natural text, counted. [`measure`] then holds one generation
//! against it: n tokens of synthetic text (the same n for every generation and arm), and the model's scores of the
//! held-out text. What a metric asks, its formula, its bias and its error are told at the top of its family's file:
//! `heldout`, `tail`, `facts`, `entropy`, `divergence`, `form`; errors in `uncertainty`, frequency classes in `natural`.
//!
//! A measurement without a finite answer is left out: text of fewer than two tokens has no frequencies, a reference
//! without a tail no tail mass, an infinite loss no place in JSON. Nothing here draws a random number.

use crate::documents::Documents;
use crate::model::Scores;
use crate::rarity::Rarity;
use crate::stage::Stage;
use crate::units::{NatsPerToken, Tokens};
use serde::{Deserialize, Serialize};

mod catalogue;
mod counts;
mod curves;
mod divergence;
mod entropy;
mod facts;
mod form;
mod grams;
mod heldout;
mod natural;
mod tail;
mod uncertainty;
mod unigrams;
mod words;

pub use catalogue::{METRICS, metric};
pub use facts::{Fact, FactAnswer, recall};
pub use form::FourGrams;
pub use unigrams::{Heldout, Occurrence, Unigrams};

use counts::{Counts, Incidence};
use grams::Grams;
use natural::Natural;
use uncertainty::Estimate;

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

impl Metric {
    /// Whether it is taken on a text that all arms share, held-out text or questions about facts: then its standard
    /// error says how well it stands for other texts, and nothing of how arms differ.
    #[must_use]
    pub fn is_of_fixed_text(&self) -> bool {
        self.family == Family::HeldOut
            || self.id == "predictive_entropy"
            || self.id.starts_with("fact_recall")
    }
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

/// Natural text that generations are held against, counted once per experiment.
#[derive(Clone, Debug)]
pub struct Reference {
    tokens: Natural,
    words: Natural,
    vocabulary: words::Vocabulary,
    word_documents: Documents,
    reference_tokens: Tokens,
    cells: divergence::Cells,
    heldout_ends: Vec<usize>,
    heldout_rarity: Vec<Rarity>,
    heldout_bytes: Vec<u64>,
}

impl Reference {
    /// Counts the reference text, and classes the tokens of the held-out text by it. Texts are the documents as they
    /// read, one each.
    ///
    /// # Errors
    /// When there are not as many texts as documents.
    pub fn new(
        reference: &Documents,
        reference_texts: &[String],
        heldout: &Documents,
        heldout_texts: &[String],
    ) -> Result<Self, MeasureError> {
        same_size("reference texts", reference_texts.len(), "reference documents", reference.len())?;
        same_size("held-out texts", heldout_texts.len(), "held-out documents", heldout.len())?;
        let tokens = Natural::new(reference);
        let (vocabulary, word_documents) = words::Vocabulary::learn(reference_texts);
        Ok(Self {
            words: Natural::new(&word_documents),
            vocabulary,
            word_documents,
            reference_tokens: reference.tokens(),
            cells: divergence::Cells::new(reference),
            heldout_ends: grams::ends(heldout),
            heldout_rarity: heldout.flat().iter().map(|&id| tokens.class(id)).collect(),
            heldout_bytes: heldout_texts.iter().map(|text| text.len() as u64).collect(),
            tokens,
        })
    }
}

/// A generation to measure.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Natural text.
    pub reference: &'a Reference,
    /// What the generation wrote, cut to n tokens.
    pub synthetic: &'a Documents,
    /// The same as it reads, a text per document.
    pub synthetic_texts: &'a [String],
    /// What the generation's model thinks of the held-out text.
    pub heldout_scores: &'a Scores,
    /// What the lineage's first model thinks of the synthetic text.
    pub synthetic_scores_0: Option<&'a Scores>,
    /// The natural text that the lineage trains on.
    pub natural_training: Option<&'a FourGrams>,
    /// Loss of an ideal reader of the held-out text, where it is known.
    pub heldout_floor: Option<NatsPerToken>,
    /// What [`recall`] found, where there are facts.
    pub facts: &'a [FactAnswer],
}

impl Inputs<'_> {
    fn check(&self) -> Result<(), MeasureError> {
        let heldout_tokens = self.reference.heldout_rarity.len();
        let scores = self.heldout_scores;
        same_size("held-out scores", scores.log_probabilities.len(), "held-out tokens", heldout_tokens)?;
        same_size("held-out entropies", scores.entropies.len(), "held-out tokens", heldout_tokens)?;
        let texts = self.synthetic_texts.len();
        same_size("synthetic texts", texts, "synthetic documents", self.synthetic.len())?;
        let tokens = self.synthetic.flat().len();
        let scored = self.synthetic_scores_0.map_or(tokens, |scores| scores.log_probabilities.len());
        same_size("synthetic scores", scored, "synthetic tokens", tokens)
    }
}

/// Measures a generation: every metric of [`METRICS`] that the inputs allow, in that order, and the curves.
///
/// # Errors
/// When the inputs do not fit together, or the run is interrupted.
pub fn measure(inputs: &Inputs, stage: &Stage) -> Result<(Vec<Measurement>, Curves), MeasureError> {
    inputs.check()?;
    stage.begin(5, "families");
    let family_done = || {
        stage.advance(1);
        if stage.interrupted() { Err(MeasureError::Interrupted) } else { Ok(()) }
    };
    let texts = Texts::new(inputs);
    let mut collected = Collected::default();
    heldout::measure(inputs, &mut collected);
    family_done()?;
    tail::measure(&texts, &mut collected);
    facts::measure(inputs.facts, &mut collected);
    family_done()?;
    entropy::measure(inputs, &texts, &mut collected);
    family_done()?;
    divergence::measure(inputs.synthetic, &texts, &mut collected);
    family_done()?;
    form::measure(inputs, &texts, &mut collected)?;
    family_done()?;
    let curves = curves::draw(&texts);
    stage.end();
    Ok((collected.in_order(), curves))
}

/// The synthetic text, counted in every way that several families need.
struct Texts<'a> {
    reference: &'a Reference,
    tokens: Counts,
    token_documents: Incidence,
    /// Words within the budget, by number.
    word_ids: Vec<u32>,
    words: Counts,
    word_documents: Incidence,
    bigrams: Grams,
    bigram_counts: Counts,
}

impl<'a> Texts<'a> {
    fn new(inputs: &Inputs<'a>) -> Self {
        let reference = inputs.reference;
        let synthetic = inputs.synthetic;
        let budget =
            words::budget(synthetic.tokens(), reference.reference_tokens, reference.word_documents.tokens());
        let words = reference.vocabulary.read(inputs.synthetic_texts).prefix(budget);
        let bigrams = Grams::unigrams(synthetic).longer(synthetic);
        Self {
            reference,
            tokens: Counts::new(synthetic.flat(), reference.tokens.counts.len(), synthetic.len()),
            token_documents: Incidence::new(synthetic, reference.tokens.counts.len()),
            words: Counts::new(words.flat(), reference.words.counts.len(), words.len()),
            word_documents: Incidence::new(&words, reference.words.counts.len()),
            word_ids: words.flat().to_vec(),
            bigram_counts: bigrams.counts(),
            bigrams,
        }
    }
}

/// Measurements as they come in.
#[derive(Default)]
struct Collected(Vec<Measurement>);

impl Collected {
    /// Keeps an estimate, if there is one and it is finite.
    fn add(&mut self, id: &str, estimate: Option<Estimate>, n: u64) {
        let metric = metric(id);
        debug_assert!(metric.is_some(), "{id} is not in the catalogue");
        let (Some(metric), Some(Estimate { value, std_err })) = (metric, estimate) else { return };
        if value.is_finite() && std_err.is_finite() {
            self.0.push(Measurement {
                metric: metric.id.to_owned(),
                unit: metric.unit.to_owned(),
                value,
                std_err,
                n,
            });
        }
    }

    /// The measurements in the catalogue's order.
    fn in_order(mut self) -> Vec<Measurement> {
        self.0.sort_by_key(|measurement| METRICS.iter().position(|metric| metric.id == measurement.metric));
        self.0
    }
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

/// What can go wrong in measuring.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// Two things that belong together have different sizes.
    #[error("there are {left_size} {left} for {right_size} {right}; pass those of the same text")]
    Mismatch {
        /// One thing.
        left: &'static str,
        /// How many there are.
        left_size: usize,
        /// The other thing.
        right: &'static str,
        /// How many there are.
        right_size: usize,
    },
    /// zstd failed.
    #[error("compressing the synthetic text: {reason}")]
    Compression {
        /// As zstd says it.
        reason: &'static str,
    },
}
