//! The reference forward pass, built from candle_nn layers. It runs on any device, is differentiable, and is slow.
//!
//! [`fused`](super::fused) is tested against this pass. GPUs run this pass itself. A block computes, with hidden states
//! `x` (B, T, W):
//!
//! ```text
//! x ← x + W_output · attention(W_qkv · norm(x))
//! x ← x + W_down · activation(W_up · norm(x))
//! ```
//!
//! with the norms (also after the halves), activations, biases, caps, windows and order of its
//! [architecture](super::architecture).
//!
//! With [`Precision::Bf16`] both factors of a matrix product are rounded to bf16 and multiplied in f32. A product of
//! two numbers of 8 significant bits is exact in f32, so this equals the computation of hardware that multiplies bf16
//! and sums in f32. Gradients ignore the rounding.

use super::Network;
use super::architecture::{FeedForward, Norm, NormPlaces, Positions};
use super::parameters::{Affine, Block, Parameters};
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::rotary_emb::rope_slow;
use candle_nn::{Embedding, Linear, Module, RmsNorm, ops};
use genloss_kernels::Precision;
use genloss_kernels::activation::Activation;
use genloss_kernels::attention::{Heads, Rotary};
use genloss_kernels::softmax::IGNORED;
use std::collections::{BTreeMap, BTreeSet};

/// The [`states`] (B, T, W) of `tokens` (B, T) after the last block.
pub fn hidden(network: &Network, tokens: &Tensor) -> Result<Tensor> {
    let (_, time) = tokens.dims2()?;
    let device = tokens.device();
    let mut x = embed(network, tokens, &Tensor::arange(0, time as u32, device)?)?;
    let by_window = by_window(network, |window| {
        let mask = mask(0..time, time, window, device)?;
        Ok((mask, Angles::new(network.rotaries.of(window), 0..time, device)?))
    })?;
    for (layer, block) in network.parameters.blocks.iter().enumerate() {
        let (mask, angles) = &by_window[&network.shape.architecture.window(layer)];
        x = self::block(network, block, &x, |q, k, v| {
            attend(network, layer, &angles.rotate(&q)?, &angles.rotate(&k)?, &v, mask)
        })?;
    }
    states(network, x)
}

/// The hidden states after the final norm and the projection to the columns of the output matrix, if there are these.
pub fn states(network: &Network, x: Tensor) -> Result<Tensor> {
    let Parameters { norm: final_norm, project_out, .. } = &network.parameters;
    let x = match final_norm {
        Some(weights) => norm(network, &x, weights)?,
        None => x,
    };
    match project_out {
        Some(weight) => linear(&x, weight, Precision::F32),
        None => Ok(x),
    }
}

/// One value for each window that a block of the network has, which few or all blocks share.
pub fn by_window<R>(
    network: &Network,
    make: impl Fn(Option<usize>) -> Result<R>,
) -> Result<BTreeMap<Option<usize>, R>> {
    let windows = (0..network.shape.layers).map(|layer| network.shape.architecture.window(layer));
    let windows: BTreeSet<Option<usize>> = windows.collect();
    windows.into_iter().map(|window| Ok((window, make(window)?))).collect()
}

