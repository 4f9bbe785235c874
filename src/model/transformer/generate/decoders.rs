//! Reading one more token of each of several documents, on the processor or on any device.

use super::super::fused::{Packed, Scratch};
use super::super::{Network, plain};
use super::Tensors;
use crate::documents::TokenId;
use crate::model::slices::with_slice_mut;
use candle_core::{Device, Tensor};
use genloss_kernels::attention::{CachePosition, KeyValueCache};

/// Reads one more token of each of several documents, and remembers what it read in a slot for each.
pub trait Decoder {
    /// How many documents can be read side by side.
    fn slots(&self) -> usize;

    /// Reads token r at `places[r]` = its slot and position.
    fn read(&mut self, tokens: &[TokenId], places: &[CachePosition]) -> Tensors<()>;

    /// Hands the logits (some of them, V) of the rows in `wanted` of what was read last to `visit`, some at a time and in
    /// order, with the number of the first.
    fn logits(&mut self, wanted: &[u32], visit: &mut dyn FnMut(usize, &mut [f32])) -> Tensors<()>;

    /// The last hidden states (rows, W) of what was read last, normalised: logits are made of these.
    fn states(&self) -> Tensors<Vec<f32>>;

    /// Makes slot `to` remember what slot `from` does.
    fn copy(&mut self, from: usize, to: usize) -> Tensors<()>;
}

/// On the processor, on the calling thread.
pub struct FusedDecoder<'a> {
    packed: &'a Packed<'a>,
    slots: usize,
    caches: Vec<KeyValueCache>,
    scratch: Scratch,
    /// Of what was read last (rows, W), not yet normalised.
    hidden: Vec<f32>,
}

impl<'a> FusedDecoder<'a> {
    pub fn new(packed: &'a Packed<'a>, slots: usize) -> Self {
        let shape = &packed.network().shape;
        let cache = |_| KeyValueCache::new(packed.precision(), slots, shape.heads, shape.context);
        let caches = (0..shape.layers).map(cache).collect();
        Self { packed, slots, caches, scratch: Scratch::default(), hidden: Vec::new() }
    }
}

impl Decoder for FusedDecoder<'_> {
    fn slots(&self) -> usize {
        self.slots
    }

    fn read(&mut self, tokens: &[TokenId], places: &[CachePosition]) -> Tensors<()> {
        self.hidden = self.packed.step(tokens, places, &mut self.caches, &mut self.scratch)?;
        Ok(())
    }

    fn logits(&mut self, wanted: &[u32], visit: &mut dyn FnMut(usize, &mut [f32])) -> Tensors<()> {
        let width = self.packed.network().shape.width;
        let row = |&row: &u32| &self.hidden[row as usize * width..][..width];
        let hidden: Vec<f32> = wanted.iter().flat_map(row).copied().collect();
        self.packed.logits(&hidden, &mut self.scratch, visit);
        Ok(())
    }

    fn states(&self) -> Tensors<Vec<f32>> {
        Ok(self.packed.normalised(&self.hidden))
    }

    fn copy(&mut self, from: usize, to: usize) -> Tensors<()> {
        for cache in &mut self.caches {
            cache.copy_slot(from, to);
        }
        Ok(())
    }
}

/// On any device, from plain tensor operations.
pub struct PlainDecoder<'a> {
    network: &'a Network,
    slots: usize,
    /// Keys and values of each block: (slots · context, K D).
    caches: Vec<(Tensor, Tensor)>,
    /// Of what was read last (rows, W), normalised.
    states: Tensor,
}

impl<'a> PlainDecoder<'a> {
    pub fn new(network: &'a Network, slots: usize) -> Tensors<Self> {
        let shape = &network.shape;
        let dims = (slots * shape.context, shape.heads.keys * shape.heads.width);
        let empty = || Tensor::zeros(dims, candle_core::DType::F32, &network.device);
        let caches = (0..shape.layers).map(|_| Ok((empty()?, empty()?))).collect::<Tensors<_>>()?;
        let states = Tensor::zeros((0, shape.width), candle_core::DType::F32, &network.device)?;
        Ok(Self { network, slots, caches, states })
    }

    /// Cosines and sines (rows, 1, 1, D/2) at each row's position.
    fn turns(&self, places: &[CachePosition]) -> Tensors<(Tensor, Tensor)> {
        let half = self.network.shape.heads.width / 2;
        let at = |values: &[f32]| {
            let rows: Vec<f32> = places
                .iter()
                .flat_map(|place| &values[place.position * half..(place.position + 1) * half])
                .copied()
                .collect();
            Tensor::from_vec(rows, (places.len(), 1, 1, half), &self.network.device)
        };
        Ok((at(&self.network.rotary.cosines)?, at(&self.network.rotary.sines)?))
    }
}

