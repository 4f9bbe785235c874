//! Optimiser steps on a network: loss and gradient of a batch, clipping, AdamW.
//!
//! Training and benchmarks both use a [`Trainer`], so that benchmarks time the steps that training performs.
//! [`super::gradients`] has an example of a batch.

use super::adamw::{self, Moments, OptimiserStep};
use super::gradients::{Batch, Gradients};
use crate::model::transformer::Network;
use crate::model::transformer::parameters::Parameters;
use crate::training::TrainingSettings;
use candle_core::{Result, Tensor};

/// A network with the state of its optimiser.
pub struct Trainer {
    network: Network,
    moments: Parameters<Moments>,
    gradients: Gradients,
}

/// The loss of a batch before an optimiser step.
#[derive(Clone, Copy, Debug)]
pub struct StepLoss {
    /// Sum of the negative log-likelihoods of the batch's targets, in nats.
    pub nats: f64,
    /// Euclidean norm of the gradient of the mean loss, before clipping.
    pub gradient_norm: f64,
}

impl StepLoss {
    /// Whether loss and gradient are finite.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.nats.is_finite() && self.gradient_norm.is_finite()
    }
}

impl Trainer {
    /// Creates a trainer for the first step.
    #[must_use]
    pub fn new(network: Network) -> Self {
        let moments = network.parameters.map(|parameter: &Tensor| Moments::zero(parameter.elem_count()));
        Self::resume(network, moments)
    }

    /// Creates a trainer that continues from the `network` and `moments` that earlier steps produced.
    #[must_use]
    pub fn resume(network: Network, moments: Parameters<Moments>) -> Self {
        let gradients = Gradients::new(&network);
        Self { network, moments, gradients }
    }

    /// Performs optimiser step number `count` (from 1) at learning rate `rate`. The weights are left unchanged if the
    /// loss or the gradient is not finite.
    ///
    /// # Errors
    /// If the device fails, or the batch has nothing to predict.
    pub fn step(
        &mut self,
        batch: &Batch,
        settings: &TrainingSettings,
        count: u64,
        rate: f64,
    ) -> Result<StepLoss> {
        let nats = self.gradients.compute(&self.network, batch)?;
        let gradient = self.gradients.values();
        let loss = StepLoss { nats, gradient_norm: adamw::norm(gradient) };
        if loss.is_finite() {
            let gradient_scale = adamw::clip(loss.gradient_norm, settings.gradient_clip);
            let step = OptimiserStep { count, rate, gradient_scale };
            adamw::step(&mut self.network.parameters, &mut self.moments, gradient, settings, step)?;
        }
        Ok(loss)
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The optimiser's moments.
    #[must_use]
    pub fn moments(&self) -> &Parameters<Moments> {
        &self.moments
    }

    /// Returns the network and drops the state of the optimiser.
    #[must_use]
    pub fn into_network(self) -> Network {
        self.network
    }
}
