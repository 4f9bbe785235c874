//! Steppers: they read the next token of each of several documents, on the CPU or on any device.

use super::super::fused::{BlockScratch, PackedNetwork};
use super::super::{Network, plain};
use crate::documents::TokenId;
use crate::model::slices::with_slice_mut;
use candle_core::{DType, Device, Result, Tensor};
use genloss_kernels::attention::{CachePosition, KeyValueCache};
use std::ops::Range;

/// Reads the next token of each of several documents. Each document has a slot, which stores the keys and values of the
/// tokens read before.
pub trait TokenStepper {
    /// The number of slots.
    fn slots(&self) -> usize;

    /// Reads token `tokens[r]` at slot and position `places[r]`, for each row r.
    fn read(&mut self, tokens: &[TokenId], places: &[CachePosition]) -> Result<()>;

    /// Computes the logits of the given rows of the last [`read`](Self::read), a few at a time and in order. For each
    /// group of n rows, calls `visit` with the position of the group's first row in `rows`, and the logits (n, V).
    fn logits(&mut self, rows: &[u32], visit: &mut dyn FnMut(usize, &mut [f32])) -> Result<()>;

    /// The hidden states (rows, columns of the output matrix) of the last [`read`](Self::read), as they are multiplied by it.
    fn states(&self) -> Result<Vec<f32>>;

    /// Copies some positions of slot `from` to slot `to`, whose positions before them have read the same tokens.
    fn copy_positions(&mut self, from: usize, to: usize, positions: Range<usize>) -> Result<()>;
}

/// A stepper on the CPU, which runs on the calling thread.
pub struct FusedStepper<'a> {
    packed: &'a PackedNetwork<'a>,
    slots: usize,
    /// One for each block.
    caches: Vec<KeyValueCache>,
    scratch: BlockScratch,
    /// Hidden states (rows, W) of the last read, before the final norm.
    hidden: Vec<f32>,
}

impl<'a> FusedStepper<'a> {
    /// A stepper with `slots` slots of up to `positions` tokens each.
    pub fn new(packed: &'a PackedNetwork<'a>, slots: usize, positions: usize) -> Self {
        let network = packed.network();
        let shape = &network.shape;
        let cache = |_| KeyValueCache::new(network.precision, slots, shape.heads, positions);
        let caches = (0..shape.layers).map(cache).collect();
        Self { packed, slots, caches, scratch: BlockScratch::default(), hidden: Vec::new() }
    }
}

impl TokenStepper for FusedStepper<'_> {
    fn slots(&self) -> usize {
        self.slots
    }

    fn read(&mut self, tokens: &[TokenId], places: &[CachePosition]) -> Result<()> {
        self.hidden = self.packed.step(tokens, places, &mut self.caches, &mut self.scratch)?;
        Ok(())
    }

    fn logits(&mut self, rows: &[u32], visit: &mut dyn FnMut(usize, &mut [f32])) -> Result<()> {
        let width = self.packed.network().shape.width;
        let row = |&row: &u32| &self.hidden[row as usize * width..][..width];
        let hidden: Vec<f32> = rows.iter().flat_map(row).copied().collect();
        self.packed.logits(&hidden, &mut self.scratch, visit);
        Ok(())
    }

    fn states(&self) -> Result<Vec<f32>> {
        Ok(self.packed.normalised(&self.hidden))
    }

    fn copy_positions(&mut self, from: usize, to: usize, positions: Range<usize>) -> Result<()> {
        for cache in &mut self.caches {
            cache.copy_positions(from, to, positions.clone());
        }
        Ok(())
    }
}

/// A stepper on any device, with the reference layers of [`plain`].
pub struct PlainStepper<'a> {
    network: &'a Network,
    slots: usize,
    /// Largest number of tokens in a slot.
    positions: usize,
    /// Keys and values of each block: (slots · positions, K D).
    caches: Vec<(Tensor, Tensor)>,
    /// Hidden states of the last read, as they are multiplied by the output matrix.
    states: Tensor,
}

impl<'a> PlainStepper<'a> {
    /// A stepper with `slots` slots of up to `positions` tokens each.
    pub fn new(network: &'a Network, slots: usize, positions: usize) -> Result<Self> {
        let shape = &network.shape;
        let dims = (slots * positions, shape.heads.keys * shape.heads.width);
        let empty = || Tensor::zeros(dims, DType::F32, &network.device);
        let caches = (0..shape.layers).map(|_| Ok((empty()?, empty()?))).collect::<Result<_>>()?;
        let states = Tensor::zeros((0, shape.width), DType::F32, &network.device)?;
        Ok(Self { network, slots, positions, caches, states })
    }
}

