//! The table `[corpus]`: the source of natural text, and how it is split.

use super::world::{World, WorldSettings};
use crate::settings::SettingError;
use crate::units::Tokens;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use toml::{Table, Value};

/// Natural text and how it is split into training, held-out and reference text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorpusSettings {
    /// `"world"` for the built-in language, whose distribution is known; or paths and globs of text files (`.txt`, JSONL,
    /// Parquet), relative to the working directory.
    #[schemars(extend("x-hint" = "give \"world\", or paths such as [\"data/*.jsonl\"]"))]
    pub source: CorpusSource,
    /// How a `.txt` file is split into documents: `"paragraph"`, `"line"`, `"file"`, or `{ separator = "…" }` for a text that
    /// stands between documents, such as `<|endoftext|>`. Only with text files; `paragraph` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<DocumentBoundary>,
    /// Field or column with the text in JSONL and Parquet files. Only with text files; `text` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_field: Option<String>,
    /// Number of lines in JSON lines files that may hold no document; they are left out and counted. Only with text files; 0
    /// if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_bad: Option<u64>,
    /// How many times its size a compressed or Parquet file may unpack to, from 64 MiB on. Only with text files; 50 if left
    /// out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_expansion: Option<u64>,
    /// Natural tokens that generation 0 is trained on, drawn separately for each seed. Also the budget of later mixtures.
    /// With `natural_tokens`, repetitions count.
    #[schemars(range(min = 1, max = 500_000_000_000_u64), extend("x-sensible" = {"minimum": 32, "why": "no model can be trained on fewer"}))]
    pub train_tokens: Tokens,
    /// The most natural tokens that there are to train on and to write from, drawn separately for each seed: a mixture that
    /// takes more, or generation 0, reads them again. No limit if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500_000_000_000_u64), extend("x-sensible" = {"minimum": 32, "why": "no model can be trained on fewer"}))]
    pub natural_tokens: Option<Tokens>,
    /// Tokens of held-out text, on which models are evaluated. The same text for all seeds and arms.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-sensible" = {"minimum": 32, "why": "the loss on fewer says nothing about a model"}))]
    pub heldout_tokens: Tokens,
    /// Tokens of reference text, to which synthetic text is compared. The same text for all seeds and arms.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-sensible" = {"minimum": 32, "why": "fewer are too few to compare a distribution with"}))]
    pub reference_tokens: Tokens,
    /// Share of documents that are held out. They are chosen by hash.
    #[serde(default = "a_tenth")]
    #[schemars(extend("minimum" = 0.001, "exclusiveMaximum" = 1.0))]
    pub heldout_share: f64,
    /// Share of documents that are reference text. They are chosen by hash. The sum with `heldout_share` must be below 1.
    #[serde(default = "three_tenths")]
    #[schemars(extend("minimum" = 0.001, "exclusiveMaximum" = 1.0))]
    pub reference_share: f64,
    /// Settings of the built-in language. Only with `source = "world"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub world: Option<WorldSettings>,
}

const fn a_tenth() -> f64 {
    0.1
}

const fn three_tenths() -> f64 {
    0.3
}

/// Source of natural text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorpusSource {
    /// The built-in language.
    World,
    /// Paths and globs, relative to the working directory.
    Files(Vec<String>),
}

/// How a `.txt` file is split into documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentBoundary {
    /// The whole file is one document.
    File,
    /// Blank lines separate documents.
    Paragraph,
    /// Each line that is not blank is a document.
    Line,
    /// A text separates documents, together with the line ends next to it.
    Separator(String),
}

/// As in an experiment file.
impl fmt::Display for DocumentBoundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("\"file\""),
            Self::Paragraph => f.write_str("\"paragraph\""),
            Self::Line => f.write_str("\"line\""),
            Self::Separator(separator) => write!(f, "{{ separator = {separator:?} }}"),
        }
    }
}

/// The text files of a corpus, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFiles {
    /// Paths and globs, relative to the working directory.
    pub paths: Vec<String>,
    /// How a `.txt` file is split into documents.
    pub split: DocumentBoundary,
    /// Field or column with the text in JSONL and Parquet files.
    pub text_field: String,
    /// Number of lines that may hold no document.
    pub skip_bad: u64,
    /// How many times its size a file may unpack to.
    pub max_expansion: u64,
}

/// Default of `max_expansion`. Text rarely compresses to less than a tenth.
const MAX_EXPANSION: u64 = 50;

impl CorpusSettings {
    /// Adds the defaults that depend on the source.
    pub(crate) fn complete(table: &mut Table) {
        if table.get("source").and_then(Value::as_str) == Some(WORLD) {
            table.entry("world").or_insert_with(|| Value::Table(Table::new()));
        } else if table.contains_key("source") {
            table.entry("split").or_insert_with(|| "paragraph".into());
            table.entry("text_field").or_insert_with(|| "text".into());
            table.entry("skip_bad").or_insert_with(|| 0.into());
            table.entry("max_expansion").or_insert_with(|| Value::Integer(MAX_EXPANSION.cast_signed()));
        }
    }

