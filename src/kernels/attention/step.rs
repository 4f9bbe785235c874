//! One step of attention for documents that are being written, over what they have read.

use super::super::{LANES, vectorised};
use super::{Heads, Rotary, rotate, softmax};

/// Keys and values of one block for a number of documents that are being written, by slot.
///
/// Keys lie in tiles of `LANES` positions, (slot, K, tile, D, position in the tile), so that the products of a query
/// with a tile of keys run along positions and read memory in order; values lie (slot, K, position, D).
pub struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Positions of a slot, filled up to whole tiles.
    positions: usize,
}

impl Cache {
    /// Room for `slots` documents.
    #[must_use]
    pub fn new(slots: usize, heads: Heads, context: usize) -> Self {
        let positions = context.next_multiple_of(LANES);
        let size = slots * heads.keys * heads.width * positions;
        Self { keys: vec![0.0; size], values: vec![0.0; size], positions }
    }
}

vectorised! {
    /// One step of attention: row r of `qkv` stands at `places[r]` = (slot, position) and reads everything its slot
    /// holds up to there, itself included. `out` is (rows, H D).
    pub fn step(
        qkv: &[f32], places: &[(usize, usize)], heads: Heads, rotary: &Rotary, cache: &mut Cache, out: &mut [f32],
    ) {
        let Heads { queries, keys, width } = heads;
        let scale = 1.0 / (width as f32).sqrt();
        let stride = width * cache.positions;
        let mut scores = vec![0.0; cache.positions];
        let mut turned = vec![0.0; width];
        let rows = qkv.chunks_exact(heads.row()).zip(out.chunks_exact_mut(queries * width));
        for ((qkv, out), &(slot, position)) in rows.zip(places) {
            let turn = rotary.at(position);
            let (query_part, rest) = qkv.split_at(queries * width);
            let (key_part, value_part) = rest.split_at(keys * width);
            for head in 0..keys {
                let from = head * width..(head + 1) * width;
                let base = (slot * keys + head) * stride;
                rotate(&key_part[from.clone()], turn, &mut turned);
                let tile = &mut cache.keys[base + position / LANES * LANES * width..][..LANES * width];
                for (column, &value) in tile.chunks_exact_mut(LANES).zip(&turned) {
                    column[position % LANES] = value;
                }
                cache.values[base + position * width..][..width].copy_from_slice(&value_part[from]);
            }
            for head in 0..queries {
                let range = head * width..(head + 1) * width;
                let base = (slot * keys + head / (queries / keys)) * stride;
                rotate(&query_part[range.clone()], turn, &mut turned);
                products(&turned, &cache.keys[base..base + stride], &mut scores[..=position]);
                softmax(&mut scores[..=position], scale);
                mix(&scores[..=position], &cache.values[base..base + stride], &mut out[range]);
            }
        }
    }
}

/// `scores[t] = q · k_t`, from tiles of keys.
#[inline(always)]
fn products(query: &[f32], tiles: &[f32], scores: &mut [f32]) {
    for (scores, tile) in scores.chunks_mut(LANES).zip(tiles.chunks_exact(LANES * query.len())) {
        let mut lanes = [0f32; LANES];
        for (q, keys) in query.iter().zip(tile.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                lanes[lane] += q * keys[lane];
            }
        }
        scores.copy_from_slice(&lanes[..scores.len()]);
    }
}

/// `out = Σ_t p_t v_t`.
#[inline(always)]
fn mix(probabilities: &[f32], values: &[f32], out: &mut [f32]) {
    let width = out.len();
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let whole = width - rest.len();
    for (chunk, first) in chunks.iter_mut().zip((0..).step_by(LANES)) {
        let mut lanes = [0f32; LANES];
        for (p, value) in probabilities.iter().zip(values.chunks_exact(width)) {
            if let Some(value) = value[first..].first_chunk::<LANES>() {
                for lane in 0..LANES {
                    lanes[lane] += p * value[lane];
                }
            }
        }
        *chunk = lanes;
    }
    for (out, d) in rest.iter_mut().zip(whole..) {
        *out = probabilities.iter().zip(values.chunks_exact(width)).map(|(p, value)| p * value[d]).sum();
    }
}
