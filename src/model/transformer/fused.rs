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
use super::architecture::{FeedForward, HeadNorm, Norm, NormPlaces, Positions, Rotaries};
use super::parameters::{Affine, Shape};
use crate::model::slices::with_slice;
use candle_core::{Result, Tensor};
use genloss_kernels::Precision;
use genloss_kernels::attention::{
    self, AttentionScratch, CachePosition, CausalAttention, Heads, KeyValueCache, SoftmaxStats,
};
use genloss_kernels::matmul::{MatmulOptions, OutputMode, PackedRows, Panels, multiply};
use genloss_kernels::norm::{layer, rms};
use genloss_kernels::{activation, add_assign, add_to_rows, geglu, softcap, swiglu};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Mutex;

pub mod backward;
mod projections;

/// Number of rows whose logits are computed together. The output matrix of a large vocabulary comes from memory once for
/// all of them.
const LOGIT_ROWS: usize = 128;

/// Number of rows for which the feed-forward half of a block is computed together, so that the memory of a thread does not
/// grow with its sequences. The number is even, because two neighbouring rows of bf16 share their words.
const FEED_FORWARD_ROWS: usize = 128;

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
    rotaries: &'a Rotaries,
}

/// The weights of a block, packed for the forward or for the backward pass.
#[derive(Default)]
struct PackedBlock {
    attention_norm: PackedNorm,
    qkv: PackedAffine,
    query_norm: Option<Vec<f32>>,
    key_norm: Option<Vec<f32>>,
    output: PackedAffine,
    attention_post_norm: PackedNorm,
    ffn_norm: PackedNorm,
    up: PackedAffine,
    down: PackedAffine,
    ffn_post_norm: PackedNorm,
}

/// The weight of a norm, with 1 added where the architecture does, and its bias; `None` where there is no norm.
type PackedNorm = Option<Affine<Vec<f32>>>;

/// A matrix packed for products, and the bias that is added to them.
#[derive(Default)]
struct PackedAffine {
    weight: Panels,
    bias: Option<Vec<f32>>,
}

impl PackedBlock {
    /// Packs the weights for products `x Wᵀ`.
    fn pack_forward(&mut self, network: &Network, layer: usize) -> Result<()> {
        let precision = network.precision;
        self.pack(network, layer, |panels, weights, columns| {
            panels.pack_transposed_parallel(precision, weights, columns);
        })
    }

    /// Packs the weights for products `g W`.
    fn pack_backward(&mut self, network: &Network, layer: usize) -> Result<()> {
        let precision = network.precision;
        self.pack(network, layer, |panels, weights, columns| {
            panels.pack_rows_parallel(precision, weights, columns);
        })
    }

    fn pack(
        &mut self,
        network: &Network,
        layer: usize,
        pack: impl Fn(&mut Panels, &[f32], usize),
    ) -> Result<()> {
        let block = &network.parameters.blocks[layer];
        let norm = |norm: &Option<Affine<Tensor>>| {
            norm.as_ref().map(|norm| packed_norm(&network.shape, norm)).transpose()
        };
        let of_heads = |weight: &Option<Tensor>| {
            weight.as_ref().map(|weight| packed_norm_weight(&network.shape, weight)).transpose()
        };
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
        self.attention_norm = norm(&block.attention_norm)?;
        self.attention_post_norm = norm(&block.attention_post_norm)?;
        self.ffn_norm = norm(&block.ffn_norm)?;
        self.ffn_post_norm = norm(&block.ffn_post_norm)?;
        self.query_norm = of_heads(&block.query_norm)?;
        self.key_norm = of_heads(&block.key_norm)?;
        Ok(())
    }
}

/// The weight of a norm as it is multiplied, and its bias.
fn packed_norm(shape: &Shape, norm: &Affine<Tensor>) -> Result<Affine<Vec<f32>>> {
    let bias = norm.bias.as_ref().map(to_vec).transpose()?;
    Ok(Affine { weight: packed_norm_weight(shape, &norm.weight)?, bias })
}

