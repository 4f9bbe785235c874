//! Estimates of the memory that a transformer takes on the CPU, from its sizes. They follow what the passes of
//! [`crate::model::transformer::fused`] allocate.

use super::TrainingSettings;
use crate::model::TransformerSettings;
use crate::model::transformer::generate::slots;
use crate::model::transformer::parameters::Shape;
use genloss_kernels::Precision;

/// Bytes of an f32.
const F32: f64 = 4.0;

/// Sizes that the memory depends on, as numbers that cannot overflow.
struct Sizes {
    width: f64,
    layers: f64,
    vocab_size: f64,
    ffn: f64,
    /// The first product of the feed-forward layer, for each token.
    inner: f64,
    context: f64,
    /// Bytes of a factor of a matrix product.
    factor: f64,
    /// Parameters of all blocks.
    in_blocks: f64,
    parameters: f64,
}

impl Sizes {
    fn new(settings: &TransformerSettings, vocab_size: usize, parameters: u64) -> Self {
        let shape = Shape::new(settings, 1);
        let (width, vocab_size) = (settings.width as f64, vocab_size as f64);
        Self {
            width,
            vocab_size,
            layers: settings.layers as f64,
            ffn: settings.ffn as f64,
            inner: shape.inner() as f64,
            context: settings.context as f64,
            factor: match settings.precision {
                Precision::F32 => F32,
                Precision::Bf16 => F32 / 2.0,
            },
            in_blocks: (parameters as f64 - vocab_size * width).max(0.0),
            parameters: parameters as f64,
        }
    }

    /// The output matrix as a factor.
    fn packed_head(&self) -> f64 {
        self.factor * self.vocab_size * self.width
    }

    /// Factors of the products of all blocks and of the output matrix.
    fn packed(&self) -> f64 {
        self.factor * self.in_blocks + self.packed_head()
    }
}

/// Bytes that training a model of `parameters` parameters takes, with the weights of the other writers of its generation.
pub(super) fn training_bytes(
    settings: &TransformerSettings,
    training: &TrainingSettings,
    vocab_size: usize,
    parameters: u64,
) -> u64 {
    Sizes::new(settings, vocab_size, parameters).training(training) as u64
}

/// Bytes that writing documents of up to `document_tokens` tokens takes.
pub(super) fn writing_bytes(
    settings: &TransformerSettings,
    vocab_size: usize,
    parameters: u64,
    document_tokens: usize,
) -> u64 {
    Sizes::new(settings, vocab_size, parameters).writing(document_tokens) as u64
}

/// Bytes of activations that a training step keeps for its backward pass.
pub(super) fn activation_bytes(
    settings: &TransformerSettings,
    training: &TrainingSettings,
    vocab_size: usize,
) -> u64 {
    Sizes::new(settings, vocab_size, 0).activations(training) as u64
}

impl Sizes {
    fn training(&self, training: &TrainingSettings) -> f64 {
        let weights_and_gradient = 2.0 * F32 * self.parameters;
        let optimiser = match &training.lora {
            None => 2.0 * F32 * self.parameters,
            // The weights before the updates; how many matrices a name means depends on the base.
            Some(lora) => F32 * self.adapted(lora.targets.len()),
        };
        // One block at a time, and the output matrix for both passes.
        let packed = self.factor * self.in_blocks / self.layers + 2.0 * self.packed_head();
        let other_writers = F32 * self.parameters * (training.writers as f64 - 1.0);
        weights_and_gradient + optimiser + packed + self.activations(training) + other_writers
    }

    /// Parameters of adapted matrices; those of queries and values if no targets are named.
    fn adapted(&self, targets: usize) -> f64 {
        match targets {
            0 => 2.0 * self.width * self.width * self.layers,
            _ => self.in_blocks.min(targets as f64 * self.width * self.ffn * self.layers),
        }
    }

    fn activations(&self, training: &TrainingSettings) -> f64 {
        let Self { width, layers, vocab_size, ffn, inner, factor, .. } = self;
        // The inputs of both halves; queries, keys and values, what attention gives, and the first product.
        let kept = layers * (F32 * 2.0 * width + factor * (4.0 * width + inner));
        // Inputs and gradients of the four products of a block, for two blocks at a time.
        let factors = 2.0 * factor * (8.0 * width + inner + ffn);
        let hidden_states = F32 * 2.0 * width;
        let head = factor * (vocab_size + width);
        training.batch as f64 * self.context * (kept + factors + hidden_states + head)
    }

    /// Weights, the same as factors, and the model of generation 0; keys and values of the documents that are written at
    /// the same time.
    fn writing(&self, document_tokens: usize) -> f64 {
        let weights = F32 * self.parameters;
        let at_once = (rayon::current_num_threads() * slots(self.packed() as usize)) as f64;
        let longest = self.context.min(document_tokens as f64);
        let cache = at_once * longest * self.layers * 2.0 * self.width * self.factor;
        2.0 * weights + self.packed() + cache
    }
}
