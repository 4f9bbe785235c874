//! The data of a law: one point for each model of one generation.
//!
//! A point has the model's size N, the number D of tokens that it saw in training (repetitions included), and its loss on
//! held-out natural text. Points whose training text has the same share of the same kind of synthetic text form a
//! [`Blend`], whatever their arm, size and run.

use super::FitError;
use crate::config::{Arm, Experiment};
use crate::mixture::{Budget, NaturalDocuments, SyntheticDocuments};
use crate::store::{GenerationRecord, RunRecord};
use crate::synthesis::SynthesisRecord;
use crate::training::Init;
use crate::units::Tokens;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The source of a blend without synthetic text.
pub const NATURAL: &str = "natural";

/// The composition of a training text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Blend {
    /// How the synthetic part was written: the method, and details if other blends of the same method differ in them.
    /// [`NATURAL`] if there is no synthetic part.
    pub source: String,
    /// Synthetic share of the tokens in whole percent. 0 only if all text is natural, 100 only if none is.
    pub synthetic_percent: u32,
}

impl Blend {
    /// Natural text alone.
    #[must_use]
    pub fn natural() -> Self {
        Self { source: NATURAL.to_owned(), synthetic_percent: 0 }
    }

    /// Whether the text is natural text alone.
    #[must_use]
    pub fn is_natural(&self) -> bool {
        self.source == NATURAL
    }

    /// Synthetic share of the tokens, 0 to 1.
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

/// The size of a model. n-grams sort before transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSize {
    /// The order of an n-gram. The number of n-grams that it stores depends on its text, so it cannot be chosen.
    NgramOrder(usize),
    /// Trainable parameters, including embeddings.
    Parameters(u64),
}

impl ModelSize {
    /// N; None for an n-gram.
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
    /// Composition of the training text.
    pub blend: Blend,
    /// N, or the order of an n-gram.
    pub size: ModelSize,
    /// D: tokens seen in training, repetitions included.
    pub tokens: Tokens,
    /// Passes over the training text or, if that repeats natural text, over the natural text in it.
    pub epochs: f64,
    /// Seed of the lineage.
    pub seed: u64,
    /// Held-out loss in nats per token. Positive.
    pub loss_nats: f64,
    /// The values of those metrics in [`TAIL`] that were measured.
    pub tail: BTreeMap<&'static str, f64>,
}

/// Ids of metrics of the tail: facts that a model knows, and rare words and tokens that it writes.
pub const TAIL: [&str; 4] = ["fact_recall_torso", "fact_recall_tail", "tail_coverage_words", "tail_coverage"];

/// The last generation that all of `recorded` are configured to reach.
#[must_use]
pub fn last_generation(recorded: &[RunRecord]) -> usize {
    recorded.iter().map(|one| one.experiment.generations).min().unwrap_or(0)
}

/// One point for each recorded model of generation `generation`, sorted by blend, size, tokens, seed and loss. A model
/// that is part of several runs counts once. Arms with `budget = "repeated"` have none: their text is natural, but much
/// less of it than the other models of the natural blend have.
///
/// # Errors
/// If two runs have different held-out text or tokenizers, or models continued from earlier weights.
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

/// Breaks ties between copies of one model from runs that write text in different ways, so that the result does not
/// depend on the order of the runs.
fn tail_bits(point: &Point) -> Vec<u64> {
    point.tail.values().map(|value| value.to_bits()).collect()
}

/// Losses can be compared only on the same text in the same tokens.
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

/// The tokens that a model has seen are known only if its training started from scratch.
fn check_from_scratch(recorded: &[RunRecord]) -> Result<(), FitError> {
    let is_continued =
        |one: &&RunRecord| one.experiment.arms.iter().any(|arm| arm.training.init != Init::Scratch);
    match recorded.iter().find(is_continued) {
        Some(one) => Err(FitError::Continued { name: one.experiment.name.clone() }),
        None => Ok(()),
    }
}

