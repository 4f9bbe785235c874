//! Scoring of documents: the log-probability of every token, and the entropy of its prediction.
//!
//! A document is read after the start token. A document longer than the context is read in windows that overlap by
//! half, so that every token is predicted from at least half a context, or from the whole beginning of its document.
//! Windows of similar length are grouped into shards and read together; the grouping depends only on the documents.

use super::fused::{BlockScratch, PackedNetwork, ScratchPool, Sequences};
use super::{Transformer, all_finite, plain};
use crate::decoding::Sampler;
use crate::decoding::SamplingSettings;
use crate::documents::{Documents, TokenId};
use crate::model::{ModelError, Redrawn, Scores};
use crate::stage::Stage;
use candle_core::{Device, Tensor};
use genloss_kernels::softmax;
use rayon::prelude::*;

/// Largest number of positions in a shard, including padding.
const SHARD_POSITIONS: usize = 1024;

/// A part of a document that fits the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    document: usize,
    /// Index of the first input. Input 0 is the start token, and input i is token i − 1 of the document.
    first: usize,
    /// Number of inputs.
    length: usize,
    /// Number of leading predictions to ignore, because the previous window made them from a longer context.
    skip: usize,
}

/// The scores of a window, preceded by the index of its first scored token in [`Documents::flat`].
type WindowScores<T> = (usize, Vec<T>);

/// A token to score, its index in [`Documents::flat`], and the part of the document before it.
#[derive(Clone, Copy)]
struct Target<'a> {
    index: usize,
    so_far: &'a [TokenId],
    token: TokenId,
}

/// The windows of a document of `tokens` tokens.
fn windows(document: usize, tokens: usize, context: usize) -> impl Iterator<Item = Window> {
    let half = context / 2;
    let firsts = (0..).map(move |i| i * half).take_while(move |first| *first == 0 || first + half < tokens);
    firsts.filter(move |_| tokens > 0).map(move |first| {
        let skip = if first == 0 { 0 } else { half };
        Window { document, first, length: context.min(tokens - first), skip }
    })
}

/// The log-probability of every token and the entropy of its prediction, in nats.
pub fn score(model: &Transformer, documents: &Documents, stage: &Stage) -> Result<Scores, ModelError> {
    let make_scorer = || |logits: &mut [f32], target: Target| softmax::score(logits, target.token);
    let scores = score_by(model, documents, &make_scorer, stage)?;
    check(model, documents, &scores, |(log_probability, entropy)| log_probability + entropy, f32::is_finite)?;
    let (log_probabilities, entropies) = scores.into_iter().unzip();
    Ok(Scores { log_probabilities, entropies, ..Scores::default() })
}

/// The log-probability of every token under `decoding`.
pub fn score_decoded(
    model: &Transformer,
    documents: &Documents,
    decoding: &SamplingSettings,
    stage: &Stage,
) -> Result<Vec<f32>, ModelError> {
    let make_scorer = || {
        let mut sampler = Sampler::new(decoding);
        move |logits: &mut [f32], Target { so_far, token, .. }: Target| {
            let writable = &mut logits[..model.writable];
            match token as usize >= writable.len() {
                true => f32::NEG_INFINITY,
                false if !all_finite(writable) => f32::NAN,
                false => sampler.log_probability(writable, so_far, token),
            }
        }
    };
    let scores = score_by(model, documents, &make_scorer, stage)?;
    check(model, documents, &scores, |score| score, |score| !score.is_nan())?;
    Ok(scores)
}

