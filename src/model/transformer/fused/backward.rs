//! The loss of a batch and its gradients.
//!
//! A batch is split into shards of sequences. Both passes handle one block after another, so that the weights of one
//! block at a time are packed; in each block, a shard runs on one thread. In the backward pass each shard
//! packs the two factors of each weight gradient, `∂L/∂W = Σ_rows (∂L/∂y)ᵀ x`. The gradients themselves are computed
//! later, while the shards already process the preceding block. This computation is split into tasks of 64 rows of a
//! matrix. Many small tasks fill the time in which threads would wait for the last shard. Each task sums over the
//! shards in order. Therefore no shard needs gradients of its own, and the result is bit-identical for any number of
//! threads. The gradient of the output matrix is computed in the same way.
//!
//! [`crate::training::gradients`] is the caller, and has an example.

use super::super::Network;
use super::super::architecture::{FeedForward, HeadNorm, Positions};
use super::super::parameters::{Affine, Block, Parameters, Shape};
use super::{
    Activations, BlockOps, BlockScratch, FEED_FORWARD_ROWS, LOGIT_ROWS, PackedAffine, PackedBlock,
    PackedNorm, PositionTable, ScratchPool, Sequences, embed, heads_with_norm, projections, sized,
};
use crate::model::slices::with_slice;
use candle_core::Result;
use genloss_kernels::Precision;
use genloss_kernels::attention;
use genloss_kernels::matmul::{
    MatmulOptions, OutputMode, PANEL, PackedRows, Panels, PanelsView, multiply, multiply_transposed,
};
use genloss_kernels::norm::{layer, rms};
use genloss_kernels::{activation, add_assign, add_sum_of_rows, geglu, softcap, softmax, swiglu};
use rayon::prelude::*;
use std::sync::Arc;

/// Approximate number of tokens per shard: enough for efficient products, few enough for many shards per batch.
const SHARD_TOKENS: usize = 128;

/// Memory for the gradients of a batch, reused from step to step.
#[derive(Default)]
pub struct GradientWorkspace {
    shards: Vec<Shard>,
    /// The weights of the current block, packed for the pass that is under way.
    block: PackedBlock,
    head: PackedHead,
    /// The gradient of the network without projections of its embeddings, if it has them.
    without_projections: Option<Parameters<Vec<f32>>>,
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
    norm: PackedNorm,
    forward: PackedAffine,
    backward: PackedAffine,
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
    /// Gradients of the vectors of the current block.
    vector_grads: VectorGrads,
    /// Gradient of the final norm.
    norm_grad: Affine<Vec<f32>>,
    nats: f64,
}

/// A shard's gradients of the weights of norms and of biases; those that the architecture does not have are empty.
#[derive(Default)]
struct VectorGrads {
    attention_norm: Affine<Vec<f32>>,
    attention_post_norm: Affine<Vec<f32>>,
    qkv: Vec<f32>,
    query_norm: Vec<f32>,
    key_norm: Vec<f32>,
    output: Vec<f32>,
    ffn_norm: Affine<Vec<f32>>,
    ffn_post_norm: Affine<Vec<f32>>,
    up: Vec<f32>,
    down: Vec<f32>,
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
    up: GradientFactors,
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
    let Some(without) = projections::without(network)? else {
        return gradients_of_tables(network, sequences, targets, scale, workspace, gradient);
    };
    let of_tables = workspace.without_projections.take();
    let mut of_tables = of_tables.unwrap_or_else(|| projections::gradient_without(gradient, &without.shape));
    let nats = gradients_of_tables(&without, sequences, targets, scale, workspace, &mut of_tables)?;
    projections::gradients(network, &of_tables, gradient)?;
    workspace.without_projections = Some(of_tables);
    Ok(nats)
}

