//! The loss of a batch and its gradient, cut over threads by sequences.
//!
//! Each shard of a few sequences runs forwards and backwards on one thread, in its cache; the shards' gradients are
//! added in order. Which sequences form a shard depends on the batch only, so the bits do not depend on the threads.

use crate::documents::TokenId;
use crate::kernels;
use crate::model::transformer::parameters::Parameters;
use crate::model::transformer::{Network, fused, plain};
use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

/// Tokens of a shard, about: enough for matrix products to be efficient, few enough for several shards per batch.
const SHARD_TOKENS: usize = 512;
/// Numbers of a gradient that one thread adds at a time.
const PIECE: usize = 1 << 15;

/// Sequences of equal length, flat, and the token that follows each of theirs.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// (B, T)
    pub tokens: Vec<TokenId>,
    /// (B, T)
    pub targets: Vec<TokenId>,
    /// T
    pub time: usize,
}

/// The summed negative log-likelihood of the targets in nats, and the gradient of its mean.
///
/// # Errors
/// When the device fails.
pub fn loss_and_gradients(network: &Network, batch: &Batch) -> Result<(f64, Parameters<Vec<f32>>)> {
    if !network.device.is_cpu() {
        return differentiate(network, batch);
    }
    let shard = SHARD_TOKENS.div_ceil(batch.time) * batch.time;
    let scale = 1.0 / batch.targets.len() as f32;
    let shards: Vec<_> = batch.tokens.chunks(shard).zip(batch.targets.chunks(shard)).collect();
    let parts = shards
        .into_par_iter()
        .map(|(tokens, targets)| {
            fused::gradients(network, fused::Sequences { tokens, time: batch.time }, targets, scale)
        })
        .collect::<Result<Vec<_>>>()?;
    let nats = parts.iter().map(|part| part.0).sum();
    let mut parts = parts.into_iter().map(|part| part.1);
    let Some(mut total) = parts.next() else { candle_core::bail!("the batch is empty") };
    add_in_order(&mut total, &parts.collect::<Vec<_>>());
    Ok((nats, total))
}

fn add_in_order(total: &mut Parameters<Vec<f32>>, others: &[Parameters<Vec<f32>>]) {
    let others: Vec<Vec<&Vec<f32>>> = others.iter().map(|other| other.iter().collect()).collect();
    let pieces: Vec<(usize, usize, &mut [f32])> = total
        .iter_mut()
        .enumerate()
        .flat_map(|(index, values)| {
            values.chunks_mut(PIECE).enumerate().map(move |(place, piece)| (index, place * PIECE, piece))
        })
        .collect();
    pieces.into_par_iter().for_each(|(index, first, piece)| {
        for other in &others {
            kernels::add(piece, &other[index][first..first + piece.len()]);
        }
    });
}

/// The same by candle's automatic gradients, on any device: the whole batch at once.
///
/// # Errors
/// When the device fails.
pub fn differentiate(network: &Network, batch: &Batch) -> Result<(f64, Parameters<Vec<f32>>)> {
    let variables = network.parameters.try_map(Var::from_tensor)?;
    let parameters =
        variables.try_map(|variable| Ok::<_, candle_core::Error>(variable.as_tensor().clone()))?;
    let live = Network { parameters, ..network.clone() };
    let dims = (batch.tokens.len() / batch.time, batch.time);
    let tokens = Tensor::from_slice(&batch.tokens, dims, &network.device)?;
    let targets = Tensor::from_slice(&batch.targets, dims, &network.device)?;
    let nats = plain::nll_sum(&live, &tokens, &targets)?;
    let gradients = (&nats / batch.targets.len() as f64)?.backward()?;
    let values = variables.try_map(|variable| match gradients.get(variable) {
        Some(gradient) => gradient.flatten_all()?.to_vec1::<f32>(),
        None => Ok(vec![0.0; variable.elem_count()]),
    })?;
    Ok((f64::from(nats.to_scalar::<f32>()?), values))
}
