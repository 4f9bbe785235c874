//! From a model's prediction to the next token.

use crate::config::Decoding;
use crate::documents::TokenId;
use crate::seed::Stream;
use rand::Rng;

/// Chooses tokens.
pub struct Sampler {
    greedy: bool,
    temperature: f32,
}

impl Sampler {
    /// A sampler of that kind.
    #[must_use]
    pub fn new(decoding: &Decoding) -> Self {
        Self { greedy: decoding.greedy, temperature: decoding.temperature as f32 }
    }

    /// The next token.
    pub fn draw(&mut self, logits: &mut [f32], _document_so_far: &[TokenId], rng: &mut Stream) -> TokenId {
        let mut best = 0;
        for (i, &logit) in logits.iter().enumerate() {
            if logit > logits[best] {
                best = i;
            }
        }
        if self.greedy {
            return best as TokenId;
        }
        let largest = logits[best];
        for logit in logits.iter_mut() {
            *logit = ((*logit - largest) / self.temperature).exp();
        }
        let total: f32 = logits.iter().sum();
        let mut left = rng.random::<f32>() * total;
        for (i, &weight) in logits.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return i as TokenId;
            }
        }
        best as TokenId
    }
}
