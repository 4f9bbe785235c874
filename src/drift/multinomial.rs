//! Exact multinomial draws whose cost depends on the number of types and not on the number of samples.
//!
//! The counts of n samples over types with weights w are a chain of binomials: the first type gets `Bin(n, w₁/Σw)`
//! samples, the second `Bin(n − x₁, w₂/(Σw − w₁))`, and the last one those that are left. So the counts sum to exactly
//! n, however large n is. The sum of the weights after each type is added up from the end, because subtracting from the
//! total would lose the tail to rounding.
//!
//! Several threads can share one draw: types are drawn in fixed blocks, each with a random stream.
//!
//! Binomials with a mean of 10 or more come from `rand_distr`, whose rejection sampler is BTPE (Kachitvichyanukul and
//! Schmeiser 1988). Its candidates are exact integers up to 2⁵³. Its final test adds logarithms with an absolute error
//! of about n·10⁻¹⁶, but only the fraction 1/√n of candidates that its squeeze cannot decide reaches that test. Smaller
//! means are drawn by inversion here, because `rand_distr` computes `(1 − p)^n` from a rounded 1 − p, which at
//! n = 10¹⁵ is wrong by several percent; `exp(n ln_1p(−p))` is accurate.
//!
//! See [`multinomial`] for an example.

use super::blocks::draw_in_blocks;
use crate::seed::{Stream, StreamKey};
use rand::Rng;
use rand_distr::{Binomial, Distribution};

/// Maximum number of samples of a draw, 2⁵³: up to here f64 represents every integer.
pub const MAX_SAMPLES: u64 = 1 << 53;

/// Mean from which rejection is faster than inversion.
const REJECTION_FROM: f64 = 10.0;

/// The count of each type in `samples` draws with replacement, in proportion to `weights`, one weight per type. Weights
/// are finite and not negative, and not all 0 unless `samples` is 0. `samples` is at most [`MAX_SAMPLES`], and the
/// counts sum to exactly `samples`. `key` names the random streams.
///
/// ```
/// use genloss::drift::multinomial::multinomial;
/// use genloss::seed::StreamKey;
/// let counts = multinomial(15_000_000_000_001, &[0.5, 0.0, 0.3, 0.2], &StreamKey::new(1, "", 0, "example"));
/// assert_eq!(counts.iter().sum::<u64>(), 15_000_000_000_001);
/// assert_eq!(counts[1], 0);
/// ```
#[must_use]
pub fn multinomial(samples: u64, weights: &[f64], key: &StreamKey) -> Vec<u64> {
    draw_in_blocks(samples, weights, key, fill)
}

/// Draws the chain of binomials over one run of types.
fn fill(counts: &mut [u64], samples: u64, weights: &[f64], rng: &mut Stream) {
    let mut weights_after = vec![0.0; weights.len()];
    let mut sum = 0.0;
    for (after, weight) in weights_after.iter_mut().zip(weights).rev() {
        *after = sum;
        sum += weight;
    }
    let mut left = samples;
    for ((count, &weight), after) in counts.iter_mut().zip(weights).zip(weights_after) {
        if left == 0 {
            break;
        }
        if weight > 0.0 {
            *count = binomial(left, weight, after, rng);
            left -= *count;
        }
    }
}

/// A binomial draw with p = `weight`/(`weight` + `other`). Weights are finite and not negative, `trials` is at most
/// [`MAX_SAMPLES`].
#[must_use]
pub fn binomial(trials: u64, weight: f64, other: f64, rng: &mut Stream) -> u64 {
    if weight > other {
        return trials - binomial_of_lighter(trials, other, weight, rng);
    }
    binomial_of_lighter(trials, weight, other, rng)
}

/// [`binomial`] with `weight` ≤ `other`.
fn binomial_of_lighter(trials: u64, weight: f64, other: f64, rng: &mut Stream) -> u64 {
    if weight <= 0.0 || trials == 0 {
        return 0;
    }
    let p = weight / (weight + other);
    if trials as f64 * p < REJECTION_FROM {
        return by_inversion(trials, p, rng);
    }
    Binomial::new(trials, p).expect("finite weights, the lighter of which has at most half").sample(rng)
}

