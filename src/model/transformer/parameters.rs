//! The shape of a transformer, and its parameters with their names in a Hugging Face folder.
//!
//! The query, key and value projections are joined into one matrix, and so are the gate and up projections of SwiGLU,
//! so that one matrix product computes each group. In a folder they may be separate tensors.
//!
//! ```
//! use genloss::model::transformer::architecture::{Architecture, Rope};
//! use genloss::model::transformer::parameters::Shape;
//! use genloss_kernels::attention::Heads;
//!
//! let heads = Heads { queries: 2, keys: 1, width: 4 };
//! let architecture = Architecture::llama(Rope::plain(4, 1e4));
//! let shape = Shape {
//!     vocab_size: 50, width: 8, layers: 1, heads, ffn: 16, context: 32, norm_epsilon: 1e-5, tied: true, architecture,
//! };
//! // Two query heads, one key head and one value head, each 4 wide.
//! assert_eq!(shape.specifications().blocks[0].qkv.weight.dims(), [16, 8]);
//! ```

use super::architecture::{Architecture, HeadNorm, Norm, NormPlaces, Positions};
use super::names::{Names, Stored};
use crate::model::TransformerSettings;
use crate::model::family::Family;
use crate::seed::Stream;
use candle_core::{Device, Tensor};
use genloss_kernels::attention::Heads;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// The shape of a transformer.
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
    /// Hidden size of the feed-forward layer, F.
    pub ffn: usize,
    /// Context length in tokens.
    pub context: usize,
    /// ε under the square root of a norm.
    pub norm_epsilon: f64,
    /// Whether the embedding is also the output matrix.
    pub tied: bool,
    /// What the blocks compute.
    pub architecture: Architecture,
}

impl Shape {
    /// The shape of a model with these settings. It has as many key–value heads as query heads, and a tied embedding.
    #[must_use]
    pub fn new(settings: &TransformerSettings, vocab_size: usize) -> Self {
        let heads = settings.heads;
        let head = settings.width / heads;
        Self {
            vocab_size,
            width: settings.width,
            layers: settings.layers,
            heads: Heads { queries: heads, keys: heads, width: head },
            ffn: settings.ffn,
            context: settings.context,
            norm_epsilon: 1e-5,
            tied: true,
            architecture: Architecture::of(settings.family.unwrap_or(Family::Llama), settings.width, head),
        }
    }

