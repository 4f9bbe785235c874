//! One step of attention for documents that are being written, over what they have read.

use super::super::LANES;
use super::super::instructions::Instructions;
use super::super::matmul::{depth, pair, round};
use super::{Heads, Rotary, rotate, softmax};
use crate::config::Precision;
use pulp::{Simd, WithSimd};

/// Keys and values of one block for a number of documents that are being written, by slot.
///
/// Both are units of 32 bits along the width of a head: an f32, or two bf16. Keys lie in tiles of 16 positions, (slot,
/// K, tile, units, position in the tile), so that the products of a query with a tile of keys run along positions and
/// read memory in order; values lie (slot, K, position, units).
pub struct Cache {
    precision: Precision,
    slots: usize,
    keys: Vec<u32>,
    values: Vec<u32>,
    /// Positions of a slot, filled up to whole tiles.
    positions: usize,
}

impl Cache {
    /// Room for `slots` documents.
    #[must_use]
    pub fn new(precision: Precision, slots: usize, heads: Heads, context: usize) -> Self {
        let positions = context.next_multiple_of(LANES);
        let size = slots * heads.keys * depth(precision, heads.width) * positions;
        Self { precision, slots, keys: vec![0; size], values: vec![0; size], positions }
    }

    /// Makes slot `to` hold what slot `from` does.
    pub fn copy(&mut self, from: usize, to: usize) {
        let size = self.keys.len() / self.slots.max(1);
        for units in [&mut self.keys, &mut self.values] {
            units.copy_within(from * size..(from + 1) * size, to * size);
        }
    }
}

/// One step of attention: row r of `qkv` (rows, (H + 2K) D) stands at `places[r]` = (slot, position) and reads
/// everything its slot holds up to there, itself included. `out` is (rows, H D).
pub fn step(
    qkv: &[f32],
    places: &[(usize, usize)],
    heads: Heads,
    rotary: &Rotary,
    cache: &mut Cache,
    out: &mut [f32],
) {
    let arch = Instructions::get().arch;
    match cache.precision {
        Precision::F32 => arch.dispatch(Step::<false> { qkv, places, heads, rotary, cache, out }),
        Precision::Bf16 => arch.dispatch(Step::<true> { qkv, places, heads, rotary, cache, out }),
    }
}

/// The arguments of [`step`].
struct Step<'a, const BF16: bool> {
    qkv: &'a [f32],
    places: &'a [(usize, usize)],
    heads: Heads,
    rotary: &'a Rotary,
    cache: &'a mut Cache,
    out: &'a mut [f32],
}

impl<const BF16: bool> WithSimd for Step<'_, BF16> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qkv, places, heads, rotary, cache, out } = self;
        rows::<S, BF16>(simd, qkv, places, heads, rotary, cache, out);
    }
}

