//! Optimiser steps on a network: loss and gradient of a batch, clipping, AdamW.
//!
//! A training and a benchmark both run a [`Trainer`], so that a benchmark times what a training does.
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
    /// Negative log-likelihood summed over the batch's predictions, in nats.
    pub nats: f64,
    /// Euclidean norm of the gradient of its mean, before clipping.
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
    /// A trainer before its first step.
    #[must_use]
    pub fn new(network: Network) -> Self {
        let moments = network.parameters.map(|parameter: &Tensor| Moments::zero(parameter.elem_count()));
        Self::resume(network, moments)
    }

    /// A trainer that continues with these moments.
    #[must_use]
    pub fn resume(network: Network, moments: Parameters<Moments>) -> Self {
        let gradients = Gradients::new(&network);
        Self { network, moments, gradients }
    }

    /// One optimiser step at learning rate `rate`; `count` is its number, from 1. If the loss is not finite, the weights
    /// stay as they are.
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

    /// The network, by value.
    #[must_use]
    pub fn into_network(self) -> Network {
        self.network
    }
}
