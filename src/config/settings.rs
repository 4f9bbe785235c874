//! The settings of an experiment, complete and checked.

mod decoding;

pub use decoding::{Beam, Contrastive, Decoding, Strategy};

use super::selection::Selection;
use crate::units::Tokens;
pub use genloss_kernels::Precision;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::PathBuf;

/// The name of the arm that never sees synthetic text.
pub const CONTROL: &str = "control";

/// Arms × seeds, for a number of generations.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// A name fit for a folder.
    pub name: String,
    /// At least one, each different.
    pub seeds: Vec<u64>,
    /// Generations after generation 0.
    pub generations: usize,
    /// Synthetic tokens that every measurement is made on. A last generation, whose text trains nobody, writes no more.
    pub measured_tokens: Tokens,
    /// Natural text.
    pub corpus: Corpus,
    /// How text becomes tokens.
    pub tokenizer: Tokenizer,
    /// What generation 0 is, and every arm that does not say otherwise.
    pub model: Model,
    /// How generation 0 is trained, and every arm that does not say otherwise.
    pub training: Training,
    /// How generation 0 writes its corpus, and every arm that does not say otherwise.
    pub synthesis: Synthesis,
    /// What generation 0 of every arm is, where that is another model than those that follow.
    pub writer: Option<Writer>,
    /// The arms, the control first.
    pub arms: Vec<Arm>,
}

/// A generation 0 of its own kind, the same for every arm: it writes what all of them are trained on first.
#[derive(Clone, Debug, PartialEq)]
pub struct Writer {
    /// The model.
    pub model: Model,
    /// How it is trained.
    pub training: Training,
    /// How it writes; how much, is what the arms take.
    pub synthesis: Synthesis,
}

/// One setting under comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// A name fit for a folder.
    pub name: String,
    /// What generations 1.. train on.
    pub mixture: Mixture,
    /// The model of every generation.
    pub model: Model,
    /// How it is trained.
    pub training: Training,
    /// How it writes.
    pub synthesis: Synthesis,
}

/// Natural text and how it is split.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    /// Where the text comes from.
    pub source: Source,
    /// Natural tokens a seed draws for generation 0, and the budget of every later mixture.
    pub train_tokens: Tokens,
    /// Tokens of the held-out text, the same for the whole experiment.
    pub heldout_tokens: Tokens,
    /// Tokens of the reference text, the same for the whole experiment.
    pub reference_tokens: Tokens,
    /// Share of documents, by hash, that is held out. Within (0, 1).
    pub heldout_share: f64,
    /// Share of documents, by hash, that is reference. Within (0, 1), and less than 1 with `heldout_share`.
    pub reference_share: f64,
}

/// Where natural text comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The built-in language with a known distribution.
    World(World),
    /// Files.
    Files(Files),
}

/// Text files to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// Paths and globs, relative to the working directory.
    pub paths: Vec<String>,
    /// How a `.txt` file falls into documents.
    pub split: Split,
    /// The field or column that holds the text, in JSONL and Parquet.
    pub text_field: String,
}

/// How a plain text file falls into documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The whole file is one document.
    File,
    /// Blank lines separate documents.
    Paragraph,
    /// Every line that is not blank is a document.
    Line,
}

/// The built-in language.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Names the language itself: another seed, another lexicon and other facts.
    pub seed: u64,
    /// Nouns in the lexicon; the other word classes scale with it. At least 10.
    pub nouns: usize,
    /// Entities that facts are about. At least 10.
    pub entities: usize,
    /// Relations that each entity has. At least 1.
    pub relations: usize,
    /// Exponent of the Zipf–Mandelbrot frequencies of words and of the popularity of entities. Positive.
    pub zipf_exponent: f64,
    /// Share of sentences that state a fact. Within (0, 1).
    pub fact_share: f64,
}

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum Tokenizer {
    /// Byte-level BPE learnt from the train split. `vocab_size` counts the 256 bytes and the end-of-text token.
    Learn {
        /// At least 257.
        vocab_size: usize,
    },
    /// An existing `tokenizer.json`.
    File {
        /// Where it is.
        path: PathBuf,
    },
}

/// Which model a generation is.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// A small Llama.
    Transformer(Transformer),
    /// Interpolated Kneser–Ney.
    Ngram(Ngram),
}

/// Shape of a transformer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformer {
    /// Blocks.
    pub layers: usize,
    /// Width of the residual stream: a multiple of `heads`, giving an even head width.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the SwiGLU layer.
    pub ffn: usize,
    /// Positions that attention reaches over. At least 8, and even.
    pub context: usize,
    /// What its matrix products are computed in when it learns and when it writes.
    pub precision: Precision,
}

/// Shape of an n-gram model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ngram {
    /// 1 to 5.
    pub order: usize,
}

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TrainingLength {
    /// Tokens seen per generation, the same for every arm.
    Tokens(Tokens),
    /// Passes over whatever the mixture holds. Positive.
    Epochs(f64),
}

/// What a generation's weights start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Init {
    /// A fresh initialisation every generation.
    Scratch,
    /// The weights of the generation before; generation 0 starts from `base`, or from scratch without one.
    Chained {
        /// A Hugging Face model folder.
        base: Option<PathBuf>,
    },
    /// The same given weights every generation.
    Base {
        /// A Hugging Face model folder.
        base: PathBuf,
    },
}

