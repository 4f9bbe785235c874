//! `config.json` of a model: its family and its fields, and the shape that they describe, or why it is not supported.

use super::super::parameters::Shape;
use crate::documents::TokenId;
use crate::model::FolderProblem;
use crate::model::family::Family;
use serde::Deserialize;
use serde_json::{Map, Value};

mod fields;
mod rope;
mod shapes;

/// The fields of `config.json`.
pub struct ModelConfig {
    pub family: Family,
    fields: Map<String, Value>,
}

/// One token, or a list of which only the first token is used.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenIds {
    One(TokenId),
    Many(Vec<TokenId>),
}

impl ModelConfig {
    /// Reads the text of `config.json`. The family is read first, because each has other fields.
    pub fn read(text: &[u8]) -> Result<Self, FolderProblem> {
        let damaged =
            |error: serde_json::Error| FolderProblem::caused_by("not as Hugging Face writes it", error);
        let fields: Map<String, Value> = serde_json::from_slice(text).map_err(damaged)?;
        let known = Family::ALL.map(Family::model_type).join(", ");
        let way_round = "models of other kinds can write through synthesis.method = \"external\"";
        let Some(model_type) = fields.get("model_type").and_then(Value::as_str) else {
            return Err(format!("model_type is missing; known are {known}; {way_round}").into());
        };
        match Family::ALL.into_iter().find(|family| family.model_type() == model_type) {
            Some(family) => Ok(Self { family, fields }),
            None => {
                let model_type: String = model_type.chars().take(40).collect();
                Err(format!("model_type is {model_type:?}; known are {known}; {way_round}").into())
            }
        }
    }

    /// The shape of the model. Whether the embedding is tied is taken from this file alone.
    ///
    /// # Errors
    /// A message about the setting that is invalid or not supported.
    pub fn shape(&self) -> Result<Shape, String> {
        if self.fields.get("quantization_config").is_some_and(|value| !value.is_null()) {
            return Err(
                "quantised weights are not supported; use the model in float32 or bfloat16".to_owned()
            );
        }
        shapes::of(self)
    }

    /// The first token under `key`, such as `bos_token_id`. The outer option is None if the key is missing, the inner one
    /// if its value is null.
    ///
    /// # Errors
    /// If the value is no token.
    pub fn token(&self, key: &str) -> Result<Option<Option<TokenId>>, String> {
        let Some(value) = self.fields.get(key) else { return Ok(None) };
        let ids =
            Option::<TokenIds>::deserialize(value).map_err(|_| format!("{key} {value} is no token id"))?;
        Ok(Some(ids.and_then(|ids| match ids {
            TokenIds::One(id) => Some(id),
            TokenIds::Many(ids) => ids.first().copied(),
        })))
    }
}
