//! SwiGLU (Shazeer 2020), forwards and backwards: `y = silu(gate) · up`, `silu(z) = z / (1 + e^-z)`.
//!
//! Gate and up stand beside each other in one row, because one matrix product makes both.

use super::{exp, vectorised};

vectorised! {
    /// `gate_up` (N, 2F) into `y` (N, F).
    pub fn forward(gate_up: &[f32], ffn: usize, y: &mut [f32]) {
        for (row, y) in gate_up.chunks_exact(2 * ffn).zip(y.chunks_exact_mut(ffn)) {
            let (gate, up) = row.split_at(ffn);
            for ((y, &gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y = gate / (1.0 + exp(-gate)) * up;
            }
        }
    }
}

vectorised! {
    /// Replaces `gate_up` (N, 2F) by its gradient, given `gradient` = ∂L/∂y (N, F):
    /// `silu'(z) = σ(z) (1 + z (1 − σ(z)))`.
    pub fn backward(gate_up: &mut [f32], ffn: usize, gradient: &[f32]) {
        for (row, gradient) in gate_up.chunks_exact_mut(2 * ffn).zip(gradient.chunks_exact(ffn)) {
            let (gate, up) = row.split_at_mut(ffn);
            for ((gate, up), g) in gate.iter_mut().zip(up).zip(gradient) {
                let z = *gate;
                let sigmoid = 1.0 / (1.0 + exp(-z));
                *gate = g * *up * sigmoid * (1.0 + z * (1.0 - sigmoid));
                *up = g * z * sigmoid;
            }
        }
    }
}
