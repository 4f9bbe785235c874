//! The loss of a batch and its gradients.
//!
//! A batch is split into shards of sequences, each of which goes through the forward pass on one thread. The backward
//! pass handles one block after another, from the last to the first. In each block, a shard runs on one thread and
//! packs the two factors of each weight gradient, `∂L/∂W = Σ_rows (∂L/∂y)ᵀ x`. The gradients themselves are computed
//! later, while the shards already process the preceding block. This computation is split into tasks of 64 rows of a
//! matrix. Many small tasks fill the time in which threads would wait for the last shard. Each task sums over the
//! shards in order. Therefore no shard needs gradients of its own, and the result is bit-identical for any number of
//! threads. The gradient of the output matrix is computed in the same way.
//!
//! [`crate::training::gradients`] is the caller, and has an example.

use super::super::Network;
use super::super::parameters::{Block, Parameters};
use super::{
    Activations, BlockOps, BlockScratch, FEED_FORWARD_ROWS, LOGIT_ROWS, PackedBlock, ScratchPool, Sequences,
    embed, sized,
};
use crate::model::slices::with_slice;
use candle_core::Result;
use genloss_kernels::Precision;
use genloss_kernels::attention::{self, CausalAttention};
use genloss_kernels::matmul::{MatmulOptions, OutputMode, PANEL, Panels, PanelsView, multiply_transposed};
use genloss_kernels::{add_assign, norm, softmax, swiglu};
use rayon::prelude::*;
use std::sync::Arc;

/// Approximate number of tokens per shard: enough for efficient products, few enough for many shards per batch.
const SHARD_TOKENS: usize = 128;

/// Memory for the gradients of a batch, reused from step to step.
#[derive(Default)]
pub struct GradientWorkspace {
    shards: Vec<Shard>,
    /// The weights of every block. They are packed for the forward pass first, and later for the backward pass.
    blocks: Vec<PackedBlock>,
    head: PackedHead,
    /// The gradient factors of the current block, one for each shard.
    factors: Vec<BlockFactors>,
    /// The gradient factors of the block processed before the current one, one for each shard.
    previous_factors: Vec<BlockFactors>,
    /// The gradient factors of the output matrix, one for each shard.
    head_factors: Vec<GradientFactors>,
    scratch: ScratchPool,
}

/// The final norm, and the output matrix packed for both passes.
#[derive(Default)]
struct PackedHead {
    norm: Vec<f32>,
    forward: Panels,
    backward: Panels,
}

/// Some sequences of a batch.
#[derive(Default)]
struct Shard {
    /// Hidden states, (N, W).
    x: Vec<f32>,
    /// ∂L/∂x, (N, W).
    hidden_grad: Vec<f32>,
    /// One for each block.
    activations: Vec<Activations>,
    /// Gradients of the weights of two norms: the norm before attention (or the final norm), and the norm before the
    /// feed-forward layer.
    norm_grads: [Vec<f32>; 2],
    nats: f64,
}

/// The two factors of a weight's gradient, packed for sums over rows.
#[derive(Default)]
struct GradientFactors {
    /// ∂L/∂y (N, M)
    output_grad: Panels,
    /// x (N, K)
    input: Panels,
}

/// The gradient factors of the matrices of a block.
#[derive(Default)]
struct BlockFactors {
    qkv: GradientFactors,
    output: GradientFactors,
    gate_up: GradientFactors,
    down: GradientFactors,
}

impl GradientFactors {
    /// Resizes the factors to `rows` rows, with `m` columns of the output's gradient and `k` columns of the input.
    fn resize(&mut self, precision: Precision, rows: usize, [m, k]: [usize; 2]) {
        self.output_grad.resize(precision, rows, m);
        self.input.resize(precision, rows, k);
    }

    fn views(&self) -> (PanelsView<'_>, PanelsView<'_>) {
        (self.output_grad.view(), self.input.view())
    }
}

/// Returns the sum of the negative log-likelihoods of `targets` (B, T) in nats. Overwrites `gradient` with the gradient
/// of `scale` times that sum.
///
/// # Errors
/// If the weights are not on the CPU.
pub fn gradients(
    network: &Network,
    sequences: Sequences,
    targets: &[u32],
    scale: f32,
    workspace: &mut GradientWorkspace,
    gradient: &mut Parameters<Vec<f32>>,
) -> Result<f64> {
    let ops = BlockOps {
        options: MatmulOptions::new(network.precision),
        shape: &network.shape,
        rotary: &network.rotary,
    };
    workspace.forward(network, ops, sequences, targets, scale)?;
    let nats = workspace.shards.iter().map(|shard| shard.nats).sum();
    sum_norm_grads(&workspace.shards, 0, &mut gradient.norm);
    for index in (0..network.parameters.blocks.len()).rev() {
        workspace.backward_block(network, ops, index, gradient)?;
    }
    let GradientWorkspace { shards, previous_factors, head_factors, .. } = workspace;
    gradient_tasks(0, previous_factors, head_factors, gradient)
        .into_par_iter()
        .for_each(|task| task.run(ops.options));
    add_embedding_grad(network.shape.width, sequences.tokens, shards, gradient);
    Ok(nats)
}

