//! The forward pass on the CPU: matrix products with packed weights, and fused row operations between them, all from
//! [`genloss_kernels`].
//!
//! Weights are packed once per training step, or once for a whole corpus that is generated or scored. Work is split by
//! sequences: each thread computes a block for some rows, so that intermediate results stay in its cache. The output of
//! a row depends neither on the other rows nor on the number of threads. The backward pass is in [`backward`].
//!
//! [`super::plain`] computes the same with candle_nn layers, and is the reference against which this pass is tested.
//! [`Transformer`](super::Transformer) has an example.

use super::Network;
use super::architecture::{FeedForward, Positions};
use super::parameters::{Affine, Block, Shape};
use crate::model::slices::with_slice;
use candle_core::{Result, Tensor};
use genloss_kernels::Precision;
use genloss_kernels::attention::{
    self, AttentionScratch, CachePosition, CausalAttention, Heads, KeyValueCache, Rotary, SoftmaxStats,
};
use genloss_kernels::matmul::{MatmulOptions, OutputMode, PackedRows, Panels, multiply};
use genloss_kernels::norm::{layer, rms};
use genloss_kernels::{activation, add_assign, add_to_rows, swiglu};
use std::ops::Range;
use std::sync::Mutex;

pub mod backward;

/// Number of rows whose logits are computed together. The logits of more rows would not stay in the cache.
pub const LOGIT_ROWS: usize = 36;

/// Number of rows for which the feed-forward half of a block is computed together, so that the intermediate results
/// stay in the second-level cache. The number is even, and a multiple of the number of rows in a matrix product's tile.
const FEED_FORWARD_ROWS: usize = 72;

/// Concatenated sequences of equal length.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    /// The token ids of all sequences, (B, T).
    pub tokens: &'a [u32],
    /// T, the length of each sequence in tokens.
    pub time: usize,
}

/// The options, sizes and rotary tables that are the same for all blocks, and the operations that use them.
#[derive(Clone, Copy)]
struct BlockOps<'a> {
    options: MatmulOptions,
    shape: &'a Shape,
    rotary: &'a Rotary,
}

/// The weights of a block, packed for the forward or for the backward pass.
#[derive(Default)]
struct PackedBlock {
    attention_norm: Affine<Vec<f32>>,
    qkv: PackedAffine,
    query_norm: Option<Vec<f32>>,
    key_norm: Option<Vec<f32>>,
    output: PackedAffine,
    ffn_norm: Affine<Vec<f32>>,
    up: PackedAffine,
    down: PackedAffine,
}

/// A matrix packed for products, and the bias that is added to them.
#[derive(Default)]
struct PackedAffine {
    weight: Panels,
    bias: Option<Vec<f32>>,
}

impl PackedBlock {
    /// Packs the weights for products `x Wᵀ`.
    fn pack_forward(&mut self, precision: Precision, block: &Block<Tensor>) -> Result<()> {
        self.pack(block, |panels, weights, columns| {
            panels.pack_transposed_parallel(precision, weights, columns);
        })
    }

    /// Packs the weights for products `g W`.
    fn pack_backward(&mut self, precision: Precision, block: &Block<Tensor>) -> Result<()> {
        self.pack(block, |panels, weights, columns| {
            panels.pack_rows_parallel(precision, weights, columns);
        })
    }

    fn pack(&mut self, block: &Block<Tensor>, pack: impl Fn(&mut Panels, &[f32], usize)) -> Result<()> {
        let matrices = [
            (&mut self.qkv, &block.qkv),
            (&mut self.output, &block.output),
            (&mut self.up, &block.up),
            (&mut self.down, &block.down),
        ];
        for (packed, matrix) in matrices {
            let columns = matrix.weight.dim(1)?;
            with_slice(&matrix.weight, |weights| pack(&mut packed.weight, weights, columns))?;
            packed.bias = matrix.bias.as_ref().map(to_vec).transpose()?;
        }
        self.attention_norm = to_vecs(&block.attention_norm)?;
        self.ffn_norm = to_vecs(&block.ffn_norm)?;
        self.query_norm = block.query_norm.as_ref().map(to_vec).transpose()?;
        self.key_norm = block.key_norm.as_ref().map(to_vec).transpose()?;
        Ok(())
    }
}

