//! How fast does a transformer learn and write on this machine?
//!
//! Three sizes, and for each a training under way and a model that writes, both with random weights on random tokens:
//! what they do takes as long as the real thing. Nothing here reads a clock. `genloss bench` and `benches/training.rs`
//! time a [`Learning::step`] or a [`Writing::round`], and so measure the same.
//!
//! **Work** is counted in floating-point operations, so that sizes can be held against each other and against what
//! the machine could do. With P parameters, L layers of width W and a context of T:
//!
//! - a trained token takes `6 P + 6 L W T`: two for each weight forwards, four backwards;
//! - a sampled token takes `2 P + 2 L W T`.
//!
//! The second terms are attention: a token at position t is multiplied with t keys and t values, `4 W t` in each
//! layer, and t is T/2 on average. Norms, softmax, the draw and the optimiser are not counted.
//!
//! **Pitfall.** A tied embedding is counted once: it works as the output matrix, and its look-up costs nothing.

use crate::config::{self, Init, Patience, Precision, Strategy, Training, TrainingLength};
use crate::documents::{Documents, TokenId};
use crate::model::transformer::parameters::{Parameters, Shape};
use crate::model::transformer::{Network, Transformer};
use crate::model::{Generate, LanguageModel, ModelError, SpecialTokens};
use crate::progress::Silent;
use crate::seed::{Stream, StreamKey, streams};
use crate::stage::Stage;
use crate::training::adamw::{self, Moments, Step};
use crate::training::gradients::{Batch, Gradients};
use crate::units::Tokens;
use candle_core::{Device, Tensor};
use rand::Rng;
use std::sync::atomic::AtomicBool;

/// A model to measure with, and how much of it learns at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What it is called.
    pub name: &'static str,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the SwiGLU layer.
    pub ffn: usize,
    /// Positions that attention reaches over.
    pub context: usize,
    /// Sequences of `context` tokens in a step.
    pub batch: usize,
}

impl Size {
    /// Small enough for a test.
    pub const TINY: Self = Self {
        name: "tiny",
        vocab_size: 1024,
        width: 128,
        layers: 2,
        heads: 4,
        ffn: 352,
        context: 128,
        batch: 16,
    };
    /// Four million parameters: what an afternoon of lineages can afford.
    pub const REFERENCE: Self = Self {
        name: "reference",
        vocab_size: 4096,
        width: 256,
        layers: 4,
        heads: 4,
        ffn: 704,
        context: 128,
        batch: 16,
    };
    /// Thirty million.
    pub const MEDIUM: Self = Self {
        name: "medium",
        vocab_size: 8192,
        width: 512,
        layers: 8,
        heads: 8,
        ffn: 1408,
        context: 256,
        batch: 8,
    };
    /// From small to large.
    pub const ALL: [Self; 3] = [Self::TINY, Self::REFERENCE, Self::MEDIUM];

    /// The shape, as an experiment gives it.
    #[must_use]
    pub fn architecture(&self, precision: Precision) -> config::Transformer {
        let Self { layers, width, heads, ffn, context, .. } = *self;
        config::Transformer { layers, width, heads, ffn, context, precision }
    }

    /// Trainable numbers.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        Shape::new(&self.architecture(Precision::F32), self.vocab_size).parameters()
    }

    /// Floating-point operations of a token that is trained on.
    #[must_use]
    pub fn operations_per_trained_token(&self) -> f64 {
        3.0 * self.operations_per_sampled_token()
    }

    /// Floating-point operations of a token that is written.
    #[must_use]
    pub fn operations_per_sampled_token(&self) -> f64 {
        2.0 * self.parameters() as f64 + 2.0 * (self.layers * self.width * self.context) as f64
    }

    fn model(&self, precision: Precision, device: &Device) -> Result<Transformer, ModelError> {
        // No token ends a document, so that the tokens written are known beforehand.
        let special = SpecialTokens { start: 0, end: TokenId::MAX };
        let mut stream = stream(streams::INITIALISATION);
        Transformer::initialise(&self.architecture(precision), self.vocab_size, special, &mut stream, device)
    }
}

fn key(stage: &'static str) -> StreamKey {
    StreamKey::new(1, config::CONTROL, 0, stage)
}

fn stream(stage: &'static str) -> Stream {
    key(stage).stream(0)
}

/// A training under way, on the same random tokens at every step.
pub struct Learning {
    network: Network,
    moments: Parameters<Moments>,
    gradients: Gradients,
    batch: Batch,
    settings: Training,
    steps: u64,
}