    /// F of SwiGLU twice, or F: the numbers that the first product of the feed-forward layer computes for each row.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.architecture.feed_forward.inner(self.ffn)
    }

    /// Dimensions, names and initial distribution of each parameter.
    #[must_use]
    pub fn specifications(&self) -> Parameters<Specification> {
        let Architecture { family, norm, places, positions, biases, head_norm, .. } = &self.architecture;
        let Architecture { projected, final_norm, .. } = self.architecture;
        let names = Names::of(*family);
        let Heads { queries, keys, width: head } = self.heads;
        let named = |name: &str| format!("{}{name}", names.base);
        let neutral = match norm {
            Norm::Rms | Norm::Layer => InitialValue::Ones,
            Norm::RmsPlusOne => InitialValue::Zeros,
        };
        let normalisation = |name: String| Affine {
            weight: Specification::vector(&[(format!("{name}.weight"), self.width)], neutral),
            bias: (*norm == Norm::Layer)
                .then(|| Specification::vector(&[(format!("{name}.bias"), self.width)], InitialValue::Zeros)),
        };
        let block = |layer: usize| {
            let named = |name: &str| format!("{}{}{layer}.{name}", names.base, names.block);
            let affine = |parts: &[(&str, usize)], columns: usize, bias: bool, std: f64| {
                let parts = |end: &str| -> Vec<(String, usize)> {
                    parts.iter().map(|(name, rows)| (format!("{}.{end}", named(name)), *rows)).collect()
                };
                Affine {
                    weight: Specification::matrix(&parts("weight"), columns, std),
                    bias: bias.then(|| Specification::vector(&parts("bias"), InitialValue::Zeros)),
                }
            };
            let residual = STD / (2.0 * self.layers as f64).sqrt();
            let of_heads = |name: &str, heads: usize| {
                let numbers = match head_norm {
                    HeadNorm::None => return None,
                    HeadNorm::Each => head,
                    HeadNorm::All => heads * head,
                };
                Some(Specification::vector(&[(format!("{}.weight", named(name)), numbers)], neutral))
            };
            let reads_norm = matches!(places, NormPlaces::Before | NormPlaces::Around);
            let before = |name: &str| reads_norm.then(|| normalisation(named(name)));
            // The norm of a sum has the name that the norm before a half has elsewhere.
            let after = |name: &str, before: &str| match places {
                NormPlaces::Before => None,
                NormPlaces::After | NormPlaces::Around => Some(normalisation(named(name))),
                NormPlaces::OfSum => Some(normalisation(named(before))),
            };
            let rows = [queries * head, keys * head, keys * head];
            let qkv: Vec<(&str, usize)> = match names.qkv {
                [all] => vec![(*all, rows.iter().sum())],
                each => each.iter().copied().zip(rows).collect(),
            };
            let up_rows = self.inner() / names.up.len();
            let up: Vec<(&str, usize)> = names.up.iter().map(|name| (*name, up_rows)).collect();
            let mut block = Block {
                attention_norm: before(names.attention_norm),
                qkv: affine(&qkv, self.width, biases.qkv, STD),
                query_norm: of_heads(names.query_norm, queries),
                key_norm: of_heads(names.key_norm, keys),
                output: affine(&[(names.output, self.width)], queries * head, biases.output, residual),
                attention_post_norm: after(names.attention_post_norm, names.attention_norm),
                ffn_norm: before(names.ffn_norm),
                up: affine(&up, self.width, biases.feed_forward, STD),
                down: affine(&[(names.down, self.width)], self.ffn, biases.feed_forward, residual),
                ffn_post_norm: after(names.ffn_post_norm, names.ffn_norm),
            };
            match family {
                Family::Gpt2 => {
                    for matrix in [&mut block.qkv, &mut block.output, &mut block.up, &mut block.down] {
                        matrix.weight.stored = Stored::Transposed;
                    }
                }
                Family::GptNeoX => {
                    for part in block.qkv.each_mut() {
                        part.stored = Stored::ByHead { heads: queries };
                    }
                }
                _ => {}
            }
            block
        };
        let matrix = |name: String, rows: usize, columns: usize| {
            Specification::matrix(&[(format!("{name}.weight"), rows)], columns, STD)
        };
        let table = |name: String, rows: usize| matrix(name, rows, self.width);
        let embeddings = |name: String| matrix(name, self.vocab_size, projected.unwrap_or(self.width));
        Parameters {
            embedding: embeddings(named(names.embedding)),
            positions: match positions {
                Positions::Learned { offset } => Some(table(named(names.positions), self.context + offset)),
                Positions::Rotary(_) => None,
            },
            project_in: projected.map(|columns| matrix(named(names.project_in), self.width, columns)),
            blocks: (0..self.layers).map(block).collect(),
            norm: final_norm.then(|| normalisation(named(names.norm))),
            project_out: projected.map(|rows| matrix(named(names.project_out), rows, self.width)),
            head: (!self.tied).then(|| embeddings(names.head.to_owned())),
        }
    }

    /// The matrices of all blocks, as a folder names them.
    #[must_use]
    pub fn block_matrices(&self) -> Vec<BlockMatrix> {
        let specifications = self.specifications();
        let Parameters { positions, project_in, .. } = &specifications;
        let before_blocks = 1 + usize::from(positions.is_some()) + usize::from(project_in.is_some());
        let of_blocks = specifications.blocks.iter().flat_map(Block::each).enumerate();
        let of_parameter = |(place, specification): (usize, &Specification)| {
            let mut first_row = 0;
            let parts = specification.parts.iter().zip(specification.columns.into_iter().cycle());
            let matrices = parts.map(|((name, rows), columns)| {
                let name = name.trim_end_matches(".weight").to_owned();
                let parameter = before_blocks + place;
                let matrix = BlockMatrix { name, parameter, first_row, rows: *rows, columns };
                first_row += rows;
                matrix
            });
            matrices.collect::<Vec<_>>()
        };
        of_blocks.flat_map(of_parameter).collect()
    }

    /// The ends of the names of the matrices that compute queries and values.
    #[must_use]
    pub fn query_and_value_names(&self) -> Vec<String> {
        match Names::of(self.architecture.family).qkv {
            [queries, _, values] => vec![(*queries).to_owned(), (*values).to_owned()],
            joint => joint.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// Number of trainable parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.specifications().iter().map(|s| s.dims().iter().product::<usize>() as u64).sum()
    }
}

/// A matrix of a block: some of the rows of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMatrix {
    /// Its name in a folder, without `.weight`.
    pub name: String,
    /// Place of the parameter in the order of [`Parameters::iter`].
    pub parameter: usize,
    /// The first of its rows.
    pub first_row: usize,
    /// Number of its rows.
    pub rows: usize,
    /// Number of its columns.
    pub columns: usize,
}