/// As [`gradients`], of a network whose embeddings are not projected.
fn gradients_of_tables(
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
        rotaries: &network.rotaries,
    };
    workspace.forward(network, ops, sequences, targets, scale)?;
    let nats = workspace.shards.iter().map(|shard| shard.nats).sum();
    if let Some(norm) = &mut gradient.norm {
        sum_norm_grads(&workspace.shards, norm, |shard| &shard.norm_grad);
    }
    for index in (0..network.parameters.blocks.len()).rev() {
        workspace.backward_block(network, ops, index, gradient)?;
    }
    let GradientWorkspace { shards, previous_factors, head_factors, .. } = workspace;
    gradient_tasks(0, previous_factors, head_factors, gradient)
        .into_par_iter()
        .for_each(|task| task.run(ops.options));
    add_embedding_grad(&network.shape, sequences, shards, gradient);
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
        let Self { shards, block, head, head_factors, scratch, .. } = self;
        let positions = PositionTable::of(network)?;
        with_slice(&network.parameters.embedding, |embedding| {
            let parts = shards.par_iter_mut().zip(tokens.par_chunks(shard_tokens));
            parts.for_each(|(shard, tokens)| {
                embed(embedding, tokens, &network.shape, &mut shard.x);
                if let Some(table) = &positions {
                    table.add((0..time).cycle(), network.shape.width, &mut shard.x);
                }
            });
        })?;
        for layer in 0..network.parameters.blocks.len() {
            block.pack_forward(network, layer)?;
            shards.par_iter_mut().for_each(|Shard { x, activations, .. }| {
                let activations = Some(&mut activations[layer]);
                scratch.with(|scratch| ops.forward(block, layer, x, time, scratch, activations));
            });
        }
        head.pack(network)?;
        let parts = shards.par_iter_mut().zip(targets.par_chunks(shard_tokens)).zip(head_factors);
        parts.for_each(|((shard, targets), factors)| {
            scratch.with(|scratch| shard.loss(ops, head, targets, scale, factors, scratch));
        });
        Ok(())
    }

    fn resize(&mut self, shards: usize, blocks: usize) {
        self.shards.resize_with(shards, Shard::default);
        for shard in &mut self.shards {
            shard.activations.resize_with(blocks, Activations::default);
        }
        self.head_factors.resize_with(shards, GradientFactors::default);
        self.factors.resize_with(shards, BlockFactors::default);
        self.previous_factors.resize_with(shards, BlockFactors::default);
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
        let Self { shards, block, factors, previous_factors, head_factors, scratch: pool, .. } = self;
        block.pack_backward(network, index)?;
        let block = &*block;
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
        sum_vector_grads(shards, &mut gradient.blocks[index]);
        std::mem::swap(factors, previous_factors);
        Ok(())
    }
}

/// Overwrites `gradient` with the sum of a vector of every shard.
fn sum_over_shards(shards: &[Shard], gradient: &mut [f32], vector: impl Fn(&Shard) -> &[f32]) {
    gradient.fill(0.0);
    for shard in shards {
        add_assign(gradient, vector(shard));
    }
}

/// One of the norms of a block.
type OfNorm = fn(&VectorGrads) -> &Affine<Vec<f32>>;

/// Overwrites the gradients of the vectors of a block.
fn sum_vector_grads(shards: &[Shard], block: &mut Block<Vec<f32>>) {
    let sum = |gradient: Option<&mut Vec<f32>>, vector: fn(&VectorGrads) -> &[f32]| {
        if let Some(gradient) = gradient {
            sum_over_shards(shards, gradient, |shard| vector(&shard.vector_grads));
        }
    };
    sum(block.qkv.bias.as_mut(), |grads| &grads.qkv);
    sum(block.query_norm.as_mut(), |grads| &grads.query_norm);
    sum(block.key_norm.as_mut(), |grads| &grads.key_norm);
    sum(block.output.bias.as_mut(), |grads| &grads.output);
    sum(block.up.bias.as_mut(), |grads| &grads.up);
    sum(block.down.bias.as_mut(), |grads| &grads.down);
    let norms: [(_, OfNorm); 4] = [
        (&mut block.attention_norm, |grads| &grads.attention_norm),
        (&mut block.attention_post_norm, |grads| &grads.attention_post_norm),
        (&mut block.ffn_norm, |grads| &grads.ffn_norm),
        (&mut block.ffn_post_norm, |grads| &grads.ffn_post_norm),
    ];
    for (gradient, norm) in norms {
        if let Some(gradient) = gradient {
            sum_norm_grads(shards, gradient, |shard| norm(&shard.vector_grads));
        }
    }
}

/// Overwrites the gradient of a norm with the sum over the shards.
fn sum_norm_grads(
    shards: &[Shard],
    gradient: &mut Affine<Vec<f32>>,
    norm: impl Fn(&Shard) -> &Affine<Vec<f32>>,
) {
    sum_over_shards(shards, &mut gradient.weight, |shard| &norm(shard).weight);
    if let Some(bias) = &mut gradient.bias {
        sum_over_shards(shards, bias, |shard| norm(shard).bias.as_deref().unwrap_or(&[]));
    }
}

