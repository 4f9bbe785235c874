//! Root-mean-square normalisation (Zhang and Sennrich 2019), forward and backward.
//!
//! Forward, over rows of width W: `y_i = w_i · x_i · s` with `s = (Σ x² / W + ε)^-½`.
//! Backward, with `g = ∂L/∂y`: `∂L/∂w_i = Σ_rows g_i x_i s` and
//! `∂L/∂x_i = s · (g_i w_i − x_i · s² / W · Σ_j g_j w_j x_j)`.
//!
//! ```
//! use genloss_kernels::norm::rms;
//! let (mut y, mut scales) = ([0.0; 2], [0.0; 1]);
//! // The mean square of (3, 4) is 12.5.
//! rms::forward(&[3.0, 4.0], &[1.0, 2.0], 0.0, &mut y, &mut scales);
//! assert!((y[0] - 3.0 / 12.5f32.sqrt()).abs() < 1e-6);
//! assert!((y[1] - 8.0 / 12.5f32.sqrt()).abs() < 1e-6);
//! ```

use super::inverse_root;
use crate::{sum_over_pairs, vectorised};

vectorised! {
    /// Normalises the rows of `x` (N, W) into `y` (N, W) and keeps the factor `s` of each row in `scales` (N).
    pub fn forward(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32], scales: &mut [f32]) {
        let width = weight.len();
        for ((x, y), scale) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(scales) {
            let mean_square = sum_over_pairs(x, x, |a, b| a * b) / width as f32;
            *scale = inverse_root(mean_square, epsilon);
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * *scale * w;
            }
        }
    }
}

vectorised! {
    /// Adds ∂L/∂x to `x_grad` (N, W) and ∂L/∂w to `weight_grad` (W), given `y_grad` = ∂L/∂y (N, W) and the `scales` of
    /// [`forward`].
    pub fn backward(
        x: &[f32], weight: &[f32], scales: &[f32], y_grad: &[f32],
        x_grad: &mut [f32], weight_grad: &mut [f32],
    ) {
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(y_grad.chunks_exact(width));
        for (((x, g), dx), &scale) in rows.zip(x_grad.chunks_exact_mut(width)).zip(scales) {
            for ((dw, g), x) in weight_grad.iter_mut().zip(g).zip(x) {
                *dw += g * x * scale;
            }
            // Σ g w x, in chunks of 64 so that the products g w stay in registers or the first-level cache.
            let mut projection = 0.0;
            for ((x, g), w) in x.chunks(64).zip(g.chunks(64)).zip(weight.chunks(64)) {
                let mut gw = [0f32; 64];
                for ((gw, g), w) in gw.iter_mut().zip(g).zip(w) {
                    *gw = g * w;
                }
                projection += sum_over_pairs(x, &gw[..x.len()], |a, b| a * b);
            }
            let shrink = projection * scale * scale / width as f32;
            for (((dx, g), x), w) in dx.iter_mut().zip(g).zip(x).zip(weight) {
                *dx += scale * (g * w - x * shrink);
            }
        }
    }
}
