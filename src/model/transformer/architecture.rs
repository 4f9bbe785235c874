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

use crate::model::family::Family;
use genloss_kernels::activation::Activation;
use genloss_kernels::attention::{Heads, Rotary, Scoring};
use std::f64::consts::PI;

/// The parts of a transformer that differ from family to family.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The family, which decides the form of a saved folder.
    pub family: Family,
    /// The norms of both halves of a block and before the output matrix.
    pub norm: Norm,
    /// Where in each half of a block the norms are.
    pub places: NormPlaces,
    /// How a model knows the positions of tokens.
    pub positions: Positions,
    /// The second half of a block.
    pub feed_forward: FeedForward,
    /// Which matrices have biases.
    pub biases: Biases,
    /// The RMSNorm of queries and keys before they are rotated.
    pub head_norm: HeadNorm,
    /// What the products of queries and keys are divided by the root of, if that is not the width of a head (Gemma 2 and 3).
    pub query_scalar: Option<f64>,
    /// The soft cap of the scores of attention (Gemma 2).
    pub score_cap: Option<f32>,
    /// The soft cap of the logits (Gemma 2).
    pub logit_cap: Option<f32>,
    /// The factor of the embeddings: √W in Gemma, 1 elsewhere.
    pub embedding_scale: f32,
    /// Columns of the embeddings if they are projected to the hidden size, and hidden states back before the output matrix
    /// (OPT-350m).
    pub projected: Option<usize>,
    /// Whether there is a norm after the last block.
    pub final_norm: bool,
    /// The blocks that read a sliding window only; none in most models.
    pub windows: Option<Windows>,
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
            places: NormPlaces::Before,
            positions: Positions::Rotary(rope),
            feed_forward: FeedForward::SwiGlu,
            biases: Biases::default(),
            head_norm: HeadNorm::None,
            query_scalar: None,
            score_cap: None,
            logit_cap: None,
            embedding_scale: 1.0,
            projected: None,
            final_norm: true,
            windows: None,
            parallel: false,
        }
    }

    /// The usual architecture of a family, for a hidden size of `width` and heads of `head` columns. No window is shorter than
    /// the context.
    #[must_use]
    pub fn of(family: Family, width: usize, head: usize) -> Self {
        let llama = Self { family, ..Self::llama(Rope::plain(head, 10_000.0)) };
        let gemma = Self {
            norm: Norm::RmsPlusOne,
            feed_forward: FeedForward::GeGlu,
            embedding_scale: (width as f64).sqrt() as f32,
            ..llama.clone()
        };
        let with_layer_norm = |positions, activation| Self {
            norm: Norm::Layer,
            positions,
            feed_forward: FeedForward::Plain(activation),
            biases: Biases::ALL,
            ..llama.clone()
        };
        match family {
            Family::Llama | Family::Mistral => llama,
            Family::Qwen2 => Self { biases: Biases { qkv: true, ..Biases::default() }, ..llama },
            Family::Qwen3 => Self { head_norm: HeadNorm::Each, ..llama },
            Family::Olmo2 => Self { places: NormPlaces::After, head_norm: HeadNorm::All, ..llama },
            Family::Gemma => gemma,
            Family::Gemma2 => Self {
                places: NormPlaces::Around,
                query_scalar: Some(head as f64),
                score_cap: Some(50.0),
                logit_cap: Some(30.0),
                ..gemma
            },
            Family::Gemma3 => Self {
                places: NormPlaces::Around,
                positions: Positions::Rotary(Rope::plain(head, 1_000_000.0)),
                head_norm: HeadNorm::Each,
                query_scalar: Some(head as f64),
                ..gemma
            },
            Family::Gpt2 => with_layer_norm(Positions::Learned { offset: 0 }, Activation::GeluTanh),
            Family::Opt => with_layer_norm(Positions::Learned { offset: 2 }, Activation::Relu),
            Family::GptNeoX => {
                // A quarter of each head, in pairs.
                let rope = Rope::plain((head / 8 * 2).max(2), 10_000.0);
                Self { parallel: true, ..with_layer_norm(Positions::Rotary(rope), Activation::Gelu) }
            }
        }
    }

    /// The rotations of the heads at `context` positions.
    #[must_use]
    pub fn rotaries(&self, context: usize) -> Rotaries {
        let rotary = |rope: &Rope| rope.rotary(context);
        match &self.positions {
            Positions::Rotary(rope) => Rotaries {
                all: rotary(rope),
                windowed: self.windows.as_ref().and_then(|windows| windows.rope.as_ref()).map(rotary),
            },
            Positions::Learned { .. } => {
                Rotaries { all: Rotary::with_frequencies(&[], context), windowed: None }
            }
        }
    }

    /// How the products of queries and keys of `heads` become scores in block `layer`.
    #[must_use]
    pub fn scoring(&self, heads: Heads, layer: usize) -> Scoring {
        let scoring = Scoring { cap: self.score_cap, window: self.window(layer), ..Scoring::of(heads) };
        match self.query_scalar {
            Some(scalar) => Scoring { scale: (1.0 / scalar.sqrt()) as f32, ..scoring },
            None => scoring,
        }
    }

    /// Number of positions that block `layer` reads, if not all.
    #[must_use]
    pub fn window(&self, layer: usize) -> Option<usize> {
        let windows = self.windows.as_ref()?;
        windows.layers.get(layer).copied().unwrap_or(false).then_some(windows.size)
    }
}

