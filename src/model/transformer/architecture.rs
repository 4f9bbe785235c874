//! What a transformer computes, as data. A [`Family`] of models is a value of [`Architecture`], and a table of the names
//! of its weights.
//!
//! ```
//! use genloss::model::transformer::architecture::{Architecture, FeedForward, Rope};
//! // Mistral computes what Llama computes; Qwen 2 has biases in three projections more.
//! let llama = Architecture::llama(Rope::plain(64, 10_000.0));
//! assert_eq!(llama.feed_forward.inner(100), 200);
//! assert!(!llama.biases.qkv);
//! ```

use genloss_kernels::activation::Activation;
use genloss_kernels::attention::Rotary;
use std::f64::consts::PI;

/// A family of published models: the `model_type` of its `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// GPT-2 and DistilGPT-2 (`gpt2`).
    Gpt2,
    /// GPT-NeoX and Pythia (`gpt_neox`).
    GptNeoX,
    /// Llama 1 to 3.2, SmolLM, TinyLlama (`llama`).
    Llama,
    /// Mistral (`mistral`).
    Mistral,
    /// OPT (`opt`).
    Opt,
    /// Qwen 2 and 2.5 (`qwen2`).
    Qwen2,
    /// Qwen 3 (`qwen3`).
    Qwen3,
}

impl Family {
    /// All families, by `model_type`.
    pub const ALL: [Self; 7] =
        [Self::Gpt2, Self::GptNeoX, Self::Llama, Self::Mistral, Self::Opt, Self::Qwen2, Self::Qwen3];

    /// The `model_type` of `config.json`.
    #[must_use]
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::GptNeoX => "gpt_neox",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Opt => "opt",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// The class of Hugging Face transformers that computes these models.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Gpt2 => "GPT2LMHeadModel",
            Self::GptNeoX => "GPTNeoXForCausalLM",
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Opt => "OPTForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }
}

/// The parts of a transformer that differ from family to family.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The family, which decides the form of a saved folder.
    pub family: Family,
    /// The norms before both halves of a block and before the output matrix.
    pub norm: Norm,
    /// How a model knows the positions of tokens.
    pub positions: Positions,
    /// The second half of a block.
    pub feed_forward: FeedForward,
    /// Which matrices have biases.
    pub biases: Biases,
    /// Whether each head of queries and keys goes through an RMSNorm of its own before it is rotated (Qwen 3).
    pub head_norm: bool,
    /// Whether both halves of a block read the input of the block (GPT-NeoX), so that the second does not read the sum
    /// of the input and the first.
    pub parallel: bool,
}

impl Architecture {
    /// Llama: RMSNorm, rotary positions, SwiGLU, no biases.
    #[must_use]
    pub fn llama(rope: Rope) -> Self {
        Self {
            family: Family::Llama,
            norm: Norm::Rms,
            positions: Positions::Rotary(rope),
            feed_forward: FeedForward::SwiGlu,
            biases: Biases::default(),
            head_norm: false,
            parallel: false,
        }
    }

    /// The rotations of the heads at `context` positions.
    #[must_use]
    pub fn rotary(&self, context: usize) -> Rotary {
        match &self.positions {
            Positions::Rotary(rope) => Rotary::with_frequencies(&rope.frequencies(), context),
            Positions::Learned { .. } => Rotary::with_frequencies(&[], context),
        }
    }
}

/// A kind of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// By the root mean square, with a weight.
    Rms,
    /// To mean 0 and variance 1, with a weight and a bias.
    Layer,
}

/// How a model knows the positions of tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// Queries and keys are rotated.
    Rotary(Rope),
    /// A vector for each position is added to the embedding.
    Learned {
        /// Rows of the table before the one of position 0 (2 in OPT).
        offset: usize,
    },
}

/// Rotary positions (Su et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Columns of a head that are rotated, R.
    pub columns: usize,
    /// Base of the frequencies, θ.
    pub theta: f64,
    /// How the frequencies are changed for longer contexts.
    pub scaling: RopeScaling,
}

/// A change of the rotary frequencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// None.
    None,
    /// All are divided by the factor (Chen et al. 2023).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Those of long wavelengths are divided by the factor, those of short ones stay, and those between are mixed, as
    /// in Llama 3.1.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Wavelengths above the original context divided by this number are divided by the factor.
        low: f64,
        /// Wavelengths below the original context divided by this number stay.
        high: f64,
        /// Context before the change.
        original_context: f64,
    },
}

impl Rope {
    /// Unscaled frequencies of `columns` columns with base `theta`.
    #[must_use]
    pub fn plain(columns: usize, theta: f64) -> Self {
        Self { columns, theta, scaling: RopeScaling::None }
    }

    /// The frequency of each pair of columns, in radians per position.
    #[must_use]
    pub fn frequencies(&self) -> Vec<f32> {
        let mut frequencies = Rotary::frequencies(self.columns, self.theta);
        for frequency in &mut frequencies {
            *frequency = self.scaling.of(*frequency);
        }
        frequencies
    }
}

impl RopeScaling {
    fn of(&self, frequency: f32) -> f32 {
        match *self {
            Self::None => frequency,
            Self::Linear { factor } => (f64::from(frequency) / factor) as f32,
            Self::Llama3 { factor, low, high, original_context } => {
                let frequency = f64::from(frequency);
                let turns = original_context * frequency / (2.0 * PI);
                let share = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                ((1.0 - share) * frequency / factor + share * frequency) as f32
            }
        }
    }
}

/// The second half of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// `W_down (silu(W_gate x) ∘ W_up x)` (Shazeer 2020).
    SwiGlu,
    /// `W_down f(W_up x)`.
    Plain(Activation),
}

impl FeedForward {
    /// Numbers that the first product of a layer of hidden size `ffn` computes for each row.
    #[must_use]
    pub fn inner(self, ffn: usize) -> usize {
        match self {
            Self::SwiGlu => 2 * ffn,
            Self::Plain(_) => ffn,
        }
    }
}

/// Which matrices of a block have biases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The output of attention.
    pub output: bool,
    /// Both products of the feed-forward layer.
    pub feed_forward: bool,
}

impl Biases {
    /// Biases everywhere.
    pub const ALL: Self = Self { qkv: true, output: true, feed_forward: true };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3.1 (factor 8, low 1, high 4, original context 8192): wavelength 2π stays; a wavelength of 62,832 positions
    /// is eight times as long; one of 4,096 positions makes 2 turns, a third of the way from 1 to 4.
    #[test]
    fn frequencies_are_scaled_as_in_llama_3() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_context: 8192.0 };
        assert_eq!(scaling.of(1.0), 1.0);
        assert!((scaling.of(1e-4) / 1.25e-5 - 1.0).abs() < 1e-6);
        let between = (2.0 * PI / 4096.0) as f32;
        assert!((scaling.of(between) / between - (2.0 / 3.0 / 8.0 + 1.0 / 3.0) as f32).abs() < 1e-6);
    }
}
