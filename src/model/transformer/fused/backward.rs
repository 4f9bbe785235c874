//! The loss of a batch, and the way back to its gradients.
//!
//! Blocks are taken one after the other, the last first. Through each, every shard of sequences goes back on one
//! thread and packs the two factors of each weight's gradient, `∂L/∂W = Σ_rows (∂L/∂y)ᵀ x`. Then the gradients are
//! made, 64 rows of a matrix on one thread, summed over the shards in order. So no shard has gradients of its own, and
//! the bits do not depend on the threads. The output matrix is handled likewise, over some shards at a time: the
//! logits of a batch never exist whole.

use super::super::Network;
use super::super::parameters::{Block, Parameters};
use super::{LOGIT_ROWS, Layer, PART_ROWS, Pass, Pool, Scratch, Sequences, Trace, embed, sized};
use crate::config::Precision;
use crate::kernels::attention::{self, Causal};
use crate::kernels::matmul::{How, Into, PANEL, Panels, View, multiply_transposed};
use crate::kernels::{self, activation, norm, read, softmax};
use candle_core::Result;
use rayon::prelude::*;

/// Tokens of a shard, about: enough for the products to be efficient, few enough for many shards in a batch.
const SHARD_TOKENS: usize = 128;
/// Tokens whose gradients of logits are kept at a time.
const HEAD_TOKENS: usize = 1024;

/// Room for the gradients of a batch, reused from step to step.
#[derive(Default)]
pub struct Workspace {
    shards: Vec<Shard>,
    layer: Layer,
    head: Head,
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
    /// The factors of the gradients of a block's matrices.
    factors: [Factors; 4],
    head: Factors,
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
        self.gradient.open(precision, rows, m);
        self.input.open(precision, rows, k);
    }

    fn views(&self) -> (View<'_>, View<'_>) {
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
    let Workspace { shards, layer, head, pool } = workspace;
    let pass = Pass { how: How::new(network.precision), shape: &network.shape, rotary: &network.rotary };
    let width = network.shape.width;
    let precision = network.precision;
    let piece = SHARD_TOKENS.div_ceil(time) * time;
    shards.resize_with(tokens.len().div_ceil(piece), Shard::default);
    read(&network.parameters.embedding, |embedding| {
        shards.par_iter_mut().zip(tokens.par_chunks(piece)).for_each(|(shard, tokens)| {
            embed(embedding, tokens, width, &mut shard.x);
        });
    })?;
    for (index, block) in network.parameters.blocks.iter().enumerate() {
        layer.forward(precision, block)?;
        shards.par_iter_mut().for_each(|shard| {
            shard.traces.resize_with(network.shape.layers, Trace::default);
            let Shard { x, traces, .. } = shard;
            pool.with(|scratch| pass.block(layer, x, time, scratch, Some(&mut traces[index])));
        });
    }

    let output = network.parameters.output();
    read(output, |weights| {
        head.forward.write_columns_in_parallel(precision, weights, width);
        head.backward.write_rows_in_parallel(precision, weights, width);
    })?;
    head.norm = super::values(&network.parameters.norm)?;
    let output_gradient = gradient.head.as_mut().unwrap_or(&mut gradient.embedding);
    let at_a_time = (HEAD_TOKENS / piece).max(1);
    let parts = shards.chunks_mut(at_a_time).zip(targets.chunks(at_a_time * piece));
    for (index, (shards, targets)) in parts.enumerate() {
        shards.par_iter_mut().zip(targets.par_chunks(piece)).for_each(|(shard, targets)| {
            pool.with(|scratch| shard.leave(pass, head, targets, scale, scratch));
        });
        let pairs: Vec<_> = shards.iter().map(|shard| shard.head.views()).collect();
        let into = if index == 0 { Into::Replace } else { Into::Add };
        weight_gradients(pass.how, vec![(pairs, &mut *output_gradient)], into);
    }
    let nats = shards.iter().map(|shard| shard.nats).sum();
    add_norms(shards, 0, &mut gradient.norm);

    let blocks = network.parameters.blocks.iter().zip(&mut gradient.blocks).enumerate().rev();
    for (index, (block, gradient)) in blocks {
        layer.backward(precision, block)?;
        shards.par_iter_mut().for_each(|shard| {
            pool.with(|scratch| shard.back(pass, layer, index, scratch));
        });
        add_norms(shards, 0, &mut gradient.attention_norm);
        add_norms(shards, 1, &mut gradient.ffn_norm);
        let Block { qkv, output, gate_up, down, .. } = gradient;
        let matrices = [qkv, output, gate_up, down].into_iter().enumerate();
        let tasks = matrices.map(|(matrix, gradient)| {
            (shards.iter().map(|shard| shard.factors[matrix].views()).collect(), gradient)
        });
        weight_gradients(pass.how, tasks.collect(), Into::Replace);
    }
    if gradient.head.is_some() {
        gradient.embedding.fill(0.0);
    }
    let flows = shards.iter().flat_map(|shard| shard.flow.chunks_exact(width));
    for (&token, flow) in tokens.iter().zip(flows) {
        kernels::add(&mut gradient.embedding[token as usize * width..][..width], flow);
    }
    Ok(nats)
}

/// The sum over shards of one of their gradients of norms.
fn add_norms(shards: &[Shard], which: usize, gradient: &mut [f32]) {
    gradient.fill(0.0);
    for shard in shards {
        kernels::add(gradient, &shard.norms[which]);
    }
}

/// The factors of a matrix's gradient from every shard, and where it goes, (M, K).
type Task<'a> = (Vec<(View<'a>, View<'a>)>, &'a mut Vec<f32>);

