//! `config.json` of a Llama: the shape of the model, or why it is not supported.

use crate::documents::TokenId;
use crate::model::FolderProblem;
use crate::model::transformer::parameters::Shape;
use genloss_kernels::attention::Heads;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The fields of `config.json` that decide what a model computes. Defaults are those of Hugging Face's `LlamaConfig`.
#[derive(Deserialize)]
pub struct LlamaConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    tie_word_embeddings: Option<bool>,
    /// The outer option is None if the key is missing, the inner one if its value is null.
    #[serde(default, deserialize_with = "present")]
    pub bos_token_id: Option<Option<TokenIds>>,
    #[serde(default, deserialize_with = "present")]
    pub eos_token_id: Option<Option<TokenIds>>,
    quantization_config: Option<Value>,
}

/// One token, or a list of which only the first token is used.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum TokenIds {
    One(TokenId),
    Many(Vec<TokenId>),
}

impl TokenIds {
    pub fn first(&self) -> Option<TokenId> {
        match self {
            Self::One(id) => Some(*id),
            Self::Many(ids) => ids.first().copied(),
        }
    }
}

/// Reads the value of a key that is present; null becomes an inner None.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<TokenIds>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Largest valid value of a size: larger than in any existing model, and small enough that products of two do not
/// overflow.
const LARGEST: usize = 1 << 24;

/// Largest size in bytes of the rotary tables of all positions.
const MOST_ROTARY_BYTES: usize = 1 << 30;

impl LlamaConfig {
    /// Reads the text of `config.json`. The kind of model is checked first, because other kinds have other fields.
    pub fn read(text: &[u8]) -> Result<Self, FolderProblem> {
        let damaged =
            |error: serde_json::Error| FolderProblem::caused_by("not as Hugging Face writes it", error);
        let value: Value = serde_json::from_slice(text).map_err(damaged)?;
        match value.get("model_type").and_then(Value::as_str) {
            Some("llama") => {}
            Some(other) => {
                let other: String = other.chars().take(40).collect();
                return Err(format!("model_type is {other:?}; only \"llama\" is supported").into());
            }
            None => return Err("model_type is missing; only \"llama\" is supported".into()),
        }
        serde_json::from_value(value).map_err(damaged)
    }

    /// The shape of the model. Whether the embedding is tied is taken from this file alone.
    ///
    /// # Errors
    /// A message about the setting that is invalid or not supported.
    pub fn shape(&self) -> Result<Shape, String> {
        self.check_supported()?;
        let queries = self.num_attention_heads;
        let keys = self.num_key_value_heads.unwrap_or(queries);
        if queries == 0 || keys == 0 || !queries.is_multiple_of(keys) {
            return Err(format!("{queries} attention heads cannot share {keys} key-value heads"));
        }
        let width = match self.head_dim {
            Some(width) => width,
            None if self.hidden_size.is_multiple_of(queries) => self.hidden_size / queries,
            None => {
                return Err(format!(
                    "hidden_size {} is not a multiple of the {queries} heads",
                    self.hidden_size
                ));
            }
        };
        self.check_sizes(width)?;
        let norm_epsilon = self.rms_norm_eps.unwrap_or(1e-6);
        let rope_theta = self.theta()?;
        if !(norm_epsilon >= 0.0 && norm_epsilon.is_finite() && rope_theta > 0.0 && rope_theta.is_finite()) {
            return Err(format!("rms_norm_eps {norm_epsilon} or rope_theta {rope_theta} is out of range"));
        }
        Ok(Shape {
            vocab_size: self.vocab_size,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: Heads { queries, keys, width },
            ffn: self.intermediate_size,
            context: self.max_position_embeddings,
            rope_theta,
            norm_epsilon,
            tied: self.tie_word_embeddings.unwrap_or(false),
        })
    }

    /// Returns an error for a size that no model has, before memory is reserved for it. `head` is the width of a head.
    fn check_sizes(&self, head: usize) -> Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("head_dim", head),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        match sizes.iter().find(|(_, size)| !(1..=LARGEST).contains(size)) {
            Some((name, 0)) => return Err(format!("{name} is 0")),
            Some((name, size)) => return Err(format!("{name} {size} is implausibly large")),
            None => {}
        }
        if !head.is_multiple_of(2) {
            return Err(format!("head_dim {head} is odd; rotary positions need an even number"));
        }
        // Each pair of elements has a cosine and a sine at every position, both f32.
        let rotary_bytes = self.max_position_embeddings.saturating_mul(4 * head);
        if rotary_bytes > MOST_ROTARY_BYTES {
            return Err(format!(
                "max_position_embeddings {} would take {} MB; lower it to the longest text that is read at once",
                self.max_position_embeddings,
                rotary_bytes >> 20
            ));
        }
        Ok(())
    }

    /// Returns an error if the model is not a plain Llama.
    fn check_supported(&self) -> Result<(), String> {
        if self.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return Err("hidden_act is not silu".to_owned());
        }
        if self.attention_bias == Some(true) || self.mlp_bias == Some(true) {
            return Err("biases are not supported".to_owned());
        }
        if self.quantization_config.is_some() {
            return Err(
                "quantised weights are not supported; use the model in float32 or bfloat16".to_owned()
            );
        }
        Ok(())
    }

    /// The base of the rotary frequencies; newer folders have it under `rope_parameters`.
    fn theta(&self) -> Result<f64, String> {
        for settings in [&self.rope_scaling, &self.rope_parameters].into_iter().flatten() {
            let kind = settings.get("rope_type").or_else(|| settings.get("type"));
            if kind.is_some_and(|kind| kind != "default") {
                return Err("scaled rotary positions are not supported".to_owned());
            }
        }
        let nested = self.rope_parameters.as_ref().and_then(|settings| settings.get("rope_theta"));
        match nested {
            Some(Value::Null) | None => Ok(self.rope_theta.unwrap_or(10_000.0)),
            Some(theta) => theta.as_f64().ok_or_else(|| format!("rope_theta {theta} is not a number")),
        }
    }
}
