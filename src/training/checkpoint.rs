//! The state of a training that goes on later: weights, moments, and how far it is.

use super::adamw::Moments;
use super::{LossPoint, TrainingError};
use crate::model::transformer::parameters::{Parameters, Shape, Specification};
use candle_core::{Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::path::Path;

const STATE: &str = "state.safetensors";
const PROGRESS: &str = "progress.json";

/// How far a training is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Nats since the last point of the curve.
    pub nats: f64,
    /// Tokens since then.
    pub tokens: u64,
    /// The loss curve so far.
    pub curve: Vec<LossPoint>,
}

/// Writes a checkpoint into an empty folder.
///
/// # Errors
/// When a file cannot be written.
pub fn save(
    dir: &Path,
    shape: &Shape,
    parameters: &Parameters<Tensor>,
    moments: &Parameters<Moments>,
    progress: &Progress,
) -> Result<(), TrainingError> {
    let mut parts: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for ((what, parameter), moments) in
        shape.specifications().iter().zip(parameters.iter()).zip(moments.iter())
    {
        let weights = parameter.flatten_all()?.to_vec1::<f32>()?;
        for (kind, values) in [("weight", &weights), ("first", &moments.first), ("second", &moments.second)] {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            parts.push((key(kind, what), what.dims(), bytes));
        }
    }
    let state = dir.join(STATE);
    let refuse = |reason: String| TrainingError::Checkpoint { path: state.clone(), reason };
    let views = parts
        .iter()
        .map(|(name, dims, bytes)| Ok((name, TensorView::new(Dtype::F32, dims.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| refuse(error.to_string()))?;
    let bytes = safetensors::serialize(views, None).map_err(|error| refuse(error.to_string()))?;
    std::fs::write(&state, bytes).map_err(|error| refuse(error.to_string()))?;
    let text = serde_json::to_vec(progress).map_err(|error| refuse(error.to_string()))?;
    let path = dir.join(PROGRESS);
    std::fs::write(&path, text)
        .map_err(|error| TrainingError::Checkpoint { path: path.clone(), reason: error.to_string() })
}

fn key(kind: &str, what: &Specification) -> String {
    format!("{kind}:{}", what.name())
}

/// What a checkpoint holds.
pub struct State {
    /// The weights.
    pub parameters: Parameters<Tensor>,
    /// The moments.
    pub moments: Parameters<Moments>,
    /// How far it is.
    pub progress: Progress,
}

/// Reads a checkpoint of a training of so many steps.
///
/// # Errors
/// When a file is missing or damaged, or belongs to another training.
pub fn load(dir: &Path, shape: &Shape, steps: u64, device: &Device) -> Result<State, TrainingError> {
    let refuse = |reason: String| TrainingError::Checkpoint {
        path: dir.to_owned(),
        reason: format!("{reason}; delete this folder to train the generation from its start"),
    };
    let open = |name: &str| std::fs::read(dir.join(name)).map_err(|error| refuse(format!("{name}: {error}")));
    let progress: Progress =
        serde_json::from_slice(&open(PROGRESS)?).map_err(|error| refuse(format!("{PROGRESS}: {error}")))?;
    if progress.steps != steps || progress.step > steps {
        return Err(refuse(format!(
            "it stands at step {} of {}, but this training has {steps}",
            progress.step, progress.steps
        )));
    }
    let bytes = open(STATE)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| refuse(format!("{STATE}: {error}")))?;
    let specifications = shape.specifications();
    let parameters = specifications
        .try_map(|what| {
            Tensor::from_vec(values(&tensors, "weight", what)?, what.dims(), device)
                .map_err(|e| e.to_string())
        })
        .map_err(refuse)?;
    let moments = specifications
        .try_map(|what| {
            Ok(Moments { first: values(&tensors, "first", what)?, second: values(&tensors, "second", what)? })
        })
        .map_err(refuse)?;
    Ok(State { parameters, moments, progress })
}

fn values(tensors: &SafeTensors, kind: &str, what: &Specification) -> Result<Vec<f32>, String> {
    let name = key(kind, what);
    let view = tensors.tensor(&name).map_err(|error| format!("{STATE}: {error}"))?;
    if view.shape() != what.dims() || view.dtype() != Dtype::F32 {
        return Err(format!("{STATE}: {name} has another shape than the model"));
    }
    let (words, _) = view.data().as_chunks::<4>();
    let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(format!("{STATE}: {name} is not finite"))
    }
}
