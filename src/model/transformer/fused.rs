//! The forward and the backward pass on the processor: matrix products by candle, everything between them by
//! [`crate::kernels`].
//!
//! candle's automatic gradients cost more than the gradients themselves: each one is added to fresh zeros, the
//! transposed weights one by one. Here the backward pass is written out, which is short for a network this regular,
//! and needs no graph. Everything runs on the calling thread (candle may split a large product).

use super::Network;
use super::parameters::{Block, Parameters};
use crate::kernels::{self, activation, attention, change, norm, read, softmax};
use candle_core::{Device, Result, Tensor};

/// A number of sequences of equal length, flat.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    /// (B, T)
    pub tokens: &'a [u32],
    /// T
    pub time: usize,
}

/// What the backward pass needs of a block.
struct Trace {
    input: Vec<f32>,
    attention_scales: Vec<f32>,
    normed: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    probabilities: Tensor,
    mixed: Tensor,
    middle: Vec<f32>,
    ffn_scales: Vec<f32>,
    ffn_normed: Tensor,
    gate_up: Tensor,
    activated: Tensor,
}

/// `x Wᵀ`: (N, K) by (M, K) into (N, M).
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.matmul(&weight.t()?)
}

fn tensor(values: Vec<f32>, rows: usize) -> Result<Tensor> {
    let columns = values.len() / rows.max(1);
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
}

/// The last hidden states (B·T, W), normalised.
pub fn hidden(network: &Network, sequences: Sequences) -> Result<Tensor> {
    let mut x = embed(network, sequences.tokens)?;
    for block in &network.parameters.blocks {
        forward_block(network, block, &mut x, sequences.time)?;
    }
    let mut scales = vec![0.0; sequences.tokens.len()];
    normalise(network, &x, &network.parameters.norm, &mut scales)
}

/// Logits (N, V) of hidden states (N, W).
pub fn logits(network: &Network, hidden: &Tensor) -> Result<Tensor> {
    linear(hidden, network.parameters.output())
}

/// Embeddings (N, W) of tokens (N).
pub fn embed(network: &Network, tokens: &[u32]) -> Result<Vec<f32>> {
    let width = network.shape.width;
    read(&network.parameters.embedding, |embedding| {
        let mut x = Vec::with_capacity(tokens.len() * width);
        for &token in tokens {
            x.extend_from_slice(&embedding[token as usize * width..][..width]);
        }
        x
    })
}

/// The normalised rows of `x` (N, W), and in `scales` (N) the factor of each.
pub fn normalise(network: &Network, x: &[f32], weight: &Tensor, scales: &mut [f32]) -> Result<Tensor> {
    let mut normed = vec![0.0; x.len()];
    let epsilon = network.shape.norm_epsilon as f32;
    read(weight, |weight| norm::forward(x, weight, epsilon, &mut normed, scales))?;
    tensor(normed, scales.len())
}

/// Adds the feed-forward half of a block to `x` (N, W); returns what the backward pass needs of it.
pub fn feed_forward(
    network: &Network,
    block: &Block<Tensor>,
    x: &mut [f32],
) -> Result<(Vec<f32>, [Tensor; 3])> {
    let rows = x.len() / network.shape.width;
    let ffn = network.shape.ffn;
    let mut scales = vec![0.0; rows];
    let normed = normalise(network, x, &block.ffn_norm, &mut scales)?;
    let gate_up = linear(&normed, &block.gate_up)?;
    let mut activated = vec![0.0; rows * ffn];
    read(&gate_up, |gate_up| activation::forward(gate_up, ffn, &mut activated))?;
    let activated = tensor(activated, rows)?;
    read(&linear(&activated, &block.down)?, |down| kernels::add(x, down))?;
    Ok((scales, [normed, gate_up, activated]))
}

