//! Causal attention with rotary positions: forward and backward passes over whole sequences ([`forward`],
//! [`backward`]), and decoding of one token at a time with a cache ([`decode_step`]).
//!
//! A row of `qkv` has the queries of all H heads, then the keys and the values of the K key–value heads (K divides H):
//! (H + 2K) · D numbers. Query head h reads key–value head ⌊h / (H / K)⌋. At each position, the pairs (i, i + D/2) of a
//! head are rotated by the angle `position · θ^(−2i/D)` (Su et al. 2021, with the pairs of Hugging Face's Llama).
//!
//! ```
//! use genloss_kernels::Precision;
//! use genloss_kernels::attention::{self, AttentionScratch, CausalAttention, Heads, Rotary, Scoring, SoftmaxStats};
//! use genloss_kernels::matmul::MatmulOptions;
//!
//! let heads = Heads { queries: 1, keys: 1, width: 2 };
//! let rotary = Rotary::new(heads.width, 2, 10_000.0);
//! let options = MatmulOptions::new(Precision::F32);
//! let causal = CausalAttention { options, sequence_len: 2, heads, scoring: Scoring::of(heads), rotary: &rotary };
//! // Two positions of query, key and value. With queries of zero, each position averages the values so far.
//! let qkv = [0.0, 0.0, 1.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 1.0, 4.0, 8.0];
//! let (mut output, mut stats) = ([0.0; 4], [SoftmaxStats::default(); 2]);
//! attention::forward(causal, &qkv, &mut AttentionScratch::default(), &mut output, &mut stats);
//! assert_eq!(output, [2.0, 4.0, 3.0, 6.0]);
//! ```

use super::{LANES, exp, row_max, softcap, sum_lanes};

mod causal;
mod decode;

pub use causal::{AttentionScratch, CausalAttention, backward, forward};
pub use decode::{CachePosition, KeyValueCache, decode_step};

/// Number of query heads, number of key–value heads, and width of the heads of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Number of query heads, H.
    pub queries: usize,
    /// Number of key–value heads, K: a divisor of H.
    pub keys: usize,
    /// Width of a head, D.
    pub width: usize,
}

impl Heads {
    /// Numbers in a row of `qkv`, (H + 2K) · D.
    #[inline]
    #[must_use]
    pub fn qkv_width(&self) -> usize {
        (self.queries + 2 * self.keys) * self.width
    }

    /// Numbers in a row of attention output, H · D.
    #[inline]
    #[must_use]
    pub fn output_width(&self) -> usize {
        self.queries * self.width
    }

    /// The query heads that read a key–value head.
    fn queries_of(&self, key_head: usize) -> std::ops::Range<usize> {
        let group = self.queries / self.keys;
        key_head * group..(key_head + 1) * group
    }

    /// Indices in a row of `qkv` at which the keys and the values of a key–value head start.
    fn key_and_value(&self, key_head: usize) -> (usize, usize) {
        ((self.queries + key_head) * self.width, (self.queries + self.keys + key_head) * self.width)
    }
}

/// How the product of a query and a key becomes a score, and which keys a query reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scoring {
    /// Factor of the products.
    pub scale: f32,
    /// The [soft cap](super::softcap) of the scores, as in Gemma 2; none in most models.
    pub cap: Option<f32>,
    /// Number of positions that a query reads, its own and those before it; all of them if `None`.
    pub window: Option<usize>,
}

impl Scoring {
    /// Products divided by √D, of all positions.
    #[must_use]
    pub fn of(heads: Heads) -> Self {
        Self { scale: 1.0 / (heads.width as f32).sqrt(), cap: None, window: None }
    }

    /// The first key that a query at `position` reads.
    #[inline(always)]
    fn first_key(self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Caps the products, if there is a cap.
    fn cap(self, products: &mut [f32]) {
        if let Some(cap) = self.cap {
            softcap::forward(products, self.scale, cap);
        }
    }

    /// The factor of what [`cap`](Self::cap) has left.
    #[inline(always)]
    fn softmax_scale(self) -> f32 {
        if self.cap.is_some() { 1.0 } else { self.scale }
    }
}

/// Cosines and sines of the rotations, one row of R/2 numbers for each position. The first R ≤ D columns of a head are
/// rotated, and the others stay as they are.
#[derive(Clone, Debug)]
pub struct Rotary {
    /// Cosines.
    pub cosines: Vec<f32>,
    /// Sines.
    pub sines: Vec<f32>,
    /// The number of pairs that are rotated in a head, R/2.
    half: usize,
}

impl Rotary {
    /// Computes the rotations of `context` positions, of all columns of a head.
    #[must_use]
    pub fn new(head_width: usize, context: usize, theta: f64) -> Self {
        Self::with_frequencies(&Self::frequencies(head_width, theta), context)
    }

    /// The frequencies `θ^(−2i/R)` of the pairs of R columns, rounded to f32 as in Hugging Face's Llama.
    #[must_use]
    pub fn frequencies(columns: usize, theta: f64) -> Vec<f32> {
        (0..columns / 2).map(|i| theta.powf(-2.0 * i as f64 / columns as f64) as f32).collect()
    }