/// The output (B, T, W) of a block. `attention` computes the output (B, T, H D) of attention from queries (B, H, T, D),
/// keys and values (B, K, T, D), which are not rotated yet.
pub fn block(
    network: &Network,
    block: &Block<Tensor>,
    x: &Tensor,
    attention: impl FnOnce(Tensor, Tensor, Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let precision = network.precision;
    let through = |x: &Tensor, weights: &Option<Affine<Tensor>>| match weights {
        Some(weights) => norm(network, x, weights),
        None => Ok(x.clone()),
    };
    let sum =
        |x: &Tensor, added: Tensor, weights: &Option<Affine<Tensor>>| match network.shape.architecture.places
        {
            NormPlaces::OfSum => through(&(x + added)?, weights),
            NormPlaces::Before | NormPlaces::After | NormPlaces::Around => x + through(&added, weights)?,
        };
    let qkv = affine(&through(x, &block.attention_norm)?, &block.qkv, precision)?;
    let (q, k, v) = split_heads(&normalised_heads(network, block, &qkv)?, network.shape.heads)?;
    let output = affine(&attention(q, k, v)?, &block.output, precision)?;
    let middle = sum(x, output, &block.attention_post_norm)?;
    let read = if network.shape.architecture.parallel { x } else { &middle };
    let inner = affine(&through(read, &block.ffn_norm)?, &block.up, precision)?;
    let activated = match network.shape.architecture.feed_forward {
        FeedForward::SwiGlu => ops::swiglu(&inner)?,
        FeedForward::GeGlu => {
            let halves = inner.chunk(2, D::Minus1)?;
            (halves[0].contiguous()?.gelu()? * halves[1].contiguous()?)?
        }
        FeedForward::Plain(Activation::Relu) => inner.relu()?,
        FeedForward::Plain(Activation::Gelu) => inner.gelu_erf()?,
        FeedForward::Plain(Activation::GeluTanh) => inner.gelu()?,
    };
    sum(&middle, affine(&activated, &block.down, precision)?, &block.ffn_post_norm)
}

/// `qkv` (B, T, (H + 2K) D) with normalised queries and keys, if the architecture normalises them.
fn normalised_heads(network: &Network, block: &Block<Tensor>, qkv: &Tensor) -> Result<Tensor> {
    let (Some(of_queries), Some(of_keys)) = (&block.query_norm, &block.key_norm) else {
        return Ok(qkv.clone());
    };
    let (batch, time, all) = qkv.dims3()?;
    let heads = network.shape.heads;
    let [queries, keys] = [heads.queries, heads.keys].map(|count| count * heads.width);
    let part = |first: usize, columns: usize, weight: &Tensor| {
        let part = qkv.narrow(2, first, columns)?.contiguous()?;
        let normed = rms_norm(network, &part.reshape((batch, time, (), weight.dim(0)?))?, weight)?;
        normed.reshape((batch, time, columns))
    };
    let values = qkv.narrow(2, queries + keys, all - queries - keys)?;
    Tensor::cat(&[part(0, queries, of_queries)?, part(queries, keys, of_keys)?, values], 2)
}

/// Logits (…, V) from [`states`] (…, W).
pub fn logits(network: &Network, hidden: &Tensor) -> Result<Tensor> {
    let logits = linear(hidden, network.parameters.output(), network.precision)?;
    capped(logits, network.shape.architecture.logit_cap)
}

/// `c · tanh(x / c)` where there is a cap c.
fn capped(x: Tensor, cap: Option<f32>) -> Result<Tensor> {
    match cap {
        Some(cap) => (x / f64::from(cap))?.tanh()? * f64::from(cap),
        None => Ok(x),
    }
}

/// The sum of the negative log-likelihoods of `targets` (B, T) in nats, without [`IGNORED`] targets.
pub fn nll_sum(network: &Network, tokens: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let logits = logits(network, &hidden(network, tokens)?)?.flatten_to(1)?;
    let targets = targets.flatten_all()?.unsqueeze(1)?;
    let is_counted = targets.ne(IGNORED)?;
    let indices = is_counted.where_cond(&targets, &targets.zeros_like()?)?;
    let at_targets = ops::log_softmax(&logits, 1)?.gather(&indices, 1)?;
    (at_targets * is_counted.to_dtype(DType::F32)?)?.sum_all()?.neg()
}

/// Embeddings (B, T, W) of tokens (B, T), with the vectors of learned `positions`, whose dimensions are (T) or (B, 1).
pub fn embed(network: &Network, tokens: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let width = network.shape.width;
    let scale = f64::from(network.shape.architecture.embedding_scale);
    let Parameters { embedding, project_in, .. } = &network.parameters;
    let x = Embedding::new(embedding.clone(), embedding.dim(1)?).forward(tokens)?;
    let x = match project_in {
        Some(weight) => linear(&x, weight, Precision::F32)?,
        None => x,
    };
    let x = if scale == 1.0 { x } else { (x * scale)? };
    match (&network.parameters.positions, &network.shape.architecture.positions) {
        (Some(table), Positions::Learned { offset }) => {
            let rows = (positions + *offset as f64)?;
            x.broadcast_add(&Embedding::new(table.clone(), width).forward(&rows)?)
        }
        _ => Ok(x),
    }
}

/// `x` rounded to the precision of the factors of matrix products.
fn factor(x: &Tensor, precision: Precision) -> Result<Tensor> {
    match precision {
        Precision::F32 => Ok(x.clone()),
        Precision::Bf16 => {
            let rounded = x.detach().to_dtype(DType::BF16)?.to_dtype(DType::F32)?;
            // The value of x + (rounded − x) is exactly `rounded`, and its gradient is that of x.
            x + (rounded - x.detach())?
        }
    }
}

/// The product `x Wᵀ` over the last dimension of `x`, which must be contiguous.
pub fn linear(x: &Tensor, weight: &Tensor, precision: Precision) -> Result<Tensor> {
    Linear::new(factor(weight, precision)?, None).forward(&factor(x, precision)?)
}

/// The product `x Wᵀ`, and the bias if there is one.
fn affine(x: &Tensor, Affine { weight, bias }: &Affine<Tensor>, precision: Precision) -> Result<Tensor> {
    let product = linear(x, weight, precision)?;
    match bias {
        Some(bias) => product.broadcast_add(bias),
        None => Ok(product),
    }
}

/// The norm of the architecture, over the last dimension.
pub fn norm(network: &Network, x: &Tensor, Affine { weight, bias }: &Affine<Tensor>) -> Result<Tensor> {
    let Some(bias) = bias else { return rms_norm(network, x, weight) };
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let scaled = centred.broadcast_div(&(variance + network.shape.norm_epsilon)?.sqrt()?)?;
    scaled.broadcast_mul(weight)?.broadcast_add(bias)
}

/// `w · x / √(mean x² + ε)` over the last dimension.
fn rms_norm(network: &Network, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let weight = match network.shape.architecture.norm {
        Norm::RmsPlusOne => (weight + 1.0)?,
        Norm::Rms | Norm::Layer => weight.clone(),
    };
    // candle_nn has two forward passes of this layer; only this one is differentiable.
    RmsNorm::new(weight, network.shape.norm_epsilon).forward_diff(x)
}

/// Cosines and sines (T, D/2) of the rotations at T positions.
pub struct Angles {
    cosines: Tensor,
    sines: Tensor,
}

impl Angles {
    /// The rotations at `positions`, in this order.
    pub fn new(rotary: &Rotary, positions: impl Iterator<Item = usize>, device: &Device) -> Result<Self> {
        let positions: Vec<usize> = positions.collect();
        let rows = |values: &[f32]| {
            let half = rotary.half_width();
            let rows: Vec<f32> =
                positions.iter().flat_map(|p| &values[p * half..(p + 1) * half]).copied().collect();
            Tensor::from_vec(rows, (positions.len(), half), device)
        };
        Ok(Self { cosines: rows(&rotary.cosines)?, sines: rows(&rotary.sines)? })
    }

    /// Rotates the pairs (i, i + R/2) of the first R columns of `x` (B, H, T, D).
    pub fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let (columns, width) = (2 * self.cosines.dim(1)?, x.dim(D::Minus1)?);
        match columns {
            0 => Ok(x.clone()),
            _ if columns == width => rope_slow(x, &self.cosines, &self.sines),
            _ => {
                let rotated = rope_slow(&x.narrow(3, 0, columns)?.contiguous()?, &self.cosines, &self.sines)?;
                Tensor::cat(&[rotated, x.narrow(3, columns, width - columns)?], 3)
            }
        }
    }
}