/// Inversion: walks up from 0 until the cumulative probability exceeds a uniform number. `p` is at most ½, the mean
/// below 10.
fn by_inversion(trials: u64, p: f64, rng: &mut Stream) -> u64 {
    let n = trials as f64;
    let odds = p / (1.0 - p);
    let at_zero = (n * (-p).ln_1p()).exp();
    loop {
        let (mut left, mut probability): (f64, f64) = (rng.random(), at_zero);
        for x in 0..=trials {
            if left < probability {
                return x;
            }
            left -= probability;
            // This happens only through rounding: the remaining probabilities sum to less than 2⁻⁵³. Draw again.
            if probability < 1e-20 && x as f64 > n * p {
                break;
            }
            probability *= odds * (n - x as f64) / (x as f64 + 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pmf::ln_binomial;
    use super::super::test_support::chi_square_z;
    use super::*;

    /// Small and large means, small and large n: chi-square against [`ln_binomial`], 40 000 draws each, cells of at
    /// least 20 expected draws; |z| < 4.
    #[test]
    fn binomial_draws_match_their_probabilities() {
        let cases = [
            (7, 0.3),
            (50, 0.02),
            (50, 0.7),
            (1000, 0.4),
            (400, 0.03),
            (15_000_000_000_000, 3e-13),
            (1_000_000_000_000_000, 4e-15),
            (1_000_000_000_000_000, 3e-14),
            (1_000_000, 1e-4),
        ];
        for (case, (n, p)) in cases.into_iter().enumerate() {
            let mut rng = StreamKey::new(1, "", 0, "binomial test").stream(case as u64);
            let draws: Vec<u64> = (0..40_000).map(|_| binomial(n, p, 1.0 - p, &mut rng)).collect();
            let z = chi_square_z(&draws, |x| ln_binomial(x, n, p, 1.0 - p).exp());
            assert!(z.abs() < 4.0, "n = {n}, p = {p}: z = {z}");
        }
    }

    /// A large binomial is nearly normal: the mean of its standardised values is 0, that of their squares 1. |z| < 4.
    #[test]
    fn huge_binomial_draws_have_the_right_mean_and_variance() {
        for (n, p) in [(15_000_000_000_000_u64, 0.37), (1_000_000_000_000_000, 0.5), (1 << 53, 1e-6)] {
            let mut rng = StreamKey::new(2, "", 0, "binomial test").stream(n);
            let (mean, variance) = (n as f64 * p, n as f64 * p * (1.0 - p));
            let draws = 20_000;
            let (mut first, mut second) = (0.0, 0.0);
            for _ in 0..draws {
                let z = (binomial(n, p, 1.0 - p, &mut rng) as f64 - mean) / variance.sqrt();
                first += z;
                second += z * z - 1.0;
            }
            let scale = f64::from(draws).sqrt();
            assert!((first / scale).abs() < 4.0, "n = {n}: mean {first}");
            assert!((second / scale / 2.0_f64.sqrt()).abs() < 4.0, "n = {n}: variance {second}");
        }
    }

    #[test]
    fn counts_sum_to_the_number_of_samples_at_any_size() {
        let weights: Vec<f64> = (1..=5000).map(|rank| 1.0 / f64::from(rank)).collect();
        for samples in [0, 1, 17, 15_000_000_000_000, 1_000_000_000_000_000, MAX_SAMPLES] {
            let key = StreamKey::new(3, "", 0, "multinomial test");
            assert_eq!(multinomial(samples, &weights, &key).iter().sum::<u64>(), samples);
        }
    }

    /// Pearson's statistic of a multinomial has mean types − 1. |z| < 4 over 20 draws.
    #[test]
    fn every_type_is_drawn_in_proportion_to_its_weight() {
        let weights: Vec<f64> = (1..=3000).map(|rank| 1.0 / f64::from(rank)).collect();
        let total: f64 = weights.iter().sum();
        let samples = 1_000_000_000_u64;
        let mut sum = 0.0;
        let draws = 20;
        for draw in 0..draws {
            let counts = multinomial(samples, &weights, &StreamKey::new(draw, "", 0, "multinomial test"));
            for (&count, weight) in counts.iter().zip(&weights) {
                let expected = samples as f64 * weight / total;
                sum += (count as f64 - expected).powi(2) / expected;
            }
        }
        let freedom = 2999.0 * draws as f64;
        let z = (sum - freedom) / (2.0 * freedom).sqrt();
        assert!(z.abs() < 4.0, "z = {z}");
    }

    #[test]
    fn types_of_weight_zero_are_never_drawn() {
        let counts = multinomial(1000, &[0.0, 1.0, 0.0], &StreamKey::new(1, "", 0, "multinomial test"));
        assert_eq!(counts, [0, 1000, 0]);
    }
}
