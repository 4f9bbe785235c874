//! The forward pass on the processor: products of packed weights, and between them fused operations on rows, all by
//! [`crate::kernels`].
//!
//! Weights are packed once for a step of training, or for a whole corpus that is sampled or scored. The work is cut by
//! sequences: each thread takes some rows through a block with whatever lies between in its cache. What comes out of a
//! row depends neither on the rows beside it nor on the threads. The way back is in [`backward`].

use super::Network;
use super::parameters::{Block, Shape};
use crate::config::Precision;
use crate::kernels::attention::{self, Cache, Causal, Normaliser, Rotary};
use crate::kernels::matmul::{How, Into, Panels, Units, multiply};
use crate::kernels::{activation, norm, read};
use candle_core::{Result, Tensor};
use std::sync::Mutex;

pub mod backward;

/// Rows whose logits are made together: the logits of more would leave the cache.
pub const LOGIT_ROWS: usize = 36;

/// Rows that go through the feed-forward half of a block together: what lies between its products stays in the
/// second-level cache. A multiple of the rows of a product's tile, and even.
const PART_ROWS: usize = 72;

/// A number of sequences of equal length, flat.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    /// (B, T)
    pub tokens: &'a [u32],
    /// T
    pub time: usize,
}

/// What every block of a pass needs.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    how: How,
    shape: &'a Shape,
    rotary: &'a Rotary,
}

/// The weights of a block, packed for the way forward or for the way back.
#[derive(Default)]
struct Layer {
    attention_norm: Vec<f32>,
    qkv: Panels,
    output: Panels,
    ffn_norm: Vec<f32>,
    gate_up: Panels,
    down: Panels,
}

impl Layer {
    /// For products with the transposed weights, `x Wᵀ`.
    fn forward(&mut self, precision: Precision, block: &Block<Tensor>) -> Result<()> {
        self.write(block, |panels, weights, columns| {
            panels.write_columns_in_parallel(precision, weights, columns);
        })
    }

    /// For products with the weights as they are, `g W`.
    fn backward(&mut self, precision: Precision, block: &Block<Tensor>) -> Result<()> {
        self.write(block, |panels, weights, columns| {
            panels.write_rows_in_parallel(precision, weights, columns);
        })
    }

    fn write(&mut self, block: &Block<Tensor>, pack: impl Fn(&mut Panels, &[f32], usize)) -> Result<()> {
        let matrices = [
            (&mut self.qkv, &block.qkv),
            (&mut self.output, &block.output),
            (&mut self.gate_up, &block.gate_up),
            (&mut self.down, &block.down),
        ];
        for (panels, matrix) in matrices {
            let columns = matrix.dim(1)?;
            read(matrix, |weights| pack(panels, weights, columns))?;
        }
        self.attention_norm = values(&block.attention_norm)?;
        self.ffn_norm = values(&block.ffn_norm)?;
        Ok(())
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    read(tensor, <[f32]>::to_vec)
}

/// Room for some rows on their way through a block.
#[derive(Default)]
pub struct Scratch {
    normed: Vec<f32>,
    scales: Vec<f32>,
    units: Units,
    qkv: Vec<f32>,
    mixed: Vec<f32>,
    gate_up: Vec<f32>,
    activated: Vec<f32>,
    logits: Vec<f32>,
    normalisers: Vec<Normaliser>,
    attention: attention::Scratch,
}

/// Scratch that waits for a thread to need it.
#[derive(Default)]
pub struct Pool(Mutex<Vec<Scratch>>);

impl Pool {
    /// Lends scratch for the time of a call.
    pub fn with<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let waiting = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut scratch = waiting().pop().unwrap_or_default();
        let result = work(&mut scratch);
        waiting().push(scratch);
        result
    }
}

/// What the way back needs of a block.
#[derive(Default)]
struct Trace {
    /// Positions of a sequence.
    time: usize,
    /// What came in, (N, W).
    input: Vec<f32>,
    /// (N, (H + 2K) D)
    qkv: Units,
    normalisers: Vec<Normaliser>,
    /// (N, H D)
    mixed: Units,
    /// What came into the feed-forward half, (N, W).
    middle: Vec<f32>,
    /// (N, 2F)
    gate_up: Units,
}

/// `target` becomes a vector of so many numbers, whatever they are.
fn sized(target: &mut Vec<f32>, length: usize) -> &mut [f32] {
    target.resize(length, 0.0);
    target
}

