//! Scoring documents: every token's log-probability, and the entropy of the prediction it came from.
//!
//! A document is read after the start token. One that is longer than the context is read in windows that overlap by
//! half, so that every token has at least half a context before it, or its document's start. Windows of similar
//! length are read side by side; which ones depends on the documents only.

use super::fused::{Packed, Pool, Scratch, Sequences};
use super::{Transformer, plain};
use crate::config::Precision;
use crate::documents::{Documents, TokenId};
use crate::kernels::{read, softmax};
use crate::model::{ModelError, Scores};
use crate::stage::Stage;
use candle_core::{Device, Tensor};
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
    // Scores are what everything is measured with: they are made in f32, whatever the model was trained in.
    let packed = match model.network.device.is_cpu() {
        true => Some(Packed::new(&model.network, Precision::F32)?),
        false => None,
    };
    let pool = Pool::default();
    let parts = shards
        .par_iter()
        .map(|shard| {
            if stage.interrupted() {
                return Err(ModelError::Interrupted);
            }
            let shard = Shard::gather(documents, shard, model.special.start);
            let scores = match &packed {
                Some(packed) => pool.with(|scratch| shard.score(packed, scratch))?,
                None => shard.score_plainly(model)?,
            };
            let parts = shard.parts(scores, &starts);
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

/// Windows that are read side by side, each filled up with the start token: what comes later changes nothing.
struct Shard<'a> {
    windows: &'a [Window],
    /// (rows, `time`)
    inputs: Vec<TokenId>,
    time: usize,
    /// Where predictions are wanted in `inputs`.
    places: Vec<u32>,
    /// The token that came at each of those.
    targets: Vec<TokenId>,
}

impl<'a> Shard<'a> {
    fn gather(documents: &Documents, windows: &'a [Window], start: TokenId) -> Self {
        let time = windows.iter().map(|window| window.length).max().unwrap_or(0);
        let mut inputs = vec![start; windows.len() * time];
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (row, window) in windows.iter().enumerate() {
            let document = documents.get(window.document);
            for (i, input) in inputs[row * time..][..window.length].iter_mut().enumerate() {
                *input = if window.first + i == 0 { start } else { document[window.first + i - 1] };
            }
            places.extend((window.skip..window.length).map(|i| (row * time + i) as u32));
            targets.extend_from_slice(&document[window.first + window.skip..window.first + window.length]);
        }
        Self { windows, inputs, time, places, targets }
    }

    /// The log-probability of every target, and the entropy of the prediction.
    fn score(&self, packed: &Packed, scratch: &mut Scratch) -> candle_core::Result<Vec<(f32, f32)>> {
        let shape = &packed.network().shape;
        let hidden = packed.hidden(Sequences { tokens: &self.inputs, time: self.time }, scratch)?;
        let wanted =
            self.places.iter().flat_map(|&place| &hidden[place as usize * shape.width..][..shape.width]);
        let wanted: Vec<f32> = wanted.copied().collect();
        let mut scores = Vec::with_capacity(self.targets.len());
        packed.logits(&wanted, scratch, |first, logits| {
            let rows = logits.chunks_exact(shape.vocab_size).zip(&self.targets[first..]);
            scores.extend(rows.map(|(row, &target)| softmax::score(row, target)));
        });
        Ok(scores)
    }

    /// The same from plain tensor operations, on any device.
    fn score_plainly(&self, model: &Transformer) -> candle_core::Result<Vec<(f32, f32)>> {
        let network = &model.network.in_precision(Precision::F32);
        let places = Tensor::new(self.places.as_slice(), &network.device)?;
        let tokens = Tensor::from_slice(&self.inputs, (self.windows.len(), self.time), &network.device)?;
        let hidden = plain::hidden(network, &tokens)?.flatten_to(1)?.index_select(&places, 0)?;
        let logits = plain::logits(network, &hidden)?.to_device(&Device::Cpu)?;
        read(&logits, |logits| {
            let rows = logits.chunks_exact(network.shape.vocab_size).zip(&self.targets);
            rows.map(|(row, &target)| softmax::score(row, target)).collect()
        })
    }

    /// The scores of each window, and their place in the flat tokens.
    fn parts(&self, scores: Vec<(f32, f32)>, starts: &[usize]) -> Vec<Part> {
        let mut rest = scores.into_iter();
        let parts = self.windows.iter().map(|window| {
            let place = starts[window.document] + window.first + window.skip;
            (place, rest.by_ref().take(window.length - window.skip).collect())
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
