//! One attention step for documents that are being generated, with a cache of their keys and values.

use super::super::LANES;
use super::super::instructions::Instructions;
use super::super::matmul::{pack_pair, packed_len, round_to_bf16};
use super::{Heads, Rotary, Scoring, rotate, softmax};
use crate::Precision;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Keys and values of one attention layer, for several documents that are generated in parallel. Each document has a
/// *slot*.
///
/// Keys and values are packed into 32-bit words along the width of a head: one f32 per word, or two bf16. Keys are
/// stored in tiles of 16 positions, (slot, K, tile, words, position in the tile), so that the products of a query with
/// a tile of keys are vectors over positions and read memory in order. Values are stored as (slot, K, position, words).
pub struct KeyValueCache {
    precision: Precision,
    heads: Heads,
    keys: Vec<u32>,
    values: Vec<u32>,
    /// Number of positions of a slot, rounded up to whole tiles.
    positions: usize,
}

/// Slot and position at which a token is stored in a [`KeyValueCache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePosition {
    /// The document's slot.
    pub slot: usize,
    /// Position in the context, from 0.
    pub position: usize,
}

impl KeyValueCache {
    /// A cache for `slots` documents of up to `context` positions.
    #[must_use]
    pub fn new(precision: Precision, slots: usize, heads: Heads, context: usize) -> Self {
        let positions = context.next_multiple_of(LANES);
        let len = slots * heads.keys * packed_len(precision, heads.width) * positions;
        Self { precision, heads, keys: vec![0; len], values: vec![0; len], positions }
    }

    /// Copies the keys and values of some positions of slot `from` to slot `to`. Keys are copied with their tiles.
    ///
    /// # Panics
    /// If a slot or a position is outside the cache.
    pub fn copy_positions(&mut self, from: usize, to: usize, positions: Range<usize>) {
        let words = packed_len(self.precision, self.heads.width);
        let stride = words * self.positions;
        let tiles = positions.start / LANES * LANES * words..positions.end.next_multiple_of(LANES) * words;
        let rows = positions.start * words..positions.end * words;
        for head in 0..self.heads.keys {
            let [from, to] = [from, to].map(|slot| (slot * self.heads.keys + head) * stride);
            for (numbers, part) in [(&mut self.keys, &tiles), (&mut self.values, &rows)] {
                numbers.copy_within(from + part.start..from + part.end, to + part.start);
            }
        }
    }
}

/// Stores the keys and values of row r of `qkv` (rows, (H + 2K) D) at `places[r]`. Then computes the attention of that
/// row's token over the positions of its slot that `scoring` lets it read, and writes it to `out` (rows, H D).
///
/// # Panics
/// If a place is outside the cache.
pub fn decode_step(
    qkv: &[f32],
    places: &[CachePosition],
    heads: Heads,
    scoring: Scoring,
    rotary: &Rotary,
    cache: &mut KeyValueCache,
    out: &mut [f32],
) {
    let arch = Instructions::get().arch;
    match cache.precision {
        Precision::F32 => {
            arch.dispatch(DecodeKernel::<false> { qkv, places, heads, scoring, rotary, cache, out });
        }
        Precision::Bf16 => {
            arch.dispatch(DecodeKernel::<true> { qkv, places, heads, scoring, rotary, cache, out });
        }
    }
}

/// The arguments of [`decode_step`].
struct DecodeKernel<'a, const BF16: bool> {
    qkv: &'a [f32],
    places: &'a [CachePosition],
    heads: Heads,
    scoring: Scoring,
    rotary: &'a Rotary,
    cache: &'a mut KeyValueCache,
    out: &'a mut [f32],
}

impl<const BF16: bool> WithSimd for DecodeKernel<'_, BF16> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qkv, places, heads, scoring, rotary, cache, out } = self;
        let words = packed_len(cache.precision, heads.width);
        let mut scores = vec![0.0; cache.positions];
        // Holds the key, value, query or output of one head at a time. In bf16, an odd width is padded with a zero.
        let mut scratch = vec![0.0; if BF16 { 2 * words } else { words }];
        let rows = qkv.chunks_exact(heads.qkv_width()).zip(out.chunks_exact_mut(heads.output_width()));
        for ((qkv, out), &place) in rows.zip(places) {
            let angles = rotary.at(place.position);
            let (queries, keys_and_values) = qkv.split_at(heads.output_width());
            store_keys_and_values::<BF16>(keys_and_values, place, heads, angles, cache, &mut scratch);
            attend::<S, BF16>(
                simd,
                queries,
                place,
                heads,
                scoring,
                angles,
                cache,
                &mut scores,
                &mut scratch,
                out,
            );
        }
    }
}

