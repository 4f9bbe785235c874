//! Exact draws without replacement, at any size.
//!
//! The counts by type in a uniform subset of k items, taken from a pool whose counts are known, are a chain of
//! hypergeometric draws, just as a multinomial is a chain of binomials ([`super::multinomial`]).
//!
//! One hypergeometric draw, the number x of good items among k drawn from `good + bad`, is made by inversion if its
//! mean is below 10, and otherwise by the ratio of uniforms HRUA* (Stadlober 1990, "The ratio of uniforms approach for
//! generating discrete random variates"): with U, V uniform, `x = ⌊a + h(V − ½)/U⌋` is accepted if
//! `U² ≤ f(x)/f(mode)`, where `a = μ + ½` and `h = c₁√(σ² + ½) + c₂`. That takes about 1.4 candidates per draw, at any
//! size.
//!
//! **Pitfall.** Common library samplers are not suitable for large pools. If a type is rare, the sampler of
//! `rand_distr` multiplies one factor for every item of the pool. Both `rand_distr` and NumPy compute `ln f` from
//! differences of log-factorials, which at 10¹³ items are off by several hundredths. Here ln f comes from
//! [`super::pmf`].

use super::blocks::draw_in_blocks;
use super::pmf::ln_hypergeometric;
use crate::seed::{Stream, StreamKey};
use rand::Rng;

/// Mean from which rejection is faster than inversion.
const REJECTION_FROM: f64 = 10.0;

/// 2√(2/e)
const C1: f64 = 1.715_527_769_921_413_5;
/// 3 − 2√(3/e)
const C2: f64 = 0.898_916_162_058_898_8;

/// The count of each type in a uniform subset of `wanted` items, drawn without replacement from a pool in which the
/// types have the given `counts`. The result sums to exactly `wanted`; it is `counts` if the pool has no more items
/// than that. `key` names the random streams.
///
/// ```
/// use genloss::drift::hypergeometric::subset;
/// use genloss::seed::StreamKey;
/// let part = subset(6, &[5, 0, 4], &StreamKey::new(1, "", 0, "example"));
/// assert_eq!(part.iter().sum::<u64>(), 6);
/// assert!(part[0] <= 5 && part[1] == 0 && part[2] <= 4);
/// ```
#[must_use]
pub fn subset(wanted: u64, counts: &[u64], key: &StreamKey) -> Vec<u64> {
    draw_in_blocks(wanted, counts, key, fill)
}

/// Draws the chain of hypergeometrics over one run of types.
fn fill(taken: &mut [u64], wanted: u64, counts: &[u64], rng: &mut Stream) {
    let mut remaining: u64 = counts.iter().sum();
    let mut left = wanted;
    for (taken, &count) in taken.iter_mut().zip(counts) {
        if left == 0 {
            break;
        }
        remaining -= count;
        *taken = hypergeometric(count, remaining, left, rng);
        left -= *taken;
    }
}

/// The number of good items among `drawn` items taken without replacement from `good` good and `bad` bad ones. If
/// `drawn` exceeds the number of items, all are taken.
#[must_use]
pub fn hypergeometric(good: u64, bad: u64, drawn: u64, rng: &mut Stream) -> u64 {
    let all = good + bad;
    if good == 0 || drawn >= all {
        return good.min(drawn);
    }
    if bad == 0 {
        return drawn;
    }
    // By symmetry it suffices to draw the smaller side: the drawn items or those left, the good items or the bad ones.
    let fewer_drawn = drawn.min(all - drawn);
    let (fewer, more) = (good.min(bad), good.max(bad));
    let mean = fewer_drawn as f64 * (fewer as f64 / all as f64);
    let x = if mean < REJECTION_FROM {
        by_inversion(fewer, more, fewer_drawn, rng)
    } else {
        by_rejection(fewer, more, fewer_drawn, rng)
    };
    let good_among = if good <= bad { x } else { fewer_drawn - x };
    if fewer_drawn == drawn { good_among } else { good - good_among }
}

/// Inversion, walking up from 0. Requires `good` ≤ `bad` and `drawn` at most half of all items.
fn by_inversion(good: u64, bad: u64, drawn: u64, rng: &mut Stream) -> u64 {
    let all = (good + bad) as f64;
    let at_zero = if good < 16 {
        (0..good).map(|i| (all - drawn as f64 - i as f64) / (all - i as f64)).product()
    } else {
        ln_hypergeometric(0, good, bad, drawn).exp()
    };
    let most = good.min(drawn);
    let mean = drawn as f64 * good as f64 / all;
    loop {
        let (mut left, mut probability): (f64, f64) = (rng.random(), at_zero);
        for x in 0..=most {
            if left < probability {
                return x;
            }
            left -= probability;
            if probability < 1e-20 && x as f64 > mean {
                break;
            }
            probability *= ((good - x) as f64 * (drawn - x) as f64)
                / ((x + 1) as f64 * ((bad - drawn) as f64 + x as f64 + 1.0));
        }
    }
}

