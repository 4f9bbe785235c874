//! The families of published models that a transformer can be of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A family of published models: the `model_type` of its `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Gemma 1 (`gemma`).
    Gemma,
    /// Gemma 2 (`gemma2`).
    Gemma2,
    /// The text models of Gemma 3 (`gemma3_text`).
    #[serde(rename = "gemma3_text")]
    Gemma3,
    /// GPT-2 and DistilGPT-2 (`gpt2`).
    Gpt2,
    /// GPT-NeoX and Pythia (`gpt_neox`).
    #[serde(rename = "gpt_neox")]
    GptNeoX,
    /// Llama 1 to 3.2, SmolLM, TinyLlama (`llama`).
    Llama,
    /// Mistral (`mistral`).
    Mistral,
    /// OLMo 2 (`olmo2`).
    Olmo2,
    /// OPT (`opt`).
    Opt,
    /// Qwen 2 and 2.5 (`qwen2`).
    Qwen2,
    /// Qwen 3 (`qwen3`).
    Qwen3,
}

impl Family {
    /// All families, by `model_type`.
    pub const ALL: [Self; 11] = [
        Self::Gemma,
        Self::Gemma2,
        Self::Gemma3,
        Self::Gpt2,
        Self::GptNeoX,
        Self::Llama,
        Self::Mistral,
        Self::Olmo2,
        Self::Opt,
        Self::Qwen2,
        Self::Qwen3,
    ];

    /// The `model_type` of `config.json`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3_text",
            Self::Gpt2 => "gpt2",
            Self::GptNeoX => "gpt_neox",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Olmo2 => "olmo2",
            Self::Opt => "opt",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The class of Hugging Face transformers that computes these models.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Gemma => "GemmaForCausalLM",
            Self::Gemma2 => "Gemma2ForCausalLM",
            Self::Gemma3 => "Gemma3ForCausalLM",
            Self::Gpt2 => "GPT2LMHeadModel",
            Self::GptNeoX => "GPTNeoXForCausalLM",
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Olmo2 => "Olmo2ForCausalLM",
            Self::Opt => "OPTForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }
}
