//! The loss of a batch, and the way back to its gradients.
//!
//! Every shard of sequences goes forward on one thread. Back, blocks are taken one after the other, the last first:
//! through each, a shard goes on one thread and packs the two factors of each weight's gradient,
//! `∂L/∂W = Σ_rows (∂L/∂y)ᵀ x`. Then the gradients are made, 64 rows of a matrix on one thread, summed over the shards
//! in order, while the shards already go back through the block before: the many small pieces fill the time in which
//! threads would wait for the last shard. So no shard has gradients of its own, and the bits do not depend on the
//! threads. The output matrix is handled likewise.

use super::super::Network;
use super::super::parameters::{Block, Parameters};
use super::{LOGIT_ROWS, Layer, PART_ROWS, Pass, Pool, Scratch, Sequences, Trace, embed, sized};
use crate::config::Precision;
use crate::model::slices::with_slice;
use candle_core::Result;
use genloss_kernels::attention::{self, CausalAttention};
use genloss_kernels::matmul::{MatmulOptions, OutputMode, PANEL, Panels, PanelsView, multiply_transposed};
use genloss_kernels::{self as kernels, norm, softmax, swiglu};
use rayon::prelude::*;
use std::sync::Arc;

/// Tokens of a shard, about: enough for the products to be efficient, few enough for many shards in a batch.
const SHARD_TOKENS: usize = 128;

/// Room for the gradients of a batch, reused from step to step.
#[derive(Default)]
pub struct Workspace {
    shards: Vec<Shard>,
    /// Every block, packed for the way forward, then for the way back.
    layers: Vec<Layer>,
    head: Head,
    /// The factors of the gradients of a block's matrices, by shard: of the block that the shards are in, and of the
    /// one that they left.
    factors: [Vec<[Factors; 4]>; 2],
    /// The same of the output matrix.
    head_factors: Vec<Factors>,
    pool: Pool,
}

/// What follows the last block: a norm, and the output matrix packed for both ways.
#[derive(Default)]
struct Head {
    norm: Vec<f32>,
    forward: Panels,
    backward: Panels,
}

/// Some sequences of a batch.
#[derive(Default)]
struct Shard {
    /// What flows forwards, (N, W).
    x: Vec<f32>,
    /// ∂L/∂x, (N, W).
    flow: Vec<f32>,
    traces: Vec<Trace>,
    /// The gradients of two norms' weights.
    norms: [Vec<f32>; 2],
    nats: f64,
}

/// The factors of a weight's gradient, both summed over rows.
#[derive(Default)]
struct Factors {
    /// ∂L/∂y (N, M)
    gradient: Panels,
    /// x (N, K)
    input: Panels,
}

impl Factors {
    /// Makes room for so many rows of M and of K numbers.
    fn open(&mut self, precision: Precision, rows: usize, [m, k]: [usize; 2]) {
        self.gradient.resize(precision, rows, m);
        self.input.resize(precision, rows, k);
    }

    fn views(&self) -> (PanelsView<'_>, PanelsView<'_>) {
        (self.gradient.view(), self.input.view())
    }
}

