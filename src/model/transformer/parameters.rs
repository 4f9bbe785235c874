//! The shape of a Llama, and its parameters with their names in a Hugging Face folder.
//!
//! The query, key and value projections are joined into one matrix, and so are the gate and up projections of SwiGLU,
//! so that one matrix product computes each group. In a folder they are separate tensors.
//!
//! ```
//! use genloss::model::transformer::parameters::Shape;
//! use genloss_kernels::attention::Heads;
//!
//! let heads = Heads { queries: 2, keys: 1, width: 4 };
//! let shape = Shape {
//!     vocab_size: 50, width: 8, layers: 1, heads, ffn: 16, context: 32, rope_theta: 1e4, norm_epsilon: 1e-5, tied: true,
//! };
//! // Two query heads, one key head and one value head, each 4 wide.
//! assert_eq!(shape.specifications().blocks[0].qkv.dims(), [16, 8]);
//! ```

use crate::model::TransformerSettings;
use crate::seed::Stream;
use candle_core::{Device, Tensor};
use genloss_kernels::attention::Heads;
use rand_distr::{Distribution, StandardNormal};

/// The shape of a Llama.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Size of the vocabulary, V.
    pub vocab_size: usize,
    /// Hidden size, W.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: Heads,
    /// Hidden size of the SwiGLU layer, F.
    pub ffn: usize,
    /// Context length in tokens.
    pub context: usize,
    /// Base of the rotary frequencies, θ.
    pub rope_theta: f64,
    /// ε under the square root of a norm.
    pub norm_epsilon: f64,
    /// Whether the embedding is also the output matrix.
    pub tied: bool,
}

impl Shape {
    /// The shape of a model with these settings. It has as many key–value heads as query heads, and a tied embedding.
    #[must_use]
    pub fn new(architecture: &TransformerSettings, vocab_size: usize) -> Self {
        let heads = architecture.heads;
        Self {
            vocab_size,
            width: architecture.width,
            layers: architecture.layers,
            heads: Heads { queries: heads, keys: heads, width: architecture.width / heads },
            ffn: architecture.ffn,
            context: architecture.context,
            rope_theta: 10_000.0,
            norm_epsilon: 1e-5,
            tied: true,
        }
    }

    /// Dimensions, names and initial distribution of each parameter.
    #[must_use]
    pub fn specifications(&self) -> Parameters<Specification> {
        let matrix = |parts: &[(&str, usize)], columns: usize, residual: bool| {
            let std = if residual { 0.02 / (2.0 * self.layers as f64).sqrt() } else { 0.02 };
            Specification::new(parts, Some(columns), InitialValue::Normal { std })
        };
        let norm = |name: &str| Specification::new(&[(name, self.width)], None, InitialValue::Ones);
        let Heads { queries, keys, width: head } = self.heads;
        let block = |layer: usize| {
            let mut block = Block {
                attention_norm: norm("input_layernorm.weight"),
                qkv: matrix(
                    &[
                        ("self_attn.q_proj.weight", queries * head),
                        ("self_attn.k_proj.weight", keys * head),
                        ("self_attn.v_proj.weight", keys * head),
                    ],
                    self.width,
                    false,
                ),
                output: matrix(&[("self_attn.o_proj.weight", self.width)], queries * head, true),
                ffn_norm: norm("post_attention_layernorm.weight"),
                gate_up: matrix(
                    &[("mlp.gate_proj.weight", self.ffn), ("mlp.up_proj.weight", self.ffn)],
                    self.width,
                    false,
                ),
                down: matrix(&[("mlp.down_proj.weight", self.width)], self.ffn, true),
            };
            for part in block.each_mut().into_iter().flat_map(|s| &mut s.parts) {
                part.0 = format!("model.layers.{layer}.{}", part.0);
            }
            block
        };
        Parameters {
            embedding: matrix(&[("model.embed_tokens.weight", self.vocab_size)], self.width, false),
            blocks: (0..self.layers).map(block).collect(),
            norm: norm("model.norm.weight"),
            head: (!self.tied).then(|| matrix(&[("lm_head.weight", self.vocab_size)], self.width, false)),
        }
    }

    /// Number of trainable parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.specifications().iter().map(|s| s.dims().iter().product::<usize>() as u64).sum()
    }
}

/// Dimensions, names and initial distribution of a parameter.
#[derive(Clone, Debug)]
pub struct Specification {
    /// Names and numbers of rows of the tensors in a Hugging Face folder. The parameter is these tensors, concatenated
    /// by rows.
    pub parts: Vec<(String, usize)>,
    /// Number of columns; `None` for a vector.
    pub columns: Option<usize>,
    initial: InitialValue,
}

#[derive(Clone, Copy, Debug)]
enum InitialValue {
    Ones,
    Normal { std: f64 },
}

impl Specification {
    fn new(parts: &[(&str, usize)], columns: Option<usize>, initial: InitialValue) -> Self {
        Self { parts: parts.iter().map(|&(name, rows)| (name.to_owned(), rows)).collect(), columns, initial }
    }

    /// Dimensions of the parameter: (rows) or (rows, columns).
    #[must_use]
    pub fn dims(&self) -> Vec<usize> {
        std::iter::once(self.parts.iter().map(|part| part.1).sum()).chain(self.columns).collect()
    }

