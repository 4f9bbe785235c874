//! The forward pass, written plainly on candle: any device, differentiable, and slow.
//!
//! This is the readable twin of [`fused`](super::fused), and what runs on a GPU.
//!
//! With [`Precision::Bf16`] both factors of a matrix product are rounded to bf16 and multiplied in f32. A product of
//! two numbers of 8 significant bits is exact in f32, so this is what hardware does that multiplies bf16 and sums in
//! f32. Gradients pass the rounding as if it were not there.

use super::Network;
use super::parameters::Block;
use crate::config::Precision;
use candle_core::{D, DType, Result, Tensor};
use genloss_kernels::attention::Heads;
use genloss_kernels::softmax::IGNORED;

/// The last hidden states (B, T, W), normalised, after reading `tokens` (B, T).
pub fn hidden(network: &Network, tokens: &Tensor) -> Result<Tensor> {
    let (_, time) = tokens.dims2()?;
    let (epsilon, precision) = (network.shape.norm_epsilon, network.precision);
    let mask = causal_mask(time, tokens)?;
    let turn = rotations(network, 0, time)?;
    let mut x = embed(network, tokens)?;
    for block in &network.parameters.blocks {
        let normed = rms_norm(&x, &block.attention_norm, epsilon)?;
        let (q, k, v) = split(&linear(&normed, &block.qkv, precision)?, network.shape.heads)?;
        let (q, k) = (rotate(&q, &turn)?, rotate(&k, &turn)?);
        let mixed = attend(&q, &k, &v, &mask, network.shape.heads, precision)?;
        x = (x + linear(&mixed, &block.output, precision)?)?;
        x = feed_forward(network, block, &x)?;
    }
    rms_norm(&x, &network.parameters.norm, epsilon)
}

/// `x` (B, T, W) with what the feed-forward half of a block adds to it.
pub fn feed_forward(network: &Network, block: &Block<Tensor>, x: &Tensor) -> Result<Tensor> {
    let (ffn, precision) = (network.shape.ffn, network.precision);
    let normed = rms_norm(x, &block.ffn_norm, network.shape.norm_epsilon)?;
    let gate_up = linear(&normed, &block.gate_up, precision)?;
    let (gate, up) = (gate_up.narrow(D::Minus1, 0, ffn)?, gate_up.narrow(D::Minus1, ffn, ffn)?);
    x + linear(&(gate.silu()? * up)?, &block.down, precision)?
}

/// Logits (…, V) of hidden states (…, W).
pub fn logits(network: &Network, hidden: &Tensor) -> Result<Tensor> {
    linear(hidden, network.parameters.output(), network.precision)
}

/// Negative log-likelihood of `targets` (B, T) summed, in nats; without those that are [`IGNORED`].
pub fn nll_sum(network: &Network, tokens: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let logits = logits(network, &hidden(network, tokens)?)?.flatten_to(1)?;
    let largest = logits.max_keepdim(1)?.detach();
    let shifted = logits.broadcast_sub(&largest)?;
    let log_sums = shifted.exp()?.sum_keepdim(1)?.log()?;
    let targets = targets.flatten_all()?.unsqueeze(1)?;
    let counts = targets.ne(IGNORED)?;
    let at_targets = shifted.gather(&counts.where_cond(&targets, &targets.zeros_like()?)?, 1)?;
    ((log_sums - at_targets)? * counts.to_dtype(DType::F32)?)?.sum_all()
}

/// Embeddings (B, T, W) of tokens (B, T).
pub fn embed(network: &Network, tokens: &Tensor) -> Result<Tensor> {
    let (rows, time) = tokens.dims2()?;
    network.parameters.embedding.index_select(&tokens.flatten_all()?, 0)?.reshape((rows, time, ()))
}

/// `x` as a factor of a matrix product.
fn factor(x: &Tensor, precision: Precision) -> Result<Tensor> {
    match precision {
        Precision::F32 => Ok(x.clone()),
        Precision::Bf16 => {
            let rounded = x.detach().to_dtype(DType::BF16)?.to_dtype(DType::F32)?;
            // x + (rounded − x) is `rounded` to the bit, and its gradient is that of x, itself not rounded.
            x + (rounded - x.detach())?
        }
    }
}

/// `x Wᵀ` over the last dimension.
pub fn linear(x: &Tensor, weight: &Tensor, precision: Precision) -> Result<Tensor> {
    let (rows, columns) = weight.dims2()?;
    let mut dims = x.dims().to_vec();
    let x = factor(&x.reshape(((), columns))?, precision)?;
    let flat = x.matmul(&factor(weight, precision)?.t()?)?;
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
pub fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: &Tensor,
    heads: Heads,
    precision: Precision,
) -> Result<Tensor> {
    let (rows, _, time, _) = q.dims4()?;
    let (k, v) = (repeat(&factor(k, precision)?, heads)?, repeat(&factor(v, precision)?, heads)?);
    let q = factor(q, precision)?;
    let scores = (q.matmul(&k.t()?)? / (heads.width as f64).sqrt())?.broadcast_add(mask)?;
    let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let weights = shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?;
    factor(&weights, precision)?.matmul(&v)?.transpose(1, 2)?.reshape((
        rows,
        time,
        heads.queries * heads.width,
    ))
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