#[inline(always)]
fn rows<S: Simd, const BF16: bool>(
    simd: S,
    qkv: &[f32],
    places: &[(usize, usize)],
    heads: Heads,
    rotary: &Rotary,
    cache: &mut Cache,
    out: &mut [f32],
) {
    let Heads { queries, keys, width } = heads;
    let scale = 1.0 / (width as f32).sqrt();
    let units = depth(cache.precision, width);
    let stride = units * cache.positions;
    let mut scores = vec![0.0; cache.positions];
    // Filled up with a zero, if the width is odd in bf16.
    let mut turned = vec![0.0; if BF16 { 2 * units } else { units }];
    let rows = qkv.chunks_exact(heads.row()).zip(out.chunks_exact_mut(queries * width));
    for ((qkv, out), &(slot, position)) in rows.zip(places) {
        let turn = rotary.at(position);
        let (query_part, rest) = qkv.split_at(queries * width);
        let (key_part, value_part) = rest.split_at(keys * width);
        for head in 0..keys {
            let from = head * width..(head + 1) * width;
            let base = (slot * keys + head) * stride;
            rotate(&key_part[from.clone()], turn, &mut turned[..width]);
            let tile = &mut cache.keys[base + position / LANES * LANES * units..][..LANES * units];
            for (unit, column) in tile.chunks_exact_mut(LANES).enumerate() {
                column[position % LANES] = unit_of::<BF16>(&turned, unit);
            }
            turned[..width].copy_from_slice(&value_part[from]);
            let values = &mut cache.values[base + position * units..][..units];
            for (unit, value) in values.iter_mut().enumerate() {
                *value = unit_of::<BF16>(&turned, unit);
            }
        }
        for head in 0..queries {
            let range = head * width..(head + 1) * width;
            let base = (slot * keys + head / (queries / keys)) * stride;
            rotate(&query_part[range.clone()], turn, &mut turned[..width]);
            let seen = position + 1;
            if BF16 {
                turned.iter_mut().for_each(|x| *x = round(*x));
            }
            products::<S, BF16>(simd, &turned, units, &cache.keys[base..base + stride], &mut scores, seen);
            softmax(&mut scores[..seen], scale);
            if BF16 {
                scores[..seen].iter_mut().for_each(|x| *x = round(*x));
            }
            mix::<S, BF16>(simd, &scores[..seen], units, &cache.values[base..base + stride], &mut turned);
            out[range].copy_from_slice(&turned[..width]);
            turned[width..].fill(0.0);
        }
    }
}

/// The unit number `unit` of a row of numbers.
#[inline(always)]
fn unit_of<const BF16: bool>(numbers: &[f32], unit: usize) -> u32 {
    if BF16 { pair(numbers[2 * unit], numbers[2 * unit + 1]) } else { numbers[unit].to_bits() }
}

/// `sum + factor · number` for the numbers of some units: the first of each and, in bf16, the second.
#[inline(always)]
fn add_products<S: Simd, const BF16: bool>(
    simd: S,
    units: S::u32s,
    factors: (S::f32s, S::f32s),
    sums: (S::f32s, S::f32s),
) -> (S::f32s, S::f32s) {
    if !BF16 {
        return (simd.mul_add_e_f32s(factors.0, simd.transmute_f32s_u32s(units), sums.0), sums.1);
    }
    let first = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(units, simd.splat_u32s(16)));
    let second = simd.transmute_f32s_u32s(simd.and_u32s(units, simd.splat_u32s(0xffff_0000)));
    (simd.mul_add_e_f32s(factors.0, first, sums.0), simd.mul_add_e_f32s(factors.1, second, sums.1))
}

/// `scores[t] = q · k_t` for the first `seen` keys, and for the others of the last one's tile.
#[inline(always)]
fn products<S: Simd, const BF16: bool>(
    simd: S,
    query: &[f32],
    units: usize,
    tiles: &[u32],
    scores: &mut [f32],
    seen: usize,
) {
    let (tiles, _) = tiles.as_chunks::<LANES>();
    let (scores, _) = scores.as_chunks_mut::<LANES>();
    let count = seen.div_ceil(LANES);
    let mut done = 0;
    while done < count {
        let (tiles, scores) = (&tiles[done * units..], &mut scores[done..]);
        done += match count - done {
            4.. => products_some::<S, BF16, 4>(simd, query, units, tiles, scores),
            2.. => products_some::<S, BF16, 2>(simd, query, units, tiles, scores),
            _ => products_some::<S, BF16, 1>(simd, query, units, tiles, scores),
        };
    }
}

