//! Checkpoints written during training: weights, moments and progress. Training resumes from them with bit-identical
//! results.
//!
//! The folder of a checkpoint contains `state.safetensors` and `progress.json`. See
//! `tests/it/model_transformer/learning.rs` for an example: a training run that is interrupted and resumed.

use super::adamw::Moments;
use super::{LossPoint, TrainingError};
use crate::files;
use crate::model::FolderProblem;
use crate::model::transformer::parameters::{Parameters, Shape, Specification};
use candle_core::{Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::path::Path;

const STATE: &str = "state.safetensors";
const PROGRESS: &str = "progress.json";

/// The progress of a training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// Completed optimiser steps.
    pub step: u64,
    /// Optimiser steps of the whole training run.
    pub steps: u64,
    /// Sum of the training loss since the last point of the curve, in nats.
    pub nats: f64,
    /// Tokens predicted since the last point of the curve.
    pub tokens: u64,
    /// The loss curve so far.
    pub curve: Vec<LossPoint>,
}

/// The state of a training run between two steps.
pub struct TrainingState {
    /// The weights.
    pub parameters: Parameters<Tensor>,
    /// The optimiser's moments.
    pub moments: Parameters<Moments>,
    /// Steps, partial loss sums and loss curve.
    pub progress: TrainingProgress,
}

/// Writes a checkpoint to the empty folder `dir`.
///
/// # Errors
/// If a file cannot be written.
pub fn save(
    dir: &Path,
    shape: &Shape,
    parameters: &Parameters<Tensor>,
    moments: &Parameters<Moments>,
    progress: &TrainingProgress,
) -> Result<(), TrainingError> {
    let specifications = shape.specifications();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for ((specification, parameter), moments) in
        specifications.iter().zip(parameters.iter()).zip(moments.iter())
    {
        let weights = parameter.flatten_all()?.to_vec1::<f32>()?;
        for (kind, values) in [("weight", &weights), ("first", &moments.first), ("second", &moments.second)] {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((tensor_name(kind, specification), specification.dims(), bytes));
        }
    }
    write_files(dir, &tensors, progress).map_err(|problem| checkpoint_error(problem, dir))
}

fn write_files(
    dir: &Path,
    tensors: &[(String, Vec<usize>, Vec<u8>)],
    progress: &TrainingProgress,
) -> Result<(), FolderProblem> {
    let views = tensors
        .iter()
        .map(|(name, dims, bytes)| Ok((name, TensorView::new(Dtype::F32, dims.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let state = views.and_then(|views| safetensors::serialize(views, None));
    let state = state.map_err(|error| FolderProblem::caused_by(STATE, error))?;
    write(dir, STATE, &state)?;
    let text = serde_json::to_vec(progress).map_err(|error| FolderProblem::caused_by(PROGRESS, error))?;
    write(dir, PROGRESS, &text)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), FolderProblem> {
    let failed = |error| FolderProblem::caused_by(format!("{name}{}", files::remedy(&error)), error);
    files::write(&dir.join(name), bytes).map_err(failed)
}

/// The error that reports `problem` with the checkpoint in `dir`.
fn checkpoint_error(problem: FolderProblem, dir: &Path) -> TrainingError {
    let (reason, cause) = problem.into_parts();
    TrainingError::CheckpointFile { path: dir.to_owned(), reason, cause }
}

fn tensor_name(kind: &str, specification: &Specification) -> String {
    format!("{kind}:{}", specification.name())
}

/// Reads a checkpoint of a training run of `steps` steps.
///
/// # Errors
/// If a file is missing or damaged, or belongs to a training run with another number of steps or another model.
pub fn load(dir: &Path, shape: &Shape, steps: u64, device: &Device) -> Result<TrainingState, TrainingError> {
    read_files(dir, shape, steps, device).map_err(|problem| {
        let remedy = "delete this folder to train the generation from its start";
        checkpoint_error(problem.with_remedy(remedy), dir)
    })
}

fn read_files(
    dir: &Path,
    shape: &Shape,
    steps: u64,
    device: &Device,
) -> Result<TrainingState, FolderProblem> {
    let read =
        |name: &str| std::fs::read(dir.join(name)).map_err(|error| FolderProblem::caused_by(name, error));
    let progress: TrainingProgress = serde_json::from_slice(&read(PROGRESS)?)
        .map_err(|error| FolderProblem::caused_by(PROGRESS, error))?;
    if progress.steps != steps || progress.step > steps {
        let (step, total) = (progress.step, progress.steps);
        return Err(format!("it is at step {step} of {total}, but this training has {steps} steps").into());
    }
    let bytes = read(STATE)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| FolderProblem::caused_by(STATE, error))?;
    let specifications = shape.specifications();
    let values = |kind, specification: &Specification| {
        tensor_values(&tensors, kind, specification).map_err(|problem| problem.within(STATE))
    };
    let parameters = specifications.try_map(|specification| {
        Tensor::from_vec(values("weight", specification)?, specification.dims(), device)
            .map_err(|error| FolderProblem::caused_by(STATE, error))
    })?;
    let moments = specifications.try_map(|specification| -> Result<_, FolderProblem> {
        Ok(Moments { first: values("first", specification)?, second: values("second", specification)? })
    })?;
    Ok(TrainingState { parameters, moments, progress })
}

fn tensor_values(
    tensors: &SafeTensors,
    kind: &str,
    specification: &Specification,
) -> Result<Vec<f32>, FolderProblem> {
    let name = tensor_name(kind, specification);
    let view = tensors.tensor(&name).map_err(|error| FolderProblem::caused_by(name.clone(), error))?;
    if view.shape() != specification.dims() || view.dtype() != Dtype::F32 {
        return Err(format!("{name} has a different shape from that in the model, or is not f32").into());
    }
    let (words, _) = view.data().as_chunks::<4>();
    let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
        false => Err(format!("{name} has values that are not finite").into()),
    }
}
