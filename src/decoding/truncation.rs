//! Truncation of a distribution over tokens: top-k, top-p, min-p and typical-p, without sorting the vocabulary.
//!
//! Top-k collects the best tokens in a small buffer. Top-p and typical-p add up probability in a histogram of ranks, find
//! the bin in which the required probability is reached, and sort only the tokens of that bin.

use super::{exp, inverse_temperature, position_at};
use crate::decoding::SamplingSettings;
use crate::documents::TokenId;

/// The kept tokens in ascending order of id, with their weights relative to the most probable token.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    ids: Vec<TokenId>,
    weights: Vec<f32>,
    /// Scratch space of all truncations except min-p: sort keys of tokens (see [`key`]), best first.
    keys: Vec<u64>,
    /// Scratch space of top-p and typical-p: the rank of each token in (0, 1], 0 for an impossible token. Tokens are
    /// kept in descending order of rank.
    ranks: Vec<f32>,
    /// Scratch space of top-p and typical-p: total weight of the tokens in each bin of ranks.
    masses: Vec<f64>,
}

/// Ranks in (0, 1] are binned by their exponent and three bits of their mantissa: eight bins per factor of 2.
const BIN_SHIFT: u32 = 20;
const BINS: usize = (1.0_f32.to_bits() >> BIN_SHIFT) as usize + 1;

impl Candidates {
    /// Applies the temperature and truncations of `decoding`. `largest` is the maximum of `logits`, and finite.
    pub(super) fn choose(&mut self, logits: &mut [f32], largest: f32, decoding: &SamplingSettings) {
        // The sampler has already handled `greedy` and `repetition_penalty`.
        let SamplingSettings {
            greedy: _,
            repetition_penalty: _,
            temperature: _,
            top_k,
            top_p,
            min_p,
            typical_p,
        } = *decoding;
        self.ids.clear();
        self.weights.clear();
        match top_k {
            Some(k) if k < logits.len() => {
                self.keep_top_k(logits, k.max(1));
                self.weights.extend(self.ids.iter().map(|&id| logits[id as usize]));
            }
            Some(_) | None => {
                self.ids.extend(0..logits.len() as TokenId);
                self.weights.extend_from_slice(logits);
            }
        }
        let _ = exp::weigh(&mut self.weights, largest, inverse_temperature(decoding));
        if let Some(p) = top_p.filter(|&p| p < 1.0) {
            self.ranks.clone_from(&self.weights);
            self.keep_mass(p);
        }
        if let Some(share) = min_p.filter(|&share| share > 0.0) {
            // Top-k and top-p always keep the most probable token, whose weight is exactly 1.
            keep(&mut self.ids, &mut self.weights, |_, weight| f64::from(weight) >= share.min(1.0));
        }
        if let Some(p) = typical_p.filter(|&p| p < 1.0) {
            self.rank_by_typicality();
            self.keep_mass(p);
        }
    }

