//! Workloads that measure how fast this machine trains and samples.
//!
//! For each of four model sizes, one workload trains ([`TrainingWorkload`]) and one writes ([`WritingWorkload`]). The
//! weights and the training tokens are random, which takes as long as real training and writing. Nothing here reads a
//! clock: `genloss bench` and `benches/training.rs` both time calls of [`TrainingWorkload::step`] or
//! [`WritingWorkload::round`], so they measure the same work.
//!
//! **Work** is counted in floating-point operations, so that sizes can be compared with each other and with the peak of
//! the machine. With P parameters, L layers of width W and a context of T:
//!
//! - training on one token takes `6 P + 6 L W T`: two operations per weight in the forward pass, four in the backward
//!   pass;
//! - sampling one token takes `2 P + 2 L W T`.
//!
//! The second term counts attention: a token at position t attends to t keys and t values, which takes `4 W t`
//! operations in each layer, and t is T/2 on average. Norms, softmax, the random draw and the optimiser are not
//! counted.
//!
//! **Pitfall.** A tied embedding counts once among the P parameters: the output matrix takes operations, but looking up
//! an embedding takes none.
//!
//! ```
//! use candle_core::Device;
//! use genloss::{model::Precision, speed::{BenchmarkSize, TrainingWorkload}};
//! let size = BenchmarkSize { layers: 1, context: 8, batch: 2, ..BenchmarkSize::TINY };
//! let mut training = TrainingWorkload::new(&size, Precision::F32, &Device::Cpu)?;
//! assert!(training.step()? > 0.0);
//! assert_eq!(training.tokens().0, 16);
//! # Ok::<(), genloss::model::ModelError>(())
//! ```

use crate::config;
use crate::decoding::DecodingStrategy;
use crate::documents::{Documents, TokenId};
use crate::model::Precision;
use crate::model::family::Family;
use crate::model::transformer::Transformer;
use crate::model::transformer::parameters::Shape;
use crate::model::{GenerateRequest, LanguageModel, ModelError, SpecialTokens, TransformerSettings};
use crate::progress::Silent;
use crate::seed::{Stream, StreamKey, streams};
use crate::stage::Stage;
use crate::training::TrainingSettings;
use crate::training::gradients::Batch;
use crate::training::trainer::Trainer;
use crate::units::Tokens;
use candle_core::Device;
use rand::Rng;
use std::sync::atomic::AtomicBool;

/// The shape of a benchmark's model, and the size of its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchmarkSize {
    /// Value of `genloss bench --size`.
    pub name: &'static str,
    /// Family of the model.
    pub family: Family,
    /// Size of the vocabulary.
    pub vocab_size: usize,
    /// Hidden size.
    pub width: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Hidden size of the feed-forward layer.
    pub ffn: usize,
    /// Context length in tokens.
    pub context: usize,
    /// Sequences of `context` tokens per step.
    pub batch: usize,
    /// Documents per round of writing.
    pub documents: usize,
}

impl BenchmarkSize {
    /// Small enough for a test.
    pub const TINY: Self = Self {
        name: "tiny",
        family: Family::Llama,
        vocab_size: 1024,
        width: 128,
        layers: 2,
        heads: 4,
        ffn: 352,
        context: 128,
        batch: 16,
        documents: 256,
    };
    /// Four million parameters: the size of an experiment that takes an afternoon.
    pub const REFERENCE: Self = Self {
        name: "reference",
        family: Family::Llama,
        vocab_size: 4096,
        width: 256,
        layers: 4,
        heads: 4,
        ffn: 704,
        context: 128,
        batch: 16,
        documents: 256,
    };
    /// Thirty million parameters.
    pub const MEDIUM: Self = Self {
        name: "medium",
        family: Family::Llama,
        vocab_size: 8192,
        width: 512,
        layers: 8,
        heads: 8,
        ffn: 1408,
        context: 256,
        batch: 8,
        documents: 256,
    };
    /// The published GPT-2 with 124 million parameters, at a context of 256 tokens.
    pub const GPT2: Self = Self {
        name: "gpt2",
        family: Family::Gpt2,
        vocab_size: 50_257,
        width: 768,
        layers: 12,
        heads: 12,
        ffn: 3072,
        context: 256,
        batch: 4,
        documents: 64,
    };
    /// All sizes, from small to large.
    pub const ALL: [Self; 4] = [Self::TINY, Self::REFERENCE, Self::MEDIUM, Self::GPT2];

    /// The model settings of this size.
    #[must_use]
    pub fn architecture(&self, precision: Precision) -> TransformerSettings {
        let Self { family, layers, width, heads, ffn, context, .. } = *self;
        TransformerSettings { family: Some(family), layers, width, heads, ffn, context, precision }
    }

