//! Normalisation of rows: by the root mean square ([`rms`]), or to mean 0 and variance 1 ([`layer`]).

pub mod layer;
pub mod rms;

/// `(v + ε)^-½` of a mean of squares. NaN where their sum has overflowed: its root would turn every value into a sound zero.
#[inline(always)]
fn inverse_root(mean_square: f32, epsilon: f32) -> f32 {
    if mean_square == f32::INFINITY { f32::NAN } else { 1.0 / (mean_square + epsilon).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_whose_squares_overflow_are_not_normalised_to_zero() {
        let (mut y, mut scales) = ([0.0; 2], [0.0; 1]);
        rms::forward(&[3e38, 1.0], &[1.0; 2], 1e-5, &mut y, &mut scales);
        assert!(y.iter().all(|y| y.is_nan()), "{y:?}");
        layer::forward(&[3e38, 1.0], &[1.0; 2], &[0.0; 2], 1e-5, &mut y);
        assert!(y.iter().all(|y| y.is_nan()), "{y:?}");
    }
}
