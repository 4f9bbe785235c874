//! The JSON Schema of an experiment file, generated from the settings structs.

use super::names;
use super::read::{Head, SECTIONS};
use super::registry::Registry;
use crate::corpus::CorpusSettings;
use crate::mixture::Mixture;
use crate::settings::{properties, schema_of, sensible_schema};
use crate::tokenizer::TokenizerSettings;
use crate::training::TrainingSettings;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;

impl Registry {
    /// The JSON Schema (draft 2020-12) of an experiment file.
    #[must_use]
    pub fn schema(&self) -> Json {
        sensible_schema(self.full_schema())
    }

    /// As [`Self::schema`], but every range contains all values that can be computed with. The narrower range of
    /// meaningful values is given in the extension `x-sensible`.
    pub(super) fn full_schema(&self) -> Json {
        let sections = self.sections();
        let mut all: Map<String, Json> = properties(&schema_of::<Head>())
            .into_iter()
            .map(|(name, schema)| (name.clone(), schema.clone()))
            .collect();
        all.insert("corpus".to_owned(), schema_of::<CorpusSettings>());
        all.insert("tokenizer".to_owned(), schema_of::<TokenizerSettings>());
        all.extend(sections.clone());
        all.insert("writer".to_owned(), writer(&sections));
        all.insert(
            "arm".to_owned(),
            json!({ "description": ARMS, "type": "array", "items": arm(&sections) }),
        );
        all.insert("grid".to_owned(), json!({ "description": GRID, "type": "object" }));
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "genloss experiment file",
            "type": "object",
            "properties": all,
            "required": ["name", "seeds", "generations", "corpus"],
            "additionalProperties": false,
        })
    }

    /// The tables that arms and the writer may override.
    fn sections(&self) -> Map<String, Json> {
        let [model, training, synthesis] = SECTIONS;
        Map::from_iter([
            (model.to_owned(), self.model_schema()),
            (training.to_owned(), without_required(schema_of::<TrainingSettings>())),
            (synthesis.to_owned(), self.synthesis.schema()),
        ])
    }

    fn model_schema(&self) -> Json {
        json!({
            "description": "Model of generation 0, and of every arm that does not override it.",
            "type": "object",
            "properties": Map::from_iter(self.models.properties()),
            "additionalProperties": false,
        })
    }

    /// The part of the file that `key` belongs to, in words; None if no part has such a key.
    pub(super) fn home_of(&self, key: &str) -> Option<String> {
        let schema = self.full_schema();
        let has = |table: &Json| properties(table).iter().any(|(name, _)| *name == key);
        let tables = ["corpus", "tokenizer", "model", "training", "synthesis"];
        let mut homes: Vec<String> = tables
            .into_iter()
            .filter(|table| has(&schema["properties"][table]))
            .map(|table| format!("[{table}]"))
            .collect();
        if has(&schema["properties"]["synthesis"]["properties"]["selection"]) {
            homes.push("[synthesis.selection]".to_owned());
        }
        if has(&schema_of::<Mixture>()) {
            homes.push("the mixture of an arm: mixture = { … }".to_owned());
        }
        if has(&schema_of::<Head>()) {
            homes.push("the first lines of the file, above all tables".to_owned());
        }
        (!homes.is_empty()).then(|| homes.join(" or "))
    }

    /// Keys of settings that do not affect results.
    pub(super) fn run_time_only_keys(&self) -> BTreeSet<String> {
        let tables = self.sections();
        let all = tables.values().flat_map(properties);
        all.filter(|(_, schema)| schema.get("x-run-time-only").is_some())
            .map(|(name, _)| name.clone())
            .collect()
    }
}

const ARMS: &str =
    "Arms to compare. The control, which trains on natural text only, is added if it is left out.";
const GRID: &str = "Lists of values for settings of the file, by their paths. Every combination is a separate experiment; \
    combinations of mixture settings are arms. Run with `genloss sweep`.";
const WRITER: &str = "Settings of generation 0, if it is not the same model as later generations (a teacher). It is shared by all arms. \
    Its tables override those of the file.";

fn writer(sections: &Map<String, Json>) -> Json {
    json!({
        "description": WRITER,
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
    })
}

fn arm(sections: &Map<String, Json>) -> Json {
    let name = json!({
        "description": "Name of the arm and of its folder.",
        "type": "string",
        "pattern": names::FOLDER_PATTERN,
        "maxLength": names::MAX_NAME_BYTES,
    });
    let mut all =
        Map::from_iter([("name".to_owned(), name), ("mixture".to_owned(), Mixture::setting_schema())]);
    all.extend(sections.clone());
    json!({
        "description": "An arm: a mixture, and tables that override those of the file.",
        "type": "object",
        "properties": all,
        "required": ["name"],
        "additionalProperties": false,
    })
}

/// Marks every key as optional: defaults are filled in before the table is read.
fn without_required(mut schema: Json) -> Json {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("required");
    }
    schema
}