/// The weight and the bias of a norm.
fn to_vecs(norm: &Affine<Tensor>) -> Result<Affine<Vec<f32>>> {
    norm.try_map(&mut to_vec)
}

fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    with_slice(tensor, <[f32]>::to_vec)
}

/// Reusable memory for the intermediate results of one thread. Its contents do not carry over from call to call.
#[derive(Default)]
pub struct BlockScratch {
    normed: Vec<f32>,
    norm_scales: Vec<f32>,
    packed: PackedRows,
    qkv: Vec<f32>,
    attention_output: Vec<f32>,
    inner: Vec<f32>,
    activated: Vec<f32>,
    logits: Vec<f32>,
    softmax_stats: Vec<SoftmaxStats>,
    attention: AttentionScratch,
}

/// Scratch memory that threads borrow in turn.
#[derive(Default)]
pub struct ScratchPool(Mutex<Vec<BlockScratch>>);

impl ScratchPool {
    /// Calls `work` with scratch memory that no other thread uses at the time.
    pub fn with<R>(&self, work: impl FnOnce(&mut BlockScratch) -> R) -> R {
        let unused = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut scratch = unused().pop().unwrap_or_default();
        let result = work(&mut scratch);
        unused().push(scratch);
        result
    }
}

/// Intermediate results of a block's forward pass that its backward pass needs.
#[derive(Default)]
struct Activations {
    /// T, the length of each sequence in tokens.
    time: usize,
    /// Input of the block, (N, W).
    input: Vec<f32>,
    /// (N, (H + 2K) D), before the norms of the heads.
    qkv: PackedRows,
    softmax_stats: Vec<SoftmaxStats>,
    /// (N, H D)
    attention_output: PackedRows,
    /// What the feed-forward half reads, (N, W).
    middle: Vec<f32>,
    /// The first product of the feed-forward layer, (N, 2F) or (N, F).
    inner: PackedRows,
}

/// Resizes `target` to `length` numbers with unspecified values.
fn sized(target: &mut Vec<f32>, length: usize) -> &mut [f32] {
    target.resize(length, 0.0);
    target
}

