//! Activations of feed-forward layers without a gate: ReLU, and GELU (Hendrycks and Gimpel 2016) in its exact form
//! `x Φ(x)` and in its approximation by tanh.
//!
//! ```
//! use genloss_kernels::activation::{self, Activation};
//! let mut y = [0.0; 2];
//! activation::forward(Activation::Gelu, &[-1.0, 1.0], &mut y);
//! // Φ(1) = 0.841 345.
//! assert!((y[1] - 0.841_345).abs() < 1e-6 && (y[0] + 0.158_655).abs() < 1e-6);
//! ```

use super::{exp, vectorised};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// A function that is applied to each number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `x Φ(x)`, where Φ is the distribution function of a standard normal variable.
    Gelu,
    /// `x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`
    GeluTanh,
}

vectorised! {
    /// Computes `y` (N) from `x` (N).
    pub fn forward(activation: Activation, x: &[f32], y: &mut [f32]) {
        match activation {
            Activation::Relu => map(x, y, |x| x.max(0.0)),
            Activation::Gelu => map(x, y, |x| x * normal_below(x)),
            Activation::GeluTanh => map(x, y, gelu_tanh),
        }
    }
}

vectorised! {
    /// Replaces `x` (N) by its gradient, given `y_grad` = ∂L/∂y (N).
    pub fn backward(activation: Activation, x: &mut [f32], y_grad: &[f32]) {
        match activation {
            Activation::Relu => chain(x, y_grad, |x| if x > 0.0 { 1.0 } else { 0.0 }),
            Activation::Gelu => chain(x, y_grad, |x| {
                // The density of a standard normal variable is e^(−x²/2) / √(2π).
                normal_below(x) + x * exp(-0.5 * x * x) * (0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2)
            }),
            Activation::GeluTanh => chain(x, y_grad, gelu_tanh_slope),
        }
    }
}

#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
}

#[inline(always)]
fn chain(x: &mut [f32], y_grad: &[f32], slope: impl Fn(f32) -> f32) {
    for (x, g) in x.iter_mut().zip(y_grad) {
        *x = g * slope(*x);
    }
}

/// GELU by tanh.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    x * logistic(2.0 * tanh_argument(x))
}

/// The derivative of [`gelu_tanh`].
#[inline(always)]
pub(crate) fn gelu_tanh_slope(x: f32) -> f32 {
    let share = logistic(2.0 * tanh_argument(x));
    let slope = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
    share + x * share * (1.0 - share) * 2.0 * slope
}

const SQRT_2_OVER_PI: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
const CUBIC: f32 = 0.044_715;

/// The argument of tanh in the approximation. `(1 + tanh z) / 2` is the logistic function of `2 z`.
#[inline(always)]
fn tanh_argument(x: f32) -> f32 {
    SQRT_2_OVER_PI * (x + CUBIC * x * x * x)
}

#[inline(always)]
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Φ(x) with an absolute error below 2e-7: formula 7.1.26 of Abramowitz and Stegun (1964) for the error function.
#[inline(always)]
fn normal_below(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152;
    p = p * t + 1.421_413_7;
    p = p * t - 0.284_496_74;
    p = p * t + 0.254_829_6;
    let above = 0.5 * p * t * exp(-z * z);
    if x < 0.0 { above } else { 1.0 - above }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the exact functions, computed with 30 digits: x, ReLU, GELU, GELU by tanh.
    #[test]
    fn values_are_exact_to_six_digits() {
        let table = [
            (-3.0, 0.0, -0.004_049_694, -0.003_637_392),
            (-1.0, 0.0, -0.158_655_25, -0.158_808),
            (-0.2, 0.0, -0.084_148_06, -0.084_148_57),
            (0.0, 0.0, 0.0, 0.0),
            (0.5, 0.5, 0.345_731_23, 0.345_714),
            (2.0, 2.0, 1.954_499_7, 1.954_597_7),
            (10.0, 10.0, 10.0, 10.0),
        ];
        for (x, relu, gelu, tanh) in table {
            for (activation, expected) in
                [(Activation::Relu, relu), (Activation::Gelu, gelu), (Activation::GeluTanh, tanh)]
            {
                let mut y = [0f32];
                forward(activation, &[x], &mut y);
                assert!((y[0] - expected).abs() < 2e-6, "{activation:?}({x}) = {} not {expected}", y[0]);
            }
        }
    }

    #[test]
    fn gradients_are_those_of_small_changes() {
        for activation in [Activation::Relu, Activation::Gelu, Activation::GeluTanh] {
            for step in -40..40 {
                let x = step as f32 / 10.0 + 0.05;
                let (mut up, mut down, mut slope) = ([0f32], [0f32], [x]);
                forward(activation, &[x + 0.01], &mut up);
                forward(activation, &[x - 0.01], &mut down);
                backward(activation, &mut slope, &[2.0]);
                let expected = 2.0 * (up[0] - down[0]) / 0.02;
                assert!((slope[0] - expected).abs() < 1e-3, "{activation:?} at {x}: {} {expected}", slope[0]);
            }
        }
    }
}