/// The part of [`products`] for the first `TILES` tiles; gives their number. Several sums side by side hide the time
/// that an addition takes.
#[inline(always)]
fn products_some<S: Simd, const BF16: bool, const TILES: usize>(
    simd: S,
    query: &[f32],
    units: usize,
    tiles: &[[u32; LANES]],
    scores: &mut [[f32; LANES]],
) -> usize {
    for vector in 0..LANES / S::F32_LANES {
        let mut sums = [(simd.splat_f32s(0.0), simd.splat_f32s(0.0)); TILES];
        for unit in 0..units {
            let (first, second) =
                if BF16 { (query[2 * unit], query[2 * unit + 1]) } else { (query[unit], 0.0) };
            let factors = (simd.splat_f32s(first), simd.splat_f32s(second));
            for (tile, sums) in sums.iter_mut().enumerate() {
                let units = S::as_simd_u32s(&tiles[tile * units + unit]).0[vector];
                *sums = add_products::<S, BF16>(simd, units, factors, *sums);
            }
        }
        for (sums, scores) in sums.iter().zip(&mut *scores) {
            S::as_mut_simd_f32s(scores).0[vector] = simd.add_f32s(sums.0, sums.1);
        }
    }
    TILES
}

/// `out = Σ_t p_t v_t`, filled up to whole units.
#[inline(always)]
fn mix<S: Simd, const BF16: bool>(
    simd: S,
    probabilities: &[f32],
    units: usize,
    values: &[u32],
    out: &mut [f32],
) {
    let mut done = 0;
    while done < units {
        done += match (units - done) / S::F32_LANES {
            4.. => mix_some::<S, BF16, 4>(simd, probabilities, units, values, out, done),
            2.. => mix_some::<S, BF16, 2>(simd, probabilities, units, values, out, done),
            1.. => mix_some::<S, BF16, 1>(simd, probabilities, units, values, out, done),
            _ => mix_one::<BF16>(probabilities, units, values, out, done),
        };
    }
}

/// The part of [`mix`] for `VECTORS` vectors of units from `first` on; gives the number of units.
#[inline(always)]
fn mix_some<S: Simd, const BF16: bool, const VECTORS: usize>(
    simd: S,
    probabilities: &[f32],
    units: usize,
    values: &[u32],
    out: &mut [f32],
    first: usize,
) -> usize {
    let width = VECTORS * S::F32_LANES;
    let mut sums = [(simd.splat_f32s(0.0), simd.splat_f32s(0.0)); VECTORS];
    for (&p, value) in probabilities.iter().zip(values.chunks_exact(units)) {
        let factor = simd.splat_f32s(p);
        let (vectors, _) = S::as_simd_u32s(&value[first..first + width]);
        for (sums, &units) in sums.iter_mut().zip(vectors) {
            *sums = add_products::<S, BF16>(simd, units, (factor, factor), *sums);
        }
    }
    for (vector, sums) in sums.iter().enumerate() {
        let mut numbers = [[0f32; LANES]; 2];
        S::as_mut_simd_f32s(&mut numbers[0]).0[0] = sums.0;
        S::as_mut_simd_f32s(&mut numbers[1]).0[0] = sums.1;
        let [firsts, seconds] = numbers;
        let start = first + vector * S::F32_LANES;
        for (unit, (first, second)) in (start..start + S::F32_LANES).zip(firsts.into_iter().zip(seconds)) {
            put::<BF16>(out, unit, first, second);
        }
    }
    width
}

/// The part of [`mix`] for one unit.
#[inline(always)]
fn mix_one<const BF16: bool>(
    probabilities: &[f32],
    units: usize,
    values: &[u32],
    out: &mut [f32],
    unit: usize,
) -> usize {
    let (mut first, mut second) = (0.0, 0.0);
    for (p, value) in probabilities.iter().zip(values.chunks_exact(units)) {
        let value = value[unit];
        first += p * f32::from_bits(if BF16 { value << 16 } else { value });
        second += p * f32::from_bits(value & 0xffff_0000);
    }
    put::<BF16>(out, unit, first, second);
    1
}

#[inline(always)]
fn put<const BF16: bool>(out: &mut [f32], unit: usize, first: f32, second: f32) {
    if BF16 {
        (out[2 * unit], out[2 * unit + 1]) = (first, second);
    } else {
        out[unit] = first;
    }
}