fn packed_norm_weight(shape: &Shape, weight: &Tensor) -> Result<Vec<f32>> {
    let mut weight = to_vec(weight)?;
    if shape.architecture.norm == Norm::RmsPlusOne {
        weight.iter_mut().for_each(|weight| *weight += 1.0);
    }
    Ok(weight)
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
    /// What a half of a block adds, before the norm that follows.
    added: Vec<f32>,
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
    /// What attention adds, or the sum with it, before the norm that follows, (N, W); empty without such a norm.
    attention_added: Vec<f32>,
    /// What the feed-forward half reads, (N, W).
    middle: Vec<f32>,
    /// The first product of the feed-forward layer, (N, 2F) or (N, F).
    inner: PackedRows,
    /// What the feed-forward layer adds, or the sum with it, before the norm that follows, (N, W); empty without such a norm.
    ffn_added: Vec<f32>,
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

    /// Whether the norm after a half of a block is that of the sum.
    fn normalises_sums(self) -> bool {
        self.shape.architecture.places == NormPlaces::OfSum
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

    /// Writes what a half of a block reads of `x` (N, W) to `to`: its normalised rows, or the rows themselves.
    fn read(self, x: &[f32], norm: &PackedNorm, scales: &mut Vec<f32>, to: &mut Vec<f32>) {
        match norm {
            Some(norm) => self.normalise(x, norm, scales, to),
            None => x.clone_into(to),
        }
    }

    /// Adds the product of `scratch.packed` and the weights to `x`, through the norm that follows if there is one; or
    /// normalises the sum. Appends what is normalised to `kept` if given.
    fn add_product(
        self,
        weights: &PackedAffine,
        post_norm: &PackedNorm,
        x: &mut [f32],
        scratch: &mut BlockScratch,
        kept: Option<&mut Vec<f32>>,
    ) {
        let BlockScratch { packed, added, normed, norm_scales, .. } = scratch;
        let Some(norm) = post_norm else {
            self.multiply(packed, weights, x, OutputMode::Accumulate);
            return;
        };
        if self.normalises_sums() {
            self.multiply(packed, weights, x, OutputMode::Accumulate);
            x.clone_into(added);
            self.normalise(added, norm, norm_scales, normed);
            x.copy_from_slice(normed);
        } else {
            self.multiply(packed, weights, sized(added, x.len()), OutputMode::Overwrite);
            self.normalise(added, norm, norm_scales, normed);
            add_assign(x, normed);
        }
        if let Some(kept) = kept {
            kept.extend_from_slice(added);
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
        match self.shape.architecture.head_norm {
            HeadNorm::None => self.options.precision,
            HeadNorm::Each | HeadNorm::All => Precision::F32,
        }
    }

    /// Computes queries, keys and values from `x` (N, W). Writes them to `scratch.qkv` (N, (H + 2K) D), and packed in
    /// the [`kept_precision`](Self::kept_precision), to which `scratch.qkv` is rounded as well, to `scratch.packed`.
    fn project_qkv(self, block: &PackedBlock, x: &[f32], scratch: &mut BlockScratch) {
        let (shape, precision) = (self.shape, self.options.precision);
        self.read(x, &block.attention_norm, &mut scratch.norm_scales, &mut scratch.normed);
        scratch.packed.repack(precision, &scratch.normed, shape.width);
        let row = shape.heads.qkv_width();
        let qkv = sized(&mut scratch.qkv, x.len() / shape.width * row);
        self.multiply(&scratch.packed, &block.qkv, qkv, OutputMode::Overwrite);
        scratch.packed.repack(self.kept_precision(), qkv, row);
        if self.kept_precision() == Precision::Bf16 {
            scratch.packed.unpack(precision, row, 0, qkv);
        }
    }

    /// Normalises the queries and keys in `qkv` (N, (H + 2K) D), if the architecture does.
    fn normalise_heads(self, block: &PackedBlock, qkv: &mut [f32]) {
        let heads = self.shape.heads;
        let mut scales = [0.0];
        let mut normed = Vec::new();
        for row in qkv.chunks_exact_mut(heads.qkv_width()) {
            for (weight, columns) in heads_with_norm(heads, block) {
                for head in row[columns].chunks_exact_mut(weight.len()) {
                    let normed = sized(&mut normed, weight.len());
                    rms::forward(head, weight, self.epsilon(), normed, &mut scales);
                    head.copy_from_slice(normed);
                }
            }
        }
    }

    /// Adds the projection of `scratch.attention_output` (N, H D) to `x` (N, W), as [`add_product`](Self::add_product).
    /// Leaves the attention output packed in `scratch.packed`.
    fn add_attention(
        self,
        block: &PackedBlock,
        x: &mut [f32],
        scratch: &mut BlockScratch,
        kept: Option<&mut Vec<f32>>,
    ) {
        let columns = self.shape.heads.output_width();
        scratch.packed.repack(self.options.precision, &scratch.attention_output, columns);
        self.add_product(&block.output, &block.attention_post_norm, x, scratch, kept);
    }

    /// Computes `activated` (N, F) from the first product of the feed-forward layer.
    fn activate(self, inner: &[f32], activated: &mut [f32]) {
        match self.shape.architecture.feed_forward {
            FeedForward::SwiGlu => swiglu::forward(inner, self.shape.ffn, activated),
            FeedForward::GeGlu => geglu::forward(inner, self.shape.ffn, activated),
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
            activations.ffn_added.clear();
        }
        for (part, x) in x.chunks_mut(FEED_FORWARD_ROWS * shape.width).enumerate() {
            let rows = x.len() / shape.width;
            self.read(x, &block.ffn_norm, &mut scratch.norm_scales, &mut scratch.normed);
            scratch.packed.repack(precision, &scratch.normed, shape.width);
            let inner = sized(&mut scratch.inner, rows * inner_width);
            self.multiply(&scratch.packed, &block.up, inner, OutputMode::Overwrite);
            if let Some(activations) = &mut activations {
                activations.inner.pack_at(precision, part * FEED_FORWARD_ROWS, inner, inner_width);
            }
            let activated = sized(&mut scratch.activated, rows * shape.ffn);
            self.activate(inner, activated);
            scratch.packed.repack(precision, activated, shape.ffn);
            let kept = activations.as_mut().map(|activations| &mut activations.ffn_added);
            self.add_product(&block.down, &block.ffn_post_norm, x, scratch, kept);
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
        let kept = activations.as_mut().map(|activations| {
            activations.attention_added.clear();
            &mut activations.attention_added
        });
        self.add_attention(block, x, scratch, kept);
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
        layer: usize,
        x: &mut [f32],
        time: usize,
        scratch: &mut BlockScratch,
        mut activations: Option<&mut Activations>,
    ) {
        let shape = self.shape;
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
        let causal = self.causal(layer, time);
        attention::forward(causal, qkv, attention_scratch, attention_output, softmax_stats);
        if let Some(activations) = &mut activations {
            activations.softmax_stats.clone_from(softmax_stats);
        }
        self.add_halves(block, x, scratch, activations);
    }
}

impl<'a> BlockOps<'a> {
    /// The attention of block `layer` over sequences of `time` tokens.
    fn causal(self, layer: usize, time: usize) -> CausalAttention<'a> {
        let Self { options, shape, rotaries } = self;
        let scoring = shape.architecture.scoring(shape.heads, layer);
        let rotary = rotaries.of(scoring.window);
        CausalAttention { options, sequence_len: time, heads: shape.heads, scoring, rotary }
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

/// Writes the scaled embeddings of `tokens` (N) to `x` (N, W).
fn embed(embedding: &[f32], tokens: &[u32], shape: &Shape, x: &mut Vec<f32>) {
    x.clear();
    for &token in tokens {
        x.extend_from_slice(&embedding[token as usize * shape.width..][..shape.width]);
    }
    let scale = shape.architecture.embedding_scale;
    if scale != 1.0 {
        x.iter_mut().for_each(|x| *x *= scale);
    }
}

/// A network with packed weights, for generation and scoring. It computes in the network's precision.
pub struct PackedNetwork<'a> {
    /// Without projections of its embeddings.
    network: Cow<'a, Network>,
    options: MatmulOptions,
    blocks: Vec<PackedBlock>,
    positions: Option<PositionTable>,
    norm: PackedNorm,
    head: PackedAffine,
}

impl<'a> PackedNetwork<'a> {
    /// Packs the weights of `network`.
    ///
    /// # Errors
    /// If the weights are not on the CPU.
    pub fn new(network: &'a Network) -> Result<Self> {
        let network = projections::without(network)?.map_or(Cow::Borrowed(network), Cow::Owned);
        let precision = network.precision;
        let pack = |layer| {
            let mut packed = PackedBlock::default();
            packed.pack_forward(&network, layer)?;
            Ok(packed)
        };
        let blocks = (0..network.shape.layers).map(pack).collect::<Result<Vec<_>>>()?;
        let mut head = PackedAffine::default();
        with_slice(network.parameters.output(), |weights| {
            head.weight.pack_transposed_parallel(precision, weights, network.shape.width);
        })?;
        let positions = PositionTable::of(&network)?;
        let norm =
            network.parameters.norm.as_ref().map(|norm| packed_norm(&network.shape, norm)).transpose()?;
        Ok(Self { network, options: MatmulOptions::new(precision), blocks, positions, norm, head })
    }

    /// The network whose weights are packed. Embeddings that are projected have been multiplied by their projections.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
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

    fn ops(&self) -> BlockOps<'_> {
        BlockOps { options: self.options, shape: &self.network.shape, rotaries: &self.network.rotaries }
    }

    fn embed(&self, tokens: &[u32], positions: impl Iterator<Item = usize>) -> Result<Vec<f32>> {
        let shape = &self.network.shape;
        let mut x = Vec::new();
        with_slice(&self.network.parameters.embedding, |embedding| embed(embedding, tokens, shape, &mut x))?;
        if let Some(table) = &self.positions {
            table.add(positions, shape.width, &mut x);
        }
        Ok(x)
    }

    /// The hidden states (B·T, W) after the last block, before the final norm.
    ///
    /// # Errors
    /// If the weights are not on the CPU.
    pub fn hidden(&self, sequences: Sequences, scratch: &mut BlockScratch) -> Result<Vec<f32>> {
        let mut x = self.embed(sequences.tokens, (0..sequences.time).cycle())?;
        for (layer, block) in self.blocks.iter().enumerate() {
            self.ops().forward(block, layer, &mut x, sequences.time, scratch, None);
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
        for (layer, (block, cache)) in self.blocks.iter().zip(caches).enumerate() {
            ops.project_qkv(block, &x, scratch);
            ops.normalise_heads(block, &mut scratch.qkv);
            let output = sized(&mut scratch.attention_output, tokens.len() * heads.output_width());
            let CausalAttention { scoring, rotary, .. } = ops.causal(layer, 1);
            attention::decode_step(&scratch.qkv, places, heads, scoring, rotary, cache, output);
            ops.add_halves(block, &mut x, scratch, None);
        }
        Ok(x)
    }

    /// Applies the final norm, if there is one, to hidden states `x` (N, W).
    #[must_use]
    pub fn normalised(&self, x: &[f32]) -> Vec<f32> {
        let mut normalised = Vec::new();
        self.ops().read(x, &self.norm, &mut Vec::new(), &mut normalised);
        normalised
    }

    /// Computes the logits of hidden states `x` (N, W), a few rows at a time and in order. For each group of rows it
    /// calls `visit` with the index of the first row and the logits (rows, V).
    pub fn logits(&self, x: &[f32], scratch: &mut BlockScratch, mut visit: impl FnMut(usize, &mut [f32])) {
        let shape = &self.network.shape;
        let ops = self.ops();
        for (part, x) in x.chunks(LOGIT_ROWS * shape.width).enumerate() {
            let rows = x.len() / shape.width;
            ops.read(x, &self.norm, &mut scratch.norm_scales, &mut scratch.normed);
            scratch.packed.repack(self.options.precision, &scratch.normed, shape.width);
            let logits = sized(&mut scratch.logits, rows * shape.vocab_size);
            ops.multiply(&scratch.packed, &self.head, logits, OutputMode::Overwrite);
            if let Some(cap) = shape.architecture.logit_cap {
                softcap::forward(logits, 1.0, cap);
            }
            visit(part * LOGIT_ROWS, logits);
        }
    }
}
