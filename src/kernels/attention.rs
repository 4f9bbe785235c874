//! Causal attention with rotary positions, forwards and backwards, and one step at a time with a cache.
//!
//! A row of `qkv` holds the queries of all heads, then the keys and the values of the (possibly fewer) key–value
//! heads: (H + 2K) · D numbers. Query head h reads key–value head h / (H / K). Positions are rotations of the pairs
//! (i, i + D/2) of a head by `position · θ^(−2i/D)` (Su et al. 2021, in the order that Hugging Face's Llama uses).

use super::{LANES, add_lanes, exp, max, vectorised};

/// Heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads, H.
    pub queries: usize,
    /// Key–value heads, K: a divisor of H.
    pub keys: usize,
    /// Width of a head, D: even.
    pub width: usize,
}

impl Heads {
    /// Numbers in a row of `qkv`.
    #[must_use]
    pub fn row(&self) -> usize {
        (self.queries + 2 * self.keys) * self.width
    }
}

/// Cosines and sines of the rotations, by position: (context, D/2) each.
#[derive(Clone, Debug)]
pub struct Rotary {
    /// Cosines.
    pub cosines: Vec<f32>,
    /// Sines.
    pub sines: Vec<f32>,
    half: usize,
}

impl Rotary {
    /// The rotations of `context` positions. Frequencies and angles are rounded to f32, as in Hugging Face's Llama.
    #[must_use]
    pub fn new(head_width: usize, context: usize, theta: f64) -> Self {
        let half = head_width / 2;
        let frequencies: Vec<f32> =
            (0..half).map(|i| theta.powf(-2.0 * i as f64 / head_width as f64) as f32).collect();
        let angles = (0..context).flat_map(|p| frequencies.iter().map(move |f| f64::from(p as f32 * f)));
        let (sines, cosines) = angles.map(|angle| (angle.sin() as f32, angle.cos() as f32)).unzip();
        Self { cosines, sines, half }
    }

    /// Cosines and sines at `position`.
    #[inline(always)]
    fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cosines[range.clone()], &self.sines[range])
    }
}

/// Writes `from`, rotated, to `to`.
#[inline(always)]
fn rotate(from: &[f32], (cosines, sines): (&[f32], &[f32]), to: &mut [f32]) {
    let (first, second) = from.split_at(cosines.len());
    let (to_first, to_second) = to.split_at_mut(cosines.len());
    for i in 0..cosines.len() {
        to_first[i] = first[i] * cosines[i] - second[i] * sines[i];
        to_second[i] = second[i] * cosines[i] + first[i] * sines[i];
    }
}

/// Writes `from`, rotated back, to `to`: the transpose of a rotation is its inverse.
#[inline(always)]
fn rotate_back(from: &[f32], (cosines, sines): (&[f32], &[f32]), to: &mut [f32]) {
    let (first, second) = from.split_at(cosines.len());
    let (to_first, to_second) = to.split_at_mut(cosines.len());
    for i in 0..cosines.len() {
        to_first[i] = first[i] * cosines[i] + second[i] * sines[i];
        to_second[i] = second[i] * cosines[i] - first[i] * sines[i];
    }
}

vectorised! {
    /// Splits `qkv` (B, T, (H + 2K) D) into rotated `q` (B, H, T, D), rotated `k` and `v` (B, K, T, D).
    pub fn split(
        qkv: &[f32], time: usize, heads: Heads, rotary: &Rotary, q: &mut [f32], k: &mut [f32], v: &mut [f32],
    ) {
        let Heads { queries, keys, width } = heads;
        for (row, qkv) in qkv.chunks_exact(heads.row()).enumerate() {
            let (sequence, position) = (row / time, row % time);
            let turn = rotary.at(position);
            for (head, from) in qkv.chunks_exact(width).enumerate() {
                let place = |heads: usize, head: usize| {
                    let start = ((sequence * heads + head) * time + position) * width;
                    start..start + width
                };
                if head < queries {
                    rotate(from, turn, &mut q[place(queries, head)]);
                } else if head < queries + keys {
                    rotate(from, turn, &mut k[place(keys, head - queries)]);
                } else {
                    v[place(keys, head - queries - keys)].copy_from_slice(from);
                }
            }
        }
    }
}

