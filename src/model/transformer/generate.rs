//! Writing documents, many side by side, one token of each at a time.
//!
//! Every document is a list of tokens to read: the start token, its prompt, and then what is drawn. A step reads the
//! next token of each; where that was the last one, the next is drawn. So prompts of any length, and documents that
//! *roll*, need nothing special: when the context is full, the reading goes back by half a context and positions
//! restart at 0, which is also how [`score`](super::score) reads long documents. A document that is finished hands
//! its slot to the next one that waits.
//!
//! Beam search and contrastive search write one document at a time on each thread: their slots are for what may become
//! of it ([`branches`]).

mod branches;
mod decoders;
mod search;

use super::Transformer;
use super::fused::{LOGIT_ROWS, Packed};
use crate::config::{Decoding, Strategy};
use crate::decoding::Sampler;
use crate::documents::{Documents, TokenId};
use crate::model::{Generate, ModelError};
use crate::seed::Stream;
use crate::stage::Stage;
use branches::Branches;
use decoders::{Decoder, FusedDecoder, PlainDecoder};
use genloss_kernels::attention::CachePosition;
use rayon::prelude::*;

type Tensors<T> = candle_core::Result<T>;

/// Documents that one thread writes, at most; fewer when there are few.
const GROUP: usize = 256;
/// Documents that are written side by side by one thread of the processor: few, so that their keys and values stay in the
/// cache, two tiles of a product high.
const SLOTS: usize = 12;
/// The same for a model that does not fit into the cache: many, because its weights are read from memory at every step.
const SLOTS_OF_A_LARGE_MODEL: usize = 32;
/// Bytes of weights from which on a model is large.
const LARGE: usize = 32 << 20;
/// Documents that are written side by side on a GPU.
const DEVICE_SLOTS: usize = 512;

pub fn generate(model: &Transformer, request: &Generate, stage: &Stage) -> Result<Documents, ModelError> {
    let (end, most) = (model.special.end, request.max_document_tokens);
    match *request.decoding {
        Strategy::TokenByToken(ref decoding) => sample(model, request, decoding, stage),
        Strategy::Beam(beam) => {
            write_each(model, request, beam.beams, stage, |branches| search::beam(branches, beam, end, most))
        }
        Strategy::Contrastive(contrastive) => write_each(model, request, contrastive.k, stage, |branches| {
            search::contrastive(branches, contrastive, end, most)
        }),
    }
}

fn sample(
    model: &Transformer,
    request: &Generate,
    decoding: &Decoding,
    stage: &Stage,
) -> Result<Documents, ModelError> {
    let count = request.prompts.len();
    let all: Vec<usize> = (0..count).collect();
    let written = if model.network.device.is_cpu() {
        let packed = Packed::new(&model.network, model.network.precision)?;
        let slots = match packed.bytes() {
            LARGE.. => SLOTS_OF_A_LARGE_MODEL,
            _ => SLOTS,
        };
        let group = count.div_ceil(16).clamp(2 * slots, GROUP);
        all.par_chunks(group)
            .map(|group| {
                let mut decoder = FusedDecoder::new(&packed, slots.min(group.len()));
                write(model, request, decoding, group, &mut decoder, stage)
            })
            .collect::<Result<Vec<_>, ModelError>>()?
    } else {
        let mut decoder = PlainDecoder::new(&model.network, DEVICE_SLOTS.min(count))?;
        vec![write(model, request, decoding, &all, &mut decoder, stage)?]
    };
    Ok(written.iter().flatten().map(Vec::as_slice).collect())
}

/// Has `write` write each document of the request alone, by a decoder of so many slots.
fn write_each(
    model: &Transformer,
    request: &Generate,
    slots: usize,
    stage: &Stage,
    write: impl Fn(&mut Branches) -> Result<Vec<TokenId>, ModelError> + Sync,
) -> Result<Documents, ModelError> {
    let one = |decoder: &mut dyn Decoder, prompt: &[TokenId]| {
        let text = [&[model.special.start], prompt].concat();
        let document = write(&mut Branches::new(decoder, model.context(), text, stage))?;
        stage.advance(document.len() as u64);
        Ok(document)
    };
    let prompts: Vec<&[TokenId]> = request.prompts.iter().collect();
    let written = if model.network.device.is_cpu() {
        let packed = Packed::new(&model.network, model.network.precision)?;
        let decoder = || FusedDecoder::new(&packed, slots);
        let written = prompts.par_iter().map_init(decoder, |decoder, prompt| one(decoder, prompt));
        written.collect::<Result<Vec<_>, ModelError>>()?
    } else {
        let mut decoder = PlainDecoder::new(&model.network, slots)?;
        prompts.iter().map(|prompt| one(&mut decoder, prompt)).collect::<Result<Vec<_>, ModelError>>()?
    };
    Ok(written.iter().map(Vec::as_slice).collect())
}