/// The negative log-likelihood of `targets` (B, T) summed in nats; into `gradient` goes the gradient of `scale` times
/// that sum.
///
/// # Errors
/// When the weights are not on the processor.
pub fn gradients(
    network: &Network,
    sequences: Sequences,
    targets: &[u32],
    scale: f32,
    workspace: &mut Workspace,
    gradient: &mut Parameters<Vec<f32>>,
) -> Result<f64> {
    let Sequences { tokens, time } = sequences;
    let Workspace { shards, layers, head, factors: [now, left], head_factors, pool } = workspace;
    let pass = Pass {
        options: MatmulOptions::new(network.precision),
        shape: &network.shape,
        rotary: &network.rotary,
    };
    let width = network.shape.width;
    let precision = network.precision;
    let piece = SHARD_TOKENS.div_ceil(time) * time;
    let blocks = &network.parameters.blocks;
    let count = tokens.len().div_ceil(piece);
    shards.resize_with(count, Shard::default);
    head_factors.resize_with(count, Factors::default);
    now.resize_with(count, Default::default);
    left.resize_with(count, Default::default);
    layers.resize_with(blocks.len(), Layer::default);

    head.pack(network)?;
    for (layer, block) in layers.iter_mut().zip(blocks) {
        layer.forward(precision, block)?;
    }
    with_slice(&network.parameters.embedding, |embedding| {
        let parts = tokens.par_chunks(piece).zip(targets.par_chunks(piece)).zip(&mut *head_factors);
        shards.par_iter_mut().zip(parts).for_each(|(shard, ((tokens, targets), factors))| {
            pool.with(|scratch| {
                embed(embedding, tokens, width, &mut shard.x);
                shard.enter(pass, layers, time, scratch);
                shard.leave(pass, head, targets, scale, factors, scratch);
            });
        });
    })?;
    let nats = shards.iter().map(|shard| shard.nats).sum();
    add_norms(shards, 0, &mut gradient.norm);

    for index in (0..blocks.len()).rev() {
        layers[index].backward(precision, &blocks[index])?;
        let layer = &layers[index];
        rayon::scope_fifo(|scope| {
            let pool = &*pool;
            for (shard, factors) in shards.iter_mut().zip(&mut *now) {
                scope.spawn_fifo(move |_| {
                    pool.with(|scratch| shard.back(pass, layer, index, factors, scratch));
                });
            }
            for piece in pieces(index + 1, left, head_factors, gradient) {
                scope.spawn_fifo(move |_| piece.make(pass.options));
            }
        });
        add_norms(shards, 0, &mut gradient.blocks[index].attention_norm);
        add_norms(shards, 1, &mut gradient.blocks[index].ffn_norm);
        std::mem::swap(now, left);
    }
    pieces(0, left, head_factors, gradient).into_par_iter().for_each(|piece| piece.make(pass.options));
    if gradient.head.is_some() {
        gradient.embedding.fill(0.0);
    }
    let flows = shards.iter().flat_map(|shard| shard.flow.chunks_exact(width));
    for (&token, flow) in tokens.iter().zip(flows) {
        kernels::add_assign(&mut gradient.embedding[token as usize * width..][..width], flow);
    }
    Ok(nats)
}

/// The sum over shards of one of their gradients of norms.
fn add_norms(shards: &[Shard], which: usize, gradient: &mut [f32]) {
    gradient.fill(0.0);
    for shard in shards {
        kernels::add_assign(gradient, &shard.norms[which]);
    }
}

/// Up to 64 rows of a matrix's gradient, and what they are made of.
struct Piece<'a> {
    /// The factors from every shard.
    factors: Arc<[(PanelsView<'a>, PanelsView<'a>)]>,
    panel: usize,
    /// (rows, K)
    rows: &'a mut [f32],
}

impl Piece<'_> {
    fn make(self, options: MatmulOptions) {
        multiply_transposed(options, &self.factors, self.panel, self.rows, OutputMode::Overwrite);
    }
}

/// The gradients of the matrices of a block, or, for the number after the last, of the output matrix.
fn pieces<'a>(
    block: usize,
    factors: &'a [[Factors; 4]],
    head_factors: &'a [Factors],
    gradient: &'a mut Parameters<Vec<f32>>,
) -> Vec<Piece<'a>> {
    let Some(Block { qkv, output, gate_up, down, .. }) = gradient.blocks.get_mut(block) else {
        let gradient = gradient.head.as_mut().unwrap_or(&mut gradient.embedding);
        return pieces_of(head_factors.iter().map(Factors::views).collect(), gradient).collect();
    };
    let matrices = [qkv, output, gate_up, down].into_iter().enumerate();
    let of_matrix = |(matrix, gradient): (usize, &'a mut Vec<f32>)| {
        pieces_of(factors.iter().map(|shard| shard[matrix].views()).collect(), gradient)
    };
    matrices.flat_map(of_matrix).collect()
}