    /// The name of the first tensor. It identifies the parameter.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.parts[0].0
    }

    /// Creates an initial value: ones for a norm, normal draws for a matrix.
    ///
    /// # Errors
    /// If the device fails.
    pub fn draw(&self, stream: &mut Stream, device: &Device) -> candle_core::Result<Tensor> {
        let dims = self.dims();
        let count: usize = dims.iter().product();
        let values: Vec<f32> = match self.initial {
            InitialValue::Ones => vec![1.0; count],
            InitialValue::Normal { std } => {
                StandardNormal.sample_iter(stream).take(count).map(|draw: f64| (std * draw) as f32).collect()
            }
        };
        Tensor::from_vec(values, dims, device)
    }
}

/// One value for each parameter of a Llama, such as its tensor, gradient or specification.
#[derive(Clone, Debug)]
pub struct Parameters<T> {
    /// (V, W)
    pub embedding: T,
    /// The blocks, from the first to the last.
    pub blocks: Vec<Block<T>>,
    /// (W)
    pub norm: T,
    /// (V, W); `None` if the embedding is tied.
    pub head: Option<T>,
}

/// One value for each parameter of a block.
#[derive(Clone, Debug)]
pub struct Block<T> {
    /// (W)
    pub attention_norm: T,
    /// ((H + 2K) D, W)
    pub qkv: T,
    /// (W, H D)
    pub output: T,
    /// (W)
    pub ffn_norm: T,
    /// (2F, W)
    pub gate_up: T,
    /// (W, F)
    pub down: T,
}

impl<T> Block<T> {
    fn each(&self) -> [&T; 6] {
        [&self.attention_norm, &self.qkv, &self.output, &self.ffn_norm, &self.gate_up, &self.down]
    }

    fn each_mut(&mut self) -> [&mut T; 6] {
        let Self { attention_norm, qkv, output, ffn_norm, gate_up, down } = self;
        [attention_norm, qkv, output, ffn_norm, gate_up, down]
    }
}

impl<T> Parameters<T> {
    /// All values, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let blocks = self.blocks.iter().flat_map(Block::each);
        std::iter::once(&self.embedding).chain(blocks).chain([&self.norm]).chain(&self.head)
    }

    /// Mutable references to all values, in the order of [`iter`](Self::iter).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let blocks = self.blocks.iter_mut().flat_map(Block::each_mut);
        std::iter::once(&mut self.embedding).chain(blocks).chain([&mut self.norm]).chain(&mut self.head)
    }

    /// Applies `make` to each value, in the order of [`iter`](Self::iter).
    #[must_use]
    pub fn map<U>(&self, mut make: impl FnMut(&T) -> U) -> Parameters<U> {
        let made: Result<_, std::convert::Infallible> = self.try_map(|value| Ok(make(value)));
        match made {
            Ok(made) => made,
        }
    }

    /// Applies `make` to each value, in the order of [`iter`](Self::iter).
    ///
    /// # Errors
    /// The first error of `make`.
    pub fn try_map<U, E>(&self, mut make: impl FnMut(&T) -> Result<U, E>) -> Result<Parameters<U>, E> {
        let embedding = make(&self.embedding)?;
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            blocks.push(Block {
                attention_norm: make(&block.attention_norm)?,
                qkv: make(&block.qkv)?,
                output: make(&block.output)?,
                ffn_norm: make(&block.ffn_norm)?,
                gate_up: make(&block.gate_up)?,
                down: make(&block.down)?,
            });
        }
        let norm = make(&self.norm)?;
        Ok(Parameters { embedding, blocks, norm, head: self.head.as_ref().map(make).transpose()? })
    }
}

impl Parameters<Tensor> {
    /// The output matrix (V, W).
    #[must_use]
    pub fn output(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Precision;

    /// 4096·256 + 4 · (4·256² + 3·256·704 + 2·256) + 256 = 4 262 144.
    #[test]
    fn the_reference_size_has_four_million_parameters() {
        let architecture = TransformerSettings {
            layers: 4,
            width: 256,
            heads: 4,
            ffn: 704,
            context: 128,
            precision: Precision::F32,
        };
        assert_eq!(Shape::new(&architecture, 4096).parameters(), 4_262_144);
    }

    #[test]
    fn initial_weights_have_their_standard_deviation() {
        let architecture = TransformerSettings {
            layers: 2,
            width: 64,
            heads: 4,
            ffn: 176,
            context: 16,
            precision: Precision::F32,
        };
        let specifications = Shape::new(&architecture, 512).specifications();
        let mut stream = crate::seed::StreamKey::new(1, "", 0, "initialisation").stream(0);
        let std = |s: &Specification, stream: &mut Stream| {
            let values =
                s.draw(stream, &Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            (values.iter().map(|x| f64::from(x * x)).sum::<f64>() / values.len() as f64).sqrt()
        };
        // The tolerance is five standard errors of a sample standard deviation, σ / √(2n).
        assert!((std(&specifications.embedding, &mut stream) - 0.02).abs() < 5.0 * 0.02 / 256.0);
        assert!((std(&specifications.blocks[1].down, &mut stream) - 0.01).abs() < 5.0 * 0.01 / 150.0);
        assert_eq!(std(&specifications.norm, &mut stream), 1.0);
    }
}
