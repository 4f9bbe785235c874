//! Writing documents, many side by side, one token of each at a time.
//!
//! Every document is a list of tokens to read: the start token, its prompt, and then what is drawn. A step reads the
//! next token of each; where that was the last one, the next is drawn. So prompts of any length, and documents that
//! *roll*, need nothing special: when the context is full, the reading goes back by half a context and positions
//! restart at 0, which is also how [`score`](super::score) reads long documents. A document that is finished hands
//! its slot to the next one that waits.

use super::fused::{LOGIT_ROWS, Packed, Scratch};
use super::{Network, Transformer, plain};
use crate::config::Decoding;
use crate::decoding::Sampler;
use crate::documents::{Documents, TokenId};
use crate::kernels::attention::Cache;
use crate::kernels::change;
use crate::model::{Generate, ModelError};
use crate::seed::Stream;
use crate::stage::Stage;
use candle_core::{Device, Tensor};
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
                let decoder = FusedDecoder::new(&packed, slots.min(group.len()));
                write(model, request, group, decoder, stage)
            })
            .collect::<Result<Vec<_>, ModelError>>()?
    } else {
        let decoder = PlainDecoder::new(&model.network, DEVICE_SLOTS.min(count))?;
        vec![write(model, request, &all, decoder, stage)?]
    };
    Ok(written.iter().flatten().map(Vec::as_slice).collect())
}

/// Reads one more token of each of several documents.
trait Decoder {
    /// How many documents can be written side by side.
    fn slots(&self) -> usize;

