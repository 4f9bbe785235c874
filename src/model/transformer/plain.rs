//! The forward pass, written plainly on candle: any device, differentiable, and slow.
//!
//! This is the readable twin of [`fused`](super::fused), and what runs on a GPU.

use super::Network;
use super::parameters::Block;
use crate::kernels::attention::Heads;
use candle_core::{D, DType, Result, Tensor};

/// The last hidden states (B, T, W), normalised, after reading `tokens` (B, T).
pub fn hidden(network: &Network, tokens: &Tensor) -> Result<Tensor> {
    let (_, time) = tokens.dims2()?;
    let epsilon = network.shape.norm_epsilon;
    let mask = causal_mask(time, tokens)?;
    let turn = rotations(network, 0, time)?;
    let mut x = embed(network, tokens)?;
    for block in &network.parameters.blocks {
        let normed = rms_norm(&x, &block.attention_norm, epsilon)?;
        let (q, k, v) = split(&linear(&normed, &block.qkv)?, network.shape.heads)?;
        let (q, k) = (rotate(&q, &turn)?, rotate(&k, &turn)?);
        let mixed = attend(&q, &k, &v, &mask, network.shape.heads)?;
        x = (x + linear(&mixed, &block.output)?)?;
        x = feed_forward(network, block, &x)?;
    }
    rms_norm(&x, &network.parameters.norm, epsilon)
}

/// `x` (B, T, W) with what the feed-forward half of a block adds to it.
pub fn feed_forward(network: &Network, block: &Block<Tensor>, x: &Tensor) -> Result<Tensor> {
    let ffn = network.shape.ffn;
    let gate_up = linear(&rms_norm(x, &block.ffn_norm, network.shape.norm_epsilon)?, &block.gate_up)?;
    let (gate, up) = (gate_up.narrow(D::Minus1, 0, ffn)?, gate_up.narrow(D::Minus1, ffn, ffn)?);
    x + linear(&(gate.silu()? * up)?, &block.down)?
}

/// Logits (…, V) of hidden states (…, W).
pub fn logits(network: &Network, hidden: &Tensor) -> Result<Tensor> {
    linear(hidden, network.parameters.output())
}

/// Negative log-likelihood of `targets` (B, T) summed, in nats.
pub fn nll_sum(network: &Network, tokens: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let logits = logits(network, &hidden(network, tokens)?)?.flatten_to(1)?;
    let largest = logits.max_keepdim(1)?.detach();
    let shifted = logits.broadcast_sub(&largest)?;
    let log_sums = shifted.exp()?.sum_keepdim(1)?.log()?;
    let at_targets = shifted.gather(&targets.flatten_all()?.unsqueeze(1)?, 1)?;
    (log_sums - at_targets)?.sum_all()
}

/// Embeddings (B, T, W) of tokens (B, T).
pub fn embed(network: &Network, tokens: &Tensor) -> Result<Tensor> {
    let (rows, time) = tokens.dims2()?;
    network.parameters.embedding.index_select(&tokens.flatten_all()?, 0)?.reshape((rows, time, ()))
}

/// `x Wᵀ` over the last dimension.
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (rows, columns) = weight.dims2()?;
    let mut dims = x.dims().to_vec();
    let flat = x.reshape(((), columns))?.matmul(&weight.t()?)?;
    if let Some(last) = dims.last_mut() {
        *last = rows;
    }
    flat.reshape(dims)
}

/// `w · x / √(mean x² + ε)` over the last dimension.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
    x.broadcast_div(&scale)?.broadcast_mul(weight)
}

/// Cosines and sines (T, D/2) of the positions from `first` on.
fn rotations(network: &Network, first: usize, time: usize) -> Result<(Tensor, Tensor)> {
    let half = network.shape.heads.width / 2;
    let tensor = |values: &[f32]| {
        let part = values[first * half..(first + time) * half].to_vec();
        Tensor::from_vec(part, (time, half), &network.device)
    };
    Ok((tensor(&network.rotary.cosines)?, tensor(&network.rotary.sines)?))
}

/// Turns the pairs (i, i + D/2) of `x` (B, H, T, D); cosines and sines must broadcast to (B, H, T, D/2).
pub fn rotate(x: &Tensor, (cosines, sines): &(Tensor, Tensor)) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let (first, second) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let turned_first = (first.broadcast_mul(cosines)? - second.broadcast_mul(sines)?)?;
    let turned_second = (second.broadcast_mul(cosines)? + first.broadcast_mul(sines)?)?;
    Tensor::cat(&[turned_first, turned_second], D::Minus1)
}

/// Splits (B, T, (H + 2K) D) into queries (B, H, T, D), keys and values (B, K, T, D).
pub fn split(qkv: &Tensor, heads: Heads) -> Result<(Tensor, Tensor, Tensor)> {
    let (rows, time, _) = qkv.dims3()?;
    let part = |start: usize, count: usize| {
        let part = qkv.narrow(2, start * heads.width, count * heads.width)?;
        part.reshape((rows, time, count, heads.width))?.transpose(1, 2)?.contiguous()
    };
    let Heads { queries, keys, .. } = heads;
    Ok((part(0, queries)?, part(queries, keys)?, part(queries + keys, keys)?))
}

/// Attention of queries (B, H, T, D) over keys and values (B, K, S, D): (B, T, H D). `mask` is added to the scores.
pub fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor, heads: Heads) -> Result<Tensor> {
    let (rows, _, time, _) = q.dims4()?;
    let (k, v) = (repeat(k, heads)?, repeat(v, heads)?);
    let scores = (q.matmul(&k.t()?)? / (heads.width as f64).sqrt())?.broadcast_add(mask)?;
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let weights = shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?;
    weights.matmul(&v)?.transpose(1, 2)?.reshape((rows, time, heads.queries * heads.width))
}

/// Repeats each key–value head for the query heads that read it.
fn repeat(x: &Tensor, heads: Heads) -> Result<Tensor> {
    let (rows, keys, time, width) = x.dims4()?;
    let times = heads.queries / heads.keys;
    if times == 1 {
        return x.contiguous();
    }
    let repeated = x.unsqueeze(2)?.broadcast_as((rows, keys, times, time, width))?;
    repeated.contiguous()?.reshape((rows, heads.queries, time, width))
}

/// 0 where position t may read position s ≤ t, −∞ elsewhere: (T, T), on the device of `like`.
fn causal_mask(time: usize, like: &Tensor) -> Result<Tensor> {
    let mask: Vec<f32> =
        (0..time * time).map(|i| if i % time > i / time { f32::NEG_INFINITY } else { 0.0 }).collect();
    Tensor::from_vec(mask, (time, time), like.device())?.to_dtype(DType::F32)
}