impl Learning {
    /// Before its first step.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(size: &Size, precision: Precision, device: &Device) -> Result<Self, ModelError> {
        let network = size.model(precision, device)?.into_network();
        let moments = network.parameters.map(|parameter: &Tensor| {
            let zeros = vec![0.0; parameter.elem_count()];
            Moments { first: zeros.clone(), second: zeros }
        });
        let gradients = Gradients::new(&network);
        let mut stream = stream(streams::TRAINING);
        let mut tokens = || {
            let count = size.batch * size.context;
            (0..count).map(|_| stream.random_range(0..size.vocab_size as TokenId)).collect()
        };
        let batch = Batch { tokens: tokens(), targets: tokens(), time: size.context };
        Ok(Self { network, moments, gradients, batch, settings: settings(size.batch), steps: 0 })
    }

    /// Tokens of a step.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens(self.batch.targets.len() as u64)
    }

    /// One step of the optimiser: forwards, backwards, the gradient cut to its limit, the weights moved. The mean loss
    /// before it, in nats per token.
    ///
    /// # Errors
    /// When the device fails.
    pub fn step(&mut self) -> Result<f64, ModelError> {
        let nats = self.gradients.compute(&self.network, &self.batch)?;
        let gradient = self.gradients.values();
        self.steps += 1;
        let step = Step {
            count: self.steps,
            rate: self.settings.learning_rate,
            gradient_scale: adamw::clip(adamw::norm(gradient), self.settings.gradient_clip),
        };
        adamw::step(&mut self.network.parameters, &mut self.moments, gradient, &self.settings, step)?;
        Ok(nats / self.tokens().0 as f64)
    }
}

/// An experiment's defaults, but for a rate that is low enough for any number of steps.
fn settings(batch: usize) -> Training {
    Training {
        length: TrainingLength::Tokens(Tokens(1)),
        init: Init::Scratch,
        batch,
        learning_rate: 1e-5,
        warmup_fraction: 0.05,
        final_rate_fraction: 0.1,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        gradient_clip: 1.0,
        fim_share: 0.0,
        checkpoint_minutes: Patience(5.0),
    }
}

/// A model that writes documents from nothing, at temperature 1.
pub struct Writing {
    model: Transformer,
    prompts: Documents,
    document_tokens: usize,
}

impl Writing {
    /// Documents of a round.
    pub const DOCUMENTS: usize = 256;

    /// A model that has learnt nothing writes as fast as any.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(size: &Size, precision: Precision, device: &Device) -> Result<Self, ModelError> {
        let prompts = std::iter::repeat_n(&[][..], Self::DOCUMENTS).collect();
        Ok(Self { model: size.model(precision, device)?, prompts, document_tokens: size.context - 1 })
    }

    /// Tokens of a round.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens((Self::DOCUMENTS * self.document_tokens) as u64)
    }

    /// Writes the documents, each as long as the context allows with the start token before it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn round(&self) -> Result<Documents, ModelError> {
        let request = Generate {
            prompts: &self.prompts,
            max_document_tokens: self.document_tokens,
            decoding: &Strategy::PLAIN,
            item: &|index| index as u64,
        };
        let never = AtomicBool::new(false);
        self.model.generate(&request, &Stage::new(key(streams::SYNTHESIS), &Silent, &never))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P = 4 262 144 (counted in `parameters.rs`), L W T = 4 · 256 · 128 = 131 072.
    #[test]
    fn work_is_counted_by_the_formula() {
        assert_eq!(Size::REFERENCE.operations_per_trained_token(), 6.0 * 4_262_144.0 + 6.0 * 131_072.0);
        assert_eq!(Size::REFERENCE.operations_per_sampled_token(), 2.0 * 4_262_144.0 + 2.0 * 131_072.0);
    }

    /// The loss of random weights is ln V, and falls on tokens that are seen again.
    #[test]
    fn what_is_timed_as_a_step_learns() {
        let size = Size { layers: 1, context: 16, ..Size::TINY };
        let mut learning = Learning::new(&size, Precision::F32, &Device::Cpu).unwrap();
        assert_eq!(learning.tokens(), Tokens(16 * 16));
        let losses: Vec<f64> = (0..4).map(|_| learning.step().unwrap()).collect();
        assert!((losses[0] - 1024_f64.ln()).abs() < 0.1, "{losses:?}");
        assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
    }

    #[test]
    fn what_is_timed_as_a_round_writes_every_token_it_counts() {
        let size = Size { layers: 1, context: 16, ..Size::TINY };
        let writing = Writing::new(&size, Precision::F32, &Device::Cpu).unwrap();
        let documents = writing.round().unwrap();
        assert_eq!(documents.tokens(), writing.tokens());
        assert!(documents.iter().all(|document| document.len() == 15));
    }
}
