//! One step of attention for documents that are being written, over what they have read.

use super::super::matmul::{depth, pair, round};
use super::super::{LANES, vectorised};
use super::{Heads, Rotary, rotate, softmax};
use crate::config::Precision;

/// Keys and values of one block for a number of documents that are being written, by slot.
///
/// Both are units of 32 bits along the width of a head: an f32, or two bf16. Keys lie in tiles of 16 positions, (slot,
/// K, tile, units, position in the tile), so that the products of a query with a tile of keys run along positions and
/// read memory in order; values lie (slot, K, position, units).
pub struct Cache {
    precision: Precision,
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
        Self { precision, keys: vec![0; size], values: vec![0; size], positions }
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
    match cache.precision {
        Precision::F32 => step_f32(qkv, places, heads, rotary, cache, out),
        Precision::Bf16 => step_bf16(qkv, places, heads, rotary, cache, out),
    }
}

vectorised! {
    fn step_f32(
        qkv: &[f32], places: &[(usize, usize)], heads: Heads, rotary: &Rotary, cache: &mut Cache, out: &mut [f32],
    ) {
        rows::<false>(qkv, places, heads, rotary, cache, out);
    }
}

vectorised! {
    fn step_bf16(
        qkv: &[f32], places: &[(usize, usize)], heads: Heads, rotary: &Rotary, cache: &mut Cache, out: &mut [f32],
    ) {
        rows::<true>(qkv, places, heads, rotary, cache, out);
    }
}

#[inline(always)]
fn rows<const BF16: bool>(
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
            products::<BF16>(&turned, units, &cache.keys[base..base + stride], &mut scores, seen);
            softmax(&mut scores[..seen], scale);
            if BF16 {
                scores[..seen].iter_mut().for_each(|x| *x = round(*x));
            }
            mix::<BF16>(&scores[..seen], units, &cache.values[base..base + stride], &mut turned);
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

/// `scores[t] = q · k_t` for the first `seen` keys, and for the others of the last one's tile.
#[inline(always)]
fn products<const BF16: bool>(query: &[f32], units: usize, tiles: &[u32], scores: &mut [f32], seen: usize) {
    let (scores, _) = scores.as_chunks_mut::<LANES>();
    let count = seen.div_ceil(LANES);
    let mut done = 0;
    while done < count {
        let (tiles, scores) = (&tiles[done * LANES * units..], &mut scores[done..]);
        done += match count - done {
            4.. => products_some::<BF16, 4>(query, units, tiles, scores),
            2.. => products_some::<BF16, 2>(query, units, tiles, scores),
            _ => products_some::<BF16, 1>(query, units, tiles, scores),
        };
    }
}

/// The part of [`products`] for the first `TILES` tiles; gives their number. Several sums side by side hide the time
/// that an addition takes.
#[inline(always)]
fn products_some<const BF16: bool, const TILES: usize>(
    query: &[f32],
    units: usize,
    tiles: &[u32],
    scores: &mut [[f32; LANES]],
) -> usize {
    let mut sums = [[0f32; LANES]; TILES];
    let (tiles, _) = tiles.as_chunks::<LANES>();
    for unit in 0..units {
        let (first, second) = if BF16 { (query[2 * unit], query[2 * unit + 1]) } else { (query[unit], 0.0) };
        for (tile, sums) in sums.iter_mut().enumerate() {
            let units = &tiles[tile * units + unit];
            for lane in 0..LANES {
                if BF16 {
                    sums[lane] += first * f32::from_bits(units[lane] << 16);
                    sums[lane] += second * f32::from_bits(units[lane] & 0xffff_0000);
                } else {
                    sums[lane] += first * f32::from_bits(units[lane]);
                }
            }
        }
    }
    scores[..TILES].copy_from_slice(&sums);
    TILES
}

/// `out = Σ_t p_t v_t`, filled up to whole units.
#[inline(always)]
fn mix<const BF16: bool>(probabilities: &[f32], units: usize, values: &[u32], out: &mut [f32]) {
    let mut done = 0;
    while done < units {
        done += match units - done {
            64.. => mix_some::<BF16, 4>(probabilities, units, values, out, done),
            32.. => mix_some::<BF16, 2>(probabilities, units, values, out, done),
            16.. => mix_some::<BF16, 1>(probabilities, units, values, out, done),
            _ => mix_one::<BF16>(probabilities, units, values, out, done),
        };
    }
}

/// The part of [`mix`] for `VECTORS` · 16 units from `first` on; gives their number.
#[inline(always)]
fn mix_some<const BF16: bool, const VECTORS: usize>(
    probabilities: &[f32],
    units: usize,
    values: &[u32],
    out: &mut [f32],
    first: usize,
) -> usize {
    let (mut firsts, mut seconds) = ([[0f32; LANES]; VECTORS], [[0f32; LANES]; VECTORS]);
    for (p, value) in probabilities.iter().zip(values.chunks_exact(units)) {
        let Some(vectors) = value[first..].as_chunks::<LANES>().0.first_chunk::<VECTORS>() else { continue };
        for vector in 0..VECTORS {
            for lane in 0..LANES {
                let unit = vectors[vector][lane];
                if BF16 {
                    firsts[vector][lane] += p * f32::from_bits(unit << 16);
                    seconds[vector][lane] += p * f32::from_bits(unit & 0xffff_0000);
                } else {
                    firsts[vector][lane] += p * f32::from_bits(unit);
                }
            }
        }
    }
    for (unit, (a, b)) in (first..).zip(firsts.as_flattened().iter().zip(seconds.as_flattened())) {
        put::<BF16>(out, unit, *a, *b);
    }
    VECTORS * LANES
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