impl BlockMatrix {
    /// The numbers of the matrix among those of its parameter.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.first_row * self.columns..(self.first_row + self.rows) * self.columns
    }

    /// Whether `name` is the name of the matrix, or the end of it after a dot.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        let before = self.name.strip_suffix(name);
        !name.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }

    /// The last part of its name.
    #[must_use]
    pub fn last_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }
}

/// Standard deviation of the elements of a matrix before training.
const STD: f64 = 0.02;

/// Dimensions, names and initial distribution of a parameter.
#[derive(Clone, Debug)]
pub struct Specification {
    /// Names and numbers of rows of the tensors in a Hugging Face folder. The parameter is these tensors, concatenated
    /// by rows.
    pub parts: Vec<(String, usize)>,
    /// Number of columns; `None` for a vector.
    pub columns: Option<usize>,
    /// How the tensors are stored in a folder.
    pub stored: Stored,
    initial: InitialValue,
}

#[derive(Clone, Copy, Debug)]
enum InitialValue {
    Zeros,
    Ones,
    Normal { std: f64 },
}

impl Specification {
    fn matrix(parts: &[(String, usize)], columns: usize, std: f64) -> Self {
        let initial = InitialValue::Normal { std };
        Self { parts: parts.to_vec(), columns: Some(columns), stored: Stored::ByRows, initial }
    }

    fn vector(parts: &[(String, usize)], initial: InitialValue) -> Self {
        Self { parts: parts.to_vec(), columns: None, stored: Stored::ByRows, initial }
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

    /// Creates an initial value: ones for the weight of a norm, zeros for a bias, normal draws for a matrix.
    ///
    /// # Errors
    /// If the device fails.
    pub fn draw(&self, stream: &mut Stream, device: &Device) -> candle_core::Result<Tensor> {
        let dims = self.dims();
        let count: usize = dims.iter().product();
        let values: Vec<f32> = match self.initial {
            InitialValue::Zeros => vec![0.0; count],
            InitialValue::Ones => vec![1.0; count],
            InitialValue::Normal { std } => {
                StandardNormal.sample_iter(stream).take(count).map(|draw: f64| (std * draw) as f32).collect()
            }
        };
        Tensor::from_vec(values, dims, device)
    }
}

/// One value for each parameter of a transformer, such as its tensor, gradient or specification.
#[derive(Clone, Debug)]
pub struct Parameters<T> {
    /// (V, W), or (V, E) if embeddings are projected.
    pub embedding: T,
    /// The vectors of learned positions, (T + offset, W).
    pub positions: Option<T>,
    /// The projection of embeddings to the hidden size, (W, E).
    pub project_in: Option<T>,
    /// The blocks, from the first to the last.
    pub blocks: Vec<Block<T>>,
    /// The norm after the last block, (W).
    pub norm: Option<Affine<T>>,
    /// The projection of hidden states before the output matrix, (E, W).
    pub project_out: Option<T>,
    /// As the embedding; `None` if it is tied.
    pub head: Option<T>,
}

/// One value for each parameter of a block.
#[derive(Clone, Debug, Default)]
pub struct Block<T> {
    /// The norm before attention, (W).
    pub attention_norm: Option<Affine<T>>,
    /// ((H + 2K) D, W)
    pub qkv: Affine<T>,
    /// The norm of each head of the queries, (D), or of all together, (H D).
    pub query_norm: Option<T>,
    /// The norm of each head of the keys, (D), or of all together, (K D).
    pub key_norm: Option<T>,
    /// (W, H D)
    pub output: Affine<T>,
    /// The norm after attention, (W).
    pub attention_post_norm: Option<Affine<T>>,
    /// The norm before the feed-forward layer, (W).
    pub ffn_norm: Option<Affine<T>>,
    /// The first product of the feed-forward layer: (2F, W) with gate and up, or (F, W).
    pub up: Affine<T>,
    /// (W, F)
    pub down: Affine<T>,
    /// The norm after the feed-forward layer, (W).
    pub ffn_post_norm: Option<Affine<T>>,
}

/// A weight, and the bias that is added to its product; without one in some architectures.
#[derive(Clone, Debug, Default)]
pub struct Affine<T> {
    /// A matrix, or the weight of a norm.
    pub weight: T,
    /// (rows)
    pub bias: Option<T>,
}

impl<T> Affine<T> {
    fn each(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.weight).chain(&self.bias)
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut T> {
        std::iter::once(&mut self.weight).chain(&mut self.bias)
    }

    fn each_of(norm: &Option<Self>) -> impl Iterator<Item = &T> {
        norm.iter().flat_map(Self::each)
    }