    /// The kept tokens and their weights.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TokenId, f32)> + '_ {
        self.ids.iter().copied().zip(self.weights.iter().copied())
    }

    /// The first token at which the cumulative weight exceeds the fraction `uniform` of the total.
    pub(super) fn pick(&self, uniform: f64) -> TokenId {
        let total: f64 = self.weights.iter().map(|&weight| f64::from(weight)).sum();
        self.ids.get(position_at(&self.weights, uniform * total)).copied().unwrap_or(0)
    }

    fn keep_top_k(&mut self, logits: &[f32], k: usize) {
        select(&mut self.keys, logits, k);
        self.ids.extend(self.keys.iter().map(|&key| key as TokenId));
        self.ids.sort_unstable();
    }

    /// A token of weight w has probability w / Σ w and surprisal −ln w + ln Σ w. The entropy is the mean of the
    /// surprisal, so surprisal and entropy differ by |ln w − ln g|, where ln g = Σ w ln w / Σ w is the mean of ln w.
    /// The rank is e^−|ln w − ln g|, which is largest for the most typical token.
    fn rank_by_typicality(&mut self) {
        let possible = self.weights.iter().map(|&weight| f64::from(weight)).filter(|&weight| weight > 0.0);
        let (total, moment) = possible
            .fold((0.0, 0.0), |(total, moment), weight| (total + weight, moment + weight * weight.ln()));
        let mean = (moment / total).exp();
        self.ranks.clear();
        self.ranks.extend(self.weights.iter().map(|&weight| {
            let ratio = f64::from(weight) / mean;
            ratio.min(ratio.recip()) as f32
        }));
    }

    /// Keeps the fewest tokens, by descending rank, with at least the fraction `p` of the total weight. Finds the bin of
    /// ranks in which this fraction is reached, and sorts only that bin.
    fn keep_mass(&mut self, p: f64) {
        self.masses.clear();
        self.masses.resize(BINS, 0.0);
        for (&rank, &weight) in self.ranks.iter().zip(&self.weights) {
            self.masses[bin(rank)] += f64::from(weight);
        }
        // The sum has the same order as the loop below. The loop therefore reaches the target in spite of rounding.
        let target = p * self.masses.iter().rev().sum::<f64>();
        let mut mass = 0.0;
        let mut crossing = 0;
        for (bin, &inside) in self.masses.iter().enumerate().rev() {
            if mass + inside >= target {
                crossing = bin;
                break;
            }
            mass += inside;
        }
        self.keys.clear();
        for (position, &rank) in self.ranks.iter().enumerate() {
            if bin(rank) == crossing && rank > 0.0 {
                self.keys.push(key(rank, position as TokenId));
            }
        }
        self.keys.sort_unstable();
        let mut last = 0;
        for &key in &self.keys {
            last = key;
            mass += f64::from(self.weights[key as TokenId as usize]);
            if mass >= target {
                break;
            }
        }
        let Self { ids, weights, ranks, .. } = self;
        keep(ids, weights, |at, _| ranks[at] > 0.0 && key(ranks[at], at as TokenId) <= last);
    }
}

/// Keeps the tokens for which `is_kept` returns true, given their position in `ids` and their weight.
fn keep(ids: &mut Vec<TokenId>, weights: &mut Vec<f32>, is_kept: impl Fn(usize, f32) -> bool) {
    let mut kept = 0;
    for position in 0..ids.len() {
        let weight = weights[position];
        ids[kept] = ids[position];
        weights[kept] = weight;
        kept += usize::from(is_kept(position, weight));
    }
    ids.truncate(kept);
    weights.truncate(kept);
}

/// Fills `keys` with the keys of the k largest of `logits`, unordered. Keys are collected in a buffer of at least 2k
/// entries, which is reduced to the best k whenever it is full. Most tokens of a large vocabulary are then rejected by
/// one comparison with the k-th best so far.
fn select(keys: &mut Vec<u64>, logits: &[f32], k: usize) {
    let capacity = (2 * k).max(64);
    let mut threshold = u64::MAX;
    keys.clear();
    for (id, &logit) in logits.iter().enumerate() {
        let key = key(logit, id as TokenId);
        if key < threshold {
            keys.push(key);
            if keys.len() == capacity {
                threshold = *keys.select_nth_unstable(k - 1).1;
                keys.truncate(k);
            }
        }
    }
    if keys.len() > k {
        keys.select_nth_unstable(k - 1);
        keys.truncate(k);
    }
}

/// The ids of the k largest of `logits`, largest first, ties broken by the lower id.
pub(super) fn largest(logits: &[f32], k: usize) -> Vec<TokenId> {
    let mut keys = Vec::new();
    select(&mut keys, logits, k);
    keys.sort_unstable();
    keys.into_iter().map(|key| key as TokenId).collect()
}

fn bin(rank: f32) -> usize {
    ((rank.to_bits() >> BIN_SHIFT) as usize).min(BINS - 1)
}

/// A sort key that orders by descending number, then by ascending id. NaN sorts like −∞.
fn key(number: f32, id: TokenId) -> u64 {
    // Adding 0 turns −0 into 0, so that the two tie.
    let bits = if number.is_nan() { f32::NEG_INFINITY } else { number + 0.0 }.to_bits();
    // Taken as unsigned integers, the bits of floats ascend with positive floats, and descend with negative ones.
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(!ascending) << 32 | u64::from(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_by_descending_number_then_by_id() {
        let numbers = [f32::INFINITY, 2.5, 1e-40, 0.0, -1e-40, -1.0, f32::NEG_INFINITY];
        for pair in numbers.windows(2) {
            assert!(key(pair[0], 9) < key(pair[1], 0), "{pair:?}");
        }
        assert!(key(1.0, 3) < key(1.0, 4));
        assert_eq!(key(0.0, 1), key(-0.0, 1));
        assert_eq!(key(f32::NAN, 1), key(f32::NEG_INFINITY, 1));
    }
}
