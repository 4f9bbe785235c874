//! The forward pass on the processor: products of packed weights, and between them fused operations on rows, all by
//! [`crate::kernels`].
//!
//! Weights are packed once for a step of training, or for a whole corpus that is sampled or scored. The work is cut by
//! sequences: each thread takes some rows through a block with whatever lies between in its cache. What comes out of a
//! row depends neither on the rows beside it nor on the threads. The way back is in [`backward`].

use super::Network;
use super::parameters::{Block, Shape};
use crate::config::Precision;
use crate::model::slices::with_slice;
use candle_core::{Result, Tensor};
use genloss_kernels::attention::{
    self, AttentionScratch, CachePosition, CausalAttention, KeyValueCache, Rotary, SoftmaxStats,
};
use genloss_kernels::matmul::{MatmulOptions, OutputMode, PackedRows, Panels, multiply};
use genloss_kernels::{norm, swiglu};
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
    options: MatmulOptions,
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
            panels.pack_transposed_parallel(precision, weights, columns);
        })
    }

    /// For products with the weights as they are, `g W`.
    fn backward(&mut self, precision: Precision, block: &Block<Tensor>) -> Result<()> {
        self.write(block, |panels, weights, columns| {
            panels.pack_rows_parallel(precision, weights, columns);
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
            with_slice(matrix, |weights| pack(panels, weights, columns))?;
        }
        self.attention_norm = values(&block.attention_norm)?;
        self.ffn_norm = values(&block.ffn_norm)?;
        Ok(())
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    with_slice(tensor, <[f32]>::to_vec)
}

/// Room for some rows on their way through a block.
#[derive(Default)]
pub struct Scratch {
    normed: Vec<f32>,
    scales: Vec<f32>,
    packed: PackedRows,
    qkv: Vec<f32>,
    attention_output: Vec<f32>,
    gate_up: Vec<f32>,
    activated: Vec<f32>,
    logits: Vec<f32>,
    softmax_stats: Vec<SoftmaxStats>,
    attention: AttentionScratch,
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
    qkv: PackedRows,
    softmax_stats: Vec<SoftmaxStats>,
    /// (N, H D)
    attention_output: PackedRows,
    /// What came into the feed-forward half, (N, W).
    middle: Vec<f32>,
    /// (N, 2F)
    gate_up: PackedRows,
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
    fn multiply(self, rows: &PackedRows, weights: &Panels, out: &mut [f32], mode: OutputMode) {
        multiply(self.options, &rows.words, rows.stride, weights.view(), out, mode);
    }

    /// What attention reads of `x` (N, W): `scratch.qkv` (N, (H + 2K) D), and the same as `scratch.packed`. In bf16 it
    /// is rounded, so that the way back can make the same products again.
    fn project(self, layer: &Layer, x: &[f32], scratch: &mut Scratch) {
        let (shape, precision) = (self.shape, self.options.precision);
        self.normalise(x, &layer.attention_norm, &mut scratch.scales, &mut scratch.normed);
        scratch.packed.repack(precision, &scratch.normed, shape.width);
        let row = shape.heads.qkv_width();
        let qkv = sized(&mut scratch.qkv, x.len() / shape.width * row);
        self.multiply(&scratch.packed, &layer.qkv, qkv, OutputMode::Overwrite);
        scratch.packed.repack(precision, qkv, row);
        if precision == Precision::Bf16 {
            scratch.packed.unpack(precision, row, 0, qkv);
        }
    }

    /// Adds to `x` (N, W) what attention attention_output, `scratch.attention_output` (N, H D).
    fn add_attention_output(self, layer: &Layer, x: &mut [f32], scratch: &mut Scratch) {
        let heads = self.shape.heads;
        scratch.packed.repack(self.options.precision, &scratch.attention_output, heads.output_width());
        self.multiply(&scratch.packed, &layer.output, x, OutputMode::Accumulate);
    }

    /// Adds the feed-forward half of a block to `x` (N, W), some rows at a time, and notes what the way back needs.
    fn feed_forward(
        self,
        layer: &Layer,
        x: &mut [f32],
        scratch: &mut Scratch,
        mut trace: Option<&mut Trace>,
    ) {
        let (shape, precision) = (self.shape, self.options.precision);
        if let Some(trace) = &mut trace {
            trace.gate_up.resize(precision, x.len() / shape.width, 2 * shape.ffn);
        }
        for (part, x) in x.chunks_mut(PART_ROWS * shape.width).enumerate() {
            let rows = x.len() / shape.width;
            self.normalise(x, &layer.ffn_norm, &mut scratch.scales, &mut scratch.normed);
            scratch.packed.repack(precision, &scratch.normed, shape.width);
            let gate_up = sized(&mut scratch.gate_up, rows * 2 * shape.ffn);
            self.multiply(&scratch.packed, &layer.gate_up, gate_up, OutputMode::Overwrite);
            if let Some(trace) = &mut trace {
                trace.gate_up.pack_at(precision, part * PART_ROWS, gate_up, 2 * shape.ffn);
            }
            swiglu::forward(gate_up, shape.ffn, sized(&mut scratch.activated, rows * shape.ffn));
            scratch.packed.repack(precision, &scratch.activated, shape.ffn);
            self.multiply(&scratch.packed, &layer.down, x, OutputMode::Accumulate);
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
        let Self { options, shape, rotary } = self;
        let heads = shape.heads;
        let rows = x.len() / shape.width;
        if let Some(trace) = &mut trace {
            trace.time = time;
            trace.input.clear();
            trace.input.extend_from_slice(x);
        }
        self.project(layer, x, scratch);
        if let Some(trace) = &mut trace {
            trace.qkv.clone_from(&scratch.packed);
        }
        let Scratch { qkv, attention_output, softmax_stats, attention: attention_scratch, .. } = scratch;
        sized(attention_output, rows * heads.output_width());
        softmax_stats.resize(rows * heads.queries, SoftmaxStats::default());
        let causal = CausalAttention { options, sequence_len: time, heads, rotary };
        attention::forward(causal, qkv, attention_scratch, attention_output, softmax_stats);
        if let Some(trace) = &mut trace {
            trace.softmax_stats.clone_from(softmax_stats);
        }
        self.add_attention_output(layer, x, scratch);
        if let Some(trace) = &mut trace {
            trace.attention_output.clone_from(&scratch.packed);
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
    options: MatmulOptions,
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
        with_slice(network.parameters.output(), |weights| {
            head.pack_transposed_parallel(precision, weights, network.shape.width);
        })?;
        let norm = values(&network.parameters.norm)?;
        Ok(Self { network, options: MatmulOptions::new(precision), layers, norm, head })
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
        self.options.precision
    }

    fn pass(&self) -> Pass<'a> {
        Pass { options: self.options, shape: &self.network.shape, rotary: &self.network.rotary }
    }

    fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let mut x = Vec::new();
        with_slice(&self.network.parameters.embedding, |embedding| {
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
        places: &[CachePosition],
        caches: &mut [KeyValueCache],
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>> {
        let shape = &self.network.shape;
        let pass = self.pass();
        let mut x = self.embed(tokens)?;
        for (layer, cache) in self.layers.iter().zip(caches) {
            pass.project(layer, &x, scratch);
            let attention_output =
                sized(&mut scratch.attention_output, tokens.len() * shape.heads.output_width());
            attention::decode_step(
                &scratch.qkv,
                places,
                shape.heads,
                &self.network.rotary,
                cache,
                attention_output,
            );
            pass.add_attention_output(layer, &mut x, scratch);
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
            scratch.packed.repack(self.options.precision, &scratch.normed, shape.width);
            let logits = sized(&mut scratch.logits, rows * shape.vocab_size);
            pass.multiply(&scratch.packed, &self.head, logits, OutputMode::Overwrite);
            visit(part * LOGIT_ROWS, logits);
        }
    }
}
