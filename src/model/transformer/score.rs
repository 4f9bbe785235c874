//! Scoring documents: every token's log-probability, and the entropy of the prediction it came from.
//!
//! A document is read after the start token. One that is longer than the context is read in windows that overlap by
//! half, so that every token has at least half a context before it, or its document's start. Windows of similar
//! length are read side by side; which ones depends on the documents only.

use super::{Transformer, fused, plain};
use crate::documents::{Documents, TokenId};
use crate::kernels::{read, softmax};
use crate::model::{ModelError, Scores};
use crate::stage::Stage;
use candle_core::Tensor;
use rayon::prelude::*;

/// Positions that are read side by side, padding included.
const SHARD_POSITIONS: usize = 1024;

/// A part of a document that is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    document: usize,
    /// The first input: 0 is the start token, i is token i − 1.
    first: usize,
    /// Inputs.
    length: usize,
    /// Predictions at the beginning that an earlier window has made better.
    skip: usize,
}

/// What a window gives: its place in the flat tokens, log-probabilities and entropies from there on.
type Part = (usize, Vec<(f32, f32)>);

/// The windows of a document of so many tokens.
fn windows(document: usize, tokens: usize, context: usize) -> impl Iterator<Item = Window> {
    let half = context / 2;
    let later = (0..).map(move |i| i * half).take_while(move |first| *first == 0 || first + half < tokens);
    later.filter(move |_| tokens > 0).map(move |first| {
        let skip = if first == 0 { 0 } else { half };
        Window { document, first, length: context.min(tokens - first), skip }
    })
}

pub fn score(model: &Transformer, documents: &Documents, stage: &Stage) -> Result<Scores, ModelError> {
    let context = model.context();
    let lengths = documents.iter().map(<[TokenId]>::len);
    let mut all: Vec<Window> =
        lengths.enumerate().flat_map(|(document, length)| windows(document, length, context)).collect();
    all.sort_by_key(|window| (window.length, window.document, window.first));
    let starts: Vec<usize> = documents
        .iter()
        .scan(0, |start, document| {
            let this = *start;
            *start += document.len();
            Some(this)
        })
        .collect();
    let shards = cut(&all);
    let parts = shards
        .par_iter()
        .map(|shard| {
            if stage.interrupted() {
                return Err(ModelError::Interrupted);
            }
            let parts = score_shard(model, documents, shard, &starts)?;
            stage.advance(parts.iter().map(|(_, scores)| scores.len() as u64).sum());
            Ok(parts)
        })
        .collect::<Result<Vec<Vec<Part>>, ModelError>>()?;
    let count = documents.flat().len();
    let mut scores = Scores { log_probabilities: vec![0.0; count], entropies: vec![0.0; count] };
    for (start, part) in parts.into_iter().flatten() {
        for (at, (log_probability, entropy)) in (start..).zip(part) {
            scores.log_probabilities[at] = log_probability;
            scores.entropies[at] = entropy;
        }
    }
    Ok(scores)
}

/// Cuts windows, shortest first, into shards of so many positions.
fn cut(windows: &[Window]) -> Vec<&[Window]> {
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

/// Reads the windows side by side, each filled up with the start token: what comes later changes nothing.
fn score_shard(
    model: &Transformer,
    documents: &Documents,
    shard: &[Window],
    starts: &[usize],
) -> Result<Vec<Part>, ModelError> {
    let start = model.special.start;
    let time = shard.iter().map(|window| window.length).max().unwrap_or(0);
    let mut inputs = vec![start; shard.len() * time];
    let mut places = Vec::new();
    let mut targets = Vec::new();
    for (row, window) in shard.iter().enumerate() {
        let document = documents.get(window.document);
        for (i, input) in inputs[row * time..][..window.length].iter_mut().enumerate() {
            *input = if window.first + i == 0 { start } else { document[window.first + i - 1] };
        }
        places.extend((window.skip..window.length).map(|i| (row * time + i) as u32));
        targets.extend_from_slice(&document[window.first + window.skip..window.first + window.length]);
    }
    let logits = logits_at(model, &inputs, time, places)?;
    let vocab_size = model.vocab_size();
    let scores: Vec<(f32, f32)> = read(&logits, |logits| {
        let rows = logits.chunks_exact(vocab_size).zip(&targets);
        rows.map(|(row, &target)| softmax::score(row, target)).collect()
    })?;
    let mut rest = scores.into_iter();
    let parts = shard.iter().map(|window| {
        let place = starts[window.document] + window.first + window.skip;
        (place, rest.by_ref().take(window.length - window.skip).collect())
    });
    Ok(parts.collect())
}

/// Logits (places, V) on the processor, at `places` of the flat `inputs` (rows, `time`).
fn logits_at(
    model: &Transformer,
    inputs: &[TokenId],
    time: usize,
    places: Vec<u32>,
) -> candle_core::Result<Tensor> {
    let network = &model.network;
    let count = places.len();
    let places = Tensor::from_vec(places, count, &network.device)?;
    if network.device.is_cpu() {
        let hidden = fused::hidden(network, fused::Sequences { tokens: inputs, time })?;
        return fused::logits(network, &hidden.index_select(&places, 0)?);
    }
    let tokens = Tensor::from_slice(inputs, (inputs.len() / time, time), &network.device)?;
    let hidden = plain::hidden(network, &tokens)?.flatten_to(1)?.index_select(&places, 0)?;
    plain::logits(network, &hidden)?.to_device(&candle_core::Device::Cpu)
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