    /// Number of trainable parameters.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        Shape::new(&self.architecture(Precision::F32), self.vocab_size).parameters()
    }

    /// Floating-point operations per trained token.
    #[must_use]
    pub fn operations_per_trained_token(&self) -> f64 {
        3.0 * self.operations_per_sampled_token()
    }

    /// Floating-point operations per sampled token.
    #[must_use]
    pub fn operations_per_sampled_token(&self) -> f64 {
        2.0 * self.parameters() as f64 + 2.0 * (self.layers * self.width * self.context) as f64
    }

    fn model(&self, precision: Precision, device: &Device) -> Result<Transformer, ModelError> {
        // The end token is outside the vocabulary. All documents therefore have the full length.
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

/// Training steps on the same random tokens.
pub struct TrainingWorkload {
    trainer: Trainer,
    batch: Batch,
    settings: TrainingSettings,
    steps: u64,
}

impl TrainingWorkload {
    /// Creates the model and the tokens.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(size: &BenchmarkSize, precision: Precision, device: &Device) -> Result<Self, ModelError> {
        let trainer = Trainer::new(size.model(precision, device)?.into_network());
        let mut stream = stream(streams::TRAINING);
        let mut tokens = || {
            let count = size.batch * size.context;
            (0..count).map(|_| stream.random_range(0..size.vocab_size as TokenId)).collect()
        };
        let batch = Batch { tokens: tokens(), targets: tokens(), time: size.context };
        Ok(Self { trainer, batch, settings: settings(size.batch), steps: 0 })
    }

    /// Tokens per step.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens(self.batch.targets.len() as u64)
    }

    /// Performs one optimiser step: forward and backward pass, clipping, AdamW. Returns the mean loss before the step,
    /// in nats per token.
    ///
    /// # Errors
    /// If the device fails.
    pub fn step(&mut self) -> Result<f64, ModelError> {
        self.steps += 1;
        let rate = self.settings.learning_rate;
        let loss = self.trainer.step(&self.batch, &self.settings, self.steps, rate)?;
        Ok(loss.nats / self.tokens().0 as f64)
    }
}

/// The default training settings of experiments, but with a learning rate so small that a timing run cannot diverge.
fn settings(batch: usize) -> TrainingSettings {
    TrainingSettings { batch, learning_rate: 1e-5, ..TrainingSettings::default() }
}

/// An untrained model that writes documents without prompts.
pub struct WritingWorkload {
    model: Transformer,
    prompts: Documents,
    document_tokens: usize,
    decoding: DecodingStrategy,
}

impl WritingWorkload {
    /// Creates a model of this size, which writes at temperature 1.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(size: &BenchmarkSize, precision: Precision, device: &Device) -> Result<Self, ModelError> {
        let prompts = std::iter::repeat_n(&[][..], size.documents).collect();
        let (model, decoding) = (size.model(precision, device)?, DecodingStrategy::PLAIN);
        Ok(Self { model, prompts, document_tokens: size.context - 1, decoding })
    }

    /// The same model, which writes by `decoding`.
    #[must_use]
    pub fn decoding_by(self, decoding: DecodingStrategy) -> Self {
        Self { decoding, ..self }
    }

    /// Tokens per round.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens((self.prompts.len() * self.document_tokens) as u64)
    }

    /// Writes a round of documents. Each of them, with its start token, fills the context.
    ///
    /// # Errors
    /// If the device fails.
    pub fn round(&self) -> Result<Documents, ModelError> {
        let request = GenerateRequest {
            prompts: &self.prompts,
            max_document_tokens: self.document_tokens,
            decoding: &self.decoding,
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
        assert_eq!(
            BenchmarkSize::REFERENCE.operations_per_trained_token(),
            6.0 * 4_262_144.0 + 6.0 * 131_072.0
        );
        assert_eq!(
            BenchmarkSize::REFERENCE.operations_per_sampled_token(),
            2.0 * 4_262_144.0 + 2.0 * 131_072.0
        );
    }

    /// The initial loss with random weights is ln V. It decreases because every step trains on the same tokens.
    #[test]
    fn a_timed_step_learns() {
        let size = BenchmarkSize { layers: 1, context: 16, ..BenchmarkSize::TINY };
        let mut training = TrainingWorkload::new(&size, Precision::F32, &Device::Cpu).unwrap();
        assert_eq!(training.tokens(), Tokens(16 * 16));
        let losses: Vec<f64> = (0..4).map(|_| training.step().unwrap()).collect();
        assert!((losses[0] - 1024_f64.ln()).abs() < 0.1, "{losses:?}");
        assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
    }

    #[test]
    fn a_timed_round_writes_every_token_it_counts() {
        let size = BenchmarkSize { layers: 1, context: 16, ..BenchmarkSize::TINY };
        let writing = WritingWorkload::new(&size, Precision::F32, &Device::Cpu).unwrap();
        let documents = writing.round().unwrap();
        assert_eq!(documents.tokens(), writing.tokens());
        assert!(documents.iter().all(|document| document.len() == 15));
    }
}