impl GradientWorkspace {
    /// Computes the forward pass of all shards, the loss, and the gradient of the last hidden states.
    fn forward(
        &mut self,
        network: &Network,
        ops: BlockOps,
        Sequences { tokens, time }: Sequences,
        targets: &[u32],
        scale: f32,
    ) -> Result<()> {
        let shard_tokens = SHARD_TOKENS.div_ceil(time) * time;
        self.resize(tokens.len().div_ceil(shard_tokens), network.parameters.blocks.len());
        self.head.pack(network)?;
        for (packed, block) in self.blocks.iter_mut().zip(&network.parameters.blocks) {
            packed.pack_forward(network.precision, block)?;
        }
        let Self { shards, blocks, head, head_factors, scratch, .. } = self;
        with_slice(&network.parameters.embedding, |embedding| {
            let parts =
                tokens.par_chunks(shard_tokens).zip(targets.par_chunks(shard_tokens)).zip(head_factors);
            shards.par_iter_mut().zip(parts).for_each(|(shard, ((tokens, targets), factors))| {
                scratch.with(|scratch| {
                    embed(embedding, tokens, network.shape.width, &mut shard.x);
                    shard.forward(ops, blocks, time, scratch);
                    shard.loss(ops, head, targets, scale, factors, scratch);
                });
            });
        })
    }

    fn resize(&mut self, shards: usize, blocks: usize) {
        self.shards.resize_with(shards, Shard::default);
        self.head_factors.resize_with(shards, GradientFactors::default);
        self.factors.resize_with(shards, BlockFactors::default);
        self.previous_factors.resize_with(shards, BlockFactors::default);
        self.blocks.resize_with(blocks, PackedBlock::default);
    }

    /// Computes the backward pass of all shards through block `index`. In parallel, computes the weight gradients of
    /// block `index + 1`, or those of the output matrix if there is no such block.
    fn backward_block(
        &mut self,
        network: &Network,
        ops: BlockOps,
        index: usize,
        gradient: &mut Parameters<Vec<f32>>,
    ) -> Result<()> {
        let Self { shards, blocks, factors, previous_factors, head_factors, scratch: pool, .. } = self;
        blocks[index].pack_backward(network.precision, &network.parameters.blocks[index])?;
        let block = &blocks[index];
        rayon::scope_fifo(|scope| {
            let pool = &*pool;
            for (shard, factors) in shards.iter_mut().zip(&mut *factors) {
                scope.spawn_fifo(move |_| {
                    pool.with(|scratch| shard.backward(ops, block, index, factors, scratch));
                });
            }
            for task in gradient_tasks(index + 1, previous_factors, head_factors, gradient) {
                scope.spawn_fifo(move |_| task.run(ops.options));
            }
        });
        sum_norm_grads(shards, 0, &mut gradient.blocks[index].attention_norm);
        sum_norm_grads(shards, 1, &mut gradient.blocks[index].ffn_norm);
        std::mem::swap(factors, previous_factors);
        Ok(())
    }
}

/// Overwrites `gradient` with the sum of the shards' `norm_grads[which]`.
fn sum_norm_grads(shards: &[Shard], which: usize, gradient: &mut [f32]) {
    gradient.fill(0.0);
    for shard in shards {
        add_assign(gradient, &shard.norm_grads[which]);
    }
}

/// Adds the gradient of the first hidden states to the gradient of the embedding. The gradient of
/// a tied embedding already contains the gradient of the output matrix.
fn add_embedding_grad(width: usize, tokens: &[u32], shards: &[Shard], gradient: &mut Parameters<Vec<f32>>) {
    if gradient.head.is_some() {
        gradient.embedding.fill(0.0);
    }
    let rows = shards.iter().flat_map(|shard| shard.hidden_grad.chunks_exact(width));
    for (&token, row) in tokens.iter().zip(rows) {
        add_assign(&mut gradient.embedding[token as usize * width..][..width], row);
    }
}

/// A parallel task: computes up to 64 rows of a matrix's gradient.
struct GradientTask<'a> {
    /// The factors from every shard.
    factors: Arc<[(PanelsView<'a>, PanelsView<'a>)]>,
    panel: usize,
    /// (rows, K)
    rows: &'a mut [f32],
}

impl GradientTask<'_> {
    fn run(self, options: MatmulOptions) {
        multiply_transposed(options, &self.factors, self.panel, self.rows, OutputMode::Overwrite);
    }
}