/// The properties that distinguish one kind of synthetic text from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SyntheticKind {
    method: String,
    /// In order: prompts, decoder, selection, writer (if it is not a model of the same arm), and the mixture's sources
    /// (if they are not the latest corpus and fixed natural text). Some are empty. The parts of each are between commas.
    details: [String; 5],
}

impl SyntheticKind {
    fn parts(&self) -> Vec<&str> {
        self.details.iter().flat_map(|detail| detail.split(", ")).filter(|part| !part.is_empty()).collect()
    }
}

/// The models of an arm at one generation.
struct ArmModels<'a> {
    /// None if all training text is natural.
    kind: Option<SyntheticKind>,
    synthetic_percent: u32,
    arm: &'a Arm,
    /// The records of generation `generation`, each with its seed.
    models: Vec<(u64, &'a GenerationRecord)>,
}

impl<'a> ArmModels<'a> {
    /// None if no lineage of the arm has reached the generation, or if the arm only repeats natural text.
    fn new(recorded: &'a RunRecord, arm: &'a Arm, generation: usize) -> Option<Self> {
        if arm.mixture.budget == Budget::Repeated {
            return None;
        }
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

    /// The points of the models. Source names contain the details that distinguish them among `kinds`.
    fn points(&self, kinds: &BTreeSet<&SyntheticKind>) -> Vec<Point> {
        let source = self.kind.as_ref().map_or_else(|| NATURAL.to_owned(), |kind| name(kind, kinds));
        let blend = Blend { source, synthetic_percent: self.synthetic_percent };
        let point = |&(seed, record): &(u64, &GenerationRecord)| {
            let loss_nats = record.value("heldout_loss").filter(|loss| *loss > 0.0)?;
            let tail = TAIL.iter().filter_map(|&metric| Some((metric, record.value(metric)?))).collect();
            let size = match self.arm.model.order() {
                Some(order) => ModelSize::NgramOrder(order),
                None => ModelSize::Parameters(record.training.parameters),
            };
            let tokens = record.training.tokens_seen;
            let epochs = record.training.epochs * record.mixture.natural_repetitions();
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
    // At generation 1 there is only one corpus, and no earlier mixture has used natural text.
    let mut sources = Vec::new();
    if generation > 1 && arm.mixture.synthetic == SyntheticDocuments::All {
        sources.push("all generations");
    }
    if generation > 1 && arm.mixture.natural == NaturalDocuments::Fresh {
        sources.push("fresh natural text");
    }
    let SynthesisRecord { method, prompts, decoding, .. } = written.clone();
    let prompts = prompts.strip_prefix(&format!("{method}, ")).map_or(prompts.clone(), ToOwned::to_owned);
    SyntheticKind { method, details: [prompts, decoding, selection, writer, sources.join(", ")] }
}

/// The method, followed by as many of the parts of details as tell the kind apart from all others of the same method. Parts
/// that all of these have are left out.
fn name(kind: &SyntheticKind, kinds: &BTreeSet<&SyntheticKind>) -> String {
    let alike: Vec<Vec<&str>> =
        kinds.iter().filter(|one| one.method == kind.method).map(|one| one.parts()).collect();
    let distinct = |parts: &[&str]| -> Vec<String> {
        let is_common = |part: &&&str| alike.iter().all(|other| other.contains(*part));
        parts.iter().filter(|part| !is_common(part)).map(|part| (*part).to_owned()).collect()
    };
    let own = distinct(&kind.parts());
    let others: Vec<Vec<String>> =
        alike.iter().map(|parts| distinct(parts)).filter(|other| *other != own).collect();
    let is_enough = |&many: &usize| others.iter().all(|other| !other.starts_with(&own[..many]));
    let many = (0..own.len()).find(is_enough).unwrap_or(own.len());
    std::iter::once(kind.method.clone()).chain(own.into_iter().take(many)).collect::<Vec<_>>().join(", ")
}