/// The log-probability of every token, and a token drawn in its place through `decoding`.
pub fn redraw(
    model: &Transformer,
    documents: &Documents,
    decoding: &SamplingSettings,
    uniforms: &[f64],
    stage: &Stage,
) -> Result<Vec<Redrawn>, ModelError> {
    let make_scorer = || {
        let mut sampler = Sampler::new(decoding);
        move |logits: &mut [f32], target: Target| {
            let log_probability = softmax::score(logits, target.token).0;
            let writable = &mut logits[..model.writable];
            let token = match log_probability.is_finite() {
                true => sampler.draw_at(writable, target.so_far, uniforms[target.index]),
                false => target.token,
            };
            Redrawn { log_probability, token }
        }
    };
    let drawn = score_by(model, documents, &make_scorer, stage)?;
    check(model, documents, &drawn, |drawn| drawn.log_probability, f32::is_finite)?;
    Ok(drawn)
}

/// Converts each score by `number`, and returns an error that names the first token whose number is not `sound`.
fn check<T: Copy>(
    model: &Transformer,
    documents: &Documents,
    scores: &[T],
    number: impl Fn(T) -> f32,
    sound: impl Fn(f32) -> bool,
) -> Result<(), ModelError> {
    let Some(index) = scores.iter().position(|&score| !sound(number(score))) else { return Ok(()) };
    let document = documents.starts().partition_point(|&start| start <= index);
    let token = index - documents.starts()[document - 1] + 1;
    Err(model.not_finite(format!("token {token} of document {document}")))
}

/// Computes a score for every token, in the order of [`Documents::flat`]. `make_scorer` creates a function that
/// computes a score from the logits (V) of a prediction and the target, and may overwrite the logits. Each function is
/// used on one thread.
fn score_by<T, F>(
    model: &Transformer,
    documents: &Documents,
    make_scorer: &(dyn Fn() -> F + Sync),
    stage: &Stage,
) -> Result<Vec<T>, ModelError>
where
    T: Copy + Default + Send,
    F: FnMut(&mut [f32], Target) -> T,
{
    let context = model.context();
    let lengths = documents.iter().map(<[TokenId]>::len);
    let mut all: Vec<Window> =
        lengths.enumerate().flat_map(|(document, length)| windows(document, length, context)).collect();
    all.sort_by_key(|window| (window.length, window.document, window.first));
    let starts = documents.starts();
    let shards = split_into_shards(&all);
    let on_cpu = model.network.device.is_cpu();
    let packed = on_cpu.then(|| PackedNetwork::new(&model.network)).transpose()?;
    let pool = ScratchPool::default();
    let parts = shards
        .par_iter()
        .map(|shard| {
            if stage.interrupted() {
                return Err(ModelError::Interrupted);
            }
            let shard = ScoreShard::gather(documents, &starts, shard, model.special.start);
            let scores = match &packed {
                Some(packed) => pool.with(|scratch| shard.score(packed, scratch, make_scorer()))?,
                None => shard.score_plainly(model, make_scorer())?,
            };
            let parts = shard.by_window(scores, &starts);
            stage.advance(parts.iter().map(|(_, scores)| scores.len() as u64).sum());
            Ok(parts)
        })
        .collect::<Result<Vec<Vec<WindowScores<T>>>, ModelError>>()?;
    let mut scores = vec![T::default(); documents.flat().len()];
    for (start, part) in parts.into_iter().flatten() {
        scores[start..][..part.len()].copy_from_slice(&part);
    }
    Ok(scores)
}

/// Splits `windows`, which are sorted by length, into shards of up to [`SHARD_POSITIONS`] positions.
fn split_into_shards(windows: &[Window]) -> Vec<&[Window]> {
    let mut shards = Vec::new();
    let mut first = 0;
    for next in 1..=windows.len() {
        let full = next < windows.len() && (next + 1 - first) * windows[next].length > SHARD_POSITIONS;
        if full || next == windows.len() {
            shards.push(&windows[first..next]);
            first = next;
        }
    }
    shards
}

/// Windows that are read together. They are padded with the start token, which does not change any prediction because
/// no prediction depends on later positions.
struct ScoreShard<'a> {
    windows: &'a [Window],
    /// (rows, `time`)
    inputs: Vec<TokenId>,
    time: usize,
    /// Indices in `inputs` whose predictions are scored.
    positions: Vec<u32>,
    /// The target at each of the `positions`.
    targets: Vec<Target<'a>>,
}

