//! Low-rank adaptation (LoRA, [Hu et al. 2022](https://arxiv.org/abs/2106.09685)): the matrix W₀ (out, in) that training
//! starts from stays, and W = W₀ + s B A is used in its place, where s is `alpha / rank`, and B (out, rank) and A (rank, in)
//! are trained.
//!
//! The gradient G of W is computed as in any training, and from it those of the factors: s Bᵀ G for A and s G Aᵀ for B. So
//! every family and device can be adapted, and only the factors need the moments of AdamW. A is uniform on ± 1/√in at first and B
//! zero, so that training starts from W₀. AdamW treats both like any other matrix.
//!
//! ```
//! use candle_core::Device;
//! use genloss::model::transformer::Transformer;
//! use genloss::seed::StreamKey;
//! use genloss::training::{LoraSettings, lora::Adapters};
//! # use genloss::model::{SpecialTokens, TransformerSettings};
//! # let settings = TransformerSettings { width: 16, heads: 2, ffn: 44, context: 8, ..TransformerSettings::default() };
//! # let special = SpecialTokens { start: 0, end: 0 };
//! let mut stream = StreamKey::new(1, "control", 0, "initialisation").stream(0);
//! let network = Transformer::initialise(&settings, 300, special, &mut stream, &Device::Cpu)?.into_network();
//! let lora = LoraSettings { rank: 2, ..LoraSettings::default() };
//! let adapters = Adapters::new(&network, &lora, &mut stream).unwrap();
//! // Queries and values in two layers, each with factors of 2 · (16 + 16) numbers.
//! assert_eq!(adapters.parameters(), 2 * 2 * 64);
//! # Ok::<(), genloss::model::ModelError>(())
//! ```

use super::adamw::{self, Moments, OptimiserStep};
use super::checkpoint::{TensorLayout, TensorState, TensorValues};
use super::{LoraSettings, TrainingSettings};
use crate::model::slices::change_numbers;
use crate::model::tensors::Numbers;
use crate::model::transformer::Network;
use crate::model::transformer::parameters::{BlockMatrix, Parameters, Shape};
use crate::seed::Stream;
use crate::units::Tokens;
use candle_core::{Result, Tensor};
use genloss_kernels::Precision;
use genloss_kernels::matmul::{MatmulOptions, OutputMode, PackedRows, Panels, multiply};
use rand::Rng;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// The trained low-rank updates of a network.
pub struct Adapters {
    adapters: Vec<Adapter>,
    /// s, the factor of the product of both factors.
    scale: f32,
}

/// The low-rank update of one matrix.
struct Adapter {
    target: BlockMatrix,
    /// W₀
    start: Vec<f32>,
    /// A
    inner: Factor,
    /// B
    outer: Factor,
}

/// A factor of an update, with its gradient and the state of its optimiser.
struct Factor {
    weights: Vec<f32>,
    gradient: Vec<f32>,
    moments: Moments,
}

impl Factor {
    fn new(weights: Vec<f32>) -> Self {
        let count = weights.len();
        Self { weights, gradient: vec![0.0; count], moments: Moments::zero(count) }
    }
}

impl Adapters {
    /// Creates the updates that `settings` describe, which are zero. Draws one factor of each from `stream`.
    ///
    /// # Errors
    /// A message if the network has no matrix of a given name, or the rank is larger than a matrix.
    pub fn new(
        network: &Network,
        settings: &LoraSettings,
        stream: &mut Stream,
    ) -> std::result::Result<Self, String> {
        let LoraSettings { rank, alpha, targets } = settings;
        let mut adapters = Vec::new();
        for target in chosen(&network.shape, targets)? {
            let BlockMatrix { name, rows, columns, .. } = &target;
            if rank > rows.min(columns) {
                let most = rows.min(columns);
                return Err(format!(
                    "its {name} is a matrix of {rows} × {columns}: set training.lora.rank to {most} or less"
                ));
            }
            let bound = 1.0 / (*columns as f32).sqrt();
            let inner = (0..rank * columns).map(|_| bound * (2.0 * stream.random::<f32>() - 1.0)).collect();
            let outer = vec![0.0; rows * rank];
            let start = numbers(&network.parameters, &target).map_err(|error| error.to_string())?;
            adapters.push(Adapter { target, start, inner: Factor::new(inner), outer: Factor::new(outer) });
        }
        Ok(Self { adapters, scale: (alpha / *rank as f64) as f32 })
    }