/// Slots and positions of the rows of one step, as tensors on the device.
struct StepPlaces {
    /// Slot of each row: (rows).
    slots: Tensor,
    /// Row of the cache to which each token is written, repeated over its columns: (rows, K D).
    cache_rows: Tensor,
    /// Position of each row.
    positions: Vec<usize>,
    /// Largest number of positions in use by any row, including its new token.
    length: usize,
}

/// What the rows of one step read in a block, and how they are rotated there.
struct StepAttention {
    /// 0 where a row may attend to a position, −∞ elsewhere: (rows, 1, 1, length).
    mask: Tensor,
    angles: plain::Angles,
}

impl StepPlaces {
    /// The places of a step with a cache of `slot_len` positions for each slot.
    fn new(network: &Network, places: &[CachePosition], slot_len: usize) -> Result<Self> {
        let (shape, device) = (&network.shape, &network.device);
        let (rows, columns) = (places.len(), shape.heads.keys * shape.heads.width);
        let positions = places.iter().map(|place| place.position);
        let length = positions.clone().map(|position| position + 1).max().unwrap_or(1);
        let slots: Vec<u32> = places.iter().map(|place| place.slot as u32).collect();
        let cache_rows: Vec<u32> =
            places.iter().map(|place| (place.slot * slot_len + place.position) as u32).collect();
        let cache_rows = Tensor::from_vec(cache_rows, (rows, 1), device)?;
        Ok(Self {
            slots: Tensor::from_vec(slots, rows, device)?,
            cache_rows: cache_rows.broadcast_as((rows, columns))?.contiguous()?,
            positions: positions.collect(),
            length,
        })
    }

    /// What is read in blocks with this window.
    fn attention(&self, network: &Network, window: Option<usize>) -> Result<StepAttention> {
        let device = &network.device;
        let positions = || self.positions.iter().copied();
        let mask = plain::mask(positions(), self.length, window, device)?;
        Ok(StepAttention {
            mask: mask.reshape(((), 1, 1, self.length))?,
            angles: plain::Angles::new(network.rotaries.of(window), positions(), device)?,
        })
    }
}

impl StepAttention {
    /// Rotates each row of `x` (rows, H, 1, D) by its own position. Rows are treated as the time axis.
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        self.angles.rotate(&x.transpose(0, 2)?.contiguous()?)?.transpose(0, 2)?.contiguous()
    }
}

impl PlainStepper<'_> {
    /// Keys or values (rows, K, length, D) of each row's slot, from the cache of a block.
    fn read_cache(&self, cache: &Tensor, places: &StepPlaces) -> Result<Tensor> {
        let heads = self.network.shape.heads;
        let by_slot = cache.reshape((self.slots, self.positions, ()))?.narrow(1, 0, places.length)?;
        let by_row = by_slot.contiguous()?.index_select(&places.slots, 0)?;
        by_row.reshape(((), places.length, heads.keys, heads.width))?.transpose(1, 2)?.contiguous()
    }
}