    /// Reads token r at `places[r]` = (slot, position). Hands the logits (some of them, V) of the rows in `wanted` to
    /// `visit`, some at a time and in order, with the number of the first.
    fn step(
        &mut self,
        tokens: &[TokenId],
        places: &[(usize, usize)],
        wanted: &[u32],
        visit: impl FnMut(usize, &mut [f32]),
    ) -> Tensors<()>;
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
    fn advance(&mut self, context: usize) -> (TokenId, (usize, usize)) {
        if self.position == context {
            self.next -= context / 2;
            self.position = 0;
        }
        let token = self.tokens[self.next];
        let place = (self.slot, self.position);
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

/// Writes the documents `indices` of the request.
fn write(
    model: &Transformer,
    request: &Generate,
    indices: &[usize],
    mut decoder: impl Decoder,
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
        decoder.step(&tokens, &places, &wanted, |first, logits| {
            draw(logits, model.vocab_size(), &mut drawing[first..], request.decoding);
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

/// On the processor, on the calling thread.
struct FusedDecoder<'a> {
    packed: &'a Packed<'a>,
    slots: usize,
    caches: Vec<Cache>,
    scratch: Scratch,
}

impl<'a> FusedDecoder<'a> {
    fn new(packed: &'a Packed<'a>, slots: usize) -> Self {
        let shape = &packed.network().shape;
        let cache = |_| Cache::new(packed.precision(), slots, shape.heads, shape.context);
        let caches = (0..shape.layers).map(cache).collect();
        Self { packed, slots, caches, scratch: Scratch::default() }
    }
}

impl Decoder for FusedDecoder<'_> {
    fn slots(&self) -> usize {
        self.slots
    }

    fn step(
        &mut self,
        tokens: &[TokenId],
        places: &[(usize, usize)],
        wanted: &[u32],
        visit: impl FnMut(usize, &mut [f32]),
    ) -> Tensors<()> {
        let Self { packed, caches, scratch, .. } = self;
        let width = packed.network().shape.width;
        let mut hidden = packed.step(tokens, places, caches, scratch)?;
        for (to, &from) in wanted.iter().enumerate() {
            let from = from as usize * width;
            hidden.copy_within(from..from + width, to * width);
        }
        packed.logits(&hidden[..wanted.len() * width], scratch, visit);
        Ok(())
    }
}

/// On any device, from plain tensor operations.
struct PlainDecoder<'a> {
    network: &'a Network,
    slots: usize,
    /// Keys and values of each block: (slots · context, K D).
    caches: Vec<(Tensor, Tensor)>,
}

impl<'a> PlainDecoder<'a> {
    fn new(network: &'a Network, slots: usize) -> Tensors<Self> {
        let shape = &network.shape;
        let dims = (slots * shape.context, shape.heads.keys * shape.heads.width);
        let empty = || Tensor::zeros(dims, candle_core::DType::F32, &network.device);
        let caches = (0..shape.layers).map(|_| Ok((empty()?, empty()?))).collect::<Tensors<_>>()?;
        Ok(Self { network, slots, caches })
    }

    /// Cosines and sines (rows, 1, 1, D/2) at each row's position.
    fn turns(&self, places: &[(usize, usize)]) -> Tensors<(Tensor, Tensor)> {
        let half = self.network.shape.heads.width / 2;
        let at = |values: &[f32]| {
            let rows: Vec<f32> =
                places.iter().flat_map(|(_, p)| &values[p * half..(p + 1) * half]).copied().collect();
            Tensor::from_vec(rows, (places.len(), 1, 1, half), &self.network.device)
        };
        Ok((at(&self.network.rotary.cosines)?, at(&self.network.rotary.sines)?))
    }
}

impl Decoder for PlainDecoder<'_> {
    fn slots(&self) -> usize {
        self.slots
    }

    fn step(
        &mut self,
        tokens: &[TokenId],
        places: &[(usize, usize)],
        wanted: &[u32],
        mut visit: impl FnMut(usize, &mut [f32]),
    ) -> Tensors<()> {
        let network = self.network;
        let (shape, device) = (&network.shape, &network.device);
        let heads = shape.heads;
        let (rows, row) = (tokens.len(), heads.keys * heads.width);
        let length = places.iter().map(|place| place.1 + 1).max().unwrap_or(1);
        let turn = self.turns(places)?;
        let slots: Vec<u32> = places.iter().map(|place| place.0 as u32).collect();
        let slots = Tensor::from_vec(slots, rows, device)?;
        let at: Vec<u32> =
            places.iter().map(|(slot, position)| (slot * shape.context + position) as u32).collect();
        let at = Tensor::from_vec(at, (rows, 1), device)?.broadcast_as((rows, row))?.contiguous()?;
        let ahead = |position: usize| move |s: usize| if s > position { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = places.iter().flat_map(|place| (0..length).map(ahead(place.1))).collect();
        let mask = Tensor::from_vec(mask, (rows, 1, 1, length), device)?;
        let seen = |cache: &Tensor| {
            let cache = cache.reshape((self.slots, shape.context, row))?.narrow(1, 0, length)?;
            let mine = cache.contiguous()?.index_select(&slots, 0)?;
            mine.reshape((rows, length, heads.keys, heads.width))?.transpose(1, 2)?.contiguous()
        };
        let mut x = plain::embed(network, &Tensor::from_slice(tokens, (rows, 1), device)?)?;
        for (block, (keys, values)) in network.parameters.blocks.iter().zip(&self.caches) {
            let normed = plain::rms_norm(&x, &block.attention_norm, shape.norm_epsilon)?;
            let (q, k, v) = plain::split(&plain::linear(&normed, &block.qkv, network.precision)?, heads)?;
            let (q, k) = (plain::rotate(&q, &turn)?, plain::rotate(&k, &turn)?);
            keys.scatter_set(&at, &k.reshape((rows, row))?, 0)?;
            values.scatter_set(&at, &v.reshape((rows, row))?, 0)?;
            let mixed = plain::attend(&q, &seen(keys)?, &seen(values)?, &mask, heads, network.precision)?;
            x = (x + plain::linear(&mixed, &block.output, network.precision)?)?;
            x = plain::feed_forward(network, block, &x)?;
        }
        let hidden = plain::rms_norm(&x, &network.parameters.norm, shape.norm_epsilon)?;
        let hidden = hidden.flatten_to(1)?.index_select(&Tensor::new(wanted, device)?, 0)?;
        change(&plain::logits(network, &hidden)?.to_device(&Device::Cpu)?, |logits| visit(0, logits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Precision;
    use crate::kernels::attention::Heads;
    use crate::model::transformer::parameters::Shape;
    use crate::seed::Place;

    /// Three documents at different positions, one of which gives its slot to another.
    #[test]
    fn the_plain_decoder_agrees_with_the_fused_one() {
        let heads = Heads { queries: 4, keys: 2, width: 6 };
        let architecture = crate::config::Transformer {
            layers: 2,
            width: 24,
            heads: 4,
            ffn: 20,
            context: 20,
            precision: Precision::F32,
        };
        let shape = Shape { heads, tied: false, ..Shape::new(&architecture, 30) };
        let mut stream = Place::new(1, "", 0, "initialisation").stream(0);
        let draw = |what: &super::super::parameters::Specification| {
            let value = what.draw(&mut stream, &Device::Cpu)?;
            if what.columns.is_some() { value * 10.0 } else { Ok(value) }
        };
        let parameters = shape.specifications().try_map(draw).unwrap();
        let network = Network::new(shape, parameters, Precision::F32, Device::Cpu);
        let packed = Packed::new(&network, Precision::F32).unwrap();
        let (mut fused, mut plain) = (FusedDecoder::new(&packed, 3), PlainDecoder::new(&network, 3).unwrap());
        for step in 0..30usize {
            let places = [(0, step % 20), (2, step % 7), (1, (step + 5) % 20)];
            let places = if step < 5 { &places[..2] } else { &places[..] };
            let tokens: Vec<TokenId> =
                places.iter().map(|place| (place.1 * 7 + place.0) as u32 % 30).collect();
            let wanted: Vec<u32> =
                (0..places.len() as u32).filter(|row| !(row + step as u32).is_multiple_of(3)).collect();
            let (mut a, mut b) = (Vec::new(), Vec::new());
            fused.step(&tokens, places, &wanted, |_, logits| a.extend_from_slice(logits)).unwrap();
            plain.step(&tokens, places, &wanted, |_, logits| b.extend_from_slice(logits)).unwrap();
            assert_eq!((a.len(), b.len()), (wanted.len() * 30, wanted.len() * 30));
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < 1e-4, "step {step}: {a} {b}");
            }
        }
    }
}