/// The pieces of one matrix's gradient (M, K).
fn pieces_of<'a>(
    factors: Arc<[(PanelsView<'a>, PanelsView<'a>)]>,
    gradient: &'a mut [f32],
) -> impl Iterator<Item = Piece<'a>> {
    let columns = factors.first().map_or(1, |factors| factors.1.columns());
    let rows = gradient.chunks_mut(PANEL * columns).enumerate();
    rows.map(move |(panel, rows)| Piece { factors: Arc::clone(&factors), panel, rows })
}

impl Head {
    fn pack(&mut self, network: &Network) -> Result<()> {
        let (precision, width) = (network.precision, network.shape.width);
        with_slice(network.parameters.output(), |weights| {
            self.forward.pack_transposed_parallel(precision, weights, width);
            self.backward.pack_rows_parallel(precision, weights, width);
        })?;
        self.norm = super::values(&network.parameters.norm)?;
        Ok(())
    }
}

impl Shard {
    /// Forward through all blocks.
    fn enter(&mut self, pass: Pass, layers: &[Layer], time: usize, scratch: &mut Scratch) {
        self.traces.resize_with(layers.len(), Trace::default);
        for (layer, trace) in layers.iter().zip(&mut self.traces) {
            pass.block(layer, &mut self.x, time, scratch, Some(trace));
        }
    }

    /// From the last hidden states to the loss, and back to their gradient.
    fn leave(
        &mut self,
        pass: Pass,
        head: &Head,
        targets: &[u32],
        scale: f32,
        factors: &mut Factors,
        scratch: &mut Scratch,
    ) {
        let (shape, precision) = (pass.shape, pass.options.precision);
        let (width, vocabulary) = (shape.width, shape.vocab_size);
        pass.normalise(&self.x, &head.norm, &mut scratch.scales, &mut scratch.normed);
        factors.input.pack_rows(precision, &scratch.normed, width);
        let Scratch { normed, packed, logits, attention_output: gradient, scales, .. } = scratch;
        sized(gradient, normed.len());
        factors.gradient.resize(precision, normed.len() / width, vocabulary);
        self.nats = 0.0;
        let parts = normed
            .chunks(LOGIT_ROWS * width)
            .zip(gradient.chunks_mut(LOGIT_ROWS * width))
            .zip(targets.chunks(LOGIT_ROWS));
        for (part, ((normed, gradient), targets)) in parts.enumerate() {
            let logits = sized(logits, targets.len() * vocabulary);
            packed.repack(precision, normed, width);
            pass.multiply(packed, &head.forward, logits, OutputMode::Overwrite);
            self.nats += softmax::cross_entropy(logits, targets, scale);
            factors.gradient.pack_rows_at(precision, part * LOGIT_ROWS, logits);
            packed.repack(precision, logits, vocabulary);
            pass.multiply(packed, &head.backward, gradient, OutputMode::Overwrite);
        }
        let Self { x, flow, norms, .. } = self;
        sized(flow, x.len()).fill(0.0);
        sized(&mut norms[0], width).fill(0.0);
        norm::backward(x, &head.norm, scales, gradient, flow, &mut norms[0]);
    }

    /// Back through a block: given the gradient of what it gave in `flow`, leaves that of what it took there.
    fn back(
        &mut self,
        pass: Pass,
        layer: &Layer,
        index: usize,
        factors: &mut [Factors; 4],
        scratch: &mut Scratch,
    ) {
        let Self { flow, traces, norms, .. } = self;
        let trace = &traces[index];
        let [qkv, output, gate_up, down] = factors;
        back_through_feed_forward(pass, layer, trace, flow, [gate_up, down], &mut norms[1], scratch);
        back_through_attention(pass, layer, trace, flow, [qkv, output], &mut norms[0], scratch);
    }
}