/// Splits (B, T, (H + 2K) D) into queries (B, H, T, D), keys and values (B, K, T, D).
pub fn split_heads(qkv: &Tensor, heads: Heads) -> Result<(Tensor, Tensor, Tensor)> {
    let (batch, time, _) = qkv.dims3()?;
    let part = |first: usize, count: usize| {
        let part = qkv.narrow(2, first * heads.width, count * heads.width)?;
        part.reshape((batch, time, count, heads.width))?.transpose(1, 2)?.contiguous()
    };
    let Heads { queries, keys, .. } = heads;
    Ok((part(0, queries)?, part(queries, keys)?, part(queries + keys, keys)?))
}

/// The output (B, T, H D) of attention in block `layer`, of queries (B, H, T, D) over keys and values (B, K, S, D). `mask` is
/// added to the scores and must broadcast to (B, H, T, S).
pub fn attend(
    network: &Network,
    layer: usize,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: &Tensor,
) -> Result<Tensor> {
    let (heads, precision) = (network.shape.heads, network.precision);
    let scoring = network.shape.architecture.scoring(heads, layer);
    let (batch, _, time, _) = q.dims4()?;
    let k = repeat_for_queries(&factor(k, precision)?, heads)?;
    let v = repeat_for_queries(&factor(v, precision)?, heads)?;
    let products = factor(q, precision)?.matmul(&k.t()?)?;
    let scores = capped((products * f64::from(scoring.scale))?, scoring.cap)?.broadcast_add(mask)?;
    let weights = ops::softmax(&scores, D::Minus1)?;
    let output = factor(&weights, precision)?.matmul(&v)?;
    output.transpose(1, 2)?.reshape((batch, time, heads.output_width()))
}

/// Repeats each key–value head of `x` (B, K, S, D) for the query heads that read it: (B, H, S, D).
fn repeat_for_queries(x: &Tensor, heads: Heads) -> Result<Tensor> {
    let (batch, keys, time, width) = x.dims4()?;
    let times = heads.queries / heads.keys;
    if times == 1 {
        return x.contiguous();
    }
    let repeated = x.unsqueeze(2)?.broadcast_as((batch, keys, times, time, width))?;
    repeated.contiguous()?.reshape((batch, heads.queries, time, width))
}

/// The mask (T, S) of queries at T `positions` over S keys: 0 where a query reads a key at its own position or before, within
/// its `window` if there is one, and −∞ elsewhere.
pub fn mask(
    positions: impl Iterator<Item = usize>,
    keys: usize,
    window: Option<usize>,
    device: &Device,
) -> Result<Tensor> {
    let positions: Vec<usize> = positions.collect();
    let score = |position: usize| {
        let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
        move |key: usize| if (first..=position).contains(&key) { 0.0 } else { f32::NEG_INFINITY }
    };
    let mask: Vec<f32> = positions.iter().flat_map(|&position| (0..keys).map(score(position))).collect();
    Tensor::from_vec(mask, (positions.len(), keys), device)
}