impl BlockOps<'_> {
    fn epsilon(self) -> f32 {
        self.shape.norm_epsilon as f32
    }

    /// Writes the normalised rows of `x` (N, W) to `to`. An RMSNorm writes their scales to `scales` (N).
    fn normalise(self, x: &[f32], norm: &Affine<Vec<f32>>, scales: &mut Vec<f32>, to: &mut Vec<f32>) {
        let to = sized(to, x.len());
        match &norm.bias {
            Some(bias) => layer::forward(x, &norm.weight, bias, self.epsilon(), to),
            None => {
                let scales = sized(scales, x.len() / self.shape.width);
                rms::forward(x, &norm.weight, self.epsilon(), to, scales);
            }
        }
    }

    /// Multiplies `rows` by the weights and adds the bias. As `mode` says, the result overwrites `out` or is added to it.
    fn multiply(self, rows: &PackedRows, weights: &PackedAffine, out: &mut [f32], mode: OutputMode) {
        multiply(self.options, &rows.words, rows.stride, weights.weight.view(), out, mode);
        if let Some(bias) = &weights.bias {
            add_to_rows(out, bias);
        }
    }

    /// The number format in which queries, keys and values are kept for the backward pass. In bf16 they are rounded, so
    /// that it can repeat the products of attention exactly; but not where they still have to be normalised.
    fn kept_precision(self) -> Precision {
        if self.shape.architecture.head_norm { Precision::F32 } else { self.options.precision }
    }

    /// Computes queries, keys and values from `x` (N, W). Writes them to `scratch.qkv` (N, (H + 2K) D), and packed in
    /// the [`kept_precision`](Self::kept_precision), to which `scratch.qkv` is rounded as well, to `scratch.packed`.
    fn project_qkv(self, block: &PackedBlock, x: &[f32], scratch: &mut BlockScratch) {
        let (shape, precision) = (self.shape, self.options.precision);
        self.normalise(x, &block.attention_norm, &mut scratch.norm_scales, &mut scratch.normed);
        scratch.packed.repack(precision, &scratch.normed, shape.width);
        let row = shape.heads.qkv_width();
        let qkv = sized(&mut scratch.qkv, x.len() / shape.width * row);
        self.multiply(&scratch.packed, &block.qkv, qkv, OutputMode::Overwrite);
        scratch.packed.repack(self.kept_precision(), qkv, row);
        if self.kept_precision() == Precision::Bf16 {
            scratch.packed.unpack(precision, row, 0, qkv);
        }
    }

    /// Normalises each head of the queries and keys in `qkv` (N, (H + 2K) D), if the architecture does.
    fn normalise_heads(self, block: &PackedBlock, qkv: &mut [f32]) {
        let heads = self.shape.heads;
        let mut scales = [0.0];
        let mut normed = vec![0.0; heads.width];
        for row in qkv.chunks_exact_mut(heads.qkv_width()) {
            for (weight, columns) in heads_with_norm(heads, block) {
                for head in row[columns].chunks_exact_mut(heads.width) {
                    rms::forward(head, weight, self.epsilon(), &mut normed, &mut scales);
                    head.copy_from_slice(&normed);
                }
            }
        }
    }

    /// Adds the projection of `scratch.attention_output` (N, H D) to `x` (N, W). Leaves the attention output packed in
    /// `scratch.packed`.
    fn add_attention(self, block: &PackedBlock, x: &mut [f32], scratch: &mut BlockScratch) {
        let columns = self.shape.heads.output_width();
        scratch.packed.repack(self.options.precision, &scratch.attention_output, columns);
        self.multiply(&scratch.packed, &block.output, x, OutputMode::Accumulate);
    }

    /// Computes `activated` (N, F) from the first product of the feed-forward layer.
    fn activate(self, inner: &[f32], activated: &mut [f32]) {
        match self.shape.architecture.feed_forward {
            FeedForward::SwiGlu => swiglu::forward(inner, self.shape.ffn, activated),
            FeedForward::Plain(kind) => activation::forward(kind, inner, activated),
        }
    }

    /// Adds the output of a block's feed-forward half to `x` (N, W), some rows at a time. Records the activations if
    /// given.
    fn add_feed_forward(
        self,
        block: &PackedBlock,
        x: &mut [f32],
        scratch: &mut BlockScratch,
        mut activations: Option<&mut Activations>,
    ) {
        let (shape, precision) = (self.shape, self.options.precision);
        let inner_width = shape.inner();
        if let Some(activations) = &mut activations {
            x.clone_into(&mut activations.middle);
            activations.inner.resize(precision, x.len() / shape.width, inner_width);
        }
        for (part, x) in x.chunks_mut(FEED_FORWARD_ROWS * shape.width).enumerate() {
            let rows = x.len() / shape.width;
            self.normalise(x, &block.ffn_norm, &mut scratch.norm_scales, &mut scratch.normed);
            scratch.packed.repack(precision, &scratch.normed, shape.width);
            let inner = sized(&mut scratch.inner, rows * inner_width);
            self.multiply(&scratch.packed, &block.up, inner, OutputMode::Overwrite);
            if let Some(activations) = &mut activations {
                activations.inner.pack_at(precision, part * FEED_FORWARD_ROWS, inner, inner_width);
            }
            let activated = sized(&mut scratch.activated, rows * shape.ffn);
            self.activate(inner, activated);
            scratch.packed.repack(precision, activated, shape.ffn);
            self.multiply(&scratch.packed, &block.down, x, OutputMode::Accumulate);
        }
    }

    /// Adds to `x` (N, W) what both halves of a block add, given the output of attention in `scratch.attention_output`.
    /// Halves that read the same `x` are added in the other order, so that the second finds it unchanged.
    fn add_halves(
        self,
        block: &PackedBlock,
        x: &mut [f32],
        scratch: &mut BlockScratch,
        mut activations: Option<&mut Activations>,
    ) {
        if self.shape.architecture.parallel {
            self.add_feed_forward(block, x, scratch, activations.as_deref_mut());
        }
        self.add_attention(block, x, scratch);
        if let Some(activations) = &mut activations {
            activations.attention_output.clone_from(&scratch.packed);
        }
        if !self.shape.architecture.parallel {
            self.add_feed_forward(block, x, scratch, activations);
        }
    }

    /// Replaces the hidden states `x` (B·T, W) of whole sequences by the output of a block. Records the activations if
    /// given.
    fn forward(
        self,
        block: &PackedBlock,
        x: &mut [f32],
        time: usize,
        scratch: &mut BlockScratch,
        mut activations: Option<&mut Activations>,
    ) {
        let Self { options, shape, rotary } = self;
        let heads = shape.heads;
        let rows = x.len() / shape.width;
        if let Some(activations) = &mut activations {
            activations.time = time;
            x.clone_into(&mut activations.input);
        }
        self.project_qkv(block, x, scratch);
        if let Some(activations) = &mut activations {
            activations.qkv.clone_from(&scratch.packed);
        }
        let BlockScratch { qkv, attention_output, softmax_stats, attention: attention_scratch, .. } = scratch;
        self.normalise_heads(block, qkv);
        sized(attention_output, rows * heads.output_width());
        softmax_stats.resize(rows * heads.queries, SoftmaxStats::default());
        let causal = CausalAttention { options, sequence_len: time, heads, rotary };
        attention::forward(causal, qkv, attention_scratch, attention_output, softmax_stats);
        if let Some(activations) = &mut activations {
            activations.softmax_stats.clone_from(softmax_stats);
        }
        self.add_halves(block, x, scratch, activations);
    }
}