impl TokenStepper for PlainStepper<'_> {
    fn slots(&self) -> usize {
        self.slots
    }

    fn read(&mut self, tokens: &[TokenId], places: &[CachePosition]) -> Result<()> {
        let network = self.network;
        let rows = tokens.len();
        let positions: Vec<u32> = places.iter().map(|place| place.position as u32).collect();
        let positions = Tensor::from_vec(positions, (rows, 1), &network.device)?;
        let places = StepPlaces::new(network, places, self.positions)?;
        let tokens = Tensor::from_slice(tokens, (rows, 1), &network.device)?;
        let mut x = plain::embed(network, &tokens, &positions)?;
        let by_window = plain::by_window(network, |window| places.attention(network, window))?;
        let blocks = network.parameters.blocks.iter().zip(&self.caches);
        for (layer, (block, (key_cache, value_cache))) in blocks.enumerate() {
            let attention = &by_window[&network.shape.architecture.window(layer)];
            x = plain::block(network, block, &x, |q, k, v| {
                let (q, k) = (attention.rotate(&q)?, attention.rotate(&k)?);
                key_cache.scatter_set(&places.cache_rows, &k.reshape((rows, ()))?, 0)?;
                value_cache.scatter_set(&places.cache_rows, &v.reshape((rows, ()))?, 0)?;
                let keys = self.read_cache(key_cache, &places)?;
                let values = self.read_cache(value_cache, &places)?;
                plain::attend(network, layer, &q, &keys, &values, &attention.mask)
            })?;
        }
        self.states = plain::states(network, x)?.flatten_to(1)?;
        Ok(())
    }

    fn logits(&mut self, rows: &[u32], visit: &mut dyn FnMut(usize, &mut [f32])) -> Result<()> {
        let states = self.states.index_select(&Tensor::new(rows, &self.network.device)?, 0)?;
        let logits = plain::logits(self.network, &states)?.to_device(&Device::Cpu)?;
        with_slice_mut(&logits, |logits| visit(0, logits))
    }

    fn states(&self) -> Result<Vec<f32>> {
        self.states.flatten_all()?.to_vec1()
    }

    fn copy_positions(&mut self, from: usize, to: usize, positions: Range<usize>) -> Result<()> {
        let [from, to] = [from, to].map(|slot| slot * self.positions + positions.start);
        for cache in self.caches.iter().flat_map(|(keys, values)| [keys, values]) {
            let copied = cache.narrow(0, from, positions.len())?.copy()?;
            cache.slice_set(&copied, 0, to)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::transformer::parameters::{Shape, Specification};
    use crate::seed::StreamKey;
    use genloss_kernels::Precision;
    use genloss_kernels::attention::Heads;

    /// Three documents are read at different positions, and one passes its slot to another document. At the end, the
    /// first document is copied to an empty slot in two parts. The same token must then give the same states in both
    /// slots.
    #[test]
    fn the_plain_stepper_agrees_with_the_fused_one() {
        let heads = Heads { queries: 4, keys: 2, width: 6 };
        let architecture = crate::model::TransformerSettings {
            family: None,
            layers: 2,
            width: 24,
            heads: 4,
            ffn: 20,
            context: 20,
            precision: Precision::F32,
        };
        let shape = Shape { heads, tied: false, ..Shape::new(&architecture, 30) };
        let mut stream = StreamKey::new(1, "", 0, "initialisation").stream(0);
        let draw = |specification: &Specification| {
            let value = specification.draw(&mut stream, &Device::Cpu)?;
            if specification.columns.is_some() { value * 10.0 } else { Ok(value) }
        };
        let parameters = shape.specifications().try_map(draw).unwrap();
        let network = Network::new(shape, parameters, Precision::F32, Device::Cpu);
        let packed = PackedNetwork::new(&network).unwrap();
        let (mut fused, mut plain) =
            (FusedStepper::new(&packed, 4, 20), PlainStepper::new(&network, 4, 20).unwrap());
        for step in 0..30usize {
            let places = [(0, step % 20), (2, step % 7), (1, (step + 5) % 20)]
                .map(|(slot, position)| CachePosition { slot, position });
            let places = if step < 5 { &places[..2] } else { &places[..] };
            let tokens: Vec<TokenId> =
                places.iter().map(|place| (place.position * 7 + place.slot) as u32 % 30).collect();
            let rows: Vec<u32> =
                (0..places.len() as u32).filter(|row| !(row + step as u32).is_multiple_of(3)).collect();
            let (mut a, mut b) = (Vec::new(), Vec::new());
            for (stepper, logits) in [(&mut fused as &mut dyn TokenStepper, &mut a), (&mut plain, &mut b)] {
                stepper.read(&tokens, places).unwrap();
                stepper.logits(&rows, &mut |_, some| logits.extend_from_slice(some)).unwrap();
                logits.extend(stepper.states().unwrap());
            }
            assert_eq!((a.len(), b.len()), (rows.len() * 30 + places.len() * 24, a.len()));
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < 1e-4, "step {step}: {a} {b}");
            }
        }
        for stepper in [&mut fused as &mut dyn TokenStepper, &mut plain] {
            stepper.copy_positions(0, 3, 0..5).unwrap();
            stepper.copy_positions(0, 3, 5..10).unwrap();
            stepper.read(&[5, 5], &[0, 3].map(|slot| CachePosition { slot, position: 10 })).unwrap();
            let states = stepper.states().unwrap();
            assert_eq!(states[..24], states[24..]);
        }
    }
}