/// Stores the rotated keys and the values of one token. `keys_and_values` has 2K · D numbers, not rotated yet.
#[inline(always)]
fn store_keys_and_values<const BF16: bool>(
    keys_and_values: &[f32],
    CachePosition { slot, position }: CachePosition,
    Heads { keys, width, .. }: Heads,
    angles: (&[f32], &[f32]),
    cache: &mut KeyValueCache,
    scratch: &mut [f32],
) {
    let words = packed_len(cache.precision, width);
    let stride = words * cache.positions;
    let (key_part, value_part) = keys_and_values.split_at(keys * width);
    for head in 0..keys {
        let columns = head * width..(head + 1) * width;
        let base = (slot * keys + head) * stride;
        rotate(&key_part[columns.clone()], angles, &mut scratch[..width]);
        let tile = &mut cache.keys[base + position / LANES * LANES * words..][..LANES * words];
        for (word, lanes) in tile.chunks_exact_mut(LANES).enumerate() {
            lanes[position % LANES] = pack_word::<BF16>(scratch, word);
        }
        scratch[..width].copy_from_slice(&value_part[columns]);
        let values = &mut cache.values[base + position * words..][..words];
        for (word, value) in values.iter_mut().enumerate() {
            *value = pack_word::<BF16>(scratch, word);
        }
    }
}

/// Computes the attention of one token's `query_part` (H D) over its slot, and writes it to `out` (H D).
#[expect(clippy::too_many_arguments, reason = "an inlined part of one kernel")]
#[inline(always)]
fn attend<S: Simd, const BF16: bool>(
    simd: S,
    query_part: &[f32],
    CachePosition { slot, position }: CachePosition,
    Heads { queries, keys, width }: Heads,
    scoring: Scoring,
    angles: (&[f32], &[f32]),
    cache: &KeyValueCache,
    scores: &mut [f32],
    scratch: &mut [f32],
    out: &mut [f32],
) {
    let words = packed_len(cache.precision, width);
    let stride = words * cache.positions;
    let key_count = position + 1;
    for head in 0..queries {
        let columns = head * width..(head + 1) * width;
        let base = (slot * keys + head / (queries / keys)) * stride;
        rotate(&query_part[columns.clone()], angles, &mut scratch[..width]);
        if BF16 {
            scratch.iter_mut().for_each(|x| *x = round_to_bf16(*x));
        }
        products::<S, BF16>(simd, scratch, words, &cache.keys[base..base + stride], scores, key_count);
        let (before, read) = scores[..key_count].split_at_mut(scoring.first_key(position));
        scoring.cap(read);
        softmax(read, scoring.softmax_scale());
        before.fill(0.0);
        if BF16 {
            scores[..key_count].iter_mut().for_each(|x| *x = round_to_bf16(*x));
        }
        let values = &cache.values[base..base + stride];
        weighted_sum::<S, BF16>(simd, &scores[..key_count], words, values, scratch);
        out[columns].copy_from_slice(&scratch[..width]);
        scratch[width..].fill(0.0);
    }
}

/// Packs the numbers that belong to word `word` of a packed row.
#[inline(always)]
fn pack_word<const BF16: bool>(numbers: &[f32], word: usize) -> u32 {
    if BF16 { pack_pair(numbers[2 * word], numbers[2 * word + 1]) } else { numbers[word].to_bits() }
}

/// `sum + factor · number` for a vector of words, separately for the first number of each word and, in bf16, the
/// second.
#[inline(always)]
fn multiply_add<S: Simd, const BF16: bool>(
    simd: S,
    words: S::u32s,
    factors: (S::f32s, S::f32s),
    sums: (S::f32s, S::f32s),
) -> (S::f32s, S::f32s) {
    if !BF16 {
        return (simd.mul_add_e_f32s(factors.0, simd.transmute_f32s_u32s(words), sums.0), sums.1);
    }
    let first = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(words, simd.splat_u32s(16)));
    let second = simd.transmute_f32s_u32s(simd.and_u32s(words, simd.splat_u32s(0xffff_0000)));
    (simd.mul_add_e_f32s(factors.0, first, sums.0), simd.mul_add_e_f32s(factors.1, second, sums.1))
}

/// Computes `scores[t] = q · k_t` for the first `key_count` keys. Scores of other keys in the last tile are
/// unspecified.
#[inline(always)]
fn products<S: Simd, const BF16: bool>(
    simd: S,
    query: &[f32],
    words: usize,
    tiles: &[u32],
    scores: &mut [f32],
    key_count: usize,
) {
    let (tiles, _) = tiles.as_chunks::<LANES>();
    let (scores, _) = scores.as_chunks_mut::<LANES>();
    let tile_count = key_count.div_ceil(LANES);
    let mut done = 0;
    while done < tile_count {
        let (tiles, scores) = (&tiles[done * words..], &mut scores[done..]);
        done += match tile_count - done {
            4.. => products_of_tiles::<S, BF16, 4>(simd, query, words, tiles, scores),
            2.. => products_of_tiles::<S, BF16, 2>(simd, query, words, tiles, scores),
            _ => products_of_tiles::<S, BF16, 1>(simd, query, words, tiles, scores),
        };
    }
}