impl Pass<'_> {
    /// `to` becomes the normalised rows of `x` (N, W).
    fn normalise(self, x: &[f32], weight: &[f32], scales: &mut Vec<f32>, to: &mut Vec<f32>) {
        sized(scales, x.len() / self.shape.width);
        norm::forward(x, weight, self.shape.norm_epsilon as f32, sized(to, x.len()), scales);
    }

    /// `out` = or += rows · weights.
    fn multiply(self, rows: &Units, weights: &Panels, out: &mut [f32], into: Into) {
        multiply(self.how, &rows.units, rows.stride, weights.view(), out, into);
    }

    /// What attention reads of `x` (N, W): `scratch.qkv` (N, (H + 2K) D), and the same as `scratch.units`. In bf16 it
    /// is rounded, so that the way back can make the same products again.
    fn project(self, layer: &Layer, x: &[f32], scratch: &mut Scratch) {
        let (shape, precision) = (self.shape, self.how.precision);
        self.normalise(x, &layer.attention_norm, &mut scratch.scales, &mut scratch.normed);
        scratch.units.write(precision, &scratch.normed, shape.width);
        let row = shape.heads.row();
        let qkv = sized(&mut scratch.qkv, x.len() / shape.width * row);
        self.multiply(&scratch.units, &layer.qkv, qkv, Into::Replace);
        scratch.units.write(precision, qkv, row);
        if precision == Precision::Bf16 {
            scratch.units.read(precision, row, 0, qkv);
        }
    }

    /// Adds to `x` (N, W) what attention mixed, `scratch.mixed` (N, H D).
    fn add_mixed(self, layer: &Layer, x: &mut [f32], scratch: &mut Scratch) {
        let heads = self.shape.heads;
        scratch.units.write(self.how.precision, &scratch.mixed, heads.queries * heads.width);
        self.multiply(&scratch.units, &layer.output, x, Into::Add);
    }

    /// Adds the feed-forward half of a block to `x` (N, W), some rows at a time, and notes what the way back needs.
    fn feed_forward(
        self,
        layer: &Layer,
        x: &mut [f32],
        scratch: &mut Scratch,
        mut trace: Option<&mut Trace>,
    ) {
        let (shape, precision) = (self.shape, self.how.precision);
        if let Some(trace) = &mut trace {
            trace.gate_up.open(precision, x.len() / shape.width, 2 * shape.ffn);
        }
        for (part, x) in x.chunks_mut(PART_ROWS * shape.width).enumerate() {
            let rows = x.len() / shape.width;
            self.normalise(x, &layer.ffn_norm, &mut scratch.scales, &mut scratch.normed);
            scratch.units.write(precision, &scratch.normed, shape.width);
            let gate_up = sized(&mut scratch.gate_up, rows * 2 * shape.ffn);
            self.multiply(&scratch.units, &layer.gate_up, gate_up, Into::Replace);
            if let Some(trace) = &mut trace {
                trace.gate_up.write_some(precision, part * PART_ROWS, gate_up, 2 * shape.ffn);
            }
            activation::forward(gate_up, shape.ffn, sized(&mut scratch.activated, rows * shape.ffn));
            scratch.units.write(precision, &scratch.activated, shape.ffn);
            self.multiply(&scratch.units, &layer.down, x, Into::Add);
        }
    }

    /// Takes whole sequences `x` (B·T, W) through a block, and notes what the way back needs.
    fn block(
        self,
        layer: &Layer,
        x: &mut [f32],
        time: usize,
        scratch: &mut Scratch,
        mut trace: Option<&mut Trace>,
    ) {
        let Self { how, shape, rotary } = self;
        let heads = shape.heads;
        let rows = x.len() / shape.width;
        if let Some(trace) = &mut trace {
            trace.time = time;
            trace.input.clear();
            trace.input.extend_from_slice(x);
        }
        self.project(layer, x, scratch);
        if let Some(trace) = &mut trace {
            trace.qkv.clone_from(&scratch.units);
        }
        let Scratch { qkv, mixed, normalisers, attention: room, .. } = scratch;
        sized(mixed, rows * heads.queries * heads.width);
        normalisers.resize(rows * heads.queries, Normaliser::default());
        attention::forward(Causal { how, time, heads, rotary }, qkv, room, mixed, normalisers);
        if let Some(trace) = &mut trace {
            trace.normalisers.clone_from(normalisers);
        }
        self.add_mixed(layer, x, scratch);
        if let Some(trace) = &mut trace {
            trace.mixed.clone_from(&scratch.units);
            trace.middle.clear();
            trace.middle.extend_from_slice(x);
        }
        self.feed_forward(layer, x, scratch, trace);
    }
}

