//! Softmax of a row of logits, fused with the cross-entropy loss and its gradient, or with log-probability and entropy.
//!
//! The row's maximum is subtracted before any exponential, so nothing overflows.
//!
//! ```
//! use genloss_kernels::softmax;
//! // Probabilities ⅛, ¼ and ⅝.
//! let logits = [1f32.ln(), 2f32.ln(), 5f32.ln()];
//! let (log_probability, _entropy) = softmax::score(&logits, 2);
//! assert!((log_probability - 0.625f32.ln()).abs() < 1e-6);
//! ```

use super::{LANES, exp, row_max, sum_lanes, vectorised};

/// The value of a target that is excluded from the loss and the gradient.
pub const IGNORED: u32 = u32::MAX;

vectorised! {
    /// Returns the sum of the rows' negative log-likelihoods in nats. Replaces `logits` (N, V) by `scale` times the
    /// gradient of this sum: `scale · (softmax − onehot(target))`, or 0 if the target is [`IGNORED`].
    pub fn cross_entropy(logits: &mut [f32], targets: &[u32], scale: f32) -> f64 {
        let mut nats = 0.0;
        let vocabulary = logits.len() / targets.len().max(1);
        for (row, &target) in logits.chunks_exact_mut(vocabulary.max(1)).zip(targets) {
            if target == IGNORED {
                row.fill(0.0);
                continue;
            }
            let largest = row_max(row);
            let at_target = row[target as usize] - largest;
            let mut lanes = [0f32; LANES];
            let (chunks, rest) = row.as_chunks_mut::<LANES>();
            for chunk in chunks {
                for lane in 0..LANES {
                    chunk[lane] = exp(chunk[lane] - largest);
                    lanes[lane] += chunk[lane];
                }
            }
            for (lane, value) in rest.iter_mut().enumerate() {
                *value = exp(*value - largest);
                lanes[lane] += *value;
            }
            let sum = sum_lanes(lanes);
            nats += f64::from(sum).ln() - f64::from(at_target);
            let factor = scale / sum;
            for value in row.iter_mut() {
                *value *= factor;
            }
            row[target as usize] -= scale;
        }
        nats
    }
}

vectorised! {
    /// The log-probability of `target` and the entropy of the prediction, both in nats, from one row of logits z. The
    /// entropy is `H = ln Σ e^z − Σ z e^z / Σ e^z`.
    pub fn score(row: &[f32], target: u32) -> (f32, f32) {
        let largest = row_max(row);
        let (mut sums, mut moments) = ([0f32; LANES], [0f32; LANES]);
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                let z = chunk[lane] - largest;
                let e = exp(z);
                sums[lane] += e;
                // A logit of −∞ contributes nothing, and 0 · −∞ would be NaN.
                moments[lane] += if e > 0.0 { e * z } else { 0.0 };
            }
        }
        for (lane, value) in rest.iter().enumerate() {
            let z = value - largest;
            let e = exp(z);
            sums[lane] += e;
            moments[lane] += if e > 0.0 { e * z } else { 0.0 };
        }
        let (sum, moment) = (f64::from(sum_lanes(sums)), f64::from(sum_lanes(moments)));
        let log_probability = f64::from(row[target as usize] - largest) - sum.ln();
        (log_probability as f32, (sum.ln() - moment / sum).max(0.0) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits ln 1, ln 2, ln 5 give probabilities 1/8, 2/8, 5/8 and H = ln 8 − (2 ln 2 + 5 ln 5) / 8 = 0.900256 nats.
    #[test]
    fn log_probability_and_entropy_match_a_row_worked_by_hand() {
        let row = [0.0f32, 2f32.ln(), 5f32.ln()];
        let (log_probability, entropy) = score(&row, 1);
        assert!((log_probability - 0.25f32.ln()).abs() < 1e-6);
        assert!((entropy - 0.900_256).abs() < 1e-6, "{entropy}");
    }

    #[test]
    fn the_loss_gradient_is_softmax_minus_one_hot() {
        let mut row = [0.0f32, 2f32.ln(), 5f32.ln(), 0.0, 0.0, 0.0];
        let nats = cross_entropy(&mut row, &[2, 0], 0.5);
        // −ln 5/8 and ln 3.
        assert!((nats - (1.6f64.ln() + 3f64.ln())).abs() < 1e-6);
        let expected = [0.0625, 0.125, 0.3125 - 0.5, 1.0 / 6.0 - 0.5, 1.0 / 6.0, 1.0 / 6.0];
        assert!(row.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{row:?}");
    }

    #[test]
    fn an_ignored_target_has_neither_loss_nor_gradient() {
        let mut row = [1.0f32, 2.0];
        assert_eq!(cross_entropy(&mut row, &[IGNORED], 1.0), 0.0);
        assert_eq!(row, [0.0, 0.0]);
    }
}
