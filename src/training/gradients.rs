//! The loss of a batch and its gradient. On the CPU they are computed by the hand-written passes of [`fused`], on any
//! other device by candle's automatic differentiation of [`plain`].
//!
//! ```
//! use candle_core::Device;
//! use genloss::model::transformer::Transformer;
//! use genloss::seed::StreamKey;
//! use genloss::training::gradients::{Batch, Gradients};
//! # use genloss::model::{SpecialTokens, TransformerSettings};
//! # let settings = TransformerSettings { width: 16, heads: 2, ffn: 44, context: 8, ..TransformerSettings::default() };
//! # let special = SpecialTokens { start: 0, end: 0 };
//! # let mut stream = StreamKey::new(1, "control", 0, "initialisation").stream(0);
//! let network = Transformer::initialise(&settings, 300, special, &mut stream, &Device::Cpu)?.into_network();
//! let batch = Batch { tokens: vec![0, 5, 7, 9], targets: vec![5, 7, 9, 0], time: 4 };
//! let mut gradients = Gradients::new(&network);
//! let nats = gradients.compute(&network, &batch)?;
//! // An untrained model gives every token a probability of nearly 1/V.
//! assert!((nats / 4.0 - 300f64.ln()).abs() < 0.1);
//! assert_eq!(gradients.values().norm.as_ref().unwrap().weight.len(), 16);
//! # Ok::<(), genloss::model::ModelError>(())
//! ```

use crate::documents::TokenId;
use crate::model::Purpose;
use crate::model::transformer::fused::backward::{self, GradientWorkspace};
use crate::model::transformer::parameters::Parameters;
use crate::model::transformer::{Network, fused, plain};
use candle_core::{Result, Tensor, Var};
use genloss_kernels::softmax::IGNORED;

/// Sequences of equal length.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The input tokens, one sequence after the other.
    pub tokens: Vec<TokenId>,
    /// For each input token, the token to predict after it, or [`IGNORED`].
    pub targets: Vec<TokenId>,
    /// Number of tokens in each sequence.
    pub time: usize,
}

impl Batch {
    /// Number of targets that are not [`IGNORED`].
    #[must_use]
    pub fn predictions(&self) -> usize {
        self.targets.iter().filter(|&&target| target != IGNORED).count()
    }
}

/// Computes the gradients of successive batches, reusing its memory.
pub struct Gradients {
    values: Parameters<Vec<f32>>,
    workspace: GradientWorkspace,
}

impl Gradients {
    /// Allocates memory for the gradient of `network`. The gradient is 0 before the first batch.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let zeros = |parameter: &Tensor| vec![0.0; parameter.elem_count()];
        Self { values: network.parameters.map(zeros), workspace: GradientWorkspace::default() }
    }

    /// Returns the sum of the targets' negative log-likelihoods in nats. Sets [`values`](Self::values) to the gradient
    /// of their mean.
    ///
    /// # Errors
    /// If the device fails, or the batch has nothing to predict.
    pub fn compute(&mut self, network: &Network, batch: &Batch) -> Result<f64> {
        let predictions = batch.predictions();
        if predictions == 0 {
            candle_core::bail!("the batch has nothing to predict");
        }
        if !network.device.is_cpu() {
            let (nats, values) = differentiate(network, batch)?;
            self.values = values;
            return Ok(nats);
        }
        let scale = 1.0 / predictions as f32;
        let sequences = fused::Sequences { tokens: &batch.tokens, time: batch.time };
        let Self { values, workspace } = self;
        let network = &for_training(network);
        backward::gradients(network, sequences, &batch.targets, scale, workspace, values)
    }

    /// The gradient of the last batch's mean loss in nats per predicted token.
    #[must_use]
    pub fn values(&self) -> &Parameters<Vec<f32>> {
        &self.values
    }
}

/// `network` in the precision that training uses.
fn for_training(network: &Network) -> Network {
    network.in_precision(Purpose::Training.precision(network.precision))
}

/// Computes the same loss and gradient as [`Gradients::compute`] by automatic differentiation, on any device and for
/// the whole batch at once.
///
/// # Errors
/// If the device fails.
pub fn differentiate(network: &Network, batch: &Batch) -> Result<(f64, Parameters<Vec<f32>>)> {
    let variables = network.parameters.try_map(Var::from_tensor)?;
    let parameters =
        variables.try_map(|variable| Ok::<_, candle_core::Error>(variable.as_tensor().clone()))?;
    let trainable = Network { parameters, ..for_training(network) };
    let dims = (batch.tokens.len() / batch.time, batch.time);
    let tokens = Tensor::from_slice(&batch.tokens, dims, &network.device)?;
    let targets = Tensor::from_slice(&batch.targets, dims, &network.device)?;
    let nats = plain::nll_sum(&trainable, &tokens, &targets)?;
    let gradients = (&nats / batch.predictions() as f64)?.backward()?;
    let values = variables.try_map(|variable| match gradients.get(variable) {
        Some(gradient) => gradient.flatten_all()?.to_vec1::<f32>(),
        None => Ok(vec![0.0; variable.elem_count()]),
    })?;
    Ok((f64::from(nats.to_scalar::<f32>()?), values))
}
