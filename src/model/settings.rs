//! The settings of the built-in kinds of model, from the table `[model]`.

use super::family::Family;
use crate::settings::SettingError;
use genloss_kernels::Precision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// A small transformer with tied embeddings: a Llama (RMSNorm, rotary position embeddings, SwiGLU), or of another family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerSettings {
    /// Family of a model that is trained from scratch, as the `model_type` of Hugging Face transformers: `llama` if left out. A
    /// base model has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Number of transformer layers.
    #[schemars(range(min = 1, max = 1000))]
    pub layers: usize,
    /// Hidden size; a multiple of twice the number of heads.
    #[schemars(range(min = 2, max = 262_144))]
    pub width: usize,
    /// Number of attention heads.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub heads: usize,
    /// Size of the feed-forward layer. If left out, 11/4 of `width`, or 4 times `width` in the families without a gate (`gpt2`,
    /// `gpt_neox`, `opt`).
    #[schemars(range(min = 1, max = 1_048_576))]
    pub ffn: usize,
    /// Context length in tokens; an even number.
    #[schemars(range(min = 8, max = 1_048_576))]
    pub context: usize,
    /// Precision of matrix products in training and synthesis.
    pub precision: Precision,
}

impl Default for TransformerSettings {
    fn default() -> Self {
        Self {
            family: None,
            layers: 2,
            width: 128,
            heads: 4,
            ffn: ffn_of(128),
            context: 128,
            precision: Precision::F32,
        }
    }
}

/// The default size of a feed-forward layer with a gate: 11/4 of the width, slightly more than the 8/3 of Llama. If the width
/// is a multiple of 32, the result is a multiple of 8.
const fn ffn_of(width: usize) -> usize {
    width * 11 / 4
}

impl TransformerSettings {
    /// Adds the default of `ffn`, which depends on the family and the width, and leaves out the family if it is the default.
    pub(crate) fn complete(table: &mut Table) {
        let width = match table.get("width") {
            None => Some(Self::default().width),
            Some(Value::Float(width)) if width.fract() == 0.0 => Some(*width as usize),
            Some(width) => width.as_integer().and_then(|width| usize::try_from(width).ok()),
        };
        // A record of the default does not name it.
        if table.get("family").and_then(Value::as_str) == Some("llama") {
            table.remove("family");
        }
        let has_gate =
            !matches!(table.get("family").and_then(Value::as_str), Some("gpt2" | "gpt_neox" | "opt"));
        let quarters = if has_gate { 11 } else { 16 };
        if let Some(ffn) = width.and_then(|width| width.checked_mul(quarters)).map(|product| product / 4) {
            table.entry("ffn").or_insert_with(|| Value::Integer(ffn.try_into().unwrap_or(i64::MAX)));
        }
    }

    pub(crate) fn check(&self) -> Result<(), SettingError> {
        let Self { width, heads, context, .. } = *self;
        if !width.is_multiple_of(2 * heads) {
            let message = format!(
                "{width} cannot be divided into {heads} heads of even size; use a multiple of {}",
                2 * heads
            );
            return Err(SettingError::new("width", message));
        }
        if !context.is_multiple_of(2) {
            let message = format!(
                "{context} is odd; use an even number, because long documents are read in steps of half a context"
            );
            return Err(SettingError::new("context", message));
        }
        Ok(())
    }
}

/// An n-gram model with interpolated Kneser–Ney smoothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NgramSettings {
    /// Length in tokens of the longest n-grams that are counted.
    #[schemars(range(min = 1, max = 5))]
    pub order: usize,
}

impl Default for NgramSettings {
    fn default() -> Self {
        Self { order: 5 }
    }
}