    /// Checks conditions that involve several settings.
    pub(crate) fn check(&self) -> Result<(), SettingError> {
        if self.heldout_share + self.reference_share >= 1.0 {
            let message = "leaves no text to train on; the sum with heldout_share must be below 1";
            return Err(SettingError::new("reference_share", message));
        }
        if self.split == Some(DocumentBoundary::Separator(String::new())) {
            return Err(SettingError::new("split.separator", "is empty; give the text between documents"));
        }
        if let Some(DocumentBoundary::Separator(separator)) = &self.split
            && separator.contains(LINE_ENDS)
        {
            let message =
                "has a line end other than \\n; files are read with every line end as \\n, so write \\n";
            return Err(SettingError::new("split.separator", message));
        }
        let file_settings = [
            ("split", self.split.is_some()),
            ("text_field", self.text_field.is_some()),
            ("skip_bad", self.skip_bad.is_some()),
            ("max_expansion", self.max_expansion.is_some()),
        ];
        match &self.source {
            CorpusSource::World => match file_settings.iter().find(|(_, is_given)| *is_given) {
                Some((key, _)) => {
                    let message = "has no effect with source = \"world\"; leave it out";
                    Err(SettingError::new(*key, message))
                }
                None => Ok(()),
            },
            CorpusSource::Files(_) if self.world.is_some() => {
                let message = "has no effect with text files; leave it out, or set source = \"world\"";
                Err(SettingError::new("world", message))
            }
            CorpusSource::Files(paths) if paths.is_empty() => {
                let message = "the list is empty; give paths or globs, or \"world\"";
                Err(SettingError::new("source", message))
            }
            CorpusSource::Files(paths) if paths.iter().any(|path| path.trim().is_empty()) => {
                let message = "names a file by an empty text; give paths or globs, or \"world\"";
                Err(SettingError::new("source", message))
            }
            CorpusSource::Files(_) => Ok(()),
        }
    }

    /// All of a file as training text, with nothing held out.
    #[must_use]
    pub fn training_text(path: &Path) -> Self {
        Self {
            source: CorpusSource::Files(vec![path.display().to_string()]),
            split: None,
            text_field: None,
            skip_bad: None,
            max_expansion: None,
            train_tokens: Tokens(1),
            natural_tokens: None,
            heldout_tokens: Tokens(0),
            reference_tokens: Tokens(0),
            heldout_share: 0.0,
            reference_share: 0.0,
            world: None,
        }
    }

    /// Different natural tokens that generation 0 trains on and synthesis may read.
    #[must_use]
    pub fn distinct_train_tokens(&self) -> Tokens {
        self.natural_tokens.map_or(self.train_tokens, |limit| limit.min(self.train_tokens))
    }

    /// The built-in language; `None` for text files.
    #[must_use]
    pub fn built_in_world(&self) -> Option<World> {
        let is_world = self.source == CorpusSource::World;
        is_world.then(|| World::new(&self.world.clone().unwrap_or_default()))
    }

    /// The settings that the natural text depends on: without those that only say how much of it is used.
    pub(crate) fn of_text(&self) -> Self {
        Self { train_tokens: Tokens(0), natural_tokens: None, ..self.clone() }
    }

    /// The text files to read; `None` for the built-in language.
    #[must_use]
    pub fn files(&self) -> Option<TextFiles> {
        match &self.source {
            CorpusSource::World => None,
            CorpusSource::Files(paths) => Some(TextFiles {
                paths: paths.clone(),
                split: self.split.clone().unwrap_or(DocumentBoundary::Paragraph),
                text_field: self.text_field.clone().unwrap_or_else(|| "text".to_owned()),
                skip_bad: self.skip_bad.unwrap_or(0),
                max_expansion: self.max_expansion.unwrap_or(MAX_EXPANSION),
            }),
        }
    }
}

const WORLD: &str = "world";

/// Line ends that no document has after it was read; see [`plain_text`](super::plain_text).
const LINE_ENDS: [char; 4] = ['\r', '\u{85}', '\u{2028}', '\u{2029}'];

impl Serialize for CorpusSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::World => serializer.serialize_str(WORLD),
            Self::Files(paths) => paths.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for CorpusSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;
        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = CorpusSource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"world\" or a list of paths such as [\"data/*.jsonl\"]")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<CorpusSource, E> {
                Ok(match text {
                    WORLD => CorpusSource::World,
                    path => CorpusSource::Files(vec![path.to_owned()]),
                })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<CorpusSource, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(CorpusSource::Files)
            }
        }
        deserializer.deserialize_any(SourceVisitor)
    }
}

impl JsonSchema for CorpusSource {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ] })
    }
}

impl JsonSchema for DocumentBoundary {
    fn schema_name() -> Cow<'static, str> {
        "DocumentBoundary".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "oneOf": [
                { "const": "file", "description": "The whole file is one document." },
                { "const": "paragraph", "description": "Blank lines separate documents." },
                { "const": "line", "description": "Each line that is not blank is a document." },
            ] },
            {
                "type": "object",
                "properties": { "separator": {
                    "type": "string",
                    "description": "A text that separates documents, together with the line ends next to it.",
                } },
                "required": ["separator"],
                "additionalProperties": false,
            },
        ] })
    }
}