/// Runs `x` (B·T, W) through a block.
fn forward_block(network: &Network, block: &Block<Tensor>, x: &mut [f32], time: usize) -> Result<Trace> {
    let heads = network.shape.heads;
    let rows = x.len() / network.shape.width;
    let input = x.to_vec();
    let mut attention_scales = vec![0.0; rows];
    let normed = normalise(network, x, &block.attention_norm, &mut attention_scales)?;
    let qkv = linear(&normed, &block.qkv)?;
    let query_size = rows * heads.queries * heads.width;
    let key_size = rows * heads.keys * heads.width;
    let (mut q, mut k, mut v) = (vec![0.0; query_size], vec![0.0; key_size], vec![0.0; key_size]);
    read(&qkv, |qkv| attention::split(qkv, time, heads, &network.rotary, &mut q, &mut k, &mut v))?;
    // The query heads that read one key–value head are neighbours: one taller matrix for each of the latter.
    let groups = rows / time * heads.keys;
    let (grouped, single) = (query_size / heads.width / groups, time);
    let q = Tensor::from_vec(q, (groups, grouped, heads.width), &Device::Cpu)?;
    let k = Tensor::from_vec(k, (groups, single, heads.width), &Device::Cpu)?;
    let v = Tensor::from_vec(v, (groups, single, heads.width), &Device::Cpu)?;
    let probabilities = q.matmul(&k.t()?)?;
    change(&probabilities, |p| attention::causal_softmax(p, time, attention_scale(network)))?;
    let mut mixed = vec![0.0; query_size];
    read(&probabilities.matmul(&v)?, |heads_first| {
        attention::merge_heads(heads_first, time, heads.queries, heads.width, &mut mixed);
    })?;
    let mixed = tensor(mixed, rows)?;
    read(&linear(&mixed, &block.output)?, |output| kernels::add(x, output))?;
    let middle = x.to_vec();
    let (ffn_scales, [ffn_normed, gate_up, activated]) = feed_forward(network, block, x)?;
    Ok(Trace {
        input,
        attention_scales,
        normed,
        q,
        k,
        v,
        probabilities,
        mixed,
        middle,
        ffn_scales,
        ffn_normed,
        gate_up,
        activated,
    })
}

fn attention_scale(network: &Network) -> f32 {
    1.0 / (network.shape.heads.width as f32).sqrt()
}

/// The negative log-likelihood of `targets` (B, T) summed in nats, and the gradient of `scale` times that sum with
/// respect to each parameter.
pub fn gradients(
    network: &Network,
    sequences: Sequences,
    targets: &[u32],
    scale: f32,
) -> Result<(f64, Parameters<Vec<f32>>)> {
    let Parameters { blocks, norm: norm_weight, head, .. } = &network.parameters;
    let mut x = embed(network, sequences.tokens)?;
    let traces = blocks
        .iter()
        .map(|block| forward_block(network, block, &mut x, sequences.time))
        .collect::<Result<Vec<_>>>()?;
    let mut scales = vec![0.0; targets.len()];
    let last = normalise(network, &x, norm_weight, &mut scales)?;
    let logits = logits(network, &last)?;
    let nats = change(&logits, |logits| softmax::cross_entropy(logits, targets, scale))?;

    let output = network.parameters.output();
    let mut output_gradient = values(&logits.t()?.matmul(&last)?)?;
    let mut flow = vec![0.0; x.len()];
    let mut norm_gradient = vec![0.0; network.shape.width];
    norm_backward(&x, norm_weight, &scales, &logits.matmul(output)?, &mut flow, &mut norm_gradient)?;
    drop(logits);
    let mut block_gradients = Vec::with_capacity(blocks.len());
    for (block, trace) in blocks.iter().zip(traces).rev() {
        block_gradients.push(backward_block(network, block, &trace, &mut flow, sequences.time)?);
    }
    block_gradients.reverse();
    let head_gradient = match head {
        Some(head) => Some(std::mem::replace(&mut output_gradient, vec![0.0; head.elem_count()])),
        None => None,
    };
    let width = network.shape.width;
    for (&token, flow) in sequences.tokens.iter().zip(flow.chunks_exact(width)) {
        kernels::add(&mut output_gradient[token as usize * width..][..width], flow);
    }
    let gradients = Parameters {
        embedding: output_gradient,
        blocks: block_gradients,
        norm: norm_gradient,
        head: head_gradient,
    };
    Ok((nats, gradients))
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    read(tensor, <[f32]>::to_vec)
}

