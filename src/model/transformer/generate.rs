//! Writing of documents: many documents in parallel, one token of each per step.
//!
//! Each document is a list of tokens to read: the start token, its prompt, and then the tokens drawn. A step reads the
//! next token of each document. After the last token of a list, a new token is drawn and appended. Prompts of any
//! length therefore need no special treatment. When the context is full, reading goes back by half a context and
//! positions restart at 0; [`score`](super::score) reads long documents in the same way. When a document is finished,
//! the next one in the request takes its slot.
//!
//! In beam search and contrastive search ([`search`]) a document has several slots, which hold alternative texts of it
//! ([`branches`]).

mod branches;
mod search;
mod steppers;

use super::fused::PackedNetwork;
use super::{Transformer, all_finite};
use crate::decoding::Sampler;
use crate::decoding::{DecodingStrategy, SamplingSettings};
use crate::documents::{Documents, TokenId};
use crate::model::{GenerateRequest, ModelError};
use crate::seed::Stream;
use crate::stage::Stage;
use genloss_kernels::attention::CachePosition;
use rayon::prelude::*;
use search::{BeamSearch, ContrastiveSearch, Search};
use steppers::{FusedStepper, PlainStepper, TokenStepper};

/// Largest number of documents in one task; small requests are split into smaller tasks, so that every thread has one.
const DOCUMENTS_PER_TASK: usize = 256;
/// Number of documents that one CPU thread writes in parallel. They fill the rows of two tiles of a matrix product, and
/// are few enough for their keys and values to stay in the CPU's cache.
const SLOTS: usize = 12;
/// Number of documents that one CPU thread writes in parallel with a large model, which does not fit the CPU's cache.
/// It is greater than [`SLOTS`], because all weights are read from memory at every step.
const SLOTS_OF_A_LARGE_MODEL: usize = 32;
/// Number of alternative texts that one CPU thread reads in parallel in a search.
const SEARCH_SLOTS: usize = 32;
/// A model is large if its weights take at least this number of bytes.
const LARGE_BYTES: usize = 32 << 20;
/// Number of documents that are written in parallel on a GPU.
const DEVICE_SLOTS: usize = 512;

/// Number of documents that one CPU thread writes in parallel with a model whose packed weights take this many bytes.
pub fn slots(packed_bytes: usize) -> usize {
    match packed_bytes {
        LARGE_BYTES.. => SLOTS_OF_A_LARGE_MODEL,
        _ => SLOTS,
    }
}

/// Writes one document per prompt of the request.
pub fn generate(
    model: &Transformer,
    request: &GenerateRequest,
    stage: &Stage,
) -> Result<Documents, ModelError> {
    let (end, max_tokens) = (model.special.end, request.max_document_tokens);
    match *request.decoding {
        DecodingStrategy::TokenByToken(ref decoding) => sample(model, request, decoding, stage),
        DecodingStrategy::Beam(beam) => {
            search(model, request, beam.beams, stage, || BeamSearch::new(beam, end, max_tokens))
        }
        DecodingStrategy::Contrastive(contrastive) => search(model, request, contrastive.k, stage, || {
            ContrastiveSearch::new(contrastive, end, max_tokens)
        }),
    }
}

/// Number of positions that the longest document of the request takes in a cache, with its start token and prompt.
fn positions(model: &Transformer, request: &GenerateRequest) -> usize {
    let longest_prompt = request.prompts.iter().map(<[TokenId]>::len).max().unwrap_or(0);
    model.context().min(request.max_document_tokens.saturating_add(longest_prompt + 1))
}

fn sample(
    model: &Transformer,
    request: &GenerateRequest,
    decoding: &SamplingSettings,
    stage: &Stage,
) -> Result<Documents, ModelError> {
    let count = request.prompts.len();
    let positions = positions(model, request);
    let all: Vec<usize> = (0..count).collect();
    let written = if model.network.device.is_cpu() {
        let packed = PackedNetwork::new(&model.network)?;
        let slots = slots(packed.bytes());
        let each = count.div_ceil(rayon::current_num_threads()).max(SLOTS);
        let group = count.div_ceil(16).clamp(2 * slots, DOCUMENTS_PER_TASK).min(each);
        all.par_chunks(group)
            .map(|group| {
                let mut stepper = FusedStepper::new(&packed, slots.min(group.len()), positions);
                write(model, request, decoding, group, &mut stepper, stage)
            })
            .collect::<Result<Vec<_>, ModelError>>()?
    } else {
        let mut stepper = PlainStepper::new(&model.network, DEVICE_SLOTS.min(count), positions)?;
        vec![write(model, request, decoding, &all, &mut stepper, stage)?]
    };
    Ok(written.iter().flatten().map(Vec::as_slice).collect())
}

/// Writes the documents of the request by searches that have up to `width` branches each.
fn search<S: Search>(
    model: &Transformer,
    request: &GenerateRequest,
    width: usize,
    stage: &Stage,
    begin: impl Fn() -> S + Sync,
) -> Result<Documents, ModelError> {
    let positions = positions(model, request);
    let all: Vec<usize> = (0..request.prompts.len()).collect();
    let written = if model.network.device.is_cpu() {
        let packed = PackedNetwork::new(&model.network)?;
        let together = (SEARCH_SLOTS / width).max(1);
        let group = all.len().div_ceil(4 * rayon::current_num_threads()).max(together);
        all.par_chunks(group)
            .map(|group| {
                let mut stepper = FusedStepper::new(&packed, together.min(group.len()) * width, positions);
                search::write(model, request, &begin, width, group, &mut stepper, stage)
            })
            .collect::<Result<Vec<_>, ModelError>>()?
    } else {
        let together = (DEVICE_SLOTS / width).clamp(1, all.len().max(1));
        let mut stepper = PlainStepper::new(&model.network, together * width, positions)?;
        vec![search::write(model, request, &begin, width, &all, &mut stepper, stage)?]
    };
    Ok(written.iter().flatten().map(Vec::as_slice).collect())
}