/// The weights of the norms of heads, each with the columns of the heads that it belongs to.
fn heads_with_norm(heads: Heads, block: &PackedBlock) -> impl Iterator<Item = (&[f32], Range<usize>)> {
    let queries = heads.output_width();
    let keys = queries + heads.keys * heads.width;
    let norms = [(&block.query_norm, 0..queries), (&block.key_norm, queries..keys)];
    norms.into_iter().filter_map(|(weight, columns)| Some((weight.as_deref()?, columns)))
}

/// The vectors of learned positions.
#[derive(Default)]
struct PositionTable {
    /// (T + offset, W)
    rows: Vec<f32>,
    offset: usize,
}

impl PositionTable {
    /// The table of a network that has one.
    fn of(network: &Network) -> Result<Option<Self>> {
        match (&network.parameters.positions, &network.shape.architecture.positions) {
            (Some(table), &Positions::Learned { offset }) => Ok(Some(Self { rows: to_vec(table)?, offset })),
            _ => Ok(None),
        }
    }

    /// Adds the vector of its position to each row of `x` (N, W).
    fn add(&self, positions: impl Iterator<Item = usize>, width: usize, x: &mut [f32]) {
        for (position, x) in positions.zip(x.chunks_exact_mut(width)) {
            add_assign(x, &self.rows[(position + self.offset) * width..][..width]);
        }
    }
}

/// Writes the embeddings of `tokens` (N) to `x` (N, W).
fn embed(embedding: &[f32], tokens: &[u32], width: usize, x: &mut Vec<f32>) {
    x.clear();
    for &token in tokens {
        x.extend_from_slice(&embedding[token as usize * width..][..width]);
    }
}

/// A network with packed weights, for generation and scoring. It computes in the network's precision.
pub struct PackedNetwork<'a> {
    network: &'a Network,
    options: MatmulOptions,
    blocks: Vec<PackedBlock>,
    positions: Option<PositionTable>,
    norm: Affine<Vec<f32>>,
    head: PackedAffine,
}

impl<'a> PackedNetwork<'a> {
    /// Packs the weights of `network`.
    ///
    /// # Errors
    /// If the weights are not on the CPU.
    pub fn new(network: &'a Network) -> Result<Self> {
        let precision = network.precision;
        let pack = |block| {
            let mut packed = PackedBlock::default();
            packed.pack_forward(precision, block)?;
            Ok(packed)
        };
        let blocks = network.parameters.blocks.iter().map(pack).collect::<Result<Vec<_>>>()?;
        let mut head = PackedAffine::default();
        with_slice(network.parameters.output(), |weights| {
            head.weight.pack_transposed_parallel(precision, weights, network.shape.width);
        })?;
        let positions = PositionTable::of(network)?;
        let norm = to_vecs(&network.parameters.norm)?;
        Ok(Self { network, options: MatmulOptions::new(precision), blocks, positions, norm, head })
    }

