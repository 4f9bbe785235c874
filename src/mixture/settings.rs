//! The setting `mixture`. It is either the name of a published regime or a table of four settings: how much natural
//! text, which natural documents, which synthetic documents, and how many tokens in total.

use crate::settings::{self, SettingError, nearest};
use crate::units::counted;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value as Json, json};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use toml::Value;

/// How natural and synthetic text are combined for a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// Natural share of the training tokens: a number; a list with one number for each generation from 1 on, of which the
    /// last one repeats (at most as many numbers as `generations`); or `"proportional"` for the natural share of all
    /// available text.
    #[schemars(extend("x-hint" = "give a number from 0 to 1, a list, or \"proportional\""))]
    pub natural_fraction: NaturalFraction,
    /// Natural documents to draw on.
    #[serde(default)]
    pub natural: NaturalDocuments,
    /// Synthetic documents to draw on.
    #[serde(default)]
    pub synthetic: SyntheticDocuments,
    /// Total number of training tokens.
    #[serde(default)]
    pub budget: Budget,
    /// Arms whose synthetic text is drawn on, in equal parts: as many tokens as the arm's own would be. May name the arm itself,
    /// and arms that name each other. The arm's own text if left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synthetic_from: Vec<String>,
}

/// Natural share of a mixture's tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum NaturalFraction {
    /// One share in `[0, 1]` for each generation from 1 on; the last one repeats.
    Schedule(Vec<f64>),
    /// The natural share of all available text.
    Proportional,
}

/// Natural documents of a mixture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NaturalDocuments {
    /// The same documents in every generation.
    #[default]
    Fixed,
    /// Documents that no earlier generation of the lineage used.
    Fresh,
}

/// Synthetic documents of a mixture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyntheticDocuments {
    /// Text written by the previous generation.
    #[default]
    Latest,
    /// Text written by all earlier generations.
    All,
}

/// Total size of a mixture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// `corpus.train_tokens` in total: natural text replaces synthetic text.
    #[default]
    Constant,
    /// `corpus.train_tokens` of synthetic text, and natural text in addition.
    Added,
    /// As much as accumulated text has: `corpus.train_tokens`, plus `synthesis.tokens` for every earlier generation.
    Growing,
    /// `corpus.train_tokens` of natural text alone: the natural part of a constant budget, read again and again.
    Repeated,
}

/// A published training regime, whose name can be given in place of the four settings.
pub struct Regime {
    /// Name in `mixture = "…"`.
    pub name: &'static str,
    /// Publications that define the regime.
    pub source: &'static str,
    mixture: fn() -> Mixture,
}

impl Regime {
    /// The four settings that the name stands for.
    #[must_use]
    pub fn mixture(&self) -> Mixture {
        (self.mixture)()
    }
}

/// All published regimes, in the order in which they are documented.
pub const PUBLISHED_REGIMES: [Regime; 9] = [
    Regime {
        name: "replace",
        source: "Shumailov et al. 2024; the fully synthetic loop of Alemohammad et al. 2024",
        mixture: || constant(0.0),
    },
    Regime {
        name: "replace-multiple",
        source: "Gerstgrasser et al. 2024: replace, grown to the size of accumulate",
        mixture: || Mixture { budget: Budget::Growing, ..constant(0.0) },
    },
    Regime {
        name: "anchored",
        source: "10 % of the original data kept: Shumailov et al. 2024; Bertrand et al. 2024",
        mixture: || constant(0.1),
    },
    Regime {
        name: "fresh-data-loop",
        source: "the fresh data loop of Alemohammad et al. 2024",
        mixture: || Mixture { natural: NaturalDocuments::Fresh, ..constant(0.1) },
    },
    Regime {
        name: "append-human-data",
        source: "Drayson et al. 2025",
        mixture: || Mixture { budget: Budget::Added, ..constant(0.1) },
    },
    Regime {
        name: "accumulate",
        source: "Gerstgrasser et al. 2024",
        mixture: || Mixture { budget: Budget::Growing, ..accumulated() },
    },
    Regime { name: "accumulate-subsample", source: "Kazdan et al. 2024", mixture: accumulated },
    Regime {
        name: "repeat",
        source: "the natural part of anchored alone, read again and again: what anchored would be without its synthetic text",
        mixture: || Mixture { budget: Budget::Repeated, ..constant(0.1) },
    },
    Regime { name: "control", source: "natural text only", mixture: Mixture::control },
];