/// Makes the gradients of some matrices, 64 rows on a thread.
fn weight_gradients(how: How, mut matrices: Vec<Task>, into: Into) {
    let rows = matrices.iter_mut().flat_map(|(pairs, gradient)| {
        let columns = pairs.first().map_or(1, |pair| pair.1.width());
        let pairs = &*pairs;
        gradient.chunks_mut(PANEL * columns).enumerate().map(move |(panel, rows)| (pairs, panel, rows))
    });
    let rows: Vec<_> = rows.collect();
    rows.into_par_iter().for_each(|(pairs, panel, rows)| multiply_transposed(how, pairs, panel, rows, into));
}

impl Shard {
    /// From the last hidden states to the loss, and back to their gradient.
    fn leave(&mut self, pass: Pass, head: &Head, targets: &[u32], scale: f32, scratch: &mut Scratch) {
        let (shape, precision) = (pass.shape, pass.how.precision);
        let (width, vocabulary) = (shape.width, shape.vocab_size);
        pass.normalise(&self.x, &head.norm, &mut scratch.scales, &mut scratch.normed);
        let Factors { gradient: factor, input } = &mut self.head;
        input.write_rows(precision, &scratch.normed, width);
        let Scratch { normed, units, logits, mixed: gradient, scales, .. } = scratch;
        sized(gradient, normed.len());
        factor.open(precision, normed.len() / width, vocabulary);
        self.nats = 0.0;
        let parts = normed
            .chunks(LOGIT_ROWS * width)
            .zip(gradient.chunks_mut(LOGIT_ROWS * width))
            .zip(targets.chunks(LOGIT_ROWS));
        for (part, ((normed, gradient), targets)) in parts.enumerate() {
            let logits = sized(logits, targets.len() * vocabulary);
            units.write(precision, normed, width);
            pass.multiply(units, &head.forward, logits, Into::Replace);
            self.nats += softmax::cross_entropy(logits, targets, scale);
            factor.write_some_rows(precision, part * LOGIT_ROWS, logits);
            units.write(precision, logits, vocabulary);
            pass.multiply(units, &head.backward, gradient, Into::Replace);
        }
        let Self { x, flow, norms, .. } = self;
        sized(flow, x.len()).fill(0.0);
        sized(&mut norms[0], width).fill(0.0);
        norm::backward(x, &head.norm, scales, gradient, flow, &mut norms[0]);
    }

    /// Back through a block: given the gradient of what it gave in `flow`, leaves that of what it took there.
    fn back(&mut self, pass: Pass, layer: &Layer, index: usize, scratch: &mut Scratch) {
        let Self { flow, traces, factors, norms, .. } = self;
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
    let (shape, precision) = (pass.shape, pass.how.precision);
    let (width, ffn) = (shape.width, shape.ffn);
    to_gate_up.open(precision, flow.len() / width, [2 * ffn, width]);
    to_down.open(precision, flow.len() / width, [width, ffn]);
    sized(norm_gradient, width).fill(0.0);
    let Scratch { normed, scales, units, gate_up, activated, mixed: gradient, .. } = scratch;
    let parts = flow.chunks_mut(PART_ROWS * width).zip(trace.middle.chunks(PART_ROWS * width));
    for (part, (flow, middle)) in parts.enumerate() {
        let (first, rows) = (part * PART_ROWS, flow.len() / width);
        trace.gate_up.read(precision, 2 * ffn, first, sized(gate_up, rows * 2 * ffn));
        activation::forward(gate_up, ffn, sized(activated, rows * ffn));
        to_down.input.write_some_rows(precision, first, activated);
        to_down.gradient.write_some_rows(precision, first, flow);
        units.write(precision, flow, width);
        pass.multiply(units, &layer.down, activated, Into::Replace);
        activation::backward(gate_up, ffn, activated);

        pass.normalise(middle, &layer.ffn_norm, scales, normed);
        to_gate_up.input.write_some_rows(precision, first, normed);
        to_gate_up.gradient.write_some_rows(precision, first, gate_up);
        units.write(precision, gate_up, 2 * ffn);
        pass.multiply(units, &layer.gate_up, sized(gradient, flow.len()), Into::Replace);
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
    let Pass { how, shape, rotary } = pass;
    let (width, heads, precision) = (shape.width, shape.heads, how.precision);
    let rows = flow.len() / width;
    let Scratch { normed, scales, units, qkv, mixed, attention: room, activated: gradient, .. } = scratch;
    let columns = heads.queries * heads.width;
    trace.mixed.read(precision, columns, 0, sized(mixed, rows * columns));
    to_output.input.write_rows(precision, mixed, columns);
    to_output.gradient.write_rows(precision, flow, width);
    units.write(precision, flow, width);
    pass.multiply(units, &layer.output, mixed, Into::Replace);
    trace.qkv.read(precision, heads.row(), 0, sized(qkv, rows * heads.row()));
    let over = Causal { how, time: trace.time, heads, rotary };
    attention::backward(over, qkv, room, mixed, &trace.normalisers);

    pass.normalise(&trace.input, &layer.attention_norm, scales, normed);
    to_qkv.input.write_rows(precision, normed, width);
    to_qkv.gradient.write_rows(precision, qkv, heads.row());
    units.write(precision, qkv, heads.row());
    pass.multiply(units, &layer.qkv, sized(gradient, flow.len()), Into::Replace);
    sized(norm_gradient, width).fill(0.0);
    norm::backward(&trace.input, &layer.attention_norm, scales, gradient, flow, norm_gradient);
}