    /// Computes the rotations of `context` positions with one frequency for each pair. Angles are rounded to f32, as in
    /// Hugging Face's Llama. Without frequencies nothing is rotated.
    #[must_use]
    pub fn with_frequencies(frequencies: &[f32], context: usize) -> Self {
        let angles = (0..context).flat_map(|p| frequencies.iter().map(move |f| f64::from(p as f32 * f)));
        let (sines, cosines) = angles.map(|angle| (angle.sin() as f32, angle.cos() as f32)).unzip();
        Self { cosines, sines, half: frequencies.len() }
    }

    /// The same rotations, after which vectors are longer by `factor`.
    #[must_use]
    pub fn scaled(mut self, factor: f32) -> Self {
        self.cosines.iter_mut().chain(&mut self.sines).for_each(|value| *value *= factor);
        self
    }

    /// R/2, the number of pairs that are rotated in a head.
    #[must_use]
    pub fn half_width(&self) -> usize {
        self.half
    }

    /// Cosines and sines at `position`.
    #[inline(always)]
    fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cosines[range.clone()], &self.sines[range])
    }
}

/// Rotates the first columns of `from` by the angles with these cosines and sines, copies the others, and writes the
/// result to `to`.
#[inline(always)]
fn rotate(from: &[f32], (cosines, sines): (&[f32], &[f32]), to: &mut [f32]) {
    let half = cosines.len();
    let (first, rest) = from.split_at(half);
    let (second, rest) = rest.split_at(half);
    let (to_first, to_rest) = to.split_at_mut(half);
    let (to_second, to_rest) = to_rest.split_at_mut(half);
    to_rest.copy_from_slice(rest);
    let angles = cosines.iter().zip(sines);
    let pairs = first.iter().zip(second).zip(angles);
    for ((to_first, to_second), ((first, second), (cosine, sine))) in
        to_first.iter_mut().zip(to_second).zip(pairs)
    {
        *to_first = first * cosine - second * sine;
        *to_second = second * cosine + first * sine;
    }
}

/// Rotates back by the same angles. The transpose of a rotation is its inverse, so this is also the backward pass of
/// [`rotate`].
#[inline(always)]
fn rotate_back(from: &[f32], (cosines, sines): (&[f32], &[f32]), to: &mut [f32]) {
    let half = cosines.len();
    let (first, rest) = from.split_at(half);
    let (second, rest) = rest.split_at(half);
    let (to_first, to_rest) = to.split_at_mut(half);
    let (to_second, to_rest) = to_rest.split_at_mut(half);
    to_rest.copy_from_slice(rest);
    let angles = cosines.iter().zip(sines);
    let pairs = first.iter().zip(second).zip(angles);
    for ((to_first, to_second), ((first, second), (cosine, sine))) in
        to_first.iter_mut().zip(to_second).zip(pairs)
    {
        *to_first = first * cosine + second * sine;
        *to_second = second * cosine - first * sine;
    }
}

/// The two numbers from which the softmax of a row can be recomputed: `p = e^((x − max) · scale) · inverse_sum`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SoftmaxStats {
    /// The largest product of the row.
    pub max: f32,
    /// One over the sum of the exponentials.
    pub inverse_sum: f32,
}

/// Replaces a row by the softmax of `scale` times its elements, where `scale` is positive.
#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) -> SoftmaxStats {
    let max = row_max(row);
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            chunk[lane] = exp((chunk[lane] - max) * scale);
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, value) in rest.iter_mut().enumerate() {
        *value = exp((*value - max) * scale);
        lanes[lane] += *value;
    }
    let inverse_sum = 1.0 / sum_lanes(lanes);
    for value in row {
        *value *= inverse_sum;
    }
    SoftmaxStats { max, inverse_sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With width 2 there is one frequency, θ^0 = 1, so the pair is rotated by `position` radians.
    #[test]
    fn a_pair_rotates_by_its_position_and_back() {
        let rotary = Rotary::new(2, 4, 10_000.0);
        let (mut rotated, mut back) = ([0.0; 2], [0.0; 2]);
        rotate(&[1.0, 0.0], rotary.at(3), &mut rotated);
        assert!((rotated[0] - 3f32.cos()).abs() < 1e-6 && (rotated[1] - 3f32.sin()).abs() < 1e-6);
        rotate_back(&rotated, rotary.at(3), &mut back);
        assert!((back[0] - 1.0).abs() < 1e-6 && back[1].abs() < 1e-6);
    }

    #[test]
    fn columns_without_a_frequency_stay_as_they_are() {
        let rotary = Rotary::with_frequencies(&Rotary::frequencies(2, 10_000.0), 4);
        let mut rotated = [0.0; 5];
        rotate(&[1.0, 0.0, 7.0, 8.0, 9.0], rotary.at(2), &mut rotated);
        assert!((rotated[0] - 2f32.cos()).abs() < 1e-6 && (rotated[1] - 2f32.sin()).abs() < 1e-6);
        assert_eq!(rotated[2..], [7.0, 8.0, 9.0]);
        let mut back = [0.0; 5];
        rotate_back(&[1.0, 2.0, 3.0, 4.0, 5.0], Rotary::with_frequencies(&[], 4).at(3), &mut back);
        assert_eq!(back, [1.0, 2.0, 3.0, 4.0, 5.0]);
    }
}