/// Adds the gradient of the first hidden states to the gradients of the embedding and of learned positions. The gradient
/// of a tied embedding already contains the gradient of the output matrix.
fn add_embedding_grad(
    shape: &Shape,
    Sequences { tokens, time }: Sequences,
    shards: &[Shard],
    gradient: &mut Parameters<Vec<f32>>,
) {
    let width = shape.width;
    if gradient.head.is_some() {
        gradient.embedding.fill(0.0);
    }
    let rows = || shards.iter().flat_map(|shard| shard.hidden_grad.chunks_exact(width));
    let scale = shape.architecture.embedding_scale;
    for (&token, row) in tokens.iter().zip(rows()) {
        let gradient = &mut gradient.embedding[token as usize * width..][..width];
        // A product with 1 would change no bit, but the sum is on the path of every model.
        match scale == 1.0 {
            true => add_assign(gradient, row),
            false => gradient.iter_mut().zip(row).for_each(|(sum, x)| *sum += scale * x),
        }
    }
    if let (Some(table), &Positions::Learned { offset }) =
        (&mut gradient.positions, &shape.architecture.positions)
    {
        table.fill(0.0);
        for (position, row) in (0..time).cycle().zip(rows()) {
            add_assign(&mut table[(position + offset) * width..][..width], row);
        }
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
    let Some(Block { qkv, output, up, down, .. }) = gradient.blocks.get_mut(block) else {
        let gradient = gradient.head.as_mut().unwrap_or(&mut gradient.embedding);
        return tasks_of_matrix(head_factors.iter(), gradient).collect();
    };
    let shards = factors.iter();
    tasks_of_matrix(shards.clone().map(|shard| &shard.qkv), &mut qkv.weight)
        .chain(tasks_of_matrix(shards.clone().map(|shard| &shard.output), &mut output.weight))
        .chain(tasks_of_matrix(shards.clone().map(|shard| &shard.up), &mut up.weight))
        .chain(tasks_of_matrix(shards.map(|shard| &shard.down), &mut down.weight))
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
            self.forward.weight.pack_transposed_parallel(precision, weights, width);
            self.backward.weight.pack_rows_parallel(precision, weights, width);
        })?;
        let norm = network.parameters.norm.as_ref();
        self.norm = norm.map(|norm| super::packed_norm(&network.shape, norm)).transpose()?;
        Ok(())
    }
}

impl Shard {
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
        ops.read(&self.x, &head.norm, &mut scratch.norm_scales, &mut scratch.normed);
        factors.input.pack_rows(precision, &scratch.normed, width);
        let BlockScratch { normed, packed, logits, attention_output: normed_grad, norm_scales, .. } = scratch;
        let capped = &mut scratch.inner;
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
            self.nats += loss_of_logits(logits, targets, scale, shape.architecture.logit_cap, capped);
            factors.output_grad.pack_rows_at(precision, part * LOGIT_ROWS, logits);
            packed.repack(precision, logits, vocabulary);
            ops.multiply_back(packed, &head.backward, normed_grad);
        }
        let Self { x, hidden_grad, norm_grad, .. } = self;
        sized(hidden_grad, x.len()).fill(0.0);
        clear_grad(&head.norm, norm_grad);
        ops.read_backward(x, &head.norm, norm_scales, normed_grad, hidden_grad, norm_grad);
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
        let Self { hidden_grad, activations, vector_grads, .. } = self;
        let activations = &activations[index];
        let upstream = ops.shape.architecture.parallel.then(|| hidden_grad.clone());
        backward_feed_forward(ops, block, activations, hidden_grad, factors, vector_grads, scratch);
        let upstream = upstream.as_deref();
        backward_attention(
            ops,
            block,
            index,
            activations,
            upstream,
            hidden_grad,
            factors,
            vector_grads,
            scratch,
        );
    }
}

/// The loss of `logits` (N, V), which it replaces by their gradient. Logits are capped first if there is a cap; `capped` is
/// memory for that.
fn loss_of_logits(
    logits: &mut [f32],
    targets: &[u32],
    scale: f32,
    cap: Option<f32>,
    capped: &mut Vec<f32>,
) -> f64 {
    let Some(cap) = cap else { return softmax::cross_entropy(logits, targets, scale) };
    softcap::forward(logits, 1.0, cap);
    logits.clone_into(capped);
    let nats = softmax::cross_entropy(logits, targets, scale);
    softcap::backward(capped, logits, 1.0, cap);
    nats
}