    fn each_of_mut(norm: &mut Option<Self>) -> impl Iterator<Item = &mut T> {
        norm.iter_mut().flat_map(Self::each_mut)
    }

    /// Applies `make` to a norm, if there is one.
    fn try_map_norm<U, E>(
        norm: &Option<Self>,
        make: &mut impl FnMut(&T) -> Result<U, E>,
    ) -> Result<Option<Affine<U>>, E> {
        norm.as_ref().map(|norm| norm.try_map(make)).transpose()
    }

    /// Applies `make` to the weight and the bias.
    pub(super) fn try_map<U, E>(&self, make: &mut impl FnMut(&T) -> Result<U, E>) -> Result<Affine<U>, E> {
        Ok(Affine { weight: make(&self.weight)?, bias: self.bias.as_ref().map(make).transpose()? })
    }
}

impl<T> Block<T> {
    fn each(&self) -> impl Iterator<Item = &T> {
        let Self { attention_norm, qkv, query_norm, key_norm, output, attention_post_norm, .. } = self;
        let Self { ffn_norm, up, down, ffn_post_norm, .. } = self;
        let attention = Affine::each_of(attention_norm).chain(qkv.each()).chain(query_norm).chain(key_norm);
        attention
            .chain(output.each())
            .chain(Affine::each_of(attention_post_norm))
            .chain(Affine::each_of(ffn_norm))
            .chain(up.each())
            .chain(down.each())
            .chain(Affine::each_of(ffn_post_norm))
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let Self { attention_norm, qkv, query_norm, key_norm, output, attention_post_norm, .. } = self;
        let attention =
            Affine::each_of_mut(attention_norm).chain(qkv.each_mut()).chain(query_norm).chain(key_norm);
        let Self { ffn_norm, up, down, ffn_post_norm, .. } = self;
        attention
            .chain(output.each_mut())
            .chain(Affine::each_of_mut(attention_post_norm))
            .chain(Affine::each_of_mut(ffn_norm))
            .chain(up.each_mut())
            .chain(down.each_mut())
            .chain(Affine::each_of_mut(ffn_post_norm))
    }

    fn try_map<U, E>(&self, make: &mut impl FnMut(&T) -> Result<U, E>) -> Result<Block<U>, E> {
        Ok(Block {
            attention_norm: Affine::try_map_norm(&self.attention_norm, make)?,
            qkv: self.qkv.try_map(make)?,
            query_norm: self.query_norm.as_ref().map(&mut *make).transpose()?,
            key_norm: self.key_norm.as_ref().map(&mut *make).transpose()?,
            output: self.output.try_map(make)?,
            attention_post_norm: Affine::try_map_norm(&self.attention_post_norm, make)?,
            ffn_norm: Affine::try_map_norm(&self.ffn_norm, make)?,
            up: self.up.try_map(make)?,
            down: self.down.try_map(make)?,
            ffn_post_norm: Affine::try_map_norm(&self.ffn_post_norm, make)?,
        })
    }
}

impl<T> Parameters<T> {
    /// All values, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let blocks = self.blocks.iter().flat_map(Block::each);
        std::iter::once(&self.embedding)
            .chain(&self.positions)
            .chain(&self.project_in)
            .chain(blocks)
            .chain(Affine::each_of(&self.norm))
            .chain(&self.project_out)
            .chain(&self.head)
    }

    /// Mutable references to all values, in the order of [`iter`](Self::iter).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let blocks = self.blocks.iter_mut().flat_map(Block::each_mut);
        std::iter::once(&mut self.embedding)
            .chain(&mut self.positions)
            .chain(&mut self.project_in)
            .chain(blocks)
            .chain(Affine::each_of_mut(&mut self.norm))
            .chain(&mut self.project_out)
            .chain(&mut self.head)
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
        let positions = self.positions.as_ref().map(&mut make).transpose()?;
        let project_in = self.project_in.as_ref().map(&mut make).transpose()?;
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            blocks.push(block.try_map(&mut make)?);
        }
        let norm = Affine::try_map_norm(&self.norm, &mut make)?;
        let project_out = self.project_out.as_ref().map(&mut make).transpose()?;
        let head = self.head.as_ref().map(make).transpose()?;
        Ok(Parameters { embedding, positions, project_in, blocks, norm, project_out, head })
    }
}

impl Parameters<Tensor> {
    /// The output matrix (V, W), or (V, E) if embeddings are projected.
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
            family: None,
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
            family: None,
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
        assert!((std(&specifications.blocks[1].down.weight, &mut stream) - 0.01).abs() < 5.0 * 0.01 / 150.0);
        assert_eq!(std(&specifications.norm.unwrap().weight, &mut stream), 1.0);
    }
}