fn constant(fraction: f64) -> Mixture {
    Mixture {
        natural_fraction: NaturalFraction::Schedule(vec![fraction]),
        natural: NaturalDocuments::Fixed,
        synthetic: SyntheticDocuments::Latest,
        budget: Budget::Constant,
        synthetic_from: Vec::new(),
    }
}

fn accumulated() -> Mixture {
    Mixture {
        natural_fraction: NaturalFraction::Proportional,
        synthetic: SyntheticDocuments::All,
        ..constant(1.0)
    }
}

impl Mixture {
    /// Natural text only.
    #[must_use]
    pub fn control() -> Self {
        constant(1.0)
    }

    /// The regime with this name, if there is one. Words may be joined by hyphens, underscores or spaces.
    #[must_use]
    pub fn published(name: &str) -> Option<Self> {
        let name = name.replace(['_', ' '], "-");
        PUBLISHED_REGIMES.iter().find(|regime| regime.name == name).map(Regime::mixture)
    }

    /// Reads a mixture: a published name or a table of the four settings.
    ///
    /// # Errors
    /// If the name is unknown, or a setting is invalid.
    pub fn read(value: Value) -> Result<Self, SettingError> {
        match value {
            Value::String(name) => Self::published(&name).ok_or_else(|| unknown_regime(&name)),
            Value::Table(table) => {
                let mixture: Self = settings::read(table)?;
                mixture.check()?;
                Ok(mixture)
            }
            other => {
                let message = format!(
                    "expected a published name such as \"replace\", or a table such as {{ natural_fraction = 0.3 }}, found {}",
                    settings::described(&other)
                );
                Err(SettingError::new("", message))
            }
        }
    }

    fn check(&self) -> Result<(), SettingError> {
        let mut named = BTreeSet::new();
        if let Some(twice) = self.synthetic_from.iter().find(|name| !named.insert(*name)) {
            return Err(SettingError::new(
                "synthetic_from",
                format!("\"{twice}\" is named twice; remove one"),
            ));
        }
        let fault = |message: String| Err(SettingError::new("natural_fraction", message));
        match &self.natural_fraction {
            NaturalFraction::Proportional => Ok(()),
            NaturalFraction::Schedule(fractions) if fractions.is_empty() => {
                fault("the list is empty; give one number per generation (the last one repeats)".to_owned())
            }
            NaturalFraction::Schedule(fractions) => {
                match fractions.iter().find(|fraction| !(0.0..=1.0).contains(*fraction)) {
                    Some(fraction) => fault(format!("{fraction} is out of range; give a number from 0 to 1")),
                    None => Ok(()),
                }
            }
        }?;
        let takes_none = match (&self.natural_fraction, self.budget) {
            (NaturalFraction::Schedule(fractions), Budget::Constant | Budget::Growing) => {
                fractions.iter().all(|&fraction| fraction == 1.0)
            }
            _ => false,
        };
        if takes_none && !self.synthetic_from.is_empty() {
            let message =
                "has no effect with natural_fraction = 1, which takes no synthetic text; leave it out";
            return Err(SettingError::new("synthetic_from", message));
        }
        match self.budget {
            Budget::Constant | Budget::Added | Budget::Growing => Ok(()),
            Budget::Repeated => self.check_repeated(),
        }
    }

    fn check_repeated(&self) -> Result<(), SettingError> {
        let fault = |key: &str, message: &str| Err(SettingError::new(key, message));
        match &self.natural_fraction {
            NaturalFraction::Proportional => fault(
                "natural_fraction",
                "\"proportional\" is a share of natural and synthetic text, and budget = \"repeated\" has no synthetic text; give a number above 0",
            ),
            NaturalFraction::Schedule(fractions) if fractions.contains(&0.0) => fault(
                "natural_fraction",
                "0 leaves no text that budget = \"repeated\" could repeat; give a number above 0",
            ),
            NaturalFraction::Schedule(_) if !self.synthetic_from.is_empty() => fault(
                "synthetic_from",
                "has no effect with budget = \"repeated\", which has no synthetic text; leave it out",
            ),
            NaturalFraction::Schedule(_) if self.natural == NaturalDocuments::Fresh => fault(
                "natural",
                "\"fresh\" documents are read once, and budget = \"repeated\" reads the same ones again; leave it out",
            ),
            NaturalFraction::Schedule(_) => Ok(()),
        }
    }

