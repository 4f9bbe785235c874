//! The table `[synthesis]`: how a model writes its corpus.
//!
//! A key of this table belongs to the table itself, to the method, to the decoder, or to selection. The keys of each
//! owner are collected in a table of their own, which the owner reads.

use super::method::{MethodContext, SynthesisMethod, TokenChoice};
use super::methods::Textbook;
use crate::corpus::CorpusSettings;
use crate::decoding::DecodingStrategy;
use crate::selection::{Selection, SelectionRules};
use crate::settings::{self, Chosen, Kinds, SettingError, properties, schema_of};
use crate::training::{ModelKind, TrainingSettings};
use crate::units::Tokens;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use toml::{Table, Value};

/// The settings under which a model writes its corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SynthesisSettings {
    /// What documents are written from.
    #[serde(skip, default = "textbook")]
    pub method: Chosen<dyn SynthesisMethod>,
    /// Tokens of the corpus. `corpus.train_tokens` if left out. A generation writes more than this only if its
    /// mixture grows and takes synthetic text from the latest corpus alone.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64), extend("x-sensible" = {"minimum": 32, "why": "fewer are too few to estimate a distribution"}))]
    pub tokens: Tokens,
    /// Length at which text that the model writes without a source is cut if it has not ended. Rewritten documents of greater length are kept whole.
    #[serde(default = "max_document_tokens")]
    #[schemars(range(min = 1, max = 16_777_216), extend("x-sensible" = {"minimum": 4, "why": "shorter documents have too little word order for its loss to be measured"}))]
    pub max_document_tokens: usize,
    /// How documents are decoded from predictions.
    #[serde(skip, default = "plain")]
    pub decoding: DecodingStrategy,
    /// Which documents are kept.
    #[serde(skip)]
    pub selection: Selection,
}

fn textbook() -> Chosen<dyn SynthesisMethod> {
    Textbook::default().into()
}

const fn max_document_tokens() -> usize {
    512
}

const fn plain() -> DecodingStrategy {
    DecodingStrategy::PLAIN
}

const SELECTION: &str = "selection";

impl SynthesisSettings {
    /// Settings for a corpus of this many tokens, written from the start token by plain sampling, without selection.
    #[must_use]
    pub fn textbook(tokens: Tokens) -> Self {
        Self {
            method: textbook(),
            tokens,
            max_document_tokens: max_document_tokens(),
            decoding: plain(),
            selection: Selection::default(),
        }
    }

    /// Inserts the default of `tokens`, which is the value of `corpus.train_tokens`.
    pub(crate) fn complete(table: &mut Table, train_tokens: Tokens) {
        let tokens = i64::try_from(train_tokens.0).unwrap_or(i64::MAX);
        table.entry("tokens").or_insert(Value::Integer(tokens));
    }

