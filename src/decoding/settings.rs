//! The settings of `[synthesis]` that choose a decoder and its parameters.
//!
//! No key names the decoder. Instead, `beams` selects beam search and `contrastive_k` contrastive search. If neither is
//! given, documents are written token by token, by sampling or greedily.

use crate::settings::{self, SettingError, properties, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use toml::{Table, Value};

/// A decoder with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum DecodingStrategy {
    /// Sampling or greedy decoding: each token is chosen from one prediction.
    TokenByToken(SamplingSettings),
    /// Several documents are extended in parallel; the best one is written.
    Beam(BeamSearchSettings),
    /// Each token is chosen to be probable and yet unlike the preceding text.
    Contrastive(ContrastiveSearchSettings),
}

/// Sampling or greedy decoding. The settings are applied in the order of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingSettings {
    /// Always choose the most probable token. Only `repetition_penalty` can be combined with this.
    pub greedy: bool,
    /// Penalty for tokens that already occur in the document: positive logits are divided by it, negative ones multiplied
    /// (Keskar et al. 2019). 1 has no effect.
    #[schemars(extend("exclusiveMinimum" = 0.0, "x-sensible" = {"minimum": 0.1, "maximum": 10.0, "why": "beyond, every repetition is written or none"}))]
    pub repetition_penalty: f64,
    /// Divisor of the logits. 1 has no effect.
    #[schemars(extend(
        "exclusiveMinimum" = 0.0,
        "x-hint" = "to always take the most probable token, set greedy = true",
        "x-sensible" = {
            "minimum": 0.01,
            "maximum": 100.0,
            "why": "below, sampling is greedy: set greedy = true; above, all tokens are equally probable"
        }
    ))]
    pub temperature: f64,
    /// Keep only the k most probable tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub top_k: Option<usize>,
    /// Keep only the fewest tokens, most probable first, whose probabilities sum to at least this (Holtzman et al. 2020).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0, "x-sensible" = {"minimum": 0.001, "why": "with less, only the most probable token is left: set greedy = true"}))]
    pub top_p: Option<f64>,
    /// Keep only tokens whose probability is at least this fraction of the highest one (Nguyen et al. 2024).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: Option<f64>,
    /// Keep only the fewest tokens, those whose surprisal is nearest to the entropy first, whose probabilities sum to at
    /// least this (Meister et al. 2023).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0, "x-sensible" = {"minimum": 0.001, "why": "with less, a single token is left"}))]
    pub typical_p: Option<f64>,
}

/// Beam search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeamSearchSettings {
    /// Selects beam search. Number of documents that are extended in parallel.
    #[schemars(range(min = 2, max = 1024))]
    pub beams: usize,
    /// Exponent α in the score `log p / length^α` of beam search. With 0 the score is the log-probability of the document,
    /// with 1 its mean per token.
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
    /// Selects contrastive search (Su et al. 2022). Number of most probable tokens to choose from. Needs a model with hidden
    /// states.
    #[serde(rename = "contrastive_k")]
    #[schemars(range(min = 2, max = 1024))]
    pub k: usize,
    /// Weight α of the penalty for similarity with preceding text in contrastive search; probability has weight 1 − α.
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
    /// Samples from the unmodified prediction.
    pub const PLAIN: Self = Self {
        greedy: false,
        repetition_penalty: 1.0,
        temperature: 1.0,
        top_k: None,
        top_p: None,
        min_p: None,
        typical_p: None,
    };

    /// Always chooses the most probable token.
    pub const GREEDY: Self = Self { greedy: true, ..Self::PLAIN };

    /// Whether tokens are sampled from the unmodified prediction.
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

    /// Reads the settings from a table that has no other keys.
    ///
    /// # Errors
    /// If a key is unknown, a value is invalid, or greedy decoding is combined with a sampling setting.
    pub fn read(table: Table) -> Result<Self, SettingError> {
        let is_sampling_setting = |(key, value): &(&String, &Value)| {
            *key != "greedy" && *key != "repetition_penalty" && !is_default(key, value)
        };
        let other = table.iter().find(is_sampling_setting).map(|(key, _)| key.clone());
        let sampling: Self = settings::read(table)?;
        match other {
            Some(key) if sampling.greedy => Err(unused(&key, "greedy decoding")),
            Some(_) | None => Ok(sampling),
        }
    }
}

/// Whether a sampling setting has its default value, written as a whole number or not.
fn is_default(key: &str, value: &Value) -> bool {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
    let default = settings::table_of(&SamplingSettings::PLAIN);
    default.get(key).is_some_and(|default| {
        default == value || number(default).is_some() && number(default) == number(value)
    })
}

fn unused(key: &str, decoder: &str) -> SettingError {
    SettingError::new(key, format!("{decoder} does not use it; leave it out"))
}

impl DecodingStrategy {
    /// Samples from the unmodified prediction.
    pub const PLAIN: Self = Self::TokenByToken(SamplingSettings::PLAIN);

