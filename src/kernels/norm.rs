//! Root-mean-square normalisation, forwards and backwards.
//!
//! `y_i = w_i · x_i · s` with `s = (Σ x² / W + ε)^-½` (Zhang and Sennrich 2019). Backwards, with `g = ∂L/∂y`:
//! `∂L/∂w_i = Σ_rows g_i x_i s` and `∂L/∂x_i = s · (g_i w_i − x_i · s² / W · Σ_j g_j w_j x_j)`.

use super::{sum_pairs, vectorised};

vectorised! {
    /// Normalises the rows of `x` (N, W) into `y`, and keeps each row's factor `s` in `scales` (N).
    pub fn forward(x: &[f32], weight: &[f32], epsilon: f32, y: &mut [f32], scales: &mut [f32]) {
        let width = weight.len();
        for ((x, y), scale) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(scales) {
            let mean_square = sum_pairs(x, x, |a, b| a * b) / width as f32;
            *scale = 1.0 / (mean_square + epsilon).sqrt();
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * *scale * w;
            }
        }
    }
}

vectorised! {
    /// Adds ∂L/∂x to `x_gradient` (N, W) and ∂L/∂w to `weight_gradient` (W), given `gradient` = ∂L/∂y (N, W).
    pub fn backward(
        x: &[f32], weight: &[f32], scales: &[f32], gradient: &[f32],
        x_gradient: &mut [f32], weight_gradient: &mut [f32],
    ) {
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(gradient.chunks_exact(width));
        for (((x, g), dx), &scale) in rows.zip(x_gradient.chunks_exact_mut(width)).zip(scales) {
            for ((dw, g), x) in weight_gradient.iter_mut().zip(g).zip(x) {
                *dw += g * x * scale;
            }
            let mut projection = 0.0;
            for ((x, g), w) in x.chunks(64).zip(g.chunks(64)).zip(weight.chunks(64)) {
                let mut gw = [0f32; 64];
                for ((gw, g), w) in gw.iter_mut().zip(g).zip(w) {
                    *gw = g * w;
                }
                projection += sum_pairs(x, &gw[..x.len()], |a, b| a * b);
            }
            let shrink = projection * scale * scale / width as f32;
            for (((dx, g), x), w) in dx.iter_mut().zip(g).zip(x).zip(weight) {
                *dx += scale * (g * w - x * shrink);
            }
        }
    }
}
