//! Probabilities of the binomial and the hypergeometric distribution, exact to rounding at any size.
//!
//! `ln n!` at n = 10¹⁵ is about 3·10¹⁶, where neighbouring doubles are 4 apart, so differences of such logarithms are
//! meaningless. Loader (2000), "Fast and accurate computation of binomial probabilities", cancels the large terms
//! analytically. With the remainder of Stirling's formula `δ(n) = ln n! − (n + ½) ln n + n − ½ ln 2π` and the deviance
//! `D(x, μ) = x ln(x/μ) + μ − x`,
//!
//! `ln Bin(x; n, p) = δ(n) − δ(x) − δ(n−x) − D(x, np) − D(n−x, nq) + ½ ln(n / (2π x (n−x)))`,
//!
//! where nothing large is left to cancel, provided that D near x = μ is computed from its series. The hypergeometric
//! probability of x good items among k drawn from `good + bad` is
//! `Bin(x; good, p) Bin(k−x; bad, p) / Bin(k; good + bad, p)` for every p; p = k/(good + bad) keeps all three near
//! their modes.
//!
//! ```
//! use genloss::drift::pmf::{ln_binomial, ln_hypergeometric};
//! assert!((ln_binomial(1, 2, 0.5, 0.5).exp() - 0.5).abs() < 1e-12);
//! // Two items drawn from two good and two bad ones: one of each in 4 of 6 cases.
//! assert!((ln_hypergeometric(1, 2, 2, 2).exp() - 2.0 / 3.0).abs() < 1e-12);
//! ```

use statrs::function::gamma::ln_gamma;
use std::f64::consts::TAU;

/// Natural logarithm of the probability of `x` successes in `n` trials; −∞ where the probability is 0. Takes both `p`
/// and `q` = 1 − p, because the smaller of them cannot be computed from the other without loss of precision.
#[must_use]
pub fn ln_binomial(x: u64, n: u64, p: f64, q: f64) -> f64 {
    if x > n || (p <= 0.0 && x > 0) || (q <= 0.0 && x < n) {
        return f64::NEG_INFINITY;
    }
    if x == 0 {
        return ln_power_of_complement(p, q, n);
    }
    if x == n {
        return ln_power_of_complement(q, p, n);
    }
    let (trials, hits, misses) = (n as f64, x as f64, (n - x) as f64);
    stirling_remainder(n)
        - stirling_remainder(x)
        - stirling_remainder(n - x)
        - deviance(hits, trials * p)
        - deviance(misses, trials * q)
        + 0.5 * (trials / (TAU * hits * misses)).ln()
}

/// `times · ln other`, where other = 1 − p. Computed from `p` where that is more precise.
fn ln_power_of_complement(p: f64, other: f64, times: u64) -> f64 {
    if times == 0 {
        0.0
    } else if p < 0.5 {
        times as f64 * (-p).ln_1p()
    } else {
        times as f64 * other.ln()
    }
}

/// Natural logarithm of the probability of `x` good items among `drawn` items taken without replacement from `good` and
/// `bad` ones; −∞ where the probability is 0.
#[must_use]
pub fn ln_hypergeometric(x: u64, good: u64, bad: u64, drawn: u64) -> f64 {
    if x > good || x > drawn || drawn - x > bad {
        return f64::NEG_INFINITY;
    }
    let all = good + bad;
    if drawn == 0 || drawn == all {
        return 0.0;
    }
    let (p, q) = (drawn as f64 / all as f64, (all - drawn) as f64 / all as f64);
    ln_binomial(x, good, p, q) + ln_binomial(drawn - x, bad, p, q) - ln_binomial(drawn, all, p, q)
}

/// `ln n! − (n + ½) ln n + n − ½ ln 2π`, and 0 at 0.
fn stirling_remainder(n: u64) -> f64 {
    let x = n as f64;
    if n == 0 {
        return 0.0;
    }
    if n < 16 {
        return ln_gamma(x + 1.0) - (x + 0.5) * x.ln() + x - 0.5 * TAU.ln();
    }
    let square = x * x;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / 1680.0 / square) / square) / square) / x
}

/// `x ln(x/μ) + μ − x`.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - difference;
    }
    // With v = (x − μ)/(x + μ): (x − μ)v + 2x(v³/3 + v⁵/5 + …).
    let v = difference / (x + mean);
    let mut sum = difference * v;
    let mut power = 2.0 * x * v;
    for odd in (3_u32..).step_by(2) {
        power *= v * v;
        let next = sum + power / f64::from(odd);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::function::factorial;

    /// Expected values from the definition, with logarithms of factorials (statrs).
    #[test]
    fn probabilities_at_small_sizes_agree_with_the_definition() {
        for n in 1..40 {
            for x in 0..=n {
                let by_definition =
                    factorial::ln_binomial(n, x) + x as f64 * 0.3_f64.ln() + (n - x) as f64 * 0.7_f64.ln();
                assert!((ln_binomial(x, n, 0.3, 0.7) - by_definition).abs() < 1e-11, "{x} of {n}");
                let choose = factorial::ln_binomial;
                let by_definition = choose(n, x) + choose(25, 10_u64.saturating_sub(x)) - choose(n + 25, 10);
                if x <= 10 {
                    assert!((ln_hypergeometric(x, n, 25, 10) - by_definition).abs() < 1e-11, "{x} of {n}");
                }
            }
        }
    }

    /// The ratio of neighbouring probabilities is rational: (n − x)p / ((x + 1)q), and (G − x)(k − x) /
    /// ((x + 1)(B − k + x + 1)).
    #[test]
    fn neighbouring_probabilities_have_their_rational_ratio_at_any_size() {
        let n = 3_000_000_000_000_000_u64;
        for x in [n / 3, n / 3 + 40_000_000, n / 3 - 90_000_000] {
            let step = ln_binomial(x + 1, n, 1.0 / 3.0, 2.0 / 3.0) - ln_binomial(x, n, 1.0 / 3.0, 2.0 / 3.0);
            let ratio = (n - x) as f64 / (2.0 * (x + 1) as f64);
            assert!((step - ratio.ln()).abs() < 1e-6, "{step} {}", ratio.ln());
        }
        let (good, bad, k) = (2_000_000_000_000_u64, 13_000_000_000_000, 6_000_000_000_000);
        for x in [800_000_000_000, 800_002_000_000] {
            let step = ln_hypergeometric(x + 1, good, bad, k) - ln_hypergeometric(x, good, bad, k);
            let ratio = (good - x) as f64 / (x + 1) as f64 * ((k - x) as f64 / (bad - k + x + 1) as f64);
            assert!((step - ratio.ln()).abs() < 1e-6, "{step} {}", ratio.ln());
        }
    }

    #[test]
    fn impossible_outcomes_have_probability_zero() {
        assert_eq!(ln_binomial(3, 2, 0.5, 0.5), f64::NEG_INFINITY);
        assert_eq!(ln_binomial(1, 2, 0.0, 1.0), f64::NEG_INFINITY);
        assert_eq!(ln_binomial(0, 2, 0.0, 1.0), 0.0);
        assert_eq!(ln_hypergeometric(0, 3, 2, 3), f64::NEG_INFINITY);
        assert_eq!(ln_hypergeometric(3, 3, 2, 5), 0.0);
    }
}
