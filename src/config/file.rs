//! The experiment file, word for word: what may stand in it, what type it has, and nothing about what is sensible.
//!
//! Every field that has a default is optional here; `check` fills the defaults in. Turning a checked
//! experiment back into this form leaves none of them out.

use super::selection::SelectionTable;
use super::settings::{Budget, NaturalDocuments, Precision, Prefix, Split, SyntheticDocuments};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;
use toml::Table;

/// An experiment file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentFile {
    /// The experiment's name.
    pub name: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Generations after generation 0.
    pub generations: usize,
    /// Synthetic tokens that measurements are made on.
    #[serde(default)]
    pub measured_tokens: Option<u64>,
    /// `[corpus]`
    pub corpus: CorpusTable,
    /// `[tokenizer]`
    #[serde(default)]
    pub tokenizer: TokenizerTable,
    /// `[model]`
    pub model: ModelTable,
    /// `[training]`
    #[serde(default)]
    pub training: TrainingTable,
    /// `[synthesis]`
    #[serde(default)]
    pub synthesis: SynthesisTable,
    /// `[writer]`
    #[serde(default)]
    pub writer: Option<WriterTable>,
    /// `[[arm]]`
    #[serde(default, rename = "arm")]
    pub arms: Vec<ArmTable>,
    /// `[grid]`: what makes several experiments of the file.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub grid: Table,
}

/// `[corpus]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusTable {
    /// `"world"`, or paths and globs.
    pub source: SourceValue,
    /// How `.txt` files fall into documents.
    pub split: Option<Split>,
    /// The field or column of the text.
    pub text_field: Option<String>,
    /// Natural tokens for generation 0.
    pub train_tokens: u64,
    /// Held-out tokens.
    pub heldout_tokens: u64,
    /// Reference tokens.
    pub reference_tokens: u64,
    /// Share of documents held out.
    pub heldout_share: Option<f64>,
    /// Share of documents for reference.
    pub reference_share: Option<f64>,
    /// `[corpus.world]`
    pub world: Option<WorldTable>,
}

/// `[corpus.world]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorldTable {
    /// Names the language.
    pub seed: Option<u64>,
    /// Nouns in the lexicon.
    pub nouns: Option<usize>,
    /// Entities.
    pub entities: Option<usize>,
    /// Relations per entity.
    pub relations: Option<usize>,
    /// Zipf exponent.
    pub zipf_exponent: Option<f64>,
    /// Share of sentences that state a fact.
    pub fact_share: Option<f64>,
}

/// `[tokenizer]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenizerTable {
    /// Learn a byte-level BPE of this size.
    pub vocab_size: Option<usize>,
    /// Or read this `tokenizer.json`.
    pub path: Option<PathBuf>,
}

/// The kinds of model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// A small Llama.
    Transformer,
    /// Interpolated Kneser–Ney.
    Ngram,
}

/// `[model]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelTable {
    /// Which kind.
    pub kind: Option<ModelKind>,
    /// Blocks of a transformer.
    pub layers: Option<usize>,
    /// Width of a transformer.
    pub width: Option<usize>,
    /// Heads of a transformer.
    pub heads: Option<usize>,
    /// Width of its SwiGLU layer.
    pub ffn: Option<usize>,
    /// Positions of a transformer.
    pub context: Option<usize>,
    /// What its matrix products are computed in.
    pub precision: Option<Precision>,
    /// Order of an n-gram.
    pub order: Option<usize>,
}

/// What weights start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitValue {
    /// A fresh initialisation.
    Scratch,
    /// The generation before.
    Chained,
    /// A given folder.
    Base,
}

/// `[training]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingTable {
    /// Tokens seen per generation.
    pub tokens: Option<u64>,
    /// Or passes over the mixture.
    pub epochs: Option<f64>,
    /// What weights start from.
    pub init: Option<InitValue>,
    /// The folder for `init = "base"`, or that `"chained"` starts from.
    pub base: Option<PathBuf>,
    /// Sequences per step.
    pub batch: Option<usize>,
    /// Peak learning rate.
    pub learning_rate: Option<f64>,
    /// Share of steps spent warming up.
    pub warmup_fraction: Option<f64>,
    /// Final rate over peak rate.
    pub final_rate_fraction: Option<f64>,
    /// Decoupled weight decay.
    pub weight_decay: Option<f64>,
    /// Decay of the first moment.
    pub beta1: Option<f64>,
    /// Decay of the second moment.
    pub beta2: Option<f64>,
    /// Largest gradient norm.
    pub gradient_clip: Option<f64>,
    /// Share of documents read with their middle last.
    pub fim_share: Option<f64>,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: Option<f64>,
}

/// The ways to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodValue {
    /// From the start token.
    Textbook,
    /// From a real prefix.
    Continuation,
    /// Over a real document, span by span.
    Rephrase,
    /// Over a real document, token by token.
    #[serde(rename = "token-edit")]
    TokenEdit,
    /// By a command of the user's.
    External,
}

/// What textbook documents start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedValue {
    /// The start token.
    #[default]
    Nothing,
    /// Rare words of a natural document.
    Keywords,
}