fn back_through_feed_forward(
    pass: Pass,
    layer: &Layer,
    trace: &Trace,
    flow: &mut [f32],
    [to_gate_up, to_down]: [&mut Factors; 2],
    norm_gradient: &mut Vec<f32>,
    scratch: &mut Scratch,
) {
    let (shape, precision) = (pass.shape, pass.options.precision);
    let (width, ffn) = (shape.width, shape.ffn);
    to_gate_up.open(precision, flow.len() / width, [2 * ffn, width]);
    to_down.open(precision, flow.len() / width, [width, ffn]);
    sized(norm_gradient, width).fill(0.0);
    let Scratch { normed, scales, packed, gate_up, activated, attention_output: gradient, .. } = scratch;
    let parts = flow.chunks_mut(PART_ROWS * width).zip(trace.middle.chunks(PART_ROWS * width));
    for (part, (flow, middle)) in parts.enumerate() {
        let (first, rows) = (part * PART_ROWS, flow.len() / width);
        trace.gate_up.unpack(precision, 2 * ffn, first, sized(gate_up, rows * 2 * ffn));
        swiglu::forward(gate_up, ffn, sized(activated, rows * ffn));
        to_down.input.pack_rows_at(precision, first, activated);
        to_down.gradient.pack_rows_at(precision, first, flow);
        packed.repack(precision, flow, width);
        pass.multiply(packed, &layer.down, activated, OutputMode::Overwrite);
        swiglu::backward(gate_up, ffn, activated);

        pass.normalise(middle, &layer.ffn_norm, scales, normed);
        to_gate_up.input.pack_rows_at(precision, first, normed);
        to_gate_up.gradient.pack_rows_at(precision, first, gate_up);
        packed.repack(precision, gate_up, 2 * ffn);
        pass.multiply(packed, &layer.gate_up, sized(gradient, flow.len()), OutputMode::Overwrite);
        norm::backward(middle, &layer.ffn_norm, scales, gradient, flow, norm_gradient);
    }
}

fn back_through_attention(
    pass: Pass,
    layer: &Layer,
    trace: &Trace,
    flow: &mut [f32],
    [to_qkv, to_output]: [&mut Factors; 2],
    norm_gradient: &mut Vec<f32>,
    scratch: &mut Scratch,
) {
    let Pass { options, shape, rotary } = pass;
    let (width, heads, precision) = (shape.width, shape.heads, options.precision);
    let rows = flow.len() / width;
    let Scratch {
        normed,
        scales,
        packed,
        qkv,
        attention_output,
        attention: attention_scratch,
        activated: gradient,
        ..
    } = scratch;
    let columns = heads.output_width();
    trace.attention_output.unpack(precision, columns, 0, sized(attention_output, rows * columns));
    to_output.input.pack_rows(precision, attention_output, columns);
    to_output.gradient.pack_rows(precision, flow, width);
    packed.repack(precision, flow, width);
    pass.multiply(packed, &layer.output, attention_output, OutputMode::Overwrite);
    trace.qkv.unpack(precision, heads.qkv_width(), 0, sized(qkv, rows * heads.qkv_width()));
    let over = CausalAttention { options, sequence_len: trace.time, heads, rotary };
    attention::backward(over, qkv, attention_scratch, attention_output, &trace.softmax_stats);

    pass.normalise(&trace.input, &layer.attention_norm, scales, normed);
    to_qkv.input.pack_rows(precision, normed, width);
    to_qkv.gradient.pack_rows(precision, qkv, heads.qkv_width());
    packed.repack(precision, qkv, heads.qkv_width());
    pass.multiply(packed, &layer.qkv, sized(gradient, flow.len()), OutputMode::Overwrite);
    sized(norm_gradient, width).fill(0.0);
    norm::backward(&trace.input, &layer.attention_norm, scales, gradient, flow, norm_gradient);
}