vectorised! {
    /// The reverse of [`split`] for gradients: gathers ∂L/∂q, ∂L/∂k and ∂L/∂v into ∂L/∂qkv.
    pub fn split_backward(
        q: &[f32], k: &[f32], v: &[f32], time: usize, heads: Heads, rotary: &Rotary, qkv: &mut [f32],
    ) {
        let Heads { queries, keys, width } = heads;
        for (row, qkv) in qkv.chunks_exact_mut(heads.row()).enumerate() {
            let (sequence, position) = (row / time, row % time);
            let turn = rotary.at(position);
            for (head, to) in qkv.chunks_exact_mut(width).enumerate() {
                let place = |heads: usize, head: usize| {
                    let start = ((sequence * heads + head) * time + position) * width;
                    start..start + width
                };
                if head < queries {
                    rotate_back(&q[place(queries, head)], turn, to);
                } else if head < queries + keys {
                    rotate_back(&k[place(keys, head - queries)], turn, to);
                } else {
                    to.copy_from_slice(&v[place(keys, head - queries - keys)]);
                }
            }
        }
    }
}

/// Copies `heads_first` (B, H, T, D) to `rows` (B, T, H D).
pub fn merge_heads(heads_first: &[f32], time: usize, heads: usize, width: usize, rows: &mut [f32]) {
    for (row, to) in rows.chunks_exact_mut(heads * width).enumerate() {
        let (sequence, position) = (row / time, row % time);
        for (head, to) in to.chunks_exact_mut(width).enumerate() {
            let start = ((sequence * heads + head) * time + position) * width;
            to.copy_from_slice(&heads_first[start..start + width]);
        }
    }
}

/// Copies `rows` (B, T, H D) to `heads_first` (B, H, T, D).
pub fn split_heads(rows: &[f32], time: usize, heads: usize, width: usize, heads_first: &mut [f32]) {
    for (row, from) in rows.chunks_exact(heads * width).enumerate() {
        let (sequence, position) = (row / time, row % time);
        for (head, from) in from.chunks_exact(width).enumerate() {
            let start = ((sequence * heads + head) * time + position) * width;
            heads_first[start..start + width].copy_from_slice(from);
        }
    }
}

vectorised! {
    /// Scales the products of queries and keys (…, T, T), and replaces each row t by the softmax of its first t + 1
    /// elements, followed by zeros.
    pub fn causal_softmax(scores: &mut [f32], time: usize, scale: f32) {
        for (row, scores) in scores.chunks_exact_mut(time).enumerate() {
            let (seen, unseen) = scores.split_at_mut(row % time + 1);
            softmax(seen, scale);
            unseen.fill(0.0);
        }
    }
}

/// Replaces a row by the softmax of its elements times a positive `scale`.
#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let largest = max(row);
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            chunk[lane] = exp((chunk[lane] - largest) * scale);
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, value) in rest.iter_mut().enumerate() {
        *value = exp((*value - largest) * scale);
        lanes[lane] += *value;
    }
    let share = 1.0 / add_lanes(lanes);
    for value in row {
        *value *= share;
    }
}

vectorised! {
    /// Backwards through [`causal_softmax`]: `gradient` = ∂L/∂p becomes the gradient of the unscaled products,
    /// `scale · p · (g − Σ g p)`.
    pub fn causal_softmax_backward(probabilities: &[f32], gradient: &mut [f32], time: usize, scale: f32) {
        let rows = probabilities.chunks_exact(time).zip(gradient.chunks_exact_mut(time));
        for (row, (p, g)) in rows.enumerate() {
            let seen = row % time + 1;
            let mean = super::sum_pairs(&p[..seen], &g[..seen], |a, b| a * b);
            for (g, p) in g[..seen].iter_mut().zip(p) {
                *g = scale * p * (*g - mean);
            }
            g[seen..].fill(0.0);
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Width 2, θ arbitrary: the pair turns by `position` radians.
    #[test]
    fn a_pair_turns_by_its_position_and_back() {
        let rotary = Rotary::new(2, 4, 10_000.0);
        let (mut turned, mut back) = ([0.0; 2], [0.0; 2]);
        rotate(&[1.0, 0.0], rotary.at(3), &mut turned);
        assert!((turned[0] - 3f32.cos()).abs() < 1e-6 && (turned[1] - 3f32.sin()).abs() < 1e-6);
        rotate_back(&turned, rotary.at(3), &mut back);
        assert!((back[0] - 1.0).abs() < 1e-6 && back[1].abs() < 1e-6);
    }

    #[test]
    fn a_causal_softmax_sees_nothing_ahead() {
        let mut scores = vec![0.0, 9.0, 0.0, 2f32.ln()];
        causal_softmax(&mut scores, 2, 1.0);
        let expected = [1.0, 0.0, 1.0 / 3.0, 2.0 / 3.0];
        assert!(scores.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{scores:?}");
    }
}
