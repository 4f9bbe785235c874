//! GeGLU (Shazeer 2020), forward and backward: `y = gelu(gate) · up`, with GELU approximated by tanh as in Gemma.
//!
//! Gate and up are the two halves of one row, as in [`swiglu`](super::swiglu).
//!
//! ```
//! use genloss_kernels::geglu;
//! let mut y = [0.0];
//! geglu::forward(&[2.0, 3.0], 1, &mut y);
//! assert!((y[0] - 3.0 * 1.954_597_7).abs() < 1e-5);
//! ```

use super::activation::{gelu_tanh, gelu_tanh_slope};
use super::vectorised;

vectorised! {
    /// Computes `y` (N, F) from `gate_up` (N, 2F), where F is `ffn`.
    pub fn forward(gate_up: &[f32], ffn: usize, y: &mut [f32]) {
        for (row, y) in gate_up.chunks_exact(2 * ffn).zip(y.chunks_exact_mut(ffn)) {
            let (gate, up) = row.split_at(ffn);
            for ((y, &gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y = gelu_tanh(gate) * up;
            }
        }
    }
}

vectorised! {
    /// Replaces `gate_up` (N, 2F) by its gradient, given `y_grad` = ∂L/∂y (N, F).
    pub fn backward(gate_up: &mut [f32], ffn: usize, y_grad: &[f32]) {
        for (row, y_grad) in gate_up.chunks_exact_mut(2 * ffn).zip(y_grad.chunks_exact(ffn)) {
            let (gate, up) = row.split_at_mut(ffn);
            for ((gate, up), g) in gate.iter_mut().zip(up).zip(y_grad) {
                (*gate, *up) = (g * *up * gelu_tanh_slope(*gate), g * gelu_tanh(*gate));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_small_changes() {
        let (at, y_grad) = ([0.7, -1.2, 2.0, 0.3], [1.5, -0.5]);
        let value = |x: &[f32; 4]| {
            let mut y = [0f32; 2];
            forward(x, 2, &mut y);
            f64::from(y[0]) * 1.5 - f64::from(y[1]) * 0.5
        };
        let mut gradient = at;
        backward(&mut gradient, 2, &y_grad);
        for place in 0..4 {
            let [mut more, mut less] = [at; 2];
            (more[place], less[place]) = (at[place] + 0.01, at[place] - 0.01);
            let slope = (value(&more) - value(&less)) / 0.02;
            assert!(
                (f64::from(gradient[place]) - slope).abs() < 1e-3,
                "{place}: {} {slope}",
                gradient[place]
            );
        }
    }
}
