//! Checkpoints written during training: weights, moments and progress. Training resumes from them with bit-identical
//! results.
//!
//! The folder of a checkpoint contains `state.safetensors` and `progress.json`. See
//! `tests/it/model_transformer/learning.rs` for an example: a training run that is interrupted and resumed.

use super::adamw::Moments;
use super::{LossPoint, TrainingError};
use crate::files;
use crate::model::FolderProblem;
use crate::model::tensors::{self, NamedTensor, Numbers, TensorFile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
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

/// Name and dimensions of a tensor that is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    /// Its name, which no other has.
    pub name: String,
    /// Its dimensions.
    pub dims: Vec<usize>,
}

/// The state of a tensor that is trained.
pub struct TensorState<'a> {
    /// Name and dimensions.
    pub layout: TensorLayout,
    /// Its numbers.
    pub weights: Numbers<'a>,
    /// The moments of its gradient.
    pub moments: &'a Moments,
}

/// The numbers of a tensor that is trained, and the moments of its gradient.
pub type TensorValues = (Vec<f32>, Moments);

/// Writes a checkpoint to the empty folder `dir`.
///
/// # Errors
/// If a file cannot be written.
pub fn save(dir: &Path, state: Vec<TensorState>, progress: &TrainingProgress) -> Result<(), TrainingError> {
    let tensors = state.into_iter().flat_map(|TensorState { layout, weights, moments }| {
        let parts = [
            ("weight", weights),
            ("first", Numbers::Slice(&moments.first)),
            ("second", Numbers::Slice(&moments.second)),
        ];
        parts.map(|(kind, numbers)| NamedTensor {
            name: tensor_name(kind, &layout.name),
            dims: layout.dims.clone(),
            numbers,
        })
    });
    let written = tensors::write(&dir.join(STATE), tensors.collect(), BTreeMap::new());
    let written = written.map_err(|error| not_written(STATE, error)).and_then(|()| {
        let text = serde_json::to_vec(progress).map_err(|error| FolderProblem::caused_by(PROGRESS, error))?;
        files::write(&dir.join(PROGRESS), &text).map_err(|error| not_written(PROGRESS, error))
    });
    written.map_err(|problem| checkpoint_error(problem, dir))
}

fn not_written(name: &str, error: io::Error) -> FolderProblem {
    FolderProblem::caused_by(format!("{name}{}", files::remedy(&error)), error)
}

/// The error that reports `problem` with the checkpoint in `dir`.
fn checkpoint_error(problem: FolderProblem, dir: &Path) -> TrainingError {
    let (reason, cause) = problem.into_parts();
    TrainingError::CheckpointFile { path: dir.to_owned(), reason, cause }
}

fn tensor_name(kind: &str, name: &str) -> String {
    format!("{kind}:{name}")
}

/// Reads a checkpoint of a training run of `steps` steps: its progress, and weights and moments of the tensors in `layout`, in
/// this order.
///
/// # Errors
/// If a file is missing or damaged, or belongs to a training run with another number of steps or another model.
pub fn load(
    dir: &Path,
    layout: &[TensorLayout],
    steps: u64,
) -> Result<(Vec<TensorValues>, TrainingProgress), TrainingError> {
    read_files(dir, layout, steps).map_err(|problem| {
        let remedy = "delete this folder to train the generation from its start";
        checkpoint_error(problem.with_remedy(remedy), dir)
    })
}

fn read_files(
    dir: &Path,
    layout: &[TensorLayout],
    steps: u64,
) -> Result<(Vec<TensorValues>, TrainingProgress), FolderProblem> {
    let read =
        |name: &str| std::fs::read(dir.join(name)).map_err(|error| FolderProblem::caused_by(name, error));
    let progress: TrainingProgress = serde_json::from_slice(&read(PROGRESS)?)
        .map_err(|error| FolderProblem::caused_by(PROGRESS, error))?;
    if progress.steps != steps || progress.step > steps {
        let (step, total) = (progress.step, progress.steps);
        return Err(format!("it is at step {step} of {total}, but this training has {steps} steps").into());
    }
    let mut tensors =
        TensorFile::open(&dir.join(STATE)).map_err(|error| FolderProblem::caused_by(STATE, error))?;
    let state = layout.iter().map(|layout| {
        let mut values =
            |kind| tensor_values(&mut tensors, kind, layout).map_err(|problem| problem.within(STATE));
        let moments = Moments { first: values("first")?, second: values("second")? };
        Ok((values("weight")?, moments))
    });
    Ok((state.collect::<Result<_, FolderProblem>>()?, progress))
}

fn tensor_values(
    tensors: &mut TensorFile,
    kind: &str,
    layout: &TensorLayout,
) -> Result<Vec<f32>, FolderProblem> {
    let name = tensor_name(kind, &layout.name);
    let values = tensors.numbers(&name, &layout.dims);
    match values.map_err(|error| FolderProblem::caused_by(name.clone(), error))? {
        None => {
            Err(format!("{name} is missing, has a different shape from that in the model, or is not f32")
                .into())
        }
        Some(values) if values.iter().all(|value| value.is_finite()) => Ok(values),
        Some(_) => Err(format!("{name} has values that are not finite").into()),
    }
}
