//! How documents are decoded from a model's predictions: the settings of `[synthesis]` about decoding.

use crate::settings::{self, SettingError, properties, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use toml::Table;

/// How documents are decoded from predictions.
#[derive(Clone, Debug, PartialEq)]
pub enum DecodingStrategy {
    /// One token after another, each chosen from one prediction.
    TokenByToken(SamplingSettings),
    /// The best of several documents that are extended side by side.
    Beam(BeamSearchSettings),
    /// One token after another, each probable and unlike the text before it.
    Contrastive(ContrastiveSearchSettings),
}

/// How the next token is chosen from a prediction. Applied in the order of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingSettings {
    /// Always take the most probable token (after the repetition penalty). Excludes every other setting but the penalty.
    pub greedy: bool,
    /// Divides the positive logits of tokens that are already in the document, and multiplies the negative ones (Keskar et
    /// al. 2019). 1 changes nothing.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub repetition_penalty: f64,
    /// Divides the logits. 1 changes nothing.
    #[schemars(extend("exclusiveMinimum" = 0.0, "x-hint" = "to always take the most probable token, set greedy = true"))]
    pub temperature: f64,
    /// Keep only the k most probable tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub top_k: Option<usize>,
    /// Keep only the fewest tokens, most probable first, whose probabilities sum to at least this (Holtzman et al. 2020).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub top_p: Option<f64>,
    /// Keep only tokens at least this share as probable as the most probable one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: Option<f64>,
    /// Keep only the fewest tokens, those whose surprisal is nearest to the entropy first, whose probabilities sum to at
    /// least this (Meister et al. 2023).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
    pub typical_p: Option<f64>,
}

/// Beam search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeamSearchSettings {
    /// Beam search with this many documents side by side.
    #[schemars(range(min = 2, max = 1024))]
    pub beams: usize,
    /// Exponent α of the score `log p / length^α` of beam search: 0 compares whole documents, 1 their means per token.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub length_penalty: f64,
}

const fn one() -> f64 {
    1.0
}

/// Contrastive search (Su et al. 2022).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContrastiveSearchSettings {
    /// Contrastive search among this many of the most probable tokens (Su et al. 2022). Needs a model with hidden states.
    #[serde(rename = "contrastive_k")]
    #[schemars(range(min = 2, max = 1024))]
    pub k: usize,
    /// Weight α that contrastive search gives to being unlike the text before, against 1 − α for being probable.
    #[serde(rename = "contrastive_alpha", default = "three_fifths")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
}

const fn three_fifths() -> f64 {
    0.6
}

impl Default for SamplingSettings {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl SamplingSettings {
    /// Samples from the prediction as it is.
    pub const PLAIN: Self = Self {
        greedy: false,
        repetition_penalty: 1.0,
        temperature: 1.0,
        top_k: None,
        top_p: None,
        min_p: None,
        typical_p: None,
    };

    /// Always takes the most probable token.
    pub const GREEDY: Self = Self { greedy: true, ..Self::PLAIN };

    /// Whether tokens are drawn from the prediction as it is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Self { greedy, repetition_penalty, temperature, top_k, top_p, min_p, typical_p } = *self;
        !greedy
            && repetition_penalty == 1.0
            && temperature == 1.0
            && top_k.is_none()
            && top_p.is_none_or(|p| p >= 1.0)
            && min_p.is_none_or(|share| share <= 0.0)
            && typical_p.is_none_or(|p| p >= 1.0)
    }

    /// Reads the settings from a table without other keys.
    ///
    /// # Errors
    /// When a key is unknown, or a value makes no sense.
    pub fn read(table: Table) -> Result<Self, SettingError> {
        let default = settings::table_of(&Self::PLAIN);
        let has_effect = |key: &&String| {
            *key != "greedy" && *key != "repetition_penalty" && table.get(*key) != default.get(*key)
        };
        let other = table.keys().find(has_effect).cloned();
        let sampling: Self = settings::read(table)?;
        match other {
            Some(key) if sampling.greedy => Err(unused(&key, "greedy decoding")),
            Some(_) | None => Ok(sampling),
        }
    }
}

fn unused(key: &str, decoder: &str) -> SettingError {
    SettingError::new(key, format!("{decoder} does not use it; leave it out"))
}

impl DecodingStrategy {
    /// Samples from the prediction as it is.
    pub const PLAIN: Self = Self::TokenByToken(SamplingSettings::PLAIN);

    /// Always takes the most probable token.
    pub const GREEDY: Self = Self::TokenByToken(SamplingSettings::GREEDY);

    /// How each token is chosen, if that follows from one prediction alone.
    #[must_use]
    pub const fn token_by_token(&self) -> Option<&SamplingSettings> {
        match self {
            Self::TokenByToken(sampling) => Some(sampling),
            Self::Beam(_) | Self::Contrastive(_) => None,
        }
    }

