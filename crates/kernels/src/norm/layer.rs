//! Layer normalisation (Ba et al. 2016), forward and backward.
//!
//! Forward, over rows of width W with mean m and variance v: `y_i = w_i · z_i + b_i` with `z_i = (x_i − m) · s` and
//! `s = (v + ε)^-½`. Backward, with `g = ∂L/∂y` and `h_i = g_i w_i`: `∂L/∂w_i = Σ_rows g_i z_i`, `∂L/∂b_i = Σ_rows g_i`
//! and `∂L/∂x_i = s · (h_i − Σ_j h_j / W − z_i · Σ_j h_j z_j / W)`.
//!
//! ```
//! use genloss_kernels::norm::layer;
//! let mut y = [0.0; 2];
//! // (3, 5) has the mean 4 and the variance 1.
//! layer::forward(&[3.0, 5.0], &[1.0, 2.0], &[0.0, 1.0], 0.0, &mut y);
//! assert_eq!(y, [-1.0, 3.0]);
//! ```

use super::inverse_root;
use crate::{sum_over_pairs, vectorised};

/// Mean of a row, and one over its standard deviation.
#[inline(always)]
fn statistics(x: &[f32], epsilon: f32) -> (f32, f32) {
    let mean = sum_over_pairs(x, x, |a, _| a) / x.len() as f32;
    let variance = sum_over_pairs(x, x, |a, _| (a - mean) * (a - mean)) / x.len() as f32;
    (mean, inverse_root(variance, epsilon))
}

vectorised! {
    /// Normalises the rows of `x` (N, W) into `y` (N, W).
    pub fn forward(x: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, y: &mut [f32]) {
        let width = weight.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let (mean, scale) = statistics(x, epsilon);
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = (x - mean) * scale * w + b;
            }
        }
    }
}

vectorised! {
    /// Adds ∂L/∂x to `x_grad` (N, W), ∂L/∂w to `weight_grad` (W) and ∂L/∂b to `bias_grad` (W), given `y_grad` = ∂L/∂y
    /// (N, W).
    pub fn backward(
        x: &[f32], weight: &[f32], epsilon: f32, y_grad: &[f32],
        x_grad: &mut [f32], weight_grad: &mut [f32], bias_grad: &mut [f32],
    ) {
        let width = weight.len();
        let mut scaled = vec![0.0; width];
        let rows = x.chunks_exact(width).zip(y_grad.chunks_exact(width));
        for ((x, g), dx) in rows.zip(x_grad.chunks_exact_mut(width)) {
            let (mean, scale) = statistics(x, epsilon);
            for ((dw, g), x) in weight_grad.iter_mut().zip(g).zip(x) {
                *dw += g * (x - mean) * scale;
            }
            for (db, g) in bias_grad.iter_mut().zip(g) {
                *db += g;
            }
            for ((h, g), w) in scaled.iter_mut().zip(g).zip(weight) {
                *h = g * w;
            }
            let shift = sum_over_pairs(&scaled, &scaled, |h, _| h) / width as f32;
            let shrink = sum_over_pairs(&scaled, x, |h, x| h * (x - mean)) * scale / width as f32;
            for ((dx, h), x) in dx.iter_mut().zip(&scaled).zip(x) {
                *dx += scale * (h - shift - (x - mean) * scale * shrink);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient of Σ c_i y_i by central differences.
    #[test]
    fn gradients_are_those_of_small_changes() {
        let x = [0.3f32, -1.2, 2.0, 0.7, 1.1];
        let (weight, bias) = ([0.9f32, -1.1, 0.4, 1.6, 0.2], [0.1f32, 0.2, -0.3, 0.0, 0.5]);
        let upstream = [1.0f32, -0.5, 0.25, 2.0, -1.5];
        let loss = |x: &[f32], weight: &[f32], bias: &[f32]| {
            let mut y = [0.0; 5];
            forward(x, weight, bias, 1e-5, &mut y);
            y.iter().zip(&upstream).map(|(y, c)| f64::from(y * c)).sum::<f64>()
        };
        let (mut dx, mut dw, mut db) = ([0.0; 5], [0.0; 5], [0.0; 5]);
        backward(&x, &weight, 1e-5, &upstream, &mut dx, &mut dw, &mut db);
        for i in 0..5 {
            let moved = |values: &[f32; 5], by: f32| {
                let mut moved = *values;
                moved[i] += by;
                moved
            };
            let slope = |up: f64, down: f64| (up - down) / 0.02;
            let by_x = slope(loss(&moved(&x, 0.01), &weight, &bias), loss(&moved(&x, -0.01), &weight, &bias));
            let by_w = slope(loss(&x, &moved(&weight, 0.01), &bias), loss(&x, &moved(&weight, -0.01), &bias));
            let by_b = slope(loss(&x, &weight, &moved(&bias, 0.01)), loss(&x, &weight, &moved(&bias, -0.01)));
            for (expected, found) in [(by_x, dx[i]), (by_w, dw[i]), (by_b, db[i])] {
                assert!((expected - f64::from(found)).abs() < 2e-3, "{i}: {expected} {found}");
            }
        }
    }
}
