//! *Oracle*: a writer who masters the language of the built-in world writes the documents; the model draws no token.
//!
//! Large models that rephrase web text understand it; the small models of an experiment do not. This writer does: it knows
//! the world's grammar, and as many of its facts as `knowledge` says. So the quality of a writer is a setting, from perfect
//! to poor. [`Teller`] explains how documents are rephrased and written, and why rephrasing by a perfect writer leaves the
//! distribution of natural text as it is.
//!
//! | `knowledge` | known facts |
//! |---|---|
//! | `"all"` | all |
//! | `"train"` | those that the natural text of the seed states |
//! | `"popular"` | the most popular ones that together make up 90 % of statements: the head |
//! | a number s | the most popular ones that together make up the share s of statements |
//!
//! A rephrasing is never cut at `synthesis.max_document_tokens`, because it would lose facts.
//!
//! **Pitfall.** A sentence that is not exactly as the world writes it states no fact for this writer. Of text that a poorly
//! trained model wrote (`reads = "previous"`, after a generation that wrote otherwise) it therefore keeps little.

use crate::corpus::world::{Teller, World};
use crate::documents::{Documents, TokenId};
use crate::model::ModelError;
use crate::settings::SettingError;
use crate::stage::Stage;
use crate::synthesis::SynthesisError;
use crate::synthesis::method::{
    Draft, Generator, GeneratorContext, GeneratorResult, MethodContext, MethodProperties, SynthesisMethod,
    TokenChoice,
};
use crate::synthesis::sources::Rotation;
use crate::synthesis::{Sources, method};
use crate::tokenizer::Tokenizer;
use rayon::prelude::*;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use toml::{Table, Value};

/// An error of the oracle.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// The natural text is not that of the built-in world.
    #[error(
        "method = \"oracle\" writes in the language of the built-in world, but the text has another source; set corpus.source = \"world\""
    )]
    NoWorld,
    /// The natural text of the seed states no fact.
    #[error(
        "none of {documents} natural documents states a fact, so that a writer with synthesis.knowledge = \"train\" knows none; raise corpus.train_tokens, or choose another knowledge"
    )]
    NothingKnown {
        /// Number of natural documents.
        documents: usize,
    },
    /// A relation has one value only.
    #[error(
        "all entities of the built-in world have the same {relation}, which cannot be told wrong; set synthesis.error = 0, or another corpus.world.seed"
    )]
    OneValue {
        /// The name of the relation.
        relation: String,
    },
}

/// A writer who masters the language of the built-in world: its grammar, and some or all of its facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oracle {
    /// What the writer does.
    #[serde(default)]
    pub oracle: OracleKind,
    /// The facts that the writer knows: `"all"`; `"train"`, those stated in the natural text of the seed; `"popular"`, the
    /// most popular ones, which make up 90 % of statements; or another share of statements.
    #[serde(default)]
    pub knowledge: Knowledge,
    /// Probability that a fact is told with a wrong value of its relation.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub error: f64,
    /// The documents that are rephrased. `natural` if left out, with `oracle = "rephrase"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Reading")]
    pub reads: Option<Reading>,
}

/// What an oracle does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OracleKind {
    /// Says the facts of a document anew: in another order, between other sentences.
    #[default]
    Rephrase,
    /// Writes documents from its own knowledge.
    Textbook,
}

/// The documents that are rephrased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// The natural training text, in every generation.
    Natural,
    /// The corpus of the previous generation; in generation 0 the natural training text.
    Previous,
}

/// The facts that an oracle knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Knowledge {
    /// All facts of the world.
    #[default]
    All,
    /// The facts that the natural text of the seed states.
    Train,
    /// The facts of the head.
    Popular,
    /// The most popular facts, which together make up this share of statements.
    Share(f64),
}

impl Knowledge {
    /// Share of statements that the facts of the head make up.
    const HEAD: f64 = 0.9;

