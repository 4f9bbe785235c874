//! What laws are fitted to: a point for each model of one generation.
//!
//! A point has the size of the model, N; the tokens it saw in training, D, repetitions counted; and its loss on held-out
//! natural text. Points belong together when their training text was blended alike: the same kind of synthetic text, in
//! the same share. Arms of whatever size, from whatever run, fall into one blend so.

use super::FitError;
use crate::config::{Arm, Experiment, Init, Model, NaturalDocuments, SyntheticDocuments};
use crate::store::{GenerationRecord, RunRecord};
use crate::synthesis::SynthesisRecord;
use crate::units::Tokens;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The source of a blend without synthetic text.
pub const NATURAL: &str = "natural";

/// What the training text of a model is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Blend {
    /// How the synthetic part was written: the method, and whatever tells it from others of the same method. [`NATURAL`]
    /// where there is none.
    pub source: String,
    /// Its share of the tokens, in whole percent. Only all natural text is 0, and only all synthetic text is 100.
    pub synthetic_percent: u32,
}

impl Blend {
    /// Natural text alone.
    #[must_use]
    pub fn natural() -> Self {
        Self { source: NATURAL.to_owned(), synthetic_percent: 0 }
    }

    /// Whether it is natural text alone.
    #[must_use]
    pub fn is_natural(&self) -> bool {
        self.source == NATURAL
    }

    /// The share of synthetic text, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from(self.synthetic_percent) / 100.0
    }
}

impl fmt::Display for Blend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_natural() {
            true => f.pad(NATURAL),
            false => f.pad(&format!("{} {} %", self.source, self.synthetic_percent)),
        }
    }
}

/// How large a model is. Those of n-grams come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSize {
    /// The order of an n-gram. How many n-grams it holds is an outcome of its text, and no size to choose.
    NgramOrder(usize),
    /// Trainable parameters, embeddings counted.
    Parameters(u64),
}

impl ModelSize {
    /// N, where there is one.
    #[must_use]
    pub fn parameters(self) -> Option<u64> {
        match self {
            Self::NgramOrder(_) => None,
            Self::Parameters(parameters) => Some(parameters),
        }
    }
}

impl fmt::Display for ModelSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NgramOrder(order) => f.pad(&format!("n-gram of order {order}")),
            Self::Parameters(parameters) => f.pad(&format!("N = {}", Tokens(*parameters))),
        }
    }
}

/// One model and its loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// What it was trained on.
    pub blend: Blend,
    /// How large it is.
    pub size: ModelSize,
    /// Tokens seen in training, repetitions counted.
    pub tokens: Tokens,
    /// Passes over its training text.
    pub epochs: f64,
    /// The seed.
    pub seed: u64,
    /// Held-out loss, nats per token. Positive.
    pub loss_nats: f64,
    /// What it has left of the tail, by the metrics of [`TAIL`] that it has.
    pub tail: BTreeMap<&'static str, f64>,
}

/// Metrics of what a model has left of the tail: facts that it knows, and rare words and tokens that it writes.
pub const TAIL: [&str; 4] = ["fact_recall_torso", "fact_recall_tail", "tail_coverage_words", "tail_coverage"];

/// The last generation that all of `recorded` are meant to have.
#[must_use]
pub fn last_generation(recorded: &[RunRecord]) -> usize {
    recorded.iter().map(|one| one.experiment.generations).min().unwrap_or(0)
}

/// The points of generation `generation`, as far as it stands, in an order of their own. A model that several runs hold
/// counts once.
///
/// # Errors
/// When the losses of two runs are not of the same held-out text in the same tokens, or models have seen more tokens than
/// their last training.
pub fn points(recorded: &[RunRecord], generation: usize) -> Result<Vec<Point>, FitError> {
    check_comparable(recorded)?;
    check_from_scratch(recorded)?;
    let arms: Vec<ArmModels> = recorded
        .iter()
        .flat_map(|one| one.experiment.arms.iter().filter_map(|arm| ArmModels::new(one, arm, generation)))
        .collect();
    let kinds: BTreeSet<&SyntheticKind> = arms.iter().filter_map(|arm| arm.kind.as_ref()).collect();
    let mut points: Vec<Point> = arms.iter().flat_map(|arm| arm.points(&kinds)).collect();
    points.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| tail_bits(a).cmp(&tail_bits(b))));
    points.dedup_by(|a, b| key(a) == key(b));
    Ok(points)
}

fn key(point: &Point) -> (&Blend, ModelSize, Tokens, u64, u64) {
    (&point.blend, point.size, point.tokens, point.seed, point.loss_nats.to_bits())
}

/// Of one model that was had to write in several ways, whatever order the runs are given in, the same way counts.
fn tail_bits(point: &Point) -> Vec<u64> {
    point.tail.values().map(|value| value.to_bits()).collect()
}

/// Losses can be held against each other when text and tokens are the same.
fn check_comparable(recorded: &[RunRecord]) -> Result<(), FitError> {
    for pair in recorded.windows(2) {
        let [one, other] = pair else { continue };
        let (a, b) = (&one.provenance, &other.provenance);
        let heldout = "heldout";
        let is_same_text = a.corpus.get(heldout) == b.corpus.get(heldout)
            && a.split_tokens.get(heldout) == b.split_tokens.get(heldout);
        let difference = match (is_same_text, a.tokenizer == b.tokenizer) {
            (false, _) => "held-out text",
            (true, false) => "tokenizer",
            (true, true) => continue,
        };
        let names = [one, other].map(|recorded| recorded.experiment.name.clone());
        return Err(FitError::Incomparable { names, difference });
    }
    Ok(())
}