/// Rejection by the ratio of uniforms, HRUA*.
fn by_rejection(good: u64, bad: u64, drawn: u64, rng: &mut Stream) -> u64 {
    let all = (good + bad) as f64;
    let (p, q) = (good as f64 / all, bad as f64 / all);
    let mean = drawn as f64 * p;
    let variance = mean * q * ((all - drawn as f64) / (all - 1.0));
    let half_width = C1 * (variance + 0.5).sqrt() + C2;
    let mode = mode(good, bad, drawn);
    let ln_at_mode = ln_hypergeometric(mode, good, bad, drawn);
    let most = good.min(drawn);
    loop {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        let candidate = (mean + 0.5 + half_width * (v - 0.5) / u).floor();
        if candidate < 0.0 || candidate > most as f64 {
            continue;
        }
        let x = candidate as u64;
        let ln_ratio = ln_hypergeometric(x, good, bad, drawn) - ln_at_mode;
        if 2.0 * u.ln() <= ln_ratio {
            return x;
        }
    }
}

/// ⌊(drawn + 1)(good + 1)/(all + 2)⌋.
fn mode(good: u64, bad: u64, drawn: u64) -> u64 {
    let product = (u128::from(drawn) + 1) * (u128::from(good) + 1);
    (product / (u128::from(good) + u128::from(bad) + 2)) as u64
}

#[cfg(test)]
mod tests {
    use super::super::test_support::chi_square_z;
    use super::*;

    /// Cases with small and large pools, for both algorithms and all symmetries: chi-square against the probabilities
    /// of `pmf`, 30 000 draws each; |z| < 4.
    #[test]
    fn hypergeometrics_have_their_probabilities() {
        let cases = [
            (5, 9, 6),
            (9, 5, 6),
            (5, 9, 11),
            (40, 400, 30),
            (300, 250, 200),
            (300, 250, 500),
            (1000, 90_000, 2000),
            (20, 15_000_000_000_000, 4_000_000_000_000),
            (70, 15_000_000_000_000, 4_000_000_000_000),
            (2_000_000_000_000, 13_000_000_000_000, 40),
            (2_000_000_000_000, 13_000_000_000_000, 900),
        ];
        for (case, (good, bad, drawn)) in cases.into_iter().enumerate() {
            let mut rng = StreamKey::new(1, "", 0, "hypergeometric test").stream(case as u64);
            let draws: Vec<u64> = (0..30_000).map(|_| hypergeometric(good, bad, drawn, &mut rng)).collect();
            let z = chi_square_z(&draws, |x| ln_hypergeometric(x, good, bad, drawn).exp());
            assert!(z.abs() < 4.0, "{good} good, {bad} bad, {drawn} drawn: z = {z}");
        }
    }

    #[test]
    fn huge_hypergeometric_draws_have_the_right_mean_and_variance() {
        let (good, bad, drawn) = (6_000_000_000_000_u64, 9_000_000_000_000_u64, 7_000_000_000_000_u64);
        let mut rng = StreamKey::new(2, "", 0, "hypergeometric test").stream(0);
        let all = (good + bad) as f64;
        let mean = drawn as f64 * (good as f64 / all);
        let variance = mean * (bad as f64 / all) * ((all - drawn as f64) / (all - 1.0));
        let draws = 20_000;
        let (mut first, mut second) = (0.0, 0.0);
        for _ in 0..draws {
            let z = (hypergeometric(good, bad, drawn, &mut rng) as f64 - mean) / variance.sqrt();
            first += z;
            second += z * z - 1.0;
        }
        let scale = f64::from(draws).sqrt();
        assert!((first / scale).abs() < 4.0, "mean {first}");
        assert!((second / scale / 2.0_f64.sqrt()).abs() < 4.0, "variance {second}");
    }

    #[test]
    fn subsets_have_exactly_the_wanted_size_at_any_size() {
        let counts: Vec<u64> = (1..=3000).map(|rank| 1_000_000_000_000 / rank).collect();
        let all: u64 = counts.iter().sum();
        for wanted in [0, 1, 1_000_000_007, all / 3, all - 1, all] {
            let taken = subset(wanted, &counts, &StreamKey::new(3, "", 0, "subset test"));
            assert_eq!(taken.iter().sum::<u64>(), wanted);
            assert!(taken.iter().zip(&counts).all(|(taken, count)| taken <= count));
        }
    }
}