/// How a transformer is trained. (An n-gram model is one count over its text, and heeds none of this.)
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// How long.
    pub length: TrainingLength,
    /// What the weights start from.
    pub init: Init,
    /// Sequences of `context` tokens per step.
    pub batch: usize,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// Share of the steps that the rate takes to rise linearly from 0.
    pub warmup_fraction: f64,
    /// The rate at the end of the cosine, as a share of the peak.
    pub final_rate_fraction: f64,
    /// Decoupled weight decay, on matrices only.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Largest Euclidean norm of the gradient; a longer one is scaled down to it.
    pub gradient_clip: f64,
    /// Share of documents that a transformer reads with their middle last, to learn filling gaps (Bavarian et al. 2022).
    pub fim_share: f64,
    /// Minutes between checkpoints inside a generation.
    pub checkpoint_minutes: Patience,
}

/// A span of time that somebody is willing to wait. No result depends on it, so that any two are equal, and so are settings
/// that differ in nothing else: what was made with one stands for the other.
#[derive(Clone, Copy, Debug)]
pub struct Patience(pub f64);

impl PartialEq for Patience {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// How a model writes its corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Synthesis {
    /// From what.
    pub method: Method,
    /// Tokens of the corpus, exactly. A generation writes more only for a mixture that grows on the latest corpus alone.
    pub tokens: Tokens,
    /// A document that has not ended by then is ended.
    pub max_document_tokens: usize,
    /// How documents come out of predictions.
    pub decoding: Strategy,
    /// Which documents are kept.
    pub selection: Selection,
}

/// What a model writes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// The start token.
    Textbook,
    /// A few rare words of a natural document, which are not part of the document written.
    Keywords {
        /// How many.
        count: usize,
    },
    /// A real prefix, which is not part of the document written.
    Continuation {
        /// Its tokens.
        prefix_tokens: usize,
        /// Where it is taken from.
        prefix: Prefix,
    },
    /// A natural document, spans of which are written anew with both sides in view.
    Rephrase {
        /// Share of its tokens that stay: 1 is a copy, 0 is textbook.
        fidelity: f64,
        /// Tokens of a span.
        span_tokens: usize,
        /// Tokens in view on each side of a gap.
        view_tokens: usize,
    },
    /// A natural document, tokens of which are drawn anew where the model is sure of them.
    TokenEdit {
        /// A token of probability p is drawn anew with probability p^sharpness.
        sharpness: f64,
    },
    /// A natural document, handed to a command.
    External {
        /// Program and arguments.
        command: Vec<String>,
        /// What it may take for the documents of one request.
        timeout_seconds: Patience,
    },
}

/// Where prefixes are taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefix {
    /// The train split, in every generation.
    #[default]
    Natural,
    /// What the generation before wrote; generation 0, for want of one, takes the train split.
    Previous,
}

/// Which natural and which synthetic documents a generation trains on.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// The natural share.
    pub natural_fraction: NaturalFraction,
    /// Which natural documents.
    pub natural: NaturalDocuments,
    /// Which synthetic documents.
    pub synthetic: SyntheticDocuments,
    /// What the total is.
    pub budget: Budget,
}

/// The natural share of a mixture.
#[derive(Clone, Debug, PartialEq)]
pub enum NaturalFraction {
    /// One number per generation from generation 1 on, the last one repeated; each within 0..=1.
    Schedule(Vec<f64>),
    /// The natural share of the pool: everything natural and synthetic that the mixture may draw on.
    Proportional,
}

/// Which natural documents a mixture draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NaturalDocuments {
    /// The same in every generation.
    Fixed,
    /// Documents that no earlier generation of the lineage used.
    Fresh,
}

/// Which synthetic documents a mixture draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyntheticDocuments {
    /// Those of generation g − 1.
    Latest,
    /// Those of generations 0..g.
    All,
}

/// What the size of a mixture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// `train_tokens`: natural text displaces synthetic text.
    Constant,
    /// `train_tokens` of synthetic text, and natural text on top.
    Added,
    /// What a lineage that accumulates holds by then: `train_tokens`, and `synthesis.tokens` of every generation before.
    Growing,
}

impl Synthesis {
    /// Whether documents are written from those of the generation before.
    #[must_use]
    pub fn reads_previous(&self) -> bool {
        matches!(self.method, Method::Continuation { prefix: Prefix::Previous, .. })
    }
}

impl Experiment {
    /// Whether some model learns to fill gaps, which takes sentinel tokens.
    #[must_use]
    pub fn fills_gaps(&self) -> bool {
        let writer = self.writer.iter().map(|writer| &writer.training);
        let arms = self.arms.iter().map(|arm| &arm.training);
        arms.chain(writer).chain([&self.training]).any(|training| training.fim_share > 0.0)
    }

    /// The arm that never sees synthetic text.
    #[must_use]
    pub fn control(&self) -> &Arm {
        &self.arms[0]
    }

    /// Whether generation 0 of `arm` is the one that arms share.
    #[must_use]
    pub fn shares_generation_0(&self, arm: &Arm) -> bool {
        let is_as_the_base =
            arm.model == self.model && arm.training == self.training && arm.synthesis == self.synthesis;
        self.writer.is_some() || is_as_the_base
    }

    /// `arm` as it is at `generation`: at generation 0 with the model of the writer, where there is one.
    #[must_use]
    pub fn at<'a>(&self, arm: &'a Arm, generation: usize) -> Cow<'a, Arm> {
        match &self.writer {
            Some(Writer { model, training, synthesis }) if generation == 0 => Cow::Owned(Arm {
                name: arm.name.clone(),
                mixture: arm.mixture.clone(),
                model: model.clone(),
                training: training.clone(),
                synthesis: synthesis.clone(),
            }),
            _ => Cow::Borrowed(arm),
        }
    }
}
