//! Optimiser steps on a network: loss and gradient of a batch, clipping, AdamW.
//!
//! Training and benchmarks both use a [`Trainer`], so that benchmarks time the steps that training performs.
//! [`super::gradients`] has an example of a batch.

use super::adamw::{self, Moments, OptimiserStep};
use super::checkpoint::{TensorLayout, TensorState, TensorValues};
use super::gradients::{Batch, Gradients};
use super::lora::Adapters;
use crate::model::tensors::Numbers;
use crate::model::transformer::Network;
use crate::model::transformer::parameters::Parameters;
use crate::training::TrainingSettings;
use candle_core::{Result, Tensor};

/// A network with the state of its optimiser.
pub struct Trainer {
    network: Network,
    trained: Trained,
    gradients: Gradients,
}

/// What training changes.
enum Trained {
    /// All parameters. Their moments are kept here.
    Parameters(Box<Parameters<Moments>>),
    /// Low-rank updates of some of them.
    Adapters(Adapters),
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
        Self::of(network, Trained::Parameters(Box::new(moments)))
    }

    /// Creates a trainer of low-rank updates of the `network`, which are `adapters`.
    #[must_use]
    pub fn of_adapters(network: Network, adapters: Adapters) -> Self {
        Self::of(network, Trained::Adapters(adapters))
    }

    fn of(network: Network, trained: Trained) -> Self {
        let gradients = Gradients::new(&network);
        Self { network, trained, gradients }
    }

    /// Names and dimensions of what is trained.
    #[must_use]
    pub fn layout(&self) -> Vec<TensorLayout> {
        match &self.trained {
            Trained::Adapters(adapters) => adapters.layout(),
            Trained::Parameters(_) => {
                let specifications = self.network.shape.specifications();
                let layouts = specifications.iter().map(|specification| TensorLayout {
                    name: specification.name().to_owned(),
                    dims: specification.dims(),
                });
                layouts.collect()
            }
        }
    }

    /// The state of what is trained, in the order of [`layout`](Self::layout).
    #[must_use]
    pub fn state(&self) -> Vec<TensorState<'_>> {
        let moments = match &self.trained {
            Trained::Adapters(adapters) => return adapters.state(),
            Trained::Parameters(moments) => moments,
        };
        let parameters = self.network.parameters.iter().zip(moments.iter()).zip(self.layout());
        let state = parameters.map(|((parameter, moments), layout)| TensorState {
            layout,
            weights: Numbers::Tensor(parameter.clone()),
            moments,
        });
        state.collect()
    }

    /// Continues from weights and moments that earlier steps produced, in the order of [`layout`](Self::layout).
    ///
    /// # Errors
    /// If the device fails.
    pub fn restore(&mut self, values: Vec<TensorValues>) -> Result<()> {
        match &mut self.trained {
            Trained::Adapters(adapters) => {
                adapters.restore(values);
                adapters.merge(&mut self.network.parameters)
            }
            Trained::Parameters(moments) => {
                let parameters = self.network.parameters.iter_mut().zip(moments.iter_mut());
                for ((parameter, moments), (weights, earlier)) in parameters.zip(values) {
                    *parameter = Tensor::from_vec(weights, parameter.shape(), parameter.device())?;
                    *moments = earlier;
                }
                Ok(())
            }
        }
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
        let gradient_norm = match &mut self.trained {
            Trained::Parameters(_) => adamw::norm(gradient.iter()),
            Trained::Adapters(adapters) => {
                adapters.project(gradient);
                adamw::norm(adapters.gradients())
            }
        };
        let loss = StepLoss { nats, gradient_norm };
        if !loss.is_finite() {
            return Ok(loss);
        }
        let gradient_scale = adamw::clip(gradient_norm, settings.gradient_clip);
        let step = OptimiserStep { count, rate, gradient_scale };
        let parameters = &mut self.network.parameters;
        match &mut self.trained {
            Trained::Parameters(moments) => adamw::step(parameters, moments, gradient, settings, step)?,
            Trained::Adapters(adapters) => {
                adapters.step(settings, step);
                adapters.merge(parameters)?;
            }
        }
        Ok(loss)
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Number of trained parameters if these are low-rank updates.
    #[must_use]
    pub fn adapter_parameters(&self) -> Option<u64> {
        match &self.trained {
            Trained::Parameters(_) => None,
            Trained::Adapters(adapters) => Some(adapters.parameters()),
        }
    }

    /// Returns the network and drops the state of the optimiser.
    #[must_use]
    pub fn into_network(self) -> Network {
        self.network
    }
}