    /// Always chooses the most probable token.
    pub const GREEDY: Self = Self::TokenByToken(SamplingSettings::GREEDY);

    /// The settings of sampling or greedy decoding; `None` for other decoders.
    #[must_use]
    pub const fn token_by_token(&self) -> Option<&SamplingSettings> {
        match self {
            Self::TokenByToken(sampling) => Some(sampling),
            Self::Beam(_) | Self::Contrastive(_) => None,
        }
    }

    /// Whether a prompt always results in the same document.
    #[must_use]
    pub const fn is_deterministic(&self) -> bool {
        match self {
            Self::TokenByToken(sampling) => sampling.greedy,
            Self::Beam(_) | Self::Contrastive(_) => true,
        }
    }

    /// Whether the decoder needs a model with hidden states.
    #[must_use]
    pub const fn needs_hidden_states(&self) -> bool {
        match self {
            Self::Contrastive(_) => true,
            Self::TokenByToken(_) | Self::Beam(_) => false,
        }
    }

    /// Reads the decoder and its settings: beam search if `beams` is given, contrastive search if `contrastive_k` is given,
    /// else token by token.
    ///
    /// # Errors
    /// If a key belongs to another decoder, or a value is invalid.
    pub fn read(table: Table) -> Result<Self, SettingError> {
        match (table.contains_key("beams"), table.contains_key("contrastive_k")) {
            (true, true) => {
                let message = "contrastive search has no beams; leave out contrastive_k or beams";
                Err(SettingError::new("contrastive_k", message))
            }
            (true, false) => {
                settings::read(only_own_settings::<BeamSearchSettings>(table, "beam search")?).map(Self::Beam)
            }
            (false, true) => {
                let own = only_own_settings::<ContrastiveSearchSettings>(table, "contrastive search")?;
                settings::read(own).map(Self::Contrastive)
            }
            (false, false) => {
                for (key, owner) in [("length_penalty", "beams"), ("contrastive_alpha", "contrastive_k")] {
                    if table.contains_key(key) {
                        let message =
                            format!("has no effect without {owner}; set {owner}, or leave this out");
                        return Err(SettingError::new(key, message));
                    }
                }
                SamplingSettings::read(table).map(Self::TokenByToken)
            }
        }
    }

    /// The settings as a table with every default written out.
    #[must_use]
    pub fn table(&self) -> Table {
        match self {
            Self::TokenByToken(sampling) => settings::table_of(sampling),
            Self::Beam(beam) => settings::table_of(beam),
            Self::Contrastive(contrastive) => settings::table_of(contrastive),
        }
    }

    /// The JSON Schemas of the settings of all decoders.
    #[must_use]
    pub fn schemas() -> [Json; 3] {
        [
            schema_of::<SamplingSettings>(),
            schema_of::<BeamSearchSettings>(),
            schema_of::<ContrastiveSearchSettings>(),
        ]
    }

    /// The settings of `base` that `own` inherits: all of them if both tables select the same decoder. If `own` selects
    /// another decoder, it inherits only the repetition penalty, or nothing if that decoder is beam or contrastive
    /// search.
    #[must_use]
    pub fn inherited(own: &Table, mut base: Table) -> Table {
        let of_base = Decoder::selected_by(&base);
        let is_search = matches!(of_base, Some(Decoder::Beam | Decoder::Contrastive));
        // A search uses no repetition penalty, so setting one selects sampling instead.
        let samples = is_search
            && own.get("repetition_penalty").is_some_and(|value| !is_default("repetition_penalty", value));
        let chosen = Decoder::selected_by(own).or(samples.then_some(Decoder::Sampling));
        if chosen.is_some_and(|chosen| chosen != of_base.unwrap_or(Decoder::Sampling)) {
            base.retain(|key, _| key == "repetition_penalty");
        }
        if matches!(chosen, Some(Decoder::Beam | Decoder::Contrastive)) {
            base.remove("repetition_penalty");
        }
        base
    }
}

/// `table` without sampling settings that have their default value.
///
/// # Errors
/// If the result would contain a key that `decoder` does not use.
fn only_own_settings<T: JsonSchema>(mut table: Table, decoder: &str) -> Result<Table, SettingError> {
    let schema = schema_of::<T>();
    let own = properties(&schema);
    table.retain(|key, value| !is_default(key, value));
    match table.keys().find(|key| !own.iter().any(|(name, _)| name == key)) {
        Some(key) => Err(unused(key, decoder)),
        None => Ok(table),
    }
}

/// The decoders that the keys of a table can select.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decoder {
    Sampling,
    Greedy,
    Beam,
    Contrastive,
}

impl Decoder {
    /// The decoder that the keys of a table select; `None` if they are valid for more than one.
    fn selected_by(table: &Table) -> Option<Self> {
        let has = |keys: &[&str]| keys.iter().any(|key| table.contains_key(*key));
        let greedy = table.get("greedy").and_then(Value::as_bool);
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