    /// The network whose weights are packed.
    #[must_use]
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// Size of the packed weights in bytes, without padding.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let numbers = self.network.shape.parameters() as usize;
        match self.options.precision {
            Precision::F32 => 4 * numbers,
            Precision::Bf16 => 2 * numbers,
        }
    }

    fn ops(&self) -> BlockOps<'a> {
        BlockOps { options: self.options, shape: &self.network.shape, rotary: &self.network.rotary }
    }

    fn embed(&self, tokens: &[u32], positions: impl Iterator<Item = usize>) -> Result<Vec<f32>> {
        let width = self.network.shape.width;
        let mut x = Vec::new();
        with_slice(&self.network.parameters.embedding, |embedding| embed(embedding, tokens, width, &mut x))?;
        if let Some(table) = &self.positions {
            table.add(positions, width, &mut x);
        }
        Ok(x)
    }

    /// The hidden states (B·T, W) after the last block, before the final norm.
    ///
    /// # Errors
    /// If the weights are not on the CPU.
    pub fn hidden(&self, sequences: Sequences, scratch: &mut BlockScratch) -> Result<Vec<f32>> {
        let mut x = self.embed(sequences.tokens, (0..sequences.time).cycle())?;
        for block in &self.blocks {
            self.ops().forward(block, &mut x, sequences.time, scratch, None);
        }
        Ok(x)
    }

    /// Reads the next token of each of several documents. Token r is stored in the caches at `places[r]`; there is one
    /// cache per block. Returns the hidden states (rows, W) after the last block, before the final norm.
    ///
    /// # Errors
    /// If the weights are not on the CPU.
    pub fn step(
        &self,
        tokens: &[u32],
        places: &[CachePosition],
        caches: &mut [KeyValueCache],
        scratch: &mut BlockScratch,
    ) -> Result<Vec<f32>> {
        let heads = self.network.shape.heads;
        let ops = self.ops();
        let mut x = self.embed(tokens, places.iter().map(|place| place.position))?;
        for (block, cache) in self.blocks.iter().zip(caches) {
            ops.project_qkv(block, &x, scratch);
            ops.normalise_heads(block, &mut scratch.qkv);
            let output = sized(&mut scratch.attention_output, tokens.len() * heads.output_width());
            attention::decode_step(&scratch.qkv, places, heads, &self.network.rotary, cache, output);
            ops.add_halves(block, &mut x, scratch, None);
        }
        Ok(x)
    }

    /// Applies the final norm to hidden states `x` (N, W).
    #[must_use]
    pub fn normalised(&self, x: &[f32]) -> Vec<f32> {
        let mut normalised = Vec::new();
        self.ops().normalise(x, &self.norm, &mut Vec::new(), &mut normalised);
        normalised
    }

    /// Computes the logits of hidden states `x` (N, W), a few rows at a time and in order. For each group of rows it
    /// calls `visit` with the index of the first row and the logits (rows, V).
    pub fn logits(&self, x: &[f32], scratch: &mut BlockScratch, mut visit: impl FnMut(usize, &mut [f32])) {
        let shape = &self.network.shape;
        let ops = self.ops();
        for (part, x) in x.chunks(LOGIT_ROWS * shape.width).enumerate() {
            let rows = x.len() / shape.width;
            ops.normalise(x, &self.norm, &mut scratch.norm_scales, &mut scratch.normed);
            scratch.packed.repack(self.options.precision, &scratch.normed, shape.width);
            let logits = sized(&mut scratch.logits, rows * shape.vocab_size);
            ops.multiply(&scratch.packed, &self.head, logits, OutputMode::Overwrite);
            visit(part * LOGIT_ROWS, logits);
        }
    }
}
