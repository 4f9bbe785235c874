//! Zipf–Mandelbrot frequencies: `p_r ∝ (r + q)^−s` for ranks r = 1, 2, … (Mandelbrot 1953).
//!
//! The shift q flattens the head, as in real text, where the most frequent words are less frequent than a pure power law
//! predicts. q = 2.7 is Mandelbrot's value for English.

use crate::seed::Stream;
use rand::Rng;

/// The shift q.
const SHIFT: f64 = 2.7;

/// A Zipf–Mandelbrot distribution over the ranks 0, 1, …, the most probable first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ZipfRanks {
    probabilities: Vec<f64>,
    /// Sums of the probabilities up to and including each rank.
    cumulative: Vec<f64>,
}

impl ZipfRanks {
    /// A distribution over `size` ranks with exponent s = `exponent`.
    pub(super) fn new(size: usize, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=size).map(|rank| (rank as f64 + SHIFT).powf(-exponent)).collect();
        let total: f64 = weights.iter().sum();
        let probabilities: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let mut sum = 0.0;
        let cumulative = probabilities.iter().map(|p| {
            sum += p;
            sum
        });
        Self { cumulative: cumulative.collect(), probabilities }
    }

    pub(super) fn draw(&self, rng: &mut Stream) -> usize {
        let u: f64 = rng.random();
        self.cumulative.partition_point(|&sum| sum <= u).min(self.probabilities.len() - 1)
    }

    pub(super) fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }

    /// Entropy in nats.
    pub(super) fn entropy(&self) -> f64 {
        entropy(&self.probabilities)
    }
}

/// `−Σ p ln p`, in nats.
pub(super) fn entropy(probabilities: &[f64]) -> f64 {
    -probabilities.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights 1/3.7 and 1/4.7: p₁ = 4.7/8.4.
    #[test]
    fn two_ranks_have_the_probabilities_of_the_formula() {
        let ranked = ZipfRanks::new(2, 1.0);
        assert!((ranked.probabilities()[0] - 4.7 / 8.4).abs() < 1e-15);
        assert!((ranked.probabilities()[1] - 3.7 / 8.4).abs() < 1e-15);
    }

    /// χ² with 4 degrees of freedom exceeds 23.5 with probability 10⁻⁴.
    #[test]
    fn draws_have_the_probabilities_of_their_ranks() {
        let ranked = ZipfRanks::new(5, 1.3);
        let mut rng = crate::seed::StreamKey::new(1, "", 0, "test").stream(0);
        let draws = 20_000;
        let mut counts = [0.0; 5];
        for _ in 0..draws {
            counts[ranked.draw(&mut rng)] += 1.0;
        }
        let deviation =
            |(count, p): (f64, &f64)| (count - p * f64::from(draws)).powi(2) / (p * f64::from(draws));
        let chi_squared: f64 = counts.into_iter().zip(ranked.probabilities()).map(deviation).sum();
        assert!(chi_squared < 23.5, "χ² = {chi_squared}");
    }
}