impl<'a> ScoreShard<'a> {
    fn gather(documents: &'a Documents, starts: &[usize], windows: &'a [Window], start: TokenId) -> Self {
        let time = windows.iter().map(|window| window.length).max().unwrap_or(0);
        let mut inputs = vec![start; windows.len() * time];
        let (mut positions, mut targets) = (Vec::new(), Vec::new());
        for (row, window) in windows.iter().enumerate() {
            let document = documents.get(window.document);
            for (i, input) in inputs[row * time..][..window.length].iter_mut().enumerate() {
                *input = if window.first + i == 0 { start } else { document[window.first + i - 1] };
            }
            positions.extend((window.skip..window.length).map(|i| (row * time + i) as u32));
            let wanted = window.first + window.skip..window.first + window.length;
            targets.extend(wanted.map(|at| Target {
                index: starts[window.document] + at,
                so_far: &document[..at],
                token: document[at],
            }));
        }
        Self { windows, inputs, time, positions, targets }
    }

    /// The score of every target.
    fn score<T>(
        &self,
        packed: &PackedNetwork,
        scratch: &mut BlockScratch,
        mut score_row: impl FnMut(&mut [f32], Target) -> T,
    ) -> candle_core::Result<Vec<T>> {
        let shape = &packed.network().shape;
        let hidden = packed.hidden(Sequences { tokens: &self.inputs, time: self.time }, scratch)?;
        let wanted =
            self.positions.iter().flat_map(|&row| &hidden[row as usize * shape.width..][..shape.width]);
        let wanted: Vec<f32> = wanted.copied().collect();
        let mut scores = Vec::with_capacity(self.targets.len());
        packed.logits(&wanted, scratch, |first, logits| {
            let rows = logits.chunks_exact_mut(shape.vocab_size).zip(&self.targets[first..]);
            scores.extend(rows.map(|(row, &target)| score_row(row, target)));
        });
        Ok(scores)
    }

    /// Computes the same as [`score`](Self::score) with the reference pass, on any device.
    fn score_plainly<T>(
        &self,
        model: &Transformer,
        mut score_row: impl FnMut(&mut [f32], Target) -> T,
    ) -> candle_core::Result<Vec<T>> {
        let network = &model.network;
        let positions = Tensor::new(self.positions.as_slice(), &network.device)?;
        let tokens = Tensor::from_slice(&self.inputs, (self.windows.len(), self.time), &network.device)?;
        let hidden = plain::hidden(network, &tokens)?.flatten_to(1)?.index_select(&positions, 0)?;
        let logits = plain::logits(network, &hidden)?.to_device(&Device::Cpu)?;
        let mut logits = logits.flatten_all()?.to_vec1::<f32>()?;
        let rows = logits.chunks_exact_mut(network.shape.vocab_size).zip(&self.targets);
        Ok(rows.map(|(row, &target)| score_row(row, target)).collect())
    }

    /// Splits the scores of all targets by window.
    fn by_window<T>(&self, scores: Vec<T>, starts: &[usize]) -> Vec<WindowScores<T>> {
        let mut rest = scores.into_iter();
        let parts = self.windows.iter().map(|window| {
            let index = starts[window.document] + window.first + window.skip;
            (index, rest.by_ref().take(window.length - window.skip).collect())
        });
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_scored_once_with_half_a_context_before_it() {
        for tokens in 0..40 {
            let mut next = 0;
            for window in windows(0, tokens, 8) {
                assert_eq!(window.first + window.skip, next);
                assert!(window.length <= 8 && window.length > window.skip);
                assert!(window.first == 0 || window.skip >= 4);
                next = window.first + window.length;
            }
            assert_eq!(next, tokens);
        }
    }
}