/// `[synthesis]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthesisTable {
    /// From what.
    pub method: Option<MethodValue>,
    /// What a textbook document starts from.
    pub seed: Option<SeedValue>,
    /// How many keywords.
    pub keywords: Option<usize>,
    /// Where a prefix is taken from.
    pub prefix: Option<Prefix>,
    /// Tokens of a real prefix.
    pub prefix_tokens: Option<usize>,
    /// Share of a document that stays.
    pub fidelity: Option<f64>,
    /// Tokens of a span that is written anew.
    pub span_tokens: Option<usize>,
    /// Tokens in view on each side of a gap.
    pub view_tokens: Option<usize>,
    /// How sure a model must be of a token to draw it anew.
    pub sharpness: Option<f64>,
    /// Program and arguments.
    pub command: Option<Vec<String>>,
    /// What the command may take for a request.
    pub timeout_seconds: Option<f64>,
    /// Tokens of the corpus.
    pub tokens: Option<u64>,
    /// Longest document.
    pub max_document_tokens: Option<usize>,
    /// The most probable token, always.
    pub greedy: Option<bool>,
    /// Penalty on tokens already there.
    pub repetition_penalty: Option<f64>,
    /// Divides the logits.
    pub temperature: Option<f64>,
    /// Keeps the k most probable.
    pub top_k: Option<usize>,
    /// Keeps the mass p.
    pub top_p: Option<f64>,
    /// Keeps a share of the most probable.
    pub min_p: Option<f64>,
    /// Keeps the mass p nearest to the entropy.
    pub typical_p: Option<f64>,
    /// Documents that a beam search grows.
    pub beams: Option<usize>,
    /// How much a beam search favours long ones.
    pub length_penalty: Option<f64>,
    /// Tokens among which contrastive search chooses.
    pub contrastive_k: Option<usize>,
    /// The weight of being unlike what stands before.
    pub contrastive_alpha: Option<f64>,
    /// `[synthesis.selection]`
    pub selection: Option<SelectionTable>,
}

/// `[writer]`: what generation 0 is, where that differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriterTable {
    /// What differs from `[model]`.
    pub model: Option<ModelTable>,
    /// What differs from `[training]`.
    pub training: Option<TrainingTable>,
    /// What differs from `[synthesis]`.
    pub synthesis: Option<SynthesisTable>,
}

/// `[[arm]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmTable {
    /// The arm's name.
    pub name: String,
    /// What it trains on.
    pub mixture: Option<MixtureValue>,
    /// What differs from `[model]`.
    #[serde(default)]
    pub model: Option<ModelTable>,
    /// What differs from `[training]`.
    #[serde(default)]
    pub training: Option<TrainingTable>,
    /// What differs from `[synthesis]`.
    #[serde(default)]
    pub synthesis: Option<SynthesisTable>,
}

/// `mixture = "replace"` or `mixture = { … }`.
#[derive(Clone, Debug, PartialEq)]
pub enum MixtureValue {
    /// A published name.
    Name(String),
    /// The four settings.
    Settings(MixtureTable),
}

/// The four settings of a mixture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureTable {
    /// The natural share.
    pub natural_fraction: Option<FractionValue>,
    /// Which natural documents.
    pub natural: Option<NaturalDocuments>,
    /// Which synthetic documents.
    pub synthetic: Option<SyntheticDocuments>,
    /// What the total is.
    pub budget: Option<Budget>,
}

/// A number, a list of numbers, or `"proportional"`.
#[derive(Clone, Debug, PartialEq)]
pub enum FractionValue {
    /// One per generation, the last repeated.
    Schedule(Vec<f64>),
    /// To what the pool holds.
    Proportional,
}

/// `"world"` or a list of paths.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceValue {
    /// The built-in language.
    World,
    /// Paths and globs.
    Paths(Vec<String>),
}

impl Serialize for SourceValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::World => serializer.serialize_str("world"),
            Self::Paths(paths) => paths.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SourceValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;
        impl<'de> Visitor<'de> for Value {
            type Value = SourceValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"world\" or a list of paths such as [\"data/*.jsonl\"]")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SourceValue, E> {
                Ok(match text {
                    "world" => SourceValue::World,
                    path => SourceValue::Paths(vec![path.to_owned()]),
                })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<SourceValue, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(SourceValue::Paths)
            }
        }
        deserializer.deserialize_any(Value)
    }
}

impl Serialize for FractionValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Proportional => serializer.serialize_str("proportional"),
            Self::Schedule(one) if one.len() == 1 => one[0].serialize(serializer),
            Self::Schedule(fractions) => fractions.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FractionValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;
        impl<'de> Visitor<'de> for Value {
            type Value = FractionValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1, a list of them, or \"proportional\"")
            }
            fn visit_f64<E: de::Error>(self, fraction: f64) -> Result<FractionValue, E> {
                Ok(FractionValue::Schedule(vec![fraction]))
            }
            fn visit_i64<E: de::Error>(self, fraction: i64) -> Result<FractionValue, E> {
                self.visit_f64(fraction as f64)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<FractionValue, E> {
                match text {
                    "proportional" => Ok(FractionValue::Proportional),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<FractionValue, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(FractionValue::Schedule)
            }
        }
        deserializer.deserialize_any(Value)
    }
}

impl Serialize for MixtureValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => name.serialize(serializer),
            Self::Settings(table) => table.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for MixtureValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;
        impl<'de> Visitor<'de> for Value {
            type Value = MixtureValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a published name such as \"replace\", or a table such as { natural_fraction = 0.3 }",
                )
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<MixtureValue, E> {
                Ok(MixtureValue::Name(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MixtureValue, A::Error> {
                MixtureTable::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(MixtureValue::Settings)
            }
        }
        deserializer.deserialize_any(Value)
    }
}