    /// What the updates that `settings` describe would train in a network of this shape, in words; a message as that of
    /// [`new`](Self::new) if there is no such matrix.
    pub fn described(shape: &Shape, settings: &LoraSettings) -> std::result::Result<String, String> {
        let chosen = chosen(shape, &settings.targets)?;
        let names: BTreeSet<&str> = chosen.iter().map(BlockMatrix::last_name).collect();
        let numbers: usize = chosen.iter().map(|one| settings.rank * (one.rows + one.columns)).sum();
        Ok(format!(
            "training.lora: low-rank updates of {} {} ({}) have {} trained parameters; the model has {}",
            chosen.len(),
            if chosen.len() == 1 { "matrix" } else { "matrices" },
            names.into_iter().collect::<Vec<_>>().join(", "),
            Tokens(numbers as u64),
            Tokens(shape.parameters()),
        ))
    }

    /// Number of trained parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.factors().map(|(_, factor)| factor.weights.len() as u64).sum()
    }

    /// Computes the gradients of the factors, given those of the network's parameters.
    pub(super) fn project(&mut self, gradient: &Parameters<Vec<f32>>) {
        let gradients: Vec<&Vec<f32>> = gradient.iter().collect();
        let scale = self.scale;
        self.adapters.par_iter_mut().for_each(|adapter| {
            let of_matrix = &gradients[adapter.target.parameter][adapter.target.range()];
            adapter.project(of_matrix, scale);
        });
    }

    /// The gradients of all factors.
    pub(super) fn gradients(&self) -> impl Iterator<Item = &Vec<f32>> {
        self.factors().map(|(_, factor)| &factor.gradient)
    }

    /// Updates all factors by one optimiser step.
    pub(super) fn step(&mut self, training: &TrainingSettings, step: OptimiserStep) {
        let factors = self.adapters.iter_mut().flat_map(|one| [&mut one.inner, &mut one.outer]);
        for Factor { weights, gradient, moments } in factors {
            adamw::step_matrix(weights, moments, gradient, training, step);
        }
    }

    /// Sets the adapted matrices of `parameters` to W₀ + s B A.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn merge(&self, parameters: &mut Parameters<Tensor>) -> Result<()> {
        let merged: Vec<Vec<f32>> = self.adapters.par_iter().map(|one| one.merged(self.scale)).collect();
        let mut tensors: Vec<&mut Tensor> = parameters.iter_mut().collect();
        for (Adapter { target, .. }, merged) in self.adapters.iter().zip(merged) {
            let tensor = &mut *tensors[target.parameter];
            change_numbers(tensor, |weights| weights[target.range()].copy_from_slice(&merged))?;
        }
        Ok(())
    }

    /// Names and dimensions of the factors, as a checkpoint has them.
    pub(super) fn layout(&self) -> Vec<TensorLayout> {
        self.factors().map(|(layout, _)| layout).collect()
    }

    /// The factors and their moments, as a checkpoint has them.
    pub(super) fn state(&self) -> Vec<TensorState<'_>> {
        self.factors()
            .map(|(layout, factor)| TensorState {
                layout,
                weights: Numbers::Slice(&factor.weights),
                moments: &factor.moments,
            })
            .collect()
    }

    /// Sets the factors and their moments to those of a checkpoint, in the order of [`layout`](Self::layout).
    pub(super) fn restore(&mut self, values: Vec<TensorValues>) {
        let factors = self.adapters.iter_mut().flat_map(|one| [&mut one.inner, &mut one.outer]);
        for (factor, (weights, moments)) in factors.zip(values) {
            (factor.weights, factor.moments) = (weights, moments);
        }
    }

    fn factors(&self) -> impl Iterator<Item = (TensorLayout, &Factor)> {
        self.adapters.iter().flat_map(|Adapter { target, inner, outer, .. }| {
            let BlockMatrix { name, rows, columns, .. } = target;
            let rank = inner.weights.len() / columns;
            let layout = |factor, dims: [usize; 2]| TensorLayout {
                name: format!("{name}.{factor}"),
                dims: dims.into(),
            };
            [(layout("lora_A", [rank, *columns]), inner), (layout("lora_B", [*rows, rank]), outer)]
        })
    }
}