impl BlockOps<'_> {
    /// Adds to `x_grad`, given the gradient `read_grad` of what a half of a block [reads](BlockOps::read) of `x`, and
    /// overwrites the gradient of its norm.
    fn read_backward(
        self,
        x: &[f32],
        norm: &PackedNorm,
        scales: &[f32],
        read_grad: &[f32],
        x_grad: &mut [f32],
        norm_grad: &mut Affine<Vec<f32>>,
    ) {
        match norm {
            Some(norm) => self.norm_backward(x, norm, scales, read_grad, x_grad, norm_grad),
            None => add_assign(x_grad, read_grad),
        }
    }

    /// The gradient of the product that a half of a block [adds](BlockOps::add_product), given the gradient `sum_grad` of the
    /// sum: the same, unless the product goes through a norm first. `added` is the product.
    fn added_backward<'g>(
        self,
        added: &[f32],
        post_norm: &PackedNorm,
        sum_grad: &'g [f32],
        scratch: (&'g mut Vec<f32>, &mut Vec<f32>, &mut Vec<f32>),
        norm_grad: &mut Affine<Vec<f32>>,
    ) -> &'g [f32] {
        let Some(norm) = post_norm.as_ref().filter(|_| !self.normalises_sums()) else { return sum_grad };
        let (added_grad, normed, scales) = scratch;
        self.normalise(added, norm, scales, normed);
        sized(added_grad, added.len()).fill(0.0);
        self.norm_backward(added, norm, scales, sum_grad, added_grad, norm_grad);
        added_grad
    }

    /// Replaces `grad`, the gradient of the output of a half of a block, by that of the `sum` which was normalised, if the
    /// architecture normalises sums.
    fn sum_backward(
        self,
        sum: &[f32],
        post_norm: &PackedNorm,
        grad: &mut [f32],
        (sum_grad, normed, scales): (&mut Vec<f32>, &mut Vec<f32>, &mut Vec<f32>),
        norm_grad: &mut Affine<Vec<f32>>,
    ) {
        let Some(norm) = post_norm.as_ref().filter(|_| self.normalises_sums()) else { return };
        self.normalise(sum, norm, scales, normed);
        sized(sum_grad, sum.len()).fill(0.0);
        self.norm_backward(sum, norm, scales, grad, sum_grad, norm_grad);
        grad.copy_from_slice(sum_grad);
    }

    /// Adds to `x_grad` and `norm_grad`, given the gradient `y_grad` of the normalised rows of `x` and the `scales` of
    /// [`normalise`](BlockOps::normalise).
    fn norm_backward(
        self,
        x: &[f32],
        norm: &Affine<Vec<f32>>,
        scales: &[f32],
        y_grad: &[f32],
        x_grad: &mut [f32],
        norm_grad: &mut Affine<Vec<f32>>,
    ) {
        let Affine { weight, bias } = norm_grad;
        match bias {
            Some(bias) => layer::backward(x, &norm.weight, self.epsilon(), y_grad, x_grad, weight, bias),
            None => rms::backward(x, &norm.weight, scales, y_grad, x_grad, weight),
        }
    }

    /// Multiplies by a matrix without its bias, which no gradient passes through.
    fn multiply_back(self, rows: &PackedRows, weights: &PackedAffine, out: &mut [f32]) {
        multiply(self.options, &rows.words, rows.stride, weights.weight.view(), out, OutputMode::Overwrite);
    }

    /// Replaces the gradient of the normalised queries and keys in `grad` (N, (H + 2K) D) by that of `qkv`, which they
    /// were computed from.
    fn heads_backward(self, block: &PackedBlock, qkv: &[f32], grad: &mut [f32], grads: &mut VectorGrads) {
        let heads = self.shape.heads;
        let weights = [&block.query_norm, &block.key_norm];
        for (weight_grad, weight) in [&mut grads.query_norm, &mut grads.key_norm].into_iter().zip(weights) {
            sized(weight_grad, weight.as_ref().map_or(0, Vec::len)).fill(0.0);
        }
        let (mut normed, mut scales) = (Vec::new(), [0.0]);
        for (x, grad) in qkv.chunks_exact(heads.qkv_width()).zip(grad.chunks_exact_mut(heads.qkv_width())) {
            let weight_grads = [&mut grads.query_norm, &mut grads.key_norm];
            for ((weight, columns), weight_grad) in heads_with_norm(heads, block).zip(weight_grads) {
                let pairs = x[columns.clone()].chunks_exact(weight.len());
                for (x, grad) in pairs.zip(grad[columns].chunks_exact_mut(weight.len())) {
                    let normed = sized(&mut normed, weight.len());
                    rms::forward(x, weight, self.epsilon(), normed, &mut scales);
                    normed.copy_from_slice(grad);
                    grad.fill(0.0);
                    rms::backward(x, weight, &scales, normed, grad, weight_grad);
                }
            }
        }
    }
}

