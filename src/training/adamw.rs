//! AdamW (Loshchilov and Hutter 2019) with linear warm-up, cosine decay of the learning rate, and gradient clipping.
//!
//! With `g` the clipped gradient, `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`, and
//! `w ← w − η (m̂ / (√v̂ + ε) + λ w)`, where `m̂ = m / (1 − β₁ᵗ)` and `v̂ = v / (1 − β₂ᵗ)`; λ is 0 for vectors.
//! Parameters are split into chunks of a fixed size, and the sums of squares of the chunks are added in order, so the
//! result does not depend on the number of threads. The arithmetic itself is in [`genloss_kernels::adamw`].
//!
//! ```
//! use genloss::training::adamw;
//! // A gradient of norm 5 is scaled down to 1; one of norm 0.5 is left alone.
//! assert_eq!(adamw::clip(5.0, 1.0), 0.2);
//! assert_eq!(adamw::clip(0.5, 1.0), 1.0);
//! ```

use crate::model::slices::change_numbers;
use crate::model::transformer::parameters::Parameters;
use crate::training::TrainingSettings;
use candle_core::{Result, Tensor};
use genloss_kernels::adamw::{self as kernel, StepConstants};
use rayon::prelude::*;

/// Weights per parallel task.
const CHUNK: usize = 1 << 15;

/// The running moments of a parameter's gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Running mean of the gradient, m.
    pub first: Vec<f32>,
    /// Running mean of the squared gradient, v.
    pub second: Vec<f32>,
}

impl Moments {
    /// Moments before the first step, for a parameter with `count` weights.
    #[must_use]
    pub fn zero(count: usize) -> Self {
        Self { first: vec![0.0; count], second: vec![0.0; count] }
    }
}

/// The learning rate at `step` (from 0) of `steps`. It rises linearly during the warm-up, then falls along half a
/// cosine.
#[must_use]
pub fn learning_rate(training: &TrainingSettings, step: u64, steps: u64) -> f64 {
    let warmup = (training.warmup_fraction * steps as f64).ceil() as u64;
    let peak = training.learning_rate;
    if step < warmup {
        return peak * (step + 1) as f64 / warmup as f64;
    }
    let progress = (step + 1 - warmup) as f64 / (steps - warmup).max(1) as f64;
    let last = training.final_rate_fraction;
    peak * (last + (1.0 - last) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()))
}

/// The Euclidean norm of a gradient, given for each parameter.
#[must_use]
pub fn norm<'a>(gradient: impl Iterator<Item = &'a Vec<f32>>) -> f64 {
    let chunks: Vec<&[f32]> = gradient.flat_map(|values| values.chunks(CHUNK)).collect();
    let sums: Vec<f64> = chunks.into_par_iter().map(kernel::sum_of_squares).collect();
    sums.iter().sum::<f64>().sqrt()
}

/// The inputs of AdamW that change from one optimiser step to the next.
#[derive(Clone, Copy, Debug)]
pub struct OptimiserStep {
    /// Number of this step, from 1.
    pub count: u64,
    /// The learning rate.
    pub rate: f64,
    /// Factor on the gradient, from [`clip`].
    pub gradient_scale: f64,
}

/// The factor that scales a gradient of norm `norm` down to `limit`; 1 if its norm is within the limit.
#[must_use]
pub fn clip(norm: f64, limit: f64) -> f64 {
    if norm > limit { limit / norm } else { 1.0 }
}

/// Updates parameters and moments by one optimiser step. Parameters on the CPU are updated in place; parameters on
/// another device are copied to the CPU and back.
///
/// # Errors
/// If the device fails.
pub fn step(
    parameters: &mut Parameters<Tensor>,
    moments: &mut Parameters<Moments>,
    gradient: &Parameters<Vec<f32>>,
    training: &TrainingSettings,
    step: OptimiserStep,
) -> Result<()> {
    for ((parameter, moments), gradient) in parameters.iter_mut().zip(moments.iter_mut()).zip(gradient.iter())
    {
        let constants =
            if parameter.rank() >= 2 { of_matrix(training, step) } else { constants(training, step, 0.0) };
        change_numbers(parameter, |weights| update(constants, weights, moments, gradient))?;
    }
    Ok(())
}

/// Updates a matrix on the CPU and its moments by one optimiser step.
pub fn step_matrix(
    weights: &mut [f32],
    moments: &mut Moments,
    gradient: &[f32],
    training: &TrainingSettings,
    step: OptimiserStep,
) {
    update(of_matrix(training, step), weights, moments, gradient);
}

fn of_matrix(training: &TrainingSettings, step: OptimiserStep) -> StepConstants {
    constants(training, step, training.weight_decay)
}