/// The tasks that compute the gradients of the matrices of a block, or of the output matrix if `block` is the number of
/// blocks.
fn gradient_tasks<'a>(
    block: usize,
    factors: &'a [BlockFactors],
    head_factors: &'a [GradientFactors],
    gradient: &'a mut Parameters<Vec<f32>>,
) -> Vec<GradientTask<'a>> {
    let Some(Block { qkv, output, gate_up, down, .. }) = gradient.blocks.get_mut(block) else {
        let gradient = gradient.head.as_mut().unwrap_or(&mut gradient.embedding);
        return tasks_of_matrix(head_factors.iter(), gradient).collect();
    };
    let shards = factors.iter();
    tasks_of_matrix(shards.clone().map(|shard| &shard.qkv), qkv)
        .chain(tasks_of_matrix(shards.clone().map(|shard| &shard.output), output))
        .chain(tasks_of_matrix(shards.clone().map(|shard| &shard.gate_up), gate_up))
        .chain(tasks_of_matrix(shards.map(|shard| &shard.down), down))
        .collect()
}

/// The tasks of one matrix's gradient (M, K).
fn tasks_of_matrix<'a>(
    factors: impl Iterator<Item = &'a GradientFactors>,
    gradient: &'a mut [f32],
) -> impl Iterator<Item = GradientTask<'a>> {
    let factors: Arc<[_]> = factors.map(GradientFactors::views).collect();
    let columns = factors.first().map_or(1, |factors| factors.1.columns());
    let rows = gradient.chunks_mut(PANEL * columns).enumerate();
    rows.map(move |(panel, rows)| GradientTask { factors: Arc::clone(&factors), panel, rows })
}

impl PackedHead {
    fn pack(&mut self, network: &Network) -> Result<()> {
        let (precision, width) = (network.precision, network.shape.width);
        with_slice(network.parameters.output(), |weights| {
            self.forward.pack_transposed_parallel(precision, weights, width);
            self.backward.pack_rows_parallel(precision, weights, width);
        })?;
        self.norm = super::to_vec(&network.parameters.norm)?;
        Ok(())
    }
}

impl Shard {
    /// Computes all blocks for the hidden states `x`, in place.
    fn forward(&mut self, ops: BlockOps, blocks: &[PackedBlock], time: usize, scratch: &mut BlockScratch) {
        self.activations.resize_with(blocks.len(), Activations::default);
        for (block, activations) in blocks.iter().zip(&mut self.activations) {
            ops.forward(block, &mut self.x, time, scratch, Some(activations));
        }
    }

    /// Computes the loss from the last hidden states. Writes their gradient to `hidden_grad`.
    fn loss(
        &mut self,
        ops: BlockOps,
        head: &PackedHead,
        targets: &[u32],
        scale: f32,
        factors: &mut GradientFactors,
        scratch: &mut BlockScratch,
    ) {
        let (shape, precision) = (ops.shape, ops.options.precision);
        let (width, vocabulary) = (shape.width, shape.vocab_size);
        ops.normalise(&self.x, &head.norm, &mut scratch.norm_scales, &mut scratch.normed);
        factors.input.pack_rows(precision, &scratch.normed, width);
        let BlockScratch { normed, packed, logits, attention_output: normed_grad, norm_scales, .. } = scratch;
        sized(normed_grad, normed.len());
        factors.output_grad.resize(precision, normed.len() / width, vocabulary);
        self.nats = 0.0;
        let parts = normed
            .chunks(LOGIT_ROWS * width)
            .zip(normed_grad.chunks_mut(LOGIT_ROWS * width))
            .zip(targets.chunks(LOGIT_ROWS));
        for (part, ((normed, normed_grad), targets)) in parts.enumerate() {
            let logits = sized(logits, targets.len() * vocabulary);
            packed.repack(precision, normed, width);
            ops.multiply(packed, &head.forward, logits, OutputMode::Overwrite);
            self.nats += softmax::cross_entropy(logits, targets, scale);
            factors.output_grad.pack_rows_at(precision, part * LOGIT_ROWS, logits);
            packed.repack(precision, logits, vocabulary);
            ops.multiply(packed, &head.backward, normed_grad, OutputMode::Overwrite);
        }
        let Self { x, hidden_grad, norm_grads, .. } = self;
        sized(hidden_grad, x.len()).fill(0.0);
        sized(&mut norm_grads[0], width).fill(0.0);
        norm::backward(x, &head.norm, norm_scales, normed_grad, hidden_grad, &mut norm_grads[0]);
    }

