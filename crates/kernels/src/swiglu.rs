//! SwiGLU (Shazeer 2020), forward and backward: `y = silu(gate) · up` with `silu(z) = z / (1 + e^-z)`.
//!
//! Gate and up are the two halves of one row, because one matrix product computes both.
//!
//! ```
//! use genloss_kernels::swiglu;
//! let mut y = [0.0];
//! // A gate of ln 3 has the sigmoid 3/4.
//! swiglu::forward(&[3f32.ln(), 2.0], 1, &mut y);
//! assert!((y[0] - 0.75 * 3f32.ln() * 2.0).abs() < 1e-6);
//! ```

use super::{LANES, exp, vectorised};

vectorised! {
    /// Computes `y` (N, F) from `gate_up` (N, 2F), where F is `ffn`.
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
    /// Replaces `gate_up` (N, 2F) by its gradient, given `y_grad` = ∂L/∂y (N, F):
    /// `silu'(z) = σ(z) (1 + z (1 − σ(z)))`.
    pub fn backward(gate_up: &mut [f32], ffn: usize, y_grad: &[f32]) {
        for (row, y_grad) in gate_up.chunks_exact_mut(2 * ffn).zip(y_grad.chunks_exact(ffn)) {
            let (gate, up) = row.split_at_mut(ffn);
            let (gate, gate_rest) = gate.as_chunks_mut::<LANES>();
            let (up, up_rest) = up.as_chunks_mut::<LANES>();
            let (y_grad, y_grad_rest) = y_grad.as_chunks::<LANES>();
            for ((gate, up), y_grad) in gate.iter_mut().zip(up).zip(y_grad) {
                for lane in 0..LANES {
                    (gate[lane], up[lane]) = gate_up_grad(gate[lane], up[lane], y_grad[lane]);
                }
            }
            for ((gate, up), y_grad) in gate_rest.iter_mut().zip(up_rest).zip(y_grad_rest) {
                (*gate, *up) = gate_up_grad(*gate, *up, *y_grad);
            }
        }
    }
}

/// `(∂L/∂gate, ∂L/∂up)` of one element.
#[inline(always)]
fn gate_up_grad(gate: f32, up: f32, y_grad: f32) -> (f32, f32) {
    let sigmoid = 1.0 / (1.0 + exp(-gate));
    (y_grad * up * sigmoid * (1.0 + gate * (1.0 - sigmoid)), y_grad * gate * sigmoid)
}