    /// Whether the same prompt always gives the same document.
    #[must_use]
    pub const fn is_deterministic(&self) -> bool {
        match self {
            Self::TokenByToken(sampling) => sampling.greedy,
            Self::Beam(_) | Self::Contrastive(_) => true,
        }
    }

    /// Whether hidden states of the model are needed.
    #[must_use]
    pub const fn needs_hidden_states(&self) -> bool {
        match self {
            Self::Contrastive(_) => true,
            Self::TokenByToken(_) | Self::Beam(_) => false,
        }
    }

    /// Reads the decoder that the keys of a table choose: beam search if `beams` is given, contrastive search if
    /// `contrastive_k` is, else token by token.
    ///
    /// # Errors
    /// When a key belongs to another decoder, or a value makes no sense.
    pub fn read(table: Table) -> Result<Self, SettingError> {
        match (table.contains_key("beams"), table.contains_key("contrastive_k")) {
            (true, true) => {
                let message = "contrastive search has no beams; leave out one of the two";
                Err(SettingError::new("contrastive_k", message))
            }
            (true, false) => {
                settings::read(only::<BeamSearchSettings>(table, "beam search")?).map(Self::Beam)
            }
            (false, true) => {
                let own = only::<ContrastiveSearchSettings>(table, "contrastive search")?;
                settings::read(own).map(Self::Contrastive)
            }
            (false, false) => {
                for (key, owner) in [("length_penalty", "beams"), ("contrastive_alpha", "contrastive_k")] {
                    if table.contains_key(key) {
                        let message = format!("has no meaning without {owner}; set it, or leave this out");
                        return Err(SettingError::new(key, message));
                    }
                }
                SamplingSettings::read(table).map(Self::TokenByToken)
            }
        }
    }

    /// The settings as a table, every default written out.
    #[must_use]
    pub fn table(&self) -> Table {
        match self {
            Self::TokenByToken(sampling) => settings::table_of(sampling),
            Self::Beam(beam) => settings::table_of(beam),
            Self::Contrastive(contrastive) => settings::table_of(contrastive),
        }
    }

    /// The JSON Schemas of all decoders.
    #[must_use]
    pub fn schemas() -> [Json; 3] {
        [
            schema_of::<SamplingSettings>(),
            schema_of::<BeamSearchSettings>(),
            schema_of::<ContrastiveSearchSettings>(),
        ]
    }

    /// The settings of `base` that `own` inherits: those of the decoder that both are about. A decoder that `own` turns to
    /// inherits nothing but, if it is greedy decoding or sampling, the repetition penalty.
    #[must_use]
    pub fn inherited(own: &Table, mut base: Table) -> Table {
        let chosen = Decoder::chosen_by(own);
        if chosen.is_some_and(|chosen| chosen != Decoder::chosen_by(&base).unwrap_or(Decoder::Sampling)) {
            base.retain(|key, _| key == "repetition_penalty");
        }
        if matches!(chosen, Some(Decoder::Beam | Decoder::Contrastive)) {
            base.remove("repetition_penalty");
        }
        base
    }
}

/// The keys of `table` without those that `decoder` has no use for and that change nothing.
fn only<T: JsonSchema>(mut table: Table, decoder: &str) -> Result<Table, SettingError> {
    let schema = schema_of::<T>();
    let own = properties(&schema);
    let default = settings::table_of(&SamplingSettings::PLAIN);
    table.retain(|key, value| default.get(key) != Some(value));
    match table.keys().find(|key| !own.iter().any(|(name, _)| name == key)) {
        Some(key) => Err(unused(key, decoder)),
        None => Ok(table),
    }
}

/// The decoders that the keys of a table can choose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decoder {
    Sampling,
    Greedy,
    Beam,
    Contrastive,
}

impl Decoder {
    /// The decoder that the keys of a table are about; None if they do not say.
    fn chosen_by(table: &Table) -> Option<Self> {
        let has = |keys: &[&str]| keys.iter().any(|key| table.contains_key(*key));
        let greedy = table.get("greedy").and_then(toml::Value::as_bool);
        if has(&["beams", "length_penalty"]) {
            Some(Self::Beam)
        } else if has(&["contrastive_k", "contrastive_alpha"]) {
            Some(Self::Contrastive)
        } else if greedy == Some(true) {
            Some(Self::Greedy)
        } else if greedy == Some(false) || table.keys().any(|key| key != "repetition_penalty") {
            Some(Self::Sampling)
        } else {
            None
        }
    }
}

impl From<SamplingSettings> for DecodingStrategy {
    fn from(sampling: SamplingSettings) -> Self {
        Self::TokenByToken(sampling)
    }
}
