//! Exact multinomial draws whose cost is the number of types, not of samples.
//!
//! The counts of n samples over types of weights w are a chain of binomials: the first type takes
//! `Bin(n, w₁/Σw)` of them, the second `Bin(n − x₁, w₂/(Σw − w₁))`, and the last one what is left. So the counts sum
//! to n to the unit, however large n is. Sums of the weights behind a type are added from the end: a difference from
//! the total would lose the tail.
//!
//! For several threads at one draw, types are dealt out in blocks: see [`super::blocks`].
//!
//! Binomials of mean 10 and more come from `rand_distr`, the rejection sampler BTPE of Kachitvichyanukul and Schmeiser
//! (1988): its candidates are whole numbers to the unit up to 2⁵³; its last test adds logarithms with an absolute
//! error of about n·10⁻¹⁶, but that test is reached only by the share 1/√n of candidates on which its squeeze cannot
//! tell. Smaller means are drawn by inversion here, because there `(1 − p)^n` is computed from a rounded 1 − p, which
//! at n = 10¹⁵ is wrong by several percent; `exp(n ln_1p(−p))` is not.

use super::blocks::deal;
use crate::seed::{Stream, StreamKey};
use rand::Rng;
use rand_distr::{Binomial, Distribution};

/// The most samples that a draw can have: up to here every whole number is an f64.
pub const MOST_SAMPLES: u64 = 1 << 53;

/// From this mean on, rejection is faster than inversion.
const REJECTION_FROM: f64 = 10.0;

/// Counts (types) of `samples` draws with replacement, types chosen in proportion to `weights` (types): finite, not
/// negative, not all 0 unless `samples` is 0. The streams are those of `key`. `samples` is at most
/// [`MOST_SAMPLES`]. The counts sum to `samples` exactly.
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
    deal(samples, weights, key, fill)
}

/// A chain of binomials over one run of types.
fn fill(counts: &mut [u64], samples: u64, weights: &[f64], rng: &mut Stream) {
    let mut behind = vec![0.0; weights.len()];
    let mut sum = 0.0;
    for (behind, weight) in behind.iter_mut().zip(weights).rev() {
        *behind = sum;
        sum += weight;
    }
    let mut left = samples;
    for ((count, &weight), behind) in counts.iter_mut().zip(weights).zip(behind) {
        if left == 0 {
            break;
        }
        if weight > 0.0 {
            *count = binomial(left, weight, behind, rng);
            left -= *count;
        }
    }
}

/// How many of `trials` fall to `weight` rather than to `other`: a binomial with p = weight/(weight + other). Weights
/// are finite and not negative, `trials` at most [`MOST_SAMPLES`].
#[must_use]
pub fn binomial(trials: u64, weight: f64, other: f64, rng: &mut Stream) -> u64 {
    if weight > other {
        return trials - of_the_lighter(trials, other, weight, rng);
    }
    of_the_lighter(trials, weight, other, rng)
}

fn of_the_lighter(trials: u64, weight: f64, other: f64, rng: &mut Stream) -> u64 {
    if weight <= 0.0 || trials == 0 {
        return 0;
    }
    let p = weight / (weight + other);
    if trials as f64 * p < REJECTION_FROM {
        return by_inversion(trials, p, rng);
    }
    Binomial::new(trials, p).expect("finite weights, the lighter of which has at most half").sample(rng)
}

/// Walks up from 0 until the cumulative probability passes a uniform number. `p` is at most ½, the mean below 10.
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
            // Only rounding has left anything over here: the probabilities beyond do not sum to 2⁻⁵³.
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

    /// Small and large means, small and large n: chi-square against the probabilities of `pmf`, 40 000 draws each,
    /// cells of at least 20 expected; |z| < 4.
    #[test]
    fn binomials_have_their_probabilities() {
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

    /// A large binomial is nearly normal: its standardised values sum to 0 and their squares to their number.
    #[test]
    fn huge_binomials_have_their_mean_and_variance() {
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
    fn not_a_sample_is_lost_at_any_size() {
        let weights: Vec<f64> = (1..=5000).map(|rank| 1.0 / f64::from(rank)).collect();
        for samples in [0, 1, 17, 15_000_000_000_000, 1_000_000_000_000_000, MOST_SAMPLES] {
            let key = StreamKey::new(3, "", 0, "multinomial test");
            assert_eq!(multinomial(samples, &weights, &key).iter().sum::<u64>(), samples);
        }
    }

    /// Each type of a multinomial is a binomial: the sum of squared standardised counts has mean types − 1.
    #[test]
    fn every_type_gets_its_share() {
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
    fn a_type_without_weight_is_never_drawn() {
        let counts = multinomial(1000, &[0.0, 1.0, 0.0], &StreamKey::new(1, "", 0, "multinomial test"));
        assert_eq!(counts, [0, 1000, 0]);
    }
}