/// Computes [`products`] for the first `TILES` tiles, and returns `TILES`. With several tiles there are independent
/// sums, which hide the latency of an addition.
#[inline(always)]
fn products_of_tiles<S: Simd, const BF16: bool, const TILES: usize>(
    simd: S,
    query: &[f32],
    words: usize,
    tiles: &[[u32; LANES]],
    scores: &mut [[f32; LANES]],
) -> usize {
    for vector in 0..LANES / S::F32_LANES {
        let mut sums = [(simd.splat_f32s(0.0), simd.splat_f32s(0.0)); TILES];
        for word in 0..words {
            let (first, second) =
                if BF16 { (query[2 * word], query[2 * word + 1]) } else { (query[word], 0.0) };
            let factors = (simd.splat_f32s(first), simd.splat_f32s(second));
            for (tile, sums) in sums.iter_mut().enumerate() {
                let words = S::as_simd_u32s(&tiles[tile * words + word]).0[vector];
                *sums = multiply_add::<S, BF16>(simd, words, factors, *sums);
            }
        }
        for (sums, scores) in sums.iter().zip(&mut *scores) {
            S::as_mut_simd_f32s(scores).0[vector] = simd.add_f32s(sums.0, sums.1);
        }
    }
    TILES
}

/// Computes `out = Σ_t p_t v_t`, padded to whole words.
#[inline(always)]
fn weighted_sum<S: Simd, const BF16: bool>(
    simd: S,
    probabilities: &[f32],
    words: usize,
    values: &[u32],
    out: &mut [f32],
) {
    let mut done = 0;
    while done < words {
        done += match (words - done) / S::F32_LANES {
            4.. => weighted_sum_of_vectors::<S, BF16, 4>(simd, probabilities, words, values, out, done),
            2.. => weighted_sum_of_vectors::<S, BF16, 2>(simd, probabilities, words, values, out, done),
            1.. => weighted_sum_of_vectors::<S, BF16, 1>(simd, probabilities, words, values, out, done),
            _ => weighted_sum_of_word::<BF16>(probabilities, words, values, out, done),
        };
    }
}

/// Computes [`weighted_sum`] for `VECTORS` vectors of words from word `first` on, and returns the number of these
/// words.
#[inline(always)]
fn weighted_sum_of_vectors<S: Simd, const BF16: bool, const VECTORS: usize>(
    simd: S,
    probabilities: &[f32],
    words: usize,
    values: &[u32],
    out: &mut [f32],
    first: usize,
) -> usize {
    let width = VECTORS * S::F32_LANES;
    let mut sums = [(simd.splat_f32s(0.0), simd.splat_f32s(0.0)); VECTORS];
    for (&p, value) in probabilities.iter().zip(values.chunks_exact(words)) {
        let factor = simd.splat_f32s(p);
        let (vectors, _) = S::as_simd_u32s(&value[first..first + width]);
        for (sums, &words) in sums.iter_mut().zip(vectors) {
            *sums = multiply_add::<S, BF16>(simd, words, (factor, factor), *sums);
        }
    }
    for (vector, sums) in sums.iter().enumerate() {
        let mut numbers = [[0f32; LANES]; 2];
        S::as_mut_simd_f32s(&mut numbers[0]).0[0] = sums.0;
        S::as_mut_simd_f32s(&mut numbers[1]).0[0] = sums.1;
        let [firsts, seconds] = numbers;
        let start = first + vector * S::F32_LANES;
        for (word, (first, second)) in (start..start + S::F32_LANES).zip(firsts.into_iter().zip(seconds)) {
            store_word::<BF16>(out, word, first, second);
        }
    }
    width
}

/// Computes [`weighted_sum`] for one word. Returns 1, the number of words.
#[inline(always)]
fn weighted_sum_of_word<const BF16: bool>(
    probabilities: &[f32],
    words: usize,
    values: &[u32],
    out: &mut [f32],
    word: usize,
) -> usize {
    let (mut first, mut second) = (0.0, 0.0);
    for (p, value) in probabilities.iter().zip(values.chunks_exact(words)) {
        let value = value[word];
        first += p * f32::from_bits(if BF16 { value << 16 } else { value });
        second += p * f32::from_bits(value & 0xffff_0000);
    }
    store_word::<BF16>(out, word, first, second);
    1
}

/// Writes the numbers of word `word` to their places in `out`: `first`, and in bf16 also `second`.
#[inline(always)]
fn store_word<const BF16: bool>(out: &mut [f32], word: usize, first: f32, second: f32) {
    if BF16 {
        (out[2 * word], out[2 * word + 1]) = (first, second);
    } else {
        out[word] = first;
    }
}