/// `x` (N, W) becomes the embeddings of tokens (N).
fn embed(embedding: &[f32], tokens: &[u32], width: usize, x: &mut Vec<f32>) {
    x.clear();
    for &token in tokens {
        x.extend_from_slice(&embedding[token as usize * width..][..width]);
    }
}

/// A network whose weights are packed, to sample from it or to score with it.
pub struct Packed<'a> {
    network: &'a Network,
    how: How,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Panels,
}

impl<'a> Packed<'a> {
    /// Packs the weights.
    ///
    /// # Errors
    /// When they are not on the processor.
    pub fn new(network: &'a Network, precision: Precision) -> Result<Self> {
        let layer = |block| {
            let mut layer = Layer::default();
            layer.forward(precision, block)?;
            Ok(layer)
        };
        let layers = network.parameters.blocks.iter().map(layer).collect::<Result<Vec<_>>>()?;
        let mut head = Panels::default();
        read(network.parameters.output(), |weights| {
            head.write_columns_in_parallel(precision, weights, network.shape.width);
        })?;
        let norm = values(&network.parameters.norm)?;
        Ok(Self { network, how: How::new(precision), layers, norm, head })
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// Bytes of the packed weights, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let numbers = self.network.shape.parameters() as usize;
        match self.precision() {
            Precision::F32 => 4 * numbers,
            Precision::Bf16 => 2 * numbers,
        }
    }

    /// What its products are computed in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.how.precision
    }

    fn pass(&self) -> Pass<'a> {
        Pass { how: self.how, shape: &self.network.shape, rotary: &self.network.rotary }
    }

    fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let mut x = Vec::new();
        read(&self.network.parameters.embedding, |embedding| {
            embed(embedding, tokens, self.network.shape.width, &mut x);
        })?;
        Ok(x)
    }

    /// The last hidden states (B·T, W), not yet normalised.
    ///
    /// # Errors
    /// When the weights are not on the processor.
    pub fn hidden(&self, sequences: Sequences, scratch: &mut Scratch) -> Result<Vec<f32>> {
        let mut x = self.embed(sequences.tokens)?;
        for layer in &self.layers {
            self.pass().block(layer, &mut x, sequences.time, scratch, None);
        }
        Ok(x)
    }

    /// Reads one more token of each of several documents, row r at `places[r]` = (slot, position); gives the last
    /// hidden states (rows, W), not yet normalised. A cache for each block.
    ///
    /// # Errors
    /// When the weights are not on the processor.
    pub fn step(
        &self,
        tokens: &[u32],
        places: &[(usize, usize)],
        caches: &mut [Cache],
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>> {
        let shape = &self.network.shape;
        let pass = self.pass();
        let mut x = self.embed(tokens)?;
        for (layer, cache) in self.layers.iter().zip(caches) {
            pass.project(layer, &x, scratch);
            let mixed = sized(&mut scratch.mixed, tokens.len() * shape.heads.queries * shape.heads.width);
            attention::step(&scratch.qkv, places, shape.heads, &self.network.rotary, cache, mixed);
            pass.add_mixed(layer, &mut x, scratch);
            pass.feed_forward(layer, &mut x, scratch, None);
        }
        Ok(x)
    }

    /// Hidden states `x` (N, W), normalised as logits are made of them.
    #[must_use]
    pub fn normalised(&self, x: &[f32]) -> Vec<f32> {
        let mut normalised = Vec::new();
        self.pass().normalise(x, &self.norm, &mut Vec::new(), &mut normalised);
        normalised
    }

    /// Hands the logits (some rows, V) of hidden states `x` (N, W) to `visit`, a few rows at a time in order, together
    /// with the first row's number.
    pub fn logits(&self, x: &[f32], scratch: &mut Scratch, mut visit: impl FnMut(usize, &mut [f32])) {
        let shape = &self.network.shape;
        let pass = self.pass();
        for (part, x) in x.chunks(LOGIT_ROWS * shape.width).enumerate() {
            let rows = x.len() / shape.width;
            pass.normalise(x, &self.norm, &mut scratch.scales, &mut scratch.normed);
            scratch.units.write(self.how.precision, &scratch.normed, shape.width);
            let logits = sized(&mut scratch.logits, rows * shape.vocab_size);
            pass.multiply(&scratch.units, &self.head, logits, Into::Replace);
            visit(part * LOGIT_ROWS, logits);
        }
    }
}
