//! A fast exponential of a row of logits that gives the same bits on every machine.
//!
//! The exponential of the C library handles one number at a time, and its implementations differ in the last bit, which
//! could change a sampled token. This one consists of additions, multiplications and shifts only, so the compiler can
//! vectorise it and every machine computes the same bits.

/// For x below this, e^x is nearly or fully subnormal in f32, and is taken as 0.
const LOWEST: f32 = -87.0;
/// Adding this to a number rounds it to an integer, which is then in the low bits of the sum.
const ROUNDER: f32 = 12_582_912.0; // 1.5 · 2^23
/// ln 2 = `LN_2_HIGH` + `LN_2_LOW`. The high part has so few bits that its product with an integer below 2^8 is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// How many numbers are processed in parallel.
const LANES: usize = 16;

/// e^x for x ≤ 0, with a relative error below 3e-7; exactly 1 at 0, and 0 below −87 or if x is NaN.
///
/// With x = n·ln 2 + r and |r| ≤ ln 2 / 2, e^x = 2^n · e^r. The factor e^r is computed by its Taylor series up to r^7,
/// whose remainder is below 6e-9.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).wrapping_add(127);
    let power = f32::from_bits(exponent.wrapping_shl(23));
    if x >= LOWEST { series * power } else { 0.0 }
}

/// Replaces each logit by e^((logit − largest) · inverse_temperature), and returns their sum.
pub(super) fn weigh(logits: &mut [f32], largest: f32, inverse_temperature: f32) -> f32 {
    for logit in logits.iter_mut() {
        *logit = exp((*logit - largest) * inverse_temperature);
    }
    let mut sums = [0.0_f32; LANES];
    let (lanes, rest) = logits.as_chunks::<LANES>();
    for chunk in lanes {
        for (sum, weight) in sums.iter_mut().zip(chunk) {
            *sum += weight;
        }
    }
    sums.iter().chain(rest).sum()
}

/// The largest logit, ignoring NaN; −∞ if there is none.
pub(super) fn maximum(logits: &[f32]) -> f32 {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (lanes, rest) = logits.as_chunks::<LANES>();
    for chunk in lanes {
        for (largest, &logit) in largest.iter_mut().zip(chunk) {
            // Like f32::max this ignores NaN, but it compiles to one machine instruction.
            *largest = if logit > *largest { logit } else { *largest };
        }
    }
    largest.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_has_a_relative_error_below_3e_7() {
        let worst = (0..870_000)
            .map(|step| -(step as f32) * 1e-4)
            .map(|x| (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(worst < 3e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
    }

    #[test]
    fn impossible_tokens_have_weight_0() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::NAN), 0.0);
        assert_eq!(exp(-1e30), 0.0);
    }

    #[test]
    fn the_maximum_ignores_nan() {
        let mut logits = vec![f32::NAN; 37];
        assert_eq!(maximum(&logits), f32::NEG_INFINITY);
        logits[35] = -3.0;
        logits[2] = -4.0;
        assert_eq!(maximum(&logits), -3.0);
        assert_eq!(maximum(&[]), f32::NEG_INFINITY);
    }
}