/// The rotations of the heads.
#[derive(Clone, Debug)]
pub struct Rotaries {
    all: Rotary,
    /// Of blocks that read a sliding window, if they differ.
    windowed: Option<Rotary>,
}

impl Rotaries {
    /// The rotations in a block, which reads a sliding `window` or everything.
    #[must_use]
    pub fn of(&self, window: Option<usize>) -> &Rotary {
        window.and(self.windowed.as_ref()).unwrap_or(&self.all)
    }
}

/// The blocks that read a sliding window only.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// Number of positions that a query reads, its own and those before it.
    pub size: usize,
    /// For each block, whether it is one of them.
    pub layers: Vec<bool>,
    /// Their rotary positions, if they differ (Gemma 3).
    pub rope: Option<Rope>,
}

/// Where in each half of a block the norms are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlaces {
    /// `x + f(norm(x))`
    Before,
    /// `x + norm(f(x))` (OLMo 2)
    After,
    /// `x + norm(f(norm(x)))` (Gemma 2 and 3)
    Around,
    /// `norm(x + f(x))` (OPT-350m)
    OfSum,
}

/// The norm of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadNorm {
    /// None.
    None,
    /// Of each head by itself (Qwen 3, Gemma 3).
    Each,
    /// Of all heads of the queries together, and of all heads of the keys (OLMo 2).
    All,
}

/// A kind of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// By the root mean square, with a weight.
    Rms,
    /// By the root mean square, with a weight to which 1 is added (Gemma).
    RmsPlusOne,
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
    /// YaRN (Peng et al. 2023): as in Llama 3.1, but what is mixed depends on the place of a pair of columns, and cosines and
    /// sines are multiplied by a factor.
    Yarn(Yarn),
    /// The base grows with texts longer than `max_position_embeddings`, of which there are none here.
    Dynamic {
        /// The factor.
        factor: f64,
    },
}

/// The numbers of YaRN, by their names in Hugging Face transformers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// Frequencies of long wavelengths are divided by it.
    pub factor: f64,
    /// Pairs of columns that turn more often than this within the original context stay.
    pub beta_fast: f64,
    /// The frequencies of pairs that turn less often than this are divided by the factor.
    pub beta_slow: f64,
    /// Context before the change.
    pub original_context: f64,
    /// The factor of cosines and sines.
    pub attention_factor: f64,
    /// Whether the bounds between which frequencies are mixed are whole pairs.
    pub truncate: bool,
}

impl Yarn {
    /// The changed frequencies of R columns with base `theta`.
    fn change(&self, frequencies: &mut [f32], theta: f64) {
        let pairs = frequencies.len() as f64;
        let pair_with_turns =
            |turns: f64| pairs * (self.original_context / (turns * 2.0 * PI)).ln() / theta.ln();
        let (low, high) = (pair_with_turns(self.beta_fast), pair_with_turns(self.beta_slow));
        let (low, high) = if self.truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(2.0 * pairs - 1.0));
        let width = if low == high { 0.001 } else { high - low };
        for (pair, frequency) in frequencies.iter_mut().enumerate() {
            let slow = ((pair as f64 - low) / width).clamp(0.0, 1.0);
            let stays = f64::from(*frequency);
            *frequency = (stays / self.factor * slow + stays * (1.0 - slow)) as f32;
        }
    }
}

impl Rope {
    /// Unscaled frequencies of `columns` columns with base `theta`.
    #[must_use]
    pub fn plain(columns: usize, theta: f64) -> Self {
        Self { columns, theta, scaling: RopeScaling::None }
    }

    /// The rotations at `context` positions.
    #[must_use]
    pub fn rotary(&self, context: usize) -> Rotary {
        let rotary = Rotary::with_frequencies(&self.frequencies(), context);
        match self.scaling {
            RopeScaling::Yarn(yarn) => rotary.scaled(yarn.attention_factor as f32),
            _ => rotary,
        }
    }

    /// The frequency of each pair of columns, in radians per position.
    #[must_use]
    pub fn frequencies(&self) -> Vec<f32> {
        let mut frequencies = Rotary::frequencies(self.columns, self.theta);
        if let RopeScaling::Yarn(yarn) = &self.scaling {
            yarn.change(&mut frequencies, self.theta);
        }
        for frequency in &mut frequencies {
            *frequency = self.scaling.of(*frequency);
        }
        frequencies
    }
}

impl RopeScaling {
    /// A frequency after a change that depends on nothing else.
    fn of(&self, frequency: f32) -> f32 {
        match *self {
            Self::None | Self::Dynamic { .. } | Self::Yarn(_) => frequency,
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
    /// `W_down (gelu(W_gate x) ∘ W_up x)`, with GELU by tanh (Gemma).
    GeGlu,
    /// `W_down f(W_up x)`.
    Plain(Activation),
}

impl FeedForward {
    /// Numbers that the first product of a layer of hidden size `ffn` computes for each row.
    #[must_use]
    pub fn inner(self, ffn: usize) -> usize {
        match self {
            Self::SwiGlu | Self::GeGlu => 2 * ffn,
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