fn norm_backward(
    x: &[f32],
    weight: &Tensor,
    scales: &[f32],
    gradient: &Tensor,
    x_gradient: &mut [f32],
    weight_gradient: &mut [f32],
) -> Result<()> {
    read(weight, |weight| {
        read(gradient, |gradient| {
            norm::backward(x, weight, scales, gradient, x_gradient, weight_gradient);
        })
    })?
}

/// Given the gradient of a block's result in `flow` (B·T, W), leaves that of its input there.
fn backward_block(
    network: &Network,
    block: &Block<Tensor>,
    trace: &Trace,
    flow: &mut [f32],
    time: usize,
) -> Result<Block<Vec<f32>>> {
    let (width, ffn) = (network.shape.width, network.shape.ffn);
    let rows = flow.len() / width;

    let arriving = tensor(flow.to_vec(), rows)?;
    let down = values(&arriving.t()?.matmul(&trace.activated)?)?;
    let activated_gradient = arriving.matmul(&block.down)?;
    read(&activated_gradient, |gradient| {
        change(&trace.gate_up, |gate_up| activation::backward(gate_up, ffn, gradient))
    })??;
    let gate_up = values(&trace.gate_up.t()?.matmul(&trace.ffn_normed)?)?;
    let mut ffn_norm = vec![0.0; width];
    let gradient = trace.gate_up.matmul(&block.gate_up)?;
    norm_backward(&trace.middle, &block.ffn_norm, &trace.ffn_scales, &gradient, flow, &mut ffn_norm)?;

    let arriving = tensor(flow.to_vec(), rows)?;
    let output = values(&arriving.t()?.matmul(&trace.mixed)?)?;
    let qkv_gradient = attention_backward(network, trace, &arriving.matmul(&block.output)?, time)?;
    let qkv = values(&qkv_gradient.t()?.matmul(&trace.normed)?)?;
    let mut attention_norm = vec![0.0; width];
    let gradient = qkv_gradient.matmul(&block.qkv)?;
    norm_backward(
        &trace.input,
        &block.attention_norm,
        &trace.attention_scales,
        &gradient,
        flow,
        &mut attention_norm,
    )?;
    Ok(Block { attention_norm, qkv, output, ffn_norm, gate_up, down })
}

/// The gradient of `qkv`, given that of what attention mixed, (B·T, H D).
fn attention_backward(network: &Network, trace: &Trace, mixed: &Tensor, time: usize) -> Result<Tensor> {
    let heads = network.shape.heads;
    let rows = mixed.dim(0)?;
    let mut mixed_gradient = vec![0.0; mixed.elem_count()];
    read(mixed, |mixed| {
        attention::split_heads(mixed, time, heads.queries, heads.width, &mut mixed_gradient);
    })?;
    let mixed_gradient = Tensor::from_vec(mixed_gradient, trace.q.shape(), &Device::Cpu)?;
    let v = trace.probabilities.t()?.matmul(&mixed_gradient)?;
    let scores = mixed_gradient.matmul(&trace.v.t()?)?;
    read(&trace.probabilities, |p| {
        change(&scores, |g| attention::causal_softmax_backward(p, g, time, attention_scale(network)))
    })??;
    let q = scores.matmul(&trace.k)?;
    let k = scores.t()?.matmul(&trace.q)?;
    let mut qkv = vec![0.0; rows * heads.row()];
    read(&q, |q| {
        read(&k, |k| read(&v, |v| attention::split_backward(q, k, v, time, heads, &network.rotary, &mut qkv)))
    })???;
    tensor(qkv, rows)
}