/// What a model has seen is known where it began with nothing.
fn check_from_scratch(recorded: &[RunRecord]) -> Result<(), FitError> {
    let goes_on = |one: &&RunRecord| one.experiment.arms.iter().any(|arm| arm.training.init != Init::Scratch);
    match recorded.iter().find(goes_on) {
        Some(one) => Err(FitError::GoesOn { name: one.experiment.name.clone() }),
        None => Ok(()),
    }
}

/// What tells synthetic text of one kind from another: method, what it was written from, decoder, what was selected, by
/// whom if not by a model of the arm's own, which generations' text was mixed in.
type SyntheticKind = [String; 6];

/// The models of an arm at one generation.
struct ArmModels<'a> {
    /// None for natural text alone.
    kind: Option<SyntheticKind>,
    synthetic_percent: u32,
    arm: &'a Arm,
    /// With their seeds.
    models: Vec<(u64, &'a GenerationRecord)>,
}

impl<'a> ArmModels<'a> {
    /// None where no lineage of the arm has got that far.
    fn new(recorded: &'a RunRecord, arm: &'a Arm, generation: usize) -> Option<Self> {
        let lineages = || recorded.lineages.iter().filter(|lineage| lineage.arm == arm.name);
        let models: Vec<_> = lineages()
            .filter_map(|lineage| Some((lineage.seed, lineage.generations.get(generation)?)))
            .collect();
        let author = lineages().find_map(|lineage| lineage.generations.get(generation.checked_sub(1)?))?;
        let (mut natural, mut synthetic) = (0, 0);
        for (_, record) in &models {
            natural += record.mixture.natural_tokens.0;
            synthetic += record.mixture.synthetic_tokens.values().map(|tokens| tokens.0).sum::<u64>();
        }
        let percent = (100.0 * synthetic as f64 / (natural + synthetic).max(1) as f64).round() as u32;
        let synthetic_percent = match (natural, synthetic) {
            (_, 0) => 0,
            (0, _) => 100,
            _ => percent.clamp(1, 99),
        };
        let kind = (synthetic > 0).then(|| kind(&recorded.experiment, arm, author, generation));
        (!models.is_empty()).then_some(Self { kind, synthetic_percent, arm, models })
    }

    /// Its points; sources are named as they need to be to be told from all `kinds`.
    fn points(&self, kinds: &BTreeSet<&SyntheticKind>) -> Vec<Point> {
        let source = self.kind.as_ref().map_or_else(|| NATURAL.to_owned(), |kind| name(kind, kinds));
        let blend = Blend { source, synthetic_percent: self.synthetic_percent };
        let point = |&(seed, record): &(u64, &GenerationRecord)| {
            let loss_nats = record.value("heldout_loss").filter(|loss| *loss > 0.0)?;
            let tail = TAIL.iter().filter_map(|&metric| Some((metric, record.value(metric)?))).collect();
            let size = match &self.arm.model {
                Model::Ngram(ngram) => ModelSize::NgramOrder(ngram.order),
                Model::Transformer(_) => ModelSize::Parameters(record.training.parameters),
            };
            let (tokens, epochs) = (record.training.tokens_seen, record.training.epochs);
            Some(Point { blend: blend.clone(), size, tokens, epochs, seed, loss_nats, tail })
        };
        self.models.iter().filter_map(point).collect()
    }
}

fn kind(experiment: &Experiment, arm: &Arm, author: &GenerationRecord, generation: usize) -> SyntheticKind {
    let written = &author.synthesis;
    let selection = experiment.at(arm, generation - 1).synthesis.selection.to_string();
    let writer = experiment.writer.as_ref().filter(|_| generation == 1);
    let writer = writer.map_or(String::new(), |_| format!("by a writer of {}", author.training.parameters));
    // At generation 1 there is one corpus, and natural text that no earlier mixture has used.
    let mut which = Vec::new();
    if generation > 1 && arm.mixture.synthetic == SyntheticDocuments::All {
        which.push("all generations");
    }
    if generation > 1 && arm.mixture.natural == NaturalDocuments::Fresh {
        which.push("fresh natural text");
    }
    let SynthesisRecord { method, prompts, decoding, .. } = written.clone();
    [method, prompts, decoding, selection, writer, which.join(", ")]
}

/// The method, and of the rest what is not the same in all kinds of that method.
fn name(kind: &SyntheticKind, kinds: &BTreeSet<&SyntheticKind>) -> String {
    let [method, details @ ..] = kind;
    let differs =
        |place: usize| kinds.iter().any(|other| other[0] == *method && other[place + 1] != details[place]);
    let telling = details.iter().enumerate().filter(|(place, detail)| differs(*place) && !detail.is_empty());
    let words: Vec<&str> =
        std::iter::once(method).chain(telling.map(|(_, d)| d)).map(String::as_str).collect();
    words.join(", ")
}