    /// For each fact of the world, whether it is known.
    fn is_known(self, world: &World, sources: &Sources) -> Vec<bool> {
        match self {
            Self::All => vec![true; world.facts().len()],
            Self::Train => stated(world, sources.natural, sources.tokenizer),
            Self::Popular => world.most_popular(Self::HEAD),
            Self::Share(share) => world.most_popular(share),
        }
    }
}

/// For each fact of the world, whether one of the documents states it.
fn stated(world: &World, documents: &Documents, tokenizer: &Tokenizer) -> Vec<bool> {
    let mut is_stated = vec![false; world.facts().len()];
    let texts = tokenizer.decode_documents(documents);
    let facts: Vec<usize> = texts
        .par_iter()
        .flat_map_iter(|text| world.statements(text).into_iter().flatten().map(|one| one.fact))
        .collect();
    facts.into_iter().for_each(|fact| is_stated[fact] = true);
    is_stated
}

/// The key of [`Oracle::reads`].
const READS: &str = "reads";

impl SynthesisMethod for Oracle {
    fn name() -> &'static str {
        "oracle"
    }

    fn token_choice() -> TokenChoice {
        TokenChoice::Other("none: the model draws no token")
    }

    fn inherit(own: &Table, inherited: &mut Table) {
        if own.get("oracle").and_then(Value::as_str) == Some("textbook") {
            inherited.remove(READS);
        }
    }

    fn complete(table: &mut Table, _: &MethodContext) {
        if table.get("oracle").is_none_or(|kind| kind.as_str() == Some("rephrase")) {
            table.entry(READS).or_insert_with(|| Value::String("natural".to_owned()));
        }
    }

    fn check(&self, context: &MethodContext) -> Result<(), SettingError> {
        if context.corpus.files().is_some() {
            let message = "\"oracle\" writes in the language of the built-in world, and this text has another source; set corpus.source = \"world\", or choose another method";
            return Err(SettingError::new(method::KEY, message));
        }
        if self.oracle == OracleKind::Textbook && self.reads.is_some() {
            let message = "has no effect with oracle = \"textbook\", which reads no document; leave it out";
            return Err(SettingError::new(READS, message));
        }
        Ok(())
    }

    fn check_sources(&self, sources: Sources) -> Result<(), SynthesisError> {
        let world = self.checked_world(&sources)?;
        let states_fact = |document| {
            let text = sources.tokenizer.decode(document);
            world.statements(&text).iter().any(Option::is_some)
        };
        if self.knowledge == Knowledge::Train && !sources.natural.iter().any(states_fact) {
            return Err(OracleError::NothingKnown { documents: sources.natural.len() }.into());
        }
        Ok(())
    }

    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        let sources = context.sources;
        let previous = sources.previous.filter(|_| self.reads_previous());
        let (documents, from) = match (self.oracle, previous) {
            (OracleKind::Textbook, _) => (None, "textbook"),
            (OracleKind::Rephrase, None) => (Some(sources.natural), "rephrase, train split"),
            (OracleKind::Rephrase, Some(previous)) => (Some(previous), "rephrase, last synthetic corpus"),
        };
        let rotation = |documents| Rotation::new(documents, context.candidates, context.key.clone());
        Ok(Box::new(OracleWriter {
            teller: self.teller(&sources)?,
            sources: documents.map(rotation).transpose()?,
            tokenizer: sources.tokenizer,
            max_document_tokens: context.max_document_tokens,
            description: format!("oracle, {from}, knowledge {}, error {}", self.knowledge, self.error),
        }))
    }

    fn properties(&self) -> MethodProperties {
        MethodProperties {
            rewrites_documents: self.oracle == OracleKind::Rephrase,
            prompt_tokens: 0,
            candidates_differ_only_by_sampling: false,
            reads_previous: self.reads_previous(),
        }
    }
}

impl Oracle {
    fn reads_previous(&self) -> bool {
        self.reads == Some(Reading::Previous)
    }

