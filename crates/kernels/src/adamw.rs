//! One step of AdamW (Loshchilov and Hutter 2019) on a slice of weights.
//!
//! With `g` the scaled gradient: `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`, and
//! `w ← w (1 − η λ) − η (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)`.
//!
//! ```
//! use genloss_kernels::adamw::{StepConstants, update};
//! // Without decay, the first step moves every weight by the learning rate, here 0.1.
//! let constants = StepConstants {
//!     beta1: 0.9,
//!     beta2: 0.99,
//!     gradient_scale: 1.0,
//!     rate: 0.1 / (1.0 - 0.9),
//!     second_correction: 1.0 / (1.0 - 0.99),
//!     keep: 1.0,
//! };
//! let (mut weights, mut first, mut second) = ([1.0, 2.0], [0.0; 2], [0.0; 2]);
//! update(constants, &mut weights, &mut first, &mut second, &[3.0, -0.5]);
//! assert!((weights[0] - 0.9_f32).abs() < 1e-5 && (weights[1] - 2.1_f32).abs() < 1e-5);
//! ```

use crate::vectorised;

/// ε, which is added to the square root of the second moment.
const EPSILON: f32 = 1e-8;

/// The constants of one optimiser step for one parameter, including bias corrections.
#[derive(Clone, Copy, Debug)]
pub struct StepConstants {
    /// Decay of the first moment, β₁.
    pub beta1: f32,
    /// Decay of the second moment, β₂.
    pub beta2: f32,
    /// Factor by which clipping multiplies the gradient; 1 if it is not clipped.
    pub gradient_scale: f32,
    /// Learning rate with the first moment's bias corrected, η / (1 − β₁ᵗ).
    pub rate: f32,
    /// Bias correction of the second moment, 1 / (1 − β₂ᵗ).
    pub second_correction: f32,
    /// Factor by which weight decay multiplies a weight, 1 − η λ.
    pub keep: f32,
}

vectorised! {
    /// Updates `weights` and both moments from `gradient`. All slices must have the same length.
    pub fn update(
        constants: StepConstants, weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32],
    ) {
        let StepConstants { beta1, beta2, gradient_scale, rate, second_correction, keep } = constants;
        for (((w, m), v), g) in weights.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = g * gradient_scale;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *w = *w * keep - rate * *m / ((*v * second_correction).sqrt() + EPSILON);
        }
    }
}

vectorised! {
    /// `Σ x²` in f64. The order of the sum depends only on the length.
    pub fn sum_of_squares(numbers: &[f32]) -> f64 {
        let mut lanes = [0f64; 16];
        let (chunks, rest) = numbers.as_chunks::<16>();
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(x) * f64::from(x);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(x) * f64::from(x);
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the first step from zero moments, m = (1 − β₁) g and v = (1 − β₂) g². Therefore the corrected ratio is
    /// sign(g) and the weight moves by η. Before that, weight decay multiplies the weight by 1 − η λ = 0.95.
    #[test]
    fn the_first_step_moves_by_the_learning_rate() {
        let constants = StepConstants {
            beta1: 0.9,
            beta2: 0.99,
            gradient_scale: 1.0,
            rate: 0.1 / 0.1,
            second_correction: 1.0 / 0.01,
            keep: 0.95,
        };
        let (mut weights, mut first, mut second) = ([2.0, -2.0], [0.0; 2], [0.0; 2]);
        update(constants, &mut weights, &mut first, &mut second, &[3.0, -0.5]);
        assert!((weights[0] - 1.8).abs() < 1e-5 && (weights[1] + 1.8).abs() < 1e-5, "{weights:?}");
        assert_eq!(sum_of_squares(&[3.0, 4.0]), 25.0);
    }
}