impl Decoder for PlainDecoder<'_> {
    fn slots(&self) -> usize {
        self.slots
    }

    fn read(&mut self, tokens: &[TokenId], places: &[CachePosition]) -> Tensors<()> {
        let network = self.network;
        let (shape, device) = (&network.shape, &network.device);
        let heads = shape.heads;
        let (rows, row) = (tokens.len(), heads.keys * heads.width);
        let length = places.iter().map(|place| place.position + 1).max().unwrap_or(1);
        let turn = self.turns(places)?;
        let slots: Vec<u32> = places.iter().map(|place| place.slot as u32).collect();
        let slots = Tensor::from_vec(slots, rows, device)?;
        let at: Vec<u32> =
            places.iter().map(|place| (place.slot * shape.context + place.position) as u32).collect();
        let at = Tensor::from_vec(at, (rows, 1), device)?.broadcast_as((rows, row))?.contiguous()?;
        let ahead = |position: usize| move |s: usize| if s > position { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = places.iter().flat_map(|place| (0..length).map(ahead(place.position))).collect();
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
        self.states = plain::rms_norm(&x, &network.parameters.norm, shape.norm_epsilon)?.flatten_to(1)?;
        Ok(())
    }

    fn logits(&mut self, wanted: &[u32], visit: &mut dyn FnMut(usize, &mut [f32])) -> Tensors<()> {
        let wanted = self.states.index_select(&Tensor::new(wanted, &self.network.device)?, 0)?;
        let logits = plain::logits(self.network, &wanted)?.to_device(&Device::Cpu)?;
        with_slice_mut(&logits, |logits| visit(0, logits))
    }

    fn states(&self) -> Tensors<Vec<f32>> {
        self.states.flatten_all()?.to_vec1()
    }

    fn copy(&mut self, from: usize, to: usize) -> Tensors<()> {
        let context = self.network.shape.context;
        for cache in self.caches.iter().flat_map(|(keys, values)| [keys, values]) {
            let slot = cache.narrow(0, from * context, context)?.copy()?;
            cache.slice_set(&slot, 0, to * context)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Precision;
    use crate::model::transformer::parameters::{Shape, Specification};
    use crate::seed::StreamKey;
    use genloss_kernels::attention::Heads;

    /// Three documents at different positions, one of which gives its slot to another; and at last a copy of the first,
    /// in a slot that held nothing, to which the next token is what it is to the first.
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
        let mut stream = StreamKey::new(1, "", 0, "initialisation").stream(0);
        let draw = |what: &Specification| {
            let value = what.draw(&mut stream, &Device::Cpu)?;
            if what.columns.is_some() { value * 10.0 } else { Ok(value) }
        };
        let parameters = shape.specifications().try_map(draw).unwrap();
        let network = Network::new(shape, parameters, Precision::F32, Device::Cpu);
        let packed = Packed::new(&network, Precision::F32).unwrap();
        let (mut fused, mut plain) = (FusedDecoder::new(&packed, 4), PlainDecoder::new(&network, 4).unwrap());
        for step in 0..30usize {
            let places = [(0, step % 20), (2, step % 7), (1, (step + 5) % 20)]
                .map(|(slot, position)| CachePosition { slot, position });
            let places = if step < 5 { &places[..2] } else { &places[..] };
            let tokens: Vec<TokenId> =
                places.iter().map(|place| (place.position * 7 + place.slot) as u32 % 30).collect();
            let wanted: Vec<u32> =
                (0..places.len() as u32).filter(|row| !(row + step as u32).is_multiple_of(3)).collect();
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for (decoder, logits) in [(&mut fused as &mut dyn Decoder, &mut a), (&mut plain, &mut b)] {
                decoder.read(&tokens, places).unwrap();
                decoder.logits(&wanted, &mut |_, some| logits.extend_from_slice(some)).unwrap();
                logits.extend(decoder.states().unwrap());
            }
            assert_eq!((a.len(), b.len()), (wanted.len() * 30 + places.len() * 24, a.len()));
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < 1e-4, "step {step}: {a} {b}");
            }
        }
        for decoder in [&mut fused as &mut dyn Decoder, &mut plain] {
            decoder.copy(0, 3).unwrap();
            decoder.read(&[5, 5], &[0, 3].map(|slot| CachePosition { slot, position: 10 })).unwrap();
            let states = decoder.states().unwrap();
            assert_eq!(states[..24], states[24..]);
        }
    }
}