    /// The world to write about.
    ///
    /// # Errors
    /// If the text is not that of the built-in world, or a fact cannot be told wrong.
    fn checked_world<'a>(&self, sources: &Sources<'a>) -> Result<&'a World, OracleError> {
        let world = sources.world.ok_or(OracleError::NoWorld)?;
        match world.relation_with_one_value().filter(|_| self.error > 0.0) {
            Some(relation) => Err(OracleError::OneValue { relation: relation.to_owned() }),
            None => Ok(world),
        }
    }

    /// # Errors
    /// As [`checked_world`](Self::checked_world), or if no fact is known.
    fn teller<'a>(&self, sources: &Sources<'a>) -> Result<Teller<'a>, OracleError> {
        let world = self.checked_world(sources)?;
        let teller = Teller::new(world, &self.knowledge.is_known(world, sources), self.error);
        if !teller.knows_anything() {
            return Err(OracleError::NothingKnown { documents: sources.natural.len() });
        }
        Ok(teller)
    }
}

/// Generates documents without a model.
struct OracleWriter<'a> {
    teller: Teller<'a>,
    /// The documents that are rephrased; `None` if documents are written from nothing.
    sources: Option<Rotation<'a>>,
    tokenizer: &'a Tokenizer,
    max_document_tokens: usize,
    description: String,
}

impl OracleWriter<'_> {
    /// The texts of the first of the documents `items`, at least one.
    fn texts(&self, items: &[u64], stage: &Stage) -> Vec<String> {
        let key = stage.key();
        let Some(rotation) = &self.sources else {
            return items.par_iter().map(|&item| self.teller.textbook(&mut key.stream(item))).collect();
        };
        let sources = rotation.of_first(items, self.max_document_tokens);
        let rephrase = |(&item, source): (&u64, &[TokenId])| {
            self.teller.rephrase(&self.tokenizer.decode(source), &mut key.stream(item))
        };
        items[..sources.len()].par_iter().zip(sources).map(rephrase).collect()
    }
}

impl Generator for OracleWriter<'_> {
    fn generate(&self, items: &[u64], stage: &Stage) -> Result<Draft, SynthesisError> {
        if stage.interrupted() {
            return Err(ModelError::Interrupted.into());
        }
        let written = self.tokenizer.encode_documents(&self.texts(items, stage))?;
        let longest = if self.sources.is_some() { usize::MAX } else { self.max_document_tokens };
        let documents: Documents =
            written.iter().map(|document| &document[..document.len().min(longest)]).collect();
        stage.advance(documents.tokens().0);
        Ok(Draft { documents, kept: None })
    }

    fn source(&self) -> String {
        self.description.clone()
    }
}

const ALL: &str = "all";
const TRAIN: &str = "train";
const POPULAR: &str = "popular";

/// As in an experiment file, without quotation marks.
impl fmt::Display for Knowledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(ALL),
            Self::Train => f.write_str(TRAIN),
            Self::Popular => f.write_str(POPULAR),
            Self::Share(share) => share.fmt(f),
        }
    }
}

impl Serialize for Knowledge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Share(share) => share.serialize(serializer),
            named => serializer.collect_str(named),
        }
    }
}

impl<'de> Deserialize<'de> for Knowledge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KnowledgeVisitor;
        impl Visitor<'_> for KnowledgeVisitor {
            type Value = Knowledge;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\", \"train\", \"popular\", or a share of statements above 0 and at most 1")
            }
            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Knowledge, E> {
                Ok(Knowledge::Share(share))
            }
            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Knowledge, E> {
                self.visit_f64(share as f64)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Knowledge, E> {
                match text {
                    ALL => Ok(Knowledge::All),
                    TRAIN => Ok(Knowledge::Train),
                    POPULAR => Ok(Knowledge::Popular),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(KnowledgeVisitor)
    }
}

impl JsonSchema for Knowledge {
    fn schema_name() -> Cow<'static, str> {
        "Knowledge".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0 },
            { "type": "string", "enum": [ALL, TRAIN, POPULAR] },
        ] })
    }
}