impl Adapter {
    /// Computes the gradients of both factors from that of the matrix.
    fn project(&mut self, gradient: &[f32], scale: f32) {
        let Self { target: BlockMatrix { rows, columns, .. }, inner, outer, .. } = self;
        let rank = inner.weights.len() / *columns;
        let scaled = |numbers: &[f32]| -> Vec<f32> { numbers.iter().map(|x| scale * x).collect() };
        let inner_scaled = scaled(&inner.weights);
        let outer_scaled = scaled(&transposed(&outer.weights, rank));
        let by_rows = Panels::from_rows(Precision::F32, gradient, *columns);
        product(&outer_scaled, *rows, &by_rows, &mut inner.gradient, OutputMode::Overwrite);
        let inner_transposed = Panels::from_transposed(Precision::F32, &inner_scaled, *columns);
        product(gradient, *columns, &inner_transposed, &mut outer.gradient, OutputMode::Overwrite);
    }

    /// W₀ + s B A
    fn merged(&self, scale: f32) -> Vec<f32> {
        let Self { target, start, inner, outer } = self;
        let rank = inner.weights.len() / target.columns;
        let scaled: Vec<f32> = outer.weights.iter().map(|x| scale * x).collect();
        let mut merged = start.clone();
        let inner = Panels::from_rows(Precision::F32, &inner.weights, target.columns);
        product(&scaled, rank, &inner, &mut merged, OutputMode::Accumulate);
        merged
    }
}

/// `rows` (M, depth) · `right` (depth, N), into `out` (M, N).
fn product(rows: &[f32], depth: usize, right: &Panels, out: &mut [f32], mode: OutputMode) {
    let packed = PackedRows::pack(Precision::F32, rows, depth);
    multiply(MatmulOptions::new(Precision::F32), &packed.words, packed.stride, right.view(), out, mode);
}

/// The transpose of a matrix with this many columns.
fn transposed(numbers: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| numbers.iter().skip(column).step_by(columns).copied()).collect()
}

/// The numbers of a matrix.
fn numbers(parameters: &Parameters<Tensor>, target: &BlockMatrix) -> Result<Vec<f32>> {
    let Some(tensor) = parameters.iter().nth(target.parameter) else {
        candle_core::bail!("there is no parameter {}", target.parameter)
    };
    tensor.narrow(0, target.first_row, target.rows)?.flatten_all()?.to_vec1()
}

/// The matrices of a network's blocks with the given names; those of queries and values if there are none.
fn chosen(shape: &Shape, names: &[String]) -> std::result::Result<Vec<BlockMatrix>, String> {
    let all = shape.block_matrices();
    let names = if names.is_empty() { shape.query_and_value_names() } else { names.to_vec() };
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|matrix| matrix.is_named(name))) {
        let known: BTreeSet<&str> = all.iter().map(BlockMatrix::last_name).collect();
        let known: Vec<&str> = known.into_iter().collect();
        return Err(format!(
            "its layers have no matrix {unknown:?}, which training.lora.targets names; they have {}",
            known.join(", ")
        ));
    }
    Ok(all.into_iter().filter(|matrix| names.iter().any(|name| matrix.is_named(name))).collect())
}

#[cfg(test)]
mod tests;