/// The constants of a step for a parameter with weight decay `decay`.
fn constants(training: &TrainingSettings, step: OptimiserStep, decay: f64) -> StepConstants {
    // Every field is listed, so that a new setting is a compile error here until somebody decides whether this function
    // needs it.
    let TrainingSettings {
        beta1,
        beta2,
        // Used in `learning_rate`, in `step` and by the trainer.
        learning_rate: _,
        warmup_fraction: _,
        final_rate_fraction: _,
        weight_decay: _,
        gradient_clip: _,
        // Used by the learner and the lineage.
        tokens: _,
        epochs: _,
        init: _,
        base: _,
        lora: _,
        batch: _,
        fim_share: _,
        writers: _,
        checkpoint_minutes: _,
    } = training;
    let correction = |beta: f64| 1.0 - beta.powf(step.count as f64);
    StepConstants {
        beta1: *beta1 as f32,
        beta2: *beta2 as f32,
        gradient_scale: step.gradient_scale as f32,
        rate: (step.rate / correction(*beta1)) as f32,
        second_correction: (1.0 / correction(*beta2)) as f32,
        keep: (1.0 - step.rate * decay) as f32,
    }
}

/// Updates all weights of a parameter, in parallel.
fn update(constants: StepConstants, weights: &mut [f32], moments: &mut Moments, gradient: &[f32]) {
    weights
        .par_chunks_mut(CHUNK)
        .zip(moments.first.par_chunks_mut(CHUNK))
        .zip(moments.second.par_chunks_mut(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|(((weights, first), second), gradient)| {
            kernel::update(constants, weights, first, second, gradient);
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::transformer::parameters::Affine;

    use candle_core::Device;

    fn training() -> TrainingSettings {
        TrainingSettings {
            batch: 1,
            learning_rate: 0.1,
            warmup_fraction: 0.2,
            final_rate_fraction: 0.1,
            weight_decay: 0.5,
            beta1: 0.9,
            beta2: 0.99,
            ..TrainingSettings::default()
        }
    }

    /// 10 steps: 2 of warm-up, at half the peak and at the peak, then 8 along half a cosine, ending at a tenth of the
    /// peak.
    #[test]
    fn the_rate_rises_linearly_and_falls_along_a_cosine() {
        let rate = |step| learning_rate(&training(), step, 10);
        assert!((rate(0) - 0.05).abs() < 1e-12 && (rate(1) - 0.1).abs() < 1e-12);
        assert!((rate(5) - 0.1 * (0.1 + 0.9 * 0.5)).abs() < 1e-12);
        assert!((rate(9) - 0.01).abs() < 1e-12);
    }

    /// Parameters without blocks.
    fn matrix_and_vector<T>(embedding: T, norm: T) -> Parameters<T> {
        let norm = Affine { weight: norm, bias: None };
        Parameters {
            embedding,
            positions: None,
            project_in: None,
            blocks: Vec::new(),
            norm: Some(norm),
            project_out: None,
            head: None,
        }
    }

    /// A vector moves by η · sign(g) in its first step. A matrix also shrinks by η λ: 2 (1 − 0.1 · 0.5) − 0.1 = 1.8.
    #[test]
    fn the_first_step_has_the_length_of_the_rate_and_only_matrices_decay() {
        let matrix = Tensor::new(&[[2f32, -2.0]], &Device::Cpu).unwrap();
        let mut parameters = matrix_and_vector(matrix, Tensor::new(&[1f32], &Device::Cpu).unwrap());
        let gradient = matrix_and_vector(vec![3.0, -0.5], vec![7.0]);
        let mut moments = gradient.map(|values| Moments::zero(values.len()));
        let first_step = OptimiserStep { count: 1, rate: 0.1, gradient_scale: 1.0 };
        step(&mut parameters, &mut moments, &gradient, &training(), first_step).unwrap();
        let matrix = parameters.embedding.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((matrix[0] - 1.8).abs() < 1e-6 && (matrix[1] + 1.8).abs() < 1e-6, "{matrix:?}");
        assert!((parameters.norm.as_ref().unwrap().weight.to_vec1::<f32>().unwrap()[0] - 0.9).abs() < 1e-6);
    }

    #[test]
    fn a_long_gradient_is_scaled_down_and_a_short_one_left() {
        let gradient = matrix_and_vector(vec![3.0], vec![4.0]);
        assert_eq!(norm(gradient.iter()), 5.0);
        assert_eq!(clip(5.0, 1.0), 0.2);
        assert_eq!(clip(0.5, 1.0), 1.0);
    }
}
