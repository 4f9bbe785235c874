//! The loss of a batch and its gradient: by [`fused`] passes on the processor, by candle's automatic gradients on any
//! other device.

use crate::documents::TokenId;
use crate::model::transformer::parameters::Parameters;
use crate::model::transformer::{Network, fused, plain};
use candle_core::{Result, Tensor, Var};
use genloss_kernels::softmax::IGNORED;

/// Sequences of equal length, flat, and the token that follows each of theirs, or [`IGNORED`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// (B, T)
    pub tokens: Vec<TokenId>,
    /// (B, T)
    pub targets: Vec<TokenId>,
    /// T
    pub time: usize,
}

impl Batch {
    /// How many targets are to be predicted.
    #[must_use]
    pub fn predictions(&self) -> usize {
        self.targets.iter().filter(|&&target| target != IGNORED).count()
    }
}

/// Gradients of batches, one after the other in the same memory.
pub struct Gradients {
    values: Parameters<Vec<f32>>,
    workspace: fused::backward::Workspace,
}

impl Gradients {
    /// Memory for the gradients of a network.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let zeros = |parameter: &Tensor| vec![0.0; parameter.elem_count()];
        Self { values: network.parameters.map(zeros), workspace: fused::backward::Workspace::default() }
    }

    /// The summed negative log-likelihood of the targets in nats; [`values`](Self::values) becomes the gradient of its
    /// mean.
    ///
    /// # Errors
    /// When the device fails, or the batch is empty.
    pub fn compute(&mut self, network: &Network, batch: &Batch) -> Result<f64> {
        let predictions = batch.predictions();
        if predictions == 0 {
            candle_core::bail!("there is nothing to predict in the batch");
        }
        if !network.device.is_cpu() {
            let (nats, values) = differentiate(network, batch)?;
            self.values = values;
            return Ok(nats);
        }
        let scale = 1.0 / predictions as f32;
        let sequences = fused::Sequences { tokens: &batch.tokens, time: batch.time };
        let Self { values, workspace } = self;
        fused::backward::gradients(network, sequences, &batch.targets, scale, workspace, values)
    }

    /// The gradient of the batch computed last.
    #[must_use]
    pub fn values(&self) -> &Parameters<Vec<f32>> {
        &self.values
    }
}

/// The summed negative log-likelihood of the targets in nats and the gradient of its mean, by candle's automatic
/// gradients: on any device, the whole batch at once.
///
/// # Errors
/// When the device fails.
pub fn differentiate(network: &Network, batch: &Batch) -> Result<(f64, Parameters<Vec<f32>>)> {
    let variables = network.parameters.try_map(Var::from_tensor)?;
    let parameters =
        variables.try_map(|variable| Ok::<_, candle_core::Error>(variable.as_tensor().clone()))?;
    let live = Network { parameters, ..network.clone() };
    let dims = (batch.tokens.len() / batch.time, batch.time);
    let tokens = Tensor::from_slice(&batch.tokens, dims, &network.device)?;
    let targets = Tensor::from_slice(&batch.targets, dims, &network.device)?;
    let nats = plain::nll_sum(&live, &tokens, &targets)?;
    let gradients = (&nats / batch.predictions() as f64)?.backward()?;
    let values = variables.try_map(|variable| match gradients.get(variable) {
        Some(gradient) => gradient.flatten_all()?.to_vec1::<f32>(),
        None => Ok(vec![0.0; variable.elem_count()]),
    })?;
    Ok((f64::from(nats.to_scalar::<f32>()?), values))
}
