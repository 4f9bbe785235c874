//! SwiGLU (Shazeer 2020), forwards and backwards: `y = silu(gate) · up`, `silu(z) = z / (1 + e^-z)`.
//!
//! Gate and up stand beside each other in one row, because one matrix product makes both.

use super::{LANES, exp, vectorised};

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
            let (gate, gate_rest) = gate.as_chunks_mut::<LANES>();
            let (up, up_rest) = up.as_chunks_mut::<LANES>();
            let (gradient, gradient_rest) = gradient.as_chunks::<LANES>();
            for ((gate, up), gradient) in gate.iter_mut().zip(up).zip(gradient) {
                for lane in 0..LANES {
                    (gate[lane], up[lane]) = backward_at(gate[lane], up[lane], gradient[lane]);
                }
            }
            for ((gate, up), gradient) in gate_rest.iter_mut().zip(up_rest).zip(gradient_rest) {
                (*gate, *up) = backward_at(*gate, *up, *gradient);
            }
        }
    }
}

/// The gradients of one gate and one up.
#[inline(always)]
fn backward_at(gate: f32, up: f32, gradient: f32) -> (f32, f32) {
    let sigmoid = 1.0 / (1.0 + exp(-gate));
    (gradient * up * sigmoid * (1.0 + gate * (1.0 - sigmoid)), gradient * gate * sigmoid)
}
