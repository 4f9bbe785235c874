//! Projected embeddings (OPT-350m): embeddings have E columns, and two matrices project them to the hidden size W and back.
//!
//! Both projections are linear, so that their products with the embeddings give a network without projections: hidden
//! states begin with the rows of `E P_inᵀ`, and the output matrix is `O P_out`, with the embeddings E (V, E), the output
//! matrix O (V, E), `P_in` (W, E) and `P_out` (E, W). The passes of [`super`] run on that network. Its gradients G and H of
//! these two products then give those of the factors:
//!
//! ```text
//! ∂L/∂E = G P_in    ∂L/∂P_in = Gᵀ E    ∂L/∂O = H P_outᵀ    ∂L/∂P_out = Oᵀ H
//! ```

use super::super::Network;
use super::super::architecture::Architecture;
use super::super::parameters::{Parameters, Shape};
use crate::model::slices::with_slice;
use candle_core::{Result, Tensor};
use genloss_kernels::Precision;
use genloss_kernels::add_assign;
use genloss_kernels::matmul::{
    MatmulOptions, OutputMode, PANEL, PackedRows, Panels, multiply, multiply_transposed,
};
use rayon::prelude::*;

/// Rows of a product that are computed together.
const ROWS: usize = 72;

/// The network without projections that computes the same as `network`; `None` if it has none.
///
/// # Errors
/// If the weights are not on the CPU.
pub(super) fn without(network: &Network) -> Result<Option<Network>> {
    let Parameters { embedding, project_in, project_out, .. } = &network.parameters;
    let (Some(project_in), Some(project_out)) = (project_in, project_out) else { return Ok(None) };
    let dims = (network.shape.vocab_size, network.shape.width);
    let table = |numbers: Vec<f32>| Tensor::from_vec(numbers, dims, &network.device);
    let parameters = Parameters {
        embedding: table(by_transposed(embedding, project_in)?)?,
        head: Some(table(by_rows(network.parameters.output(), project_out)?)?),
        project_in: None,
        project_out: None,
        ..network.parameters.clone()
    };
    let architecture = Architecture { projected: None, ..network.shape.architecture.clone() };
    let shape = Shape { tied: false, architecture, ..network.shape.clone() };
    Ok(Some(Network::new(shape, parameters, network.precision, network.device.clone())))
}

/// Memory for the gradient of the network without projections.
pub(super) fn gradient_without(gradient: &Parameters<Vec<f32>>, shape: &Shape) -> Parameters<Vec<f32>> {
    let table = || vec![0.0; shape.vocab_size * shape.width];
    Parameters {
        embedding: table(),
        head: Some(table()),
        project_in: None,
        project_out: None,
        ..gradient.clone()
    }
}

/// Overwrites `gradient`, that of `network`, given that of the network without its projections.
///
/// # Errors
/// If the weights are not on the CPU.
pub(super) fn gradients(
    network: &Network,
    without: &Parameters<Vec<f32>>,
    gradient: &mut Parameters<Vec<f32>>,
) -> Result<()> {
    let Parameters { embedding, project_in, project_out, .. } = &network.parameters;
    let (Some(project_in), Some(project_out)) = (project_in, project_out) else { return Ok(()) };
    let (of_inputs, of_outputs) = (&without.embedding, without.head.as_deref().unwrap_or_default());
    let width = network.shape.width;
    let projected = project_in.dim(1)?;
    let embedding_grad =
        with_slice(project_in, |project_in| rows_by_rows(of_inputs, width, project_in, projected))?;
    let output_grad =
        with_slice(project_out, |project_out| rows_by_transposed(of_outputs, width, project_out))?;
    let project_in_grad =
        with_slice(embedding, |embedding| transposed(of_inputs, width, embedding, projected))?;
    let project_out_grad =
        with_slice(network.parameters.output(), |output| transposed(output, projected, of_outputs, width))?;
    gradient.embedding = embedding_grad;
    match &mut gradient.head {
        Some(head) => *head = output_grad,
        None => add_assign(&mut gradient.embedding, &output_grad),
    }
    gradient.project_in = Some(project_in_grad);
    gradient.project_out = Some(project_out_grad);
    gradient.positions.clone_from(&without.positions);
    gradient.blocks.clone_from(&without.blocks);
    gradient.norm.clone_from(&without.norm);
    Ok(())
}

/// `x yᵀ` of two matrices with equally many columns.
fn by_transposed(x: &Tensor, y: &Tensor) -> Result<Vec<f32>> {
    let columns = x.dim(1)?;
    with_slice(x, |x| with_slice(y, |y| rows_by_transposed(x, columns, y)))?
}

/// `x y` of a matrix with as many columns as `y` has rows.
fn by_rows(x: &Tensor, y: &Tensor) -> Result<Vec<f32>> {
    let (rows, columns) = y.dims2()?;
    with_slice(x, |x| with_slice(y, |y| rows_by_rows(x, rows, y, columns)))?
}

/// `x yᵀ` of two matrices of `columns` columns.
fn rows_by_transposed(x: &[f32], columns: usize, y: &[f32]) -> Vec<f32> {
    let mut panels = Panels::default();
    panels.pack_transposed_parallel(Precision::F32, y, columns);
    product(x, columns, &panels, y.len() / columns)
}

/// `x y` of a matrix of `columns` columns and one of `out_columns`.
fn rows_by_rows(x: &[f32], columns: usize, y: &[f32], out_columns: usize) -> Vec<f32> {
    let mut panels = Panels::default();
    panels.pack_rows_parallel(Precision::F32, y, out_columns);
    product(x, columns, &panels, out_columns)
}

fn product(x: &[f32], columns: usize, right: &Panels, out_columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / columns * out_columns];
    let parts = out.par_chunks_mut(ROWS * out_columns).zip(x.par_chunks(ROWS * columns));
    parts.for_each(|(out, x)| {
        let rows = PackedRows::pack(Precision::F32, x, columns);
        let options = MatmulOptions::new(Precision::F32);
        multiply(options, &rows.words, rows.stride, right.view(), out, OutputMode::Overwrite);
    });
    out
}

/// `xᵀ y` of two matrices with equally many rows, of `m` and `k` columns.
fn transposed(x: &[f32], m: usize, y: &[f32], k: usize) -> Vec<f32> {
    let factors = [(x, m), (y, k)].map(|(numbers, columns)| {
        let mut panels = Panels::default();
        panels.pack_rows_parallel(Precision::F32, numbers, columns);
        panels
    });
    let mut out = vec![0.0; m * k];
    out.par_chunks_mut(PANEL * k).enumerate().for_each(|(panel, rows)| {
        let pair = [(factors[0].view(), factors[1].view())];
        multiply_transposed(MatmulOptions::new(Precision::F32), &pair, panel, rows, OutputMode::Overwrite);
    });
    out
}