/// Sets the gradient of a norm of a block to zero, if there is one.
fn clear_grad(norm: &PackedNorm, grad: &mut Affine<Vec<f32>>) {
    if let Some(norm) = norm {
        clear_norm_grad(norm, grad);
    }
}

/// Sets the gradient of a norm to zero, with a bias if the norm has one.
fn clear_norm_grad(norm: &Affine<Vec<f32>>, grad: &mut Affine<Vec<f32>>) {
    sized(&mut grad.weight, norm.weight.len()).fill(0.0);
    grad.bias = norm.bias.as_ref().map(|bias| vec![0.0; bias.len()]);
}

/// Overwrites the gradient of a bias, if there is one, with the sum of the rows of ∂L/∂y.
fn bias_grad(weights: &PackedAffine, output_grad: &[f32], grad: &mut Vec<f32>) {
    if let Some(bias) = &weights.bias {
        sized(grad, bias.len()).fill(0.0);
        add_sum_of_rows(output_grad, grad);
    }
}

/// The backward pass of a block's feed-forward half, some rows at a time.
fn backward_feed_forward(
    ops: BlockOps,
    block: &PackedBlock,
    activations: &Activations,
    hidden_grad: &mut [f32],
    BlockFactors { up: up_factors, down: down_factors, .. }: &mut BlockFactors,
    grads: &mut VectorGrads,
    scratch: &mut BlockScratch,
) {
    let (shape, precision) = (ops.shape, ops.options.precision);
    let (width, ffn, inner_width) = (shape.width, shape.ffn, shape.inner());
    up_factors.resize(precision, hidden_grad.len() / width, [inner_width, width]);
    down_factors.resize(precision, hidden_grad.len() / width, [width, ffn]);
    clear_grad(&block.ffn_norm, &mut grads.ffn_norm);
    clear_grad(&block.ffn_post_norm, &mut grads.ffn_post_norm);
    for (matrix, grad) in [(&block.up, &mut grads.up), (&block.down, &mut grads.down)] {
        if let Some(bias) = &matrix.bias {
            sized(grad, bias.len()).fill(0.0);
        }
    }
    let BlockScratch { normed, norm_scales, packed, inner, activated, added: added_grad, .. } = scratch;
    let normed_grad = &mut scratch.attention_output;
    let part_len = FEED_FORWARD_ROWS * width;
    let parts = hidden_grad.chunks_mut(part_len).zip(activations.middle.chunks(part_len));
    for (part, (hidden_grad, middle)) in parts.enumerate() {
        let (first_row, rows) = (part * FEED_FORWARD_ROWS, hidden_grad.len() / width);
        activations.inner.unpack(precision, inner_width, first_row, sized(inner, rows * inner_width));
        ops.activate(inner, sized(activated, rows * ffn));
        down_factors.input.pack_rows_at(precision, first_row, activated);
        let added = activations.ffn_added.get(part * part_len..).unwrap_or_default();
        let added = &added[..added.len().min(hidden_grad.len())];
        ops.sum_backward(
            added,
            &block.ffn_post_norm,
            hidden_grad,
            (&mut *added_grad, &mut *normed, &mut *norm_scales),
            &mut grads.ffn_post_norm,
        );
        let down_grad = ops.added_backward(
            added,
            &block.ffn_post_norm,
            hidden_grad,
            (&mut *added_grad, &mut *normed, &mut *norm_scales),
            &mut grads.ffn_post_norm,
        );
        down_factors.output_grad.pack_rows_at(precision, first_row, down_grad);
        if block.down.bias.is_some() {
            add_sum_of_rows(down_grad, &mut grads.down);
        }
        packed.repack(precision, down_grad, width);
        let activated_grad = &mut *activated;
        ops.multiply_back(packed, &block.down, activated_grad);
        match shape.architecture.feed_forward {
            FeedForward::SwiGlu => swiglu::backward(inner, ffn, activated_grad),
            FeedForward::GeGlu => geglu::backward(inner, ffn, activated_grad),
            FeedForward::Plain(kind) => activation::backward(kind, inner, activated_grad),
        }
        if block.up.bias.is_some() {
            add_sum_of_rows(inner, &mut grads.up);
        }

        ops.read(middle, &block.ffn_norm, norm_scales, normed);
        up_factors.input.pack_rows_at(precision, first_row, normed);
        up_factors.output_grad.pack_rows_at(precision, first_row, inner);
        packed.repack(precision, inner, inner_width);
        ops.multiply_back(packed, &block.up, sized(normed_grad, hidden_grad.len()));
        ops.read_backward(
            middle,
            &block.ffn_norm,
            norm_scales,
            normed_grad,
            hidden_grad,
            &mut grads.ffn_norm,
        );
    }
}