    /// Reads the table `[synthesis]` for a model of this kind and natural text from `corpus`.
    ///
    /// # Errors
    /// Returns an error if a key is unknown, a value is invalid, or settings contradict each other or the model.
    pub fn read(
        table: Table,
        available: &SynthesisKinds,
        model: &dyn ModelKind,
        training: &TrainingSettings,
        corpus: &CorpusSettings,
    ) -> Result<Self, SettingError> {
        let Groups { own, method, decoding, selection } = available.groups(table)?;
        let decoding = DecodingStrategy::read(decoding)?;
        if decoding.needs_hidden_states() && !model.has_hidden_states() {
            let message = "contrastive search compares hidden states, and an n-gram has no hidden states; use a transformer or another decoder";
            return Err(SettingError::new("contrastive_k", message));
        }
        let settings: Self = settings::read(own)?;
        let max_document_tokens = settings.max_document_tokens;
        let context = MethodContext { corpus, model, training, decoding: &decoding, max_document_tokens };
        let method = available.methods.read(method, &context)?;
        let selection = available.rules.read(selection).map_err(|error| error.below(SELECTION))?;
        let settings = Self { method, decoding, selection, ..settings };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingError> {
        let candidates_are_copies =
            self.decoding.is_deterministic() && self.method.properties().candidates_differ_only_by_sampling;
        if let Some((rule, _)) =
            self.selection.rules().find(|(_, rule)| candidates_are_copies && rule.needs().candidates > 1)
        {
            let message = "candidates would be copies of each other: this decoder writes the same document for the same prompt; use sampling, or leave out this rule";
            return Err(SettingError::new(format!("{SELECTION}.{rule}"), message));
        }
        Ok(())
    }

    /// Checks that the method uses the decoder's settings. Reading does not check it, because runs of earlier versions
    /// recorded decoder settings that their method does not use.
    ///
    /// # Errors
    /// If a decoder is set although no model draws a token.
    pub fn check_decoder_is_used(&self) -> Result<(), SettingError> {
        if self.method.facts().token_choice == TokenChoice::Decoder
            || self.decoding == DecodingStrategy::PLAIN
        {
            return Ok(());
        }
        let plain = DecodingStrategy::PLAIN.table();
        let decoding = self.decoding.table();
        let key =
            decoding.iter().find(|(key, value)| plain.get(*key) != Some(value)).map(|(key, _)| key.clone());
        let message = format!(
            "has no effect with method = \"{}\", in which no model draws a token; leave it out",
            self.method.name()
        );
        Err(SettingError::new(key.unwrap_or_default(), message))
    }

    /// The table `[synthesis]`, with every default written out.
    #[must_use]
    pub fn table(&self) -> Table {
        self.with_method(self.method.table())
    }

    /// The table `[synthesis]` without the settings that do not affect results.
    #[must_use]
    pub fn result_table(&self) -> Table {
        self.with_method(self.method.result_table())
    }

    fn with_method(&self, method: &Table) -> Table {
        let mut table = method.clone();
        table.extend(settings::table_of(self));
        table.extend(self.decoding.table());
        table.insert(SELECTION.to_owned(), Value::Table(self.selection.table()));
        table
    }
}

/// The methods and the selection rules that an experiment may choose.
#[derive(Clone)]
pub struct SynthesisKinds {
    /// Methods, by the value of `synthesis.method`.
    pub methods: Kinds<dyn SynthesisMethod>,
    /// Rules, by their keys in `[synthesis.selection]`.
    pub rules: SelectionRules,
}

/// The table `[synthesis]`, split by the owners of its keys.
struct Groups {
    own: Table,
    method: Table,
    decoding: Table,
    selection: Table,
}

impl SynthesisKinds {
    fn groups(&self, table: Table) -> Result<Groups, SettingError> {
        let method_keys = self.methods.keys();
        let (own, decoding) = (own_keys(), decoding_keys());
        let mut groups = Groups {
            own: Table::new(),
            method: Table::new(),
            decoding: Table::new(),
            selection: Table::new(),
        };
        for (key, value) in table {
            let group = if key == SELECTION {
                groups.selection = match value {
                    Value::Table(table) => table,
                    other => {
                        let message =
                            format!("expected a table of rules, found {}", settings::described(&other));
                        return Err(SettingError::new(SELECTION, message));
                    }
                };
                continue;
            } else if own.contains(&key) {
                &mut groups.own
            } else if decoding.contains(&key) {
                &mut groups.decoding
            } else if method_keys.contains(&key.as_str()) {
                &mut groups.method
            } else {
                let known = method_keys.into_iter().chain(own.iter().map(String::as_str));
                let known = known.chain(decoding.iter().map(String::as_str)).chain([SELECTION]);
                return Err(settings::unknown_key(&key, known));
            };
            group.insert(key, value);
        }
        Ok(groups)
    }

    /// Merges `own`, the table of an arm or of the writer, over `base`, the table of the experiment. If `own` chooses
    /// another method or decoder, it does not inherit the settings of the experiment's method or decoder. The table
    /// `selection` is inherited or replaced as a whole, so an empty one turns selection off.
    #[must_use]
    pub fn inherit(&self, own: Table, base: &Table) -> Table {
        let methods = &self.methods;
        let method_keys: Vec<&str> = methods.keys();
        let decoding = decoding_keys();
        let (mut base_decoding, mut inherited): (Table, Table) =
            base.clone().into_iter().partition(|(key, _)| decoding.contains(key));
        let has_other_method =
            own.contains_key(methods.key()) && methods.name_in(&own) != methods.name_in(base);
        if has_other_method {
            inherited.retain(|key, _| !method_keys.contains(&key));
        }
        let chosen = if own.contains_key(methods.key()) { &own } else { base };
        if let Some(facts) = methods.facts_in(chosen) {
            (facts.inherit)(&own, &mut inherited);
            if has_other_method && facts.token_choice != TokenChoice::Decoder {
                // The decoder belongs to the experiment's method.
                base_decoding.clear();
            }
        }
        let own_decoding = own.iter().filter(|(key, _)| decoding.contains(*key));
        let own_decoding: Table = own_decoding.map(|(key, value)| (key.clone(), value.clone())).collect();
        inherited.extend(DecodingStrategy::inherited(&own_decoding, base_decoding));
        inherited.extend(own);
        inherited
    }

    /// The JSON Schema of the table `[synthesis]`.
    #[must_use]
    pub fn schema(&self) -> Json {
        let own = schema_of::<SynthesisSettings>();
        let decoders = DecodingStrategy::schemas();
        let derived_properties = std::iter::once(&own).chain(&decoders).flat_map(properties);
        let mut all: serde_json::Map<String, Json> = self.methods.properties().into_iter().collect();
        all.extend(derived_properties.map(|(name, property)| (name.clone(), property.clone())));
        all.insert(SELECTION.to_owned(), self.rules.schema());
        json!({
            "description": "How a model writes its corpus.",
            "type": "object",
            "properties": all,
            "additionalProperties": false,
        })
    }
}

fn own_keys() -> Vec<String> {
    properties(&schema_of::<SynthesisSettings>()).into_iter().map(|(name, _)| name.clone()).collect()
}

fn decoding_keys() -> Vec<String> {
    DecodingStrategy::schemas().iter().flat_map(properties).map(|(name, _)| name.clone()).collect()
}
