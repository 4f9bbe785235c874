//! Soft caps, which keep numbers within ±c (Gemma 2): `y = c · tanh(s x / c)` for a factor s.
//!
//! ```
//! use genloss_kernels::softcap;
//! let mut x = [0.0, 1.0, -1000.0];
//! softcap::forward(&mut x, 1.0, 2.0);
//! assert!((x[1] - 2.0 * 0.5f32.tanh()).abs() < 1e-6);
//! assert_eq!((x[0], x[2]), (0.0, -2.0));
//! ```

use super::{exp, vectorised};

/// Beyond this number the hyperbolic tangent is 1 in f32.
const SATURATED: f32 = 10.0;

vectorised! {
    /// Replaces `x` (N) by its capped values, with an error below 1e-7 of the cap.
    pub fn forward(x: &mut [f32], scale: f32, cap: f32) {
        for x in x {
            let z = (*x * scale / cap).clamp(-SATURATED, SATURATED);
            *x = cap * (1.0 - 2.0 / (exp(2.0 * z) + 1.0));
        }
    }
}

vectorised! {
    /// Replaces `y_grad` = ∂L/∂y (N) by ∂L/∂x, given the capped values `y` (N): `dy/dx = s (1 − (y / c)²)`.
    pub fn backward(y: &[f32], y_grad: &mut [f32], scale: f32, cap: f32) {
        for (y, g) in y.iter().zip(y_grad) {
            let share = y / cap;
            *g *= scale * (1.0 - share * share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_slopes_are_those_of_tanh() {
        for step in -50..=50 {
            let (x, scale, cap) = (step as f32, 0.3, 2.5);
            let z = f64::from(x) * f64::from(scale) / f64::from(cap);
            let (mut y, mut slope) = ([x], [2.0]);
            forward(&mut y, scale, cap);
            backward(&y, &mut slope, scale, cap);
            assert!((f64::from(y[0]) - f64::from(cap) * z.tanh()).abs() < 1e-6, "{x}");
            let expected = 2.0 * f64::from(scale) * (1.0 - z.tanh().powi(2));
            assert!((f64::from(slope[0]) - expected).abs() < 1e-6, "{x}");
        }
    }
}
