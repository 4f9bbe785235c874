//! Causal attention with rotary positions, forwards and backwards, and one step at a time with a cache.
//!
//! A row of `qkv` holds the queries of all heads, then the keys and the values of the (possibly fewer) key–value
//! heads: (H + 2K) · D numbers. Query head h reads key–value head h / (H / K). Positions are rotations of the pairs
//! (i, i + D/2) of a head by `position · θ^(−2i/D)` (Su et al. 2021, in the order that Hugging Face's Llama uses).

use super::{LANES, add_lanes, exp, max};

mod causal;
mod step;

pub use causal::{Causal, Normaliser, Scratch, backward, forward};
pub use step::{Cache, step};

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

    /// The query heads that read a key–value head.
    fn of(&self, key_head: usize) -> std::ops::Range<usize> {
        let group = self.queries / self.keys;
        key_head * group..(key_head + 1) * group
    }

    /// Where the keys and the values of a key–value head start in a row of `qkv`.
    fn key_and_value(&self, key_head: usize) -> (usize, usize) {
        ((self.queries + key_head) * self.width, (self.queries + self.keys + key_head) * self.width)
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
    let turns = cosines.iter().zip(sines);
    let pairs = first.iter().zip(second).zip(turns);
    for ((to_first, to_second), ((first, second), (cosine, sine))) in
        to_first.iter_mut().zip(to_second).zip(pairs)
    {
        *to_first = first * cosine - second * sine;
        *to_second = second * cosine + first * sine;
    }
}

/// Writes `from`, rotated back, to `to`: the transpose of a rotation is its inverse.
#[inline(always)]
fn rotate_back(from: &[f32], (cosines, sines): (&[f32], &[f32]), to: &mut [f32]) {
    let (first, second) = from.split_at(cosines.len());
    let (to_first, to_second) = to.split_at_mut(cosines.len());
    let turns = cosines.iter().zip(sines);
    let pairs = first.iter().zip(second).zip(turns);
    for ((to_first, to_second), ((first, second), (cosine, sine))) in
        to_first.iter_mut().zip(to_second).zip(pairs)
    {
        *to_first = first * cosine + second * sine;
        *to_second = second * cosine - first * sine;
    }
}

/// Replaces a row by the softmax of its elements times a positive `scale`; gives the largest element, and one over the
/// sum of what the exponentials were.
#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) -> (f32, f32) {
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
    (largest, share)
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
}