/// The backward pass of a block's attention half. `upstream` is the gradient of the block's output where `hidden_grad`
/// already has more.
#[expect(clippy::too_many_arguments, reason = "a step of the backward pass, with the state of its shard")]
fn backward_attention(
    ops: BlockOps,
    block: &PackedBlock,
    layer: usize,
    activations: &Activations,
    upstream: Option<&[f32]>,
    hidden_grad: &mut [f32],
    BlockFactors { qkv: qkv_factors, output: output_factors, .. }: &mut BlockFactors,
    grads: &mut VectorGrads,
    scratch: &mut BlockScratch,
) {
    let shape = ops.shape;
    let (width, heads, precision) = (shape.width, shape.heads, ops.options.precision);
    let rows = hidden_grad.len() / width;
    let BlockScratch { normed, norm_scales, packed, qkv, attention_output, activated: normed_grad, .. } =
        scratch;
    let columns = heads.output_width();
    activations.attention_output.unpack(precision, columns, 0, sized(attention_output, rows * columns));
    clear_grad(&block.attention_post_norm, &mut grads.attention_post_norm);
    ops.sum_backward(
        &activations.attention_added,
        &block.attention_post_norm,
        hidden_grad,
        (&mut scratch.added, &mut *normed, &mut *norm_scales),
        &mut grads.attention_post_norm,
    );
    let output_grad = ops.added_backward(
        &activations.attention_added,
        &block.attention_post_norm,
        upstream.unwrap_or(hidden_grad),
        (&mut scratch.added, &mut *normed, &mut *norm_scales),
        &mut grads.attention_post_norm,
    );
    output_factors.input.pack_rows(precision, attention_output, columns);
    output_factors.output_grad.pack_rows(precision, output_grad, width);
    bias_grad(&block.output, output_grad, &mut grads.output);
    packed.repack(precision, output_grad, width);
    let attention_grad = attention_output;
    ops.multiply_back(packed, &block.output, attention_grad);
    let qkv = sized(qkv, rows * heads.qkv_width());
    activations.qkv.unpack(ops.kept_precision(), heads.qkv_width(), 0, qkv);
    let unnormed = (shape.architecture.head_norm != HeadNorm::None).then(|| qkv.to_vec());
    ops.normalise_heads(block, qkv);
    let causal = ops.causal(layer, activations.time);
    attention::backward(causal, qkv, &mut scratch.attention, attention_grad, &activations.softmax_stats);
    if let Some(unnormed) = unnormed {
        ops.heads_backward(block, &unnormed, qkv, grads);
    }
    bias_grad(&block.qkv, qkv, &mut grads.qkv);

    ops.read(&activations.input, &block.attention_norm, norm_scales, normed);
    qkv_factors.input.pack_rows(precision, normed, width);
    qkv_factors.output_grad.pack_rows(precision, qkv, heads.qkv_width());
    packed.repack(precision, qkv, heads.qkv_width());
    ops.multiply_back(packed, &block.qkv, sized(normed_grad, hidden_grad.len()));
    clear_grad(&block.attention_norm, &mut grads.attention_norm);
    let input = &activations.input;
    let norm_grad = &mut grads.attention_norm;
    ops.read_backward(input, &block.attention_norm, norm_scales, normed_grad, hidden_grad, norm_grad);
}