/// A document that is being written.
struct OpenDocument {
    /// Index in the request.
    index: usize,
    slot: usize,
    /// The start token, the prompt, and the tokens drawn.
    tokens: Vec<TokenId>,
    /// Number of tokens drawn.
    drawn: usize,
    /// Index of the next token to read.
    next: usize,
    /// Position of the next token in the context.
    position: usize,
    stream: Stream,
}

impl OpenDocument {
    fn new(model: &Transformer, request: &GenerateRequest, index: usize, slot: usize, stage: &Stage) -> Self {
        let mut tokens = vec![model.special.start];
        tokens.extend_from_slice(request.prompts.get(index));
        let stream = stage.stream((request.item)(index));
        Self { index, slot, tokens, drawn: 0, next: 0, position: 0, stream }
    }

    /// Returns the next token to read and its position in the cache. If the context is full, goes back by half of it
    /// first.
    fn advance(&mut self, context: usize) -> (TokenId, CachePosition) {
        if self.position == context {
            self.next -= context / 2;
            self.position = 0;
        }
        let token = self.tokens[self.next];
        let place = CachePosition { slot: self.slot, position: self.position };
        self.next += 1;
        self.position += 1;
        (token, place)
    }

    fn needs_a_token(&self) -> bool {
        self.next == self.tokens.len()
    }

    fn is_finished(&self, end: TokenId, max_tokens: usize) -> bool {
        self.drawn >= max_tokens || (self.drawn > 0 && self.tokens.last() == Some(&end))
    }

    /// The tokens drawn.
    fn into_written(self) -> Vec<TokenId> {
        let first = self.tokens.len() - self.drawn;
        self.tokens[first..].to_vec()
    }
}

/// Writes some documents of the request, token by token. `indices` are their indices, which are consecutive.
fn write(
    model: &Transformer,
    request: &GenerateRequest,
    decoding: &SamplingSettings,
    indices: &[usize],
    stepper: &mut dyn TokenStepper,
    stage: &Stage,
) -> Result<Vec<Vec<TokenId>>, ModelError> {
    let first = indices.first().copied().unwrap_or(0);
    let mut waiting = indices.iter().copied();
    let mut open: Vec<OpenDocument> = (0..stepper.slots())
        .zip(waiting.by_ref())
        .map(|(slot, index)| OpenDocument::new(model, request, index, slot, stage))
        .collect();
    let mut written = vec![Vec::new(); indices.len()];
    while !open.is_empty() {
        if stage.interrupted() {
            return Err(ModelError::Interrupted);
        }
        let drawn = step(model, decoding, &mut open, stepper)?.ok_or_else(|| {
            model.not_finite(format!("writing documents {first} to {}", first + indices.len() - 1))
        })?;
        stage.advance(drawn);
        let mut still_open = Vec::with_capacity(open.len());
        for document in open {
            if !document.is_finished(model.special.end, request.max_document_tokens) {
                still_open.push(document);
                continue;
            }
            let (index, slot) = (document.index, document.slot);
            written[index - first] = document.into_written();
            still_open
                .extend(waiting.next().map(|index| OpenDocument::new(model, request, index, slot, stage)));
        }
        open = still_open;
    }
    Ok(written)
}

/// Reads one token of each document, and draws the next token of those that have been read to their end. Returns the
/// number of tokens drawn; None if a prediction is not finite.
fn step(
    model: &Transformer,
    decoding: &SamplingSettings,
    open: &mut [OpenDocument],
    stepper: &mut dyn TokenStepper,
) -> Result<Option<u64>, ModelError> {
    let (tokens, places): (Vec<_>, Vec<_>) =
        open.iter_mut().map(|document| document.advance(model.context())).unzip();
    let rows: Vec<u32> =
        (0u32..).zip(&*open).filter(|(_, document)| document.needs_a_token()).map(|(row, _)| row).collect();
    let mut drawing: Vec<&mut OpenDocument> =
        open.iter_mut().filter(|document| document.needs_a_token()).collect();
    stepper.read(&tokens, &places)?;
    let mut is_finite = true;
    stepper.logits(&rows, &mut |first, logits| {
        is_finite &= all_finite(logits);
        draw(logits, model, &mut drawing[first..], decoding);
    })?;
    Ok(is_finite.then_some(rows.len() as u64))
}

/// Fewest rows of logits from which tokens are drawn on a thread of their own.
const ROWS_PER_THREAD: usize = 36;

/// Draws the next token of the first documents in `documents`, one for each row of `logits` (rows, V). The rows are
/// split among threads, because a GPU returns the rows of all documents at once.
fn draw(
    logits: &mut [f32],
    model: &Transformer,
    documents: &mut [&mut OpenDocument],
    decoding: &SamplingSettings,
) {
    let draw = |sampler: &mut Sampler, (row, document): (&mut [f32], &mut &mut OpenDocument)| {
        let writable = &mut row[..model.writable];
        let token = sampler.draw(writable, &document.tokens[1..], &mut document.stream);
        document.tokens.push(token);
        document.drawn += 1;
    };
    let rows = logits.par_chunks_exact_mut(model.vocab_size()).zip(documents.par_iter_mut());
    rows.with_min_len(ROWS_PER_THREAD).for_each_init(|| Sampler::new(decoding), draw);
}