/// A document that is being written.
struct Writing {
    index: usize,
    slot: usize,
    /// The start token, the prompt, and what was drawn.
    tokens: Vec<TokenId>,
    drawn: usize,
    /// The next token to read.
    next: usize,
    /// Where in the context it will stand.
    position: usize,
    stream: Stream,
}

impl Writing {
    fn new(model: &Transformer, request: &Generate, index: usize, slot: usize, stage: &Stage) -> Self {
        let mut tokens = vec![model.special.start];
        tokens.extend_from_slice(request.prompts.get(index));
        let stream = stage.stream((request.item)(index));
        Self { index, slot, tokens, drawn: 0, next: 0, position: 0, stream }
    }

    /// The next token to read, and its place. A full context is rolled first.
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

    fn wants_a_token(&self) -> bool {
        self.next == self.tokens.len()
    }

    fn finished(&self, end: TokenId, most: usize) -> bool {
        self.drawn >= most || (self.drawn > 0 && self.tokens.last() == Some(&end))
    }

    fn written(self) -> Vec<TokenId> {
        let first = self.tokens.len() - self.drawn;
        self.tokens[first..].to_vec()
    }
}

/// Writes the documents `indices` of the request, token by token.
fn write(
    model: &Transformer,
    request: &Generate,
    decoding: &Decoding,
    indices: &[usize],
    decoder: &mut dyn Decoder,
    stage: &Stage,
) -> Result<Vec<Vec<TokenId>>, ModelError> {
    let first = indices.first().copied().unwrap_or(0);
    let mut waiting = indices.iter().copied();
    let mut writings: Vec<Writing> = (0..decoder.slots())
        .zip(waiting.by_ref())
        .map(|(slot, index)| Writing::new(model, request, index, slot, stage))
        .collect();
    let mut written = vec![Vec::new(); indices.len()];
    while !writings.is_empty() {
        if stage.interrupted() {
            return Err(ModelError::Interrupted);
        }
        let (tokens, places): (Vec<_>, Vec<_>) =
            writings.iter_mut().map(|writing| writing.advance(model.context())).unzip();
        let wanted: Vec<u32> = (0u32..)
            .zip(&writings)
            .filter(|(_, writing)| writing.wants_a_token())
            .map(|(row, _)| row)
            .collect();
        let mut drawing: Vec<&mut Writing> =
            writings.iter_mut().filter(|writing| writing.wants_a_token()).collect();
        decoder.read(&tokens, &places)?;
        decoder.logits(&wanted, &mut |first, logits| {
            draw(logits, model.vocab_size(), &mut drawing[first..], decoding);
        })?;
        stage.advance(wanted.len() as u64);
        let mut going_on = Vec::with_capacity(writings.len());
        for writing in writings {
            if !writing.finished(model.special.end, request.max_document_tokens) {
                going_on.push(writing);
                continue;
            }
            let (index, slot) = (writing.index, writing.slot);
            written[index - first] = writing.written();
            going_on.extend(waiting.next().map(|index| Writing::new(model, request, index, slot, stage)));
        }
        writings = going_on;
    }
    Ok(written)
}

/// Draws the next token of as many of `writings` as there are rows of `logits` (rows, V). A GPU hands over the rows of
/// all documents at once: they are shared out among the threads.
fn draw(logits: &mut [f32], vocab_size: usize, writings: &mut [&mut Writing], decoding: &Decoding) {
    let draw = |sampler: &mut Sampler, (row, writing): (&mut [f32], &mut &mut Writing)| {
        let token = sampler.draw(row, &writing.tokens[1..], &mut writing.stream);
        writing.tokens.push(token);
        writing.drawn += 1;
    };
    let rows = logits.par_chunks_exact_mut(vocab_size).zip(writings.par_iter_mut());
    rows.with_min_len(LOGIT_ROWS).for_each_init(|| Sampler::new(decoding), draw);
}