    /// Replaces `hidden_grad`, the gradient of a block's output, by the gradient of the block's input.
    fn backward(
        &mut self,
        ops: BlockOps,
        block: &PackedBlock,
        index: usize,
        factors: &mut BlockFactors,
        scratch: &mut BlockScratch,
    ) {
        let Self { hidden_grad, activations, norm_grads: [attention_norm_grad, ffn_norm_grad], .. } = self;
        let activations = &activations[index];
        backward_feed_forward(ops, block, activations, hidden_grad, factors, ffn_norm_grad, scratch);
        backward_attention(ops, block, activations, hidden_grad, factors, attention_norm_grad, scratch);
    }
}

/// The backward pass of a block's feed-forward half, some rows at a time.
fn backward_feed_forward(
    ops: BlockOps,
    block: &PackedBlock,
    activations: &Activations,
    hidden_grad: &mut [f32],
    BlockFactors { gate_up: gate_up_factors, down: down_factors, .. }: &mut BlockFactors,
    norm_grad: &mut Vec<f32>,
    scratch: &mut BlockScratch,
) {
    let (shape, precision) = (ops.shape, ops.options.precision);
    let (width, ffn) = (shape.width, shape.ffn);
    gate_up_factors.resize(precision, hidden_grad.len() / width, [2 * ffn, width]);
    down_factors.resize(precision, hidden_grad.len() / width, [width, ffn]);
    sized(norm_grad, width).fill(0.0);
    let BlockScratch { normed, norm_scales, packed, gate_up, activated, .. } = scratch;
    let normed_grad = &mut scratch.attention_output;
    let part_len = FEED_FORWARD_ROWS * width;
    let parts = hidden_grad.chunks_mut(part_len).zip(activations.middle.chunks(part_len));
    for (part, (hidden_grad, middle)) in parts.enumerate() {
        let (first_row, rows) = (part * FEED_FORWARD_ROWS, hidden_grad.len() / width);
        activations.gate_up.unpack(precision, 2 * ffn, first_row, sized(gate_up, rows * 2 * ffn));
        swiglu::forward(gate_up, ffn, sized(activated, rows * ffn));
        down_factors.input.pack_rows_at(precision, first_row, activated);
        down_factors.output_grad.pack_rows_at(precision, first_row, hidden_grad);
        packed.repack(precision, hidden_grad, width);
        let activated_grad = &mut *activated;
        ops.multiply(packed, &block.down, activated_grad, OutputMode::Overwrite);
        swiglu::backward(gate_up, ffn, activated_grad);

        ops.normalise(middle, &block.ffn_norm, norm_scales, normed);
        gate_up_factors.input.pack_rows_at(precision, first_row, normed);
        gate_up_factors.output_grad.pack_rows_at(precision, first_row, gate_up);
        packed.repack(precision, gate_up, 2 * ffn);
        ops.multiply(packed, &block.gate_up, sized(normed_grad, hidden_grad.len()), OutputMode::Overwrite);
        norm::backward(middle, &block.ffn_norm, norm_scales, normed_grad, hidden_grad, norm_grad);
    }
}

/// The backward pass of a block's attention half.
fn backward_attention(
    ops: BlockOps,
    block: &PackedBlock,
    activations: &Activations,
    hidden_grad: &mut [f32],
    BlockFactors { qkv: qkv_factors, output: output_factors, .. }: &mut BlockFactors,
    norm_grad: &mut Vec<f32>,
    scratch: &mut BlockScratch,
) {
    let BlockOps { options, shape, rotary } = ops;
    let (width, heads, precision) = (shape.width, shape.heads, options.precision);
    let rows = hidden_grad.len() / width;
    let BlockScratch { normed, norm_scales, packed, qkv, attention_output, activated: normed_grad, .. } =
        scratch;
    let columns = heads.output_width();
    activations.attention_output.unpack(precision, columns, 0, sized(attention_output, rows * columns));
    output_factors.input.pack_rows(precision, attention_output, columns);
    output_factors.output_grad.pack_rows(precision, hidden_grad, width);
    packed.repack(precision, hidden_grad, width);
    let attention_grad = attention_output;
    ops.multiply(packed, &block.output, attention_grad, OutputMode::Overwrite);
    activations.qkv.unpack(precision, heads.qkv_width(), 0, sized(qkv, rows * heads.qkv_width()));
    let causal = CausalAttention { options, sequence_len: activations.time, heads, rotary };
    attention::backward(causal, qkv, &mut scratch.attention, attention_grad, &activations.softmax_stats);

    ops.normalise(&activations.input, &block.attention_norm, norm_scales, normed);
    qkv_factors.input.pack_rows(precision, normed, width);
    qkv_factors.output_grad.pack_rows(precision, qkv, heads.qkv_width());
    packed.repack(precision, qkv, heads.qkv_width());
    ops.multiply(packed, &block.qkv, sized(normed_grad, hidden_grad.len()), OutputMode::Overwrite);
    sized(norm_grad, width).fill(0.0);
    let input = &activations.input;
    norm::backward(input, &block.attention_norm, norm_scales, normed_grad, hidden_grad, norm_grad);
}