    /// Checks that a list of natural fractions is not longer than the experiment. A shorter one is complete: its last
    /// number repeats.
    ///
    /// # Errors
    /// If the list has more numbers than there are generations after generation 0.
    pub fn check_length(&self, generations: usize) -> Result<(), SettingError> {
        let NaturalFraction::Schedule(fractions) = &self.natural_fraction else { return Ok(()) };
        let given = fractions.len();
        if given <= generations.max(1) {
            return Ok(());
        }
        let message = format!(
            "{given} numbers for {} after generation 0; shorten the list, or raise generations",
            counted(generations as u64, "generation")
        );
        Err(SettingError::new("natural_fraction", message))
    }

    /// The natural fractions of generations 1 to `generations`; `None` if they are proportional.
    #[must_use]
    pub fn fractions(&self, generations: usize) -> Option<Vec<f64>> {
        match &self.natural_fraction {
            NaturalFraction::Proportional => None,
            NaturalFraction::Schedule(fractions) => {
                let last = fractions.last().copied().unwrap_or_default();
                let repeated = fractions.iter().copied().chain(std::iter::repeat(last));
                Some(repeated.take(generations).collect())
            }
        }
    }

    /// The JSON Schema of the setting `mixture`.
    #[must_use]
    pub fn setting_schema() -> Json {
        let names: Vec<Json> = PUBLISHED_REGIMES
            .iter()
            .map(|regime| json!({ "const": regime.name, "description": regime.source }))
            .collect();
        json!({
            "description": "Training text of generations 1, 2, … of the arm: a published regime by name, or its four settings. Required, but for the control.",
            "anyOf": [{ "type": "string", "oneOf": names }, settings::schema_of::<Self>()],
        })
    }
}

fn unknown_regime(name: &str) -> SettingError {
    let known: Vec<&str> = PUBLISHED_REGIMES.iter().map(|regime| regime.name).collect();
    let list = known.join(", ");
    let advice = match nearest(name, known) {
        Some(nearest) => format!("the nearest is \"{nearest}\" (of {list})"),
        None => format!("the names are {list}"),
    };
    SettingError::new("", format!("\"{name}\" is not a published regime; {advice}"))
}

const PROPORTIONAL: &str = "proportional";

impl Serialize for NaturalFraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Proportional => serializer.serialize_str(PROPORTIONAL),
            Self::Schedule(one) if one.len() == 1 => one[0].serialize(serializer),
            Self::Schedule(fractions) => fractions.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for NaturalFraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FractionVisitor;
        impl<'de> Visitor<'de> for FractionVisitor {
            type Value = NaturalFraction;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1, a list of them, or \"proportional\"")
            }
            fn visit_f64<E: de::Error>(self, fraction: f64) -> Result<NaturalFraction, E> {
                Ok(NaturalFraction::Schedule(vec![fraction]))
            }
            fn visit_i64<E: de::Error>(self, fraction: i64) -> Result<NaturalFraction, E> {
                self.visit_f64(fraction as f64)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<NaturalFraction, E> {
                match text {
                    PROPORTIONAL => Ok(NaturalFraction::Proportional),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<NaturalFraction, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(NaturalFraction::Schedule)
            }
        }
        deserializer.deserialize_any(FractionVisitor)
    }
}

impl JsonSchema for NaturalFraction {
    fn schema_name() -> Cow<'static, str> {
        "NaturalFraction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let share = json!({ "type": "number", "minimum": 0.0, "maximum": 1.0 });
        json_schema!({ "anyOf": [
            share,
            { "type": "array", "items": share, "minItems": 1 },
            { "type": "string", "const": PROPORTIONAL },
        ] })
    }
}
