//! Decoding: how a model's predictions become a document.
//!
//! A prediction is a row of logits, one for each token of the vocabulary. Most decoders work **token by token**: a
//! [`Sampler`] chooses the next token from one prediction. It applies the following steps, which are the fields of
//! [`SamplingSettings`]:
//!
//! 1. *repetition penalty* θ: the logit of every token already in the document is divided by θ if it is positive and
//!    multiplied by θ if it is negative (Keskar et al. 2019, CTRL, section 4.1); only once if the token occurs
//!    repeatedly;
//! 2. *greedy*: if set, chooses the token with the largest logit and skips the remaining steps;
//! 3. *temperature* τ: logits are divided by τ, so probabilities become p^(1/τ), renormalised;
//! 4. *top-k*: keeps the k most probable tokens;
//! 5. *top-p*: keeps the fewest tokens, most probable first, whose probabilities sum to at least p (Holtzman et al. 2020);
//! 6. *min-p*: keeps tokens that are at least m times as probable as the most probable one (Nguyen et al. 2024);
//! 7. *typical-p*: keeps the fewest tokens whose probabilities sum to at least p, beginning with those whose surprisal
//!    −ln p is nearest to the entropy (locally typical sampling, Meister et al. 2023). This may drop the most probable
//!    token.
//!
//! Each truncation works on the renormalised result of the previous one, from which typical-p also computes the
//! entropy. Ties are broken by the lower token id, so the result is deterministic. A token whose logit is NaN or −∞ is
//! impossible; if all tokens are impossible, they become equally likely.
//!
//! Every token consumes exactly one uniform number from its stream, even under greedy decoding. The streams of two
//! decoders therefore stay aligned, and a comparison between them uses common random numbers.
//!
//! Two deterministic decoders look beyond one prediction: [`beam`] search compares whole documents, and [`contrastive`]
//! search compares the hidden states of tokens.
//!
//! **Pitfall.** A deterministic decoder always writes the same document for the same prompt. Without prompts, greedy
//! decoding, beam search and contrastive search fill a corpus with copies of one document.
//!
//! ```
//! use genloss::decoding::SamplingSettings;
//! use genloss::decoding::Sampler;
//! use genloss::seed::StreamKey;
//! let plain = SamplingSettings {
//!     greedy: false, repetition_penalty: 1.0, temperature: 1.0, top_k: Some(2), top_p: None, min_p: None, typical_p: None,
//! };
//! let mut sampler = Sampler::new(&plain);
//! let mut rng = StreamKey::new(1, "control", 0, "synthesis").stream(0);
//! let token = sampler.draw(&mut [0.0, 3.0, -1.0, 2.5], &[], &mut rng);
//! assert!(token == 1 || token == 3);
//! ```

pub mod beam;
pub mod contrastive;
mod exp;
mod settings;
mod truncation;

use crate::documents::TokenId;
use crate::seed::Stream;
use rand::Rng;
use truncation::Candidates;

pub use settings::{BeamSearchSettings, ContrastiveSearchSettings, DecodingStrategy, SamplingSettings};

/// Chooses next tokens. Keeps no state between calls except scratch space, so one sampler can serve many documents.
#[derive(Clone, Debug)]
pub struct Sampler {
    decoding: SamplingSettings,
    /// For each token, whether it occurs in the document (V). All false between calls.
    occurs: Vec<bool>,
    /// Sums of the weights of [`BLOCK`] consecutive tokens each.
    block_sums: Vec<f32>,
    candidates: Candidates,
}

/// Tokens per block sum. A draw first finds the block, then searches in it; this size balances the two searches.
const BLOCK: usize = 64;

impl Sampler {
    /// Creates a sampler, which can be used for any number of documents.
    #[must_use]
    pub fn new(decoding: &SamplingSettings) -> Self {
        Self {
            decoding: decoding.clone(),
            occurs: Vec::new(),
            block_sums: Vec::new(),
            candidates: Candidates::default(),
        }
    }

    /// Draws the next token, with one uniform number from `rng`. `logits` (V) is overwritten; if it is empty, the result
    /// is token 0. `document_so_far` is the prompt and the tokens written after it, without the start token; only the
    /// repetition penalty uses it.
    pub fn draw(&mut self, logits: &mut [f32], document_so_far: &[TokenId], rng: &mut Stream) -> TokenId {
        self.draw_at(logits, document_so_far, rng.random())
    }

    /// The token that [`draw`](Self::draw) returns for a uniform number in [0, 1).
    pub fn draw_at(&mut self, logits: &mut [f32], document_so_far: &[TokenId], uniform: f64) -> TokenId {
        self.penalise(logits, document_so_far);
        if self.decoding.greedy {
            return most_probable(logits);
        }
        let largest = possible_maximum(logits);
        if self.truncates(logits.len()) {
            self.candidates.choose(logits, largest, &self.decoding);
            self.candidates.pick(uniform)
        } else {
            self.weigh(logits, largest);
            self.pick(logits, uniform)
        }
    }

    /// The distribution (V) that [`draw`](Self::draw) samples from: truncated and renormalised, with exactly 0 for dropped
    /// tokens. Overwrites `logits`.
    #[must_use]
    pub fn distribution(&mut self, logits: &mut [f32], document_so_far: &[TokenId]) -> Vec<f64> {
        let mut distribution = vec![0.0; logits.len()];
        self.penalise(logits, document_so_far);
        if self.decoding.greedy {
            if let Some(probability) = distribution.get_mut(most_probable(logits) as usize) {
                *probability = 1.0;
            }
            return distribution;
        }
        let largest = possible_maximum(logits);
        if self.truncates(logits.len()) {
            self.candidates.choose(logits, largest, &self.decoding);
            for (id, weight) in self.candidates.iter() {
                distribution[id as usize] = f64::from(weight);
            }
        } else {
            self.weigh(logits, largest);
            for (probability, &weight) in distribution.iter_mut().zip(&*logits) {
                *probability = f64::from(weight);
            }
        }
        let total: f64 = distribution.iter().sum();
        for probability in &mut distribution {
            *probability /= total;
        }
        distribution
    }

    /// Natural logarithm of the probability that [`draw`](Self::draw) returns `token`; −∞ if `token` is dropped. Overwrites
    /// `logits`.
    #[must_use]
    pub fn log_probability(
        &mut self,
        logits: &mut [f32],
        document_so_far: &[TokenId],
        token: TokenId,
    ) -> f32 {
        self.distribution(logits, document_so_far)[token as usize].ln() as f32
    }

    /// Whether a truncation can drop any of `vocab_size` tokens.
    fn truncates(&self, vocab_size: usize) -> bool {
        let SamplingSettings {
            greedy: _,
            repetition_penalty: _,
            temperature: _,
            top_k,
            top_p,
            min_p,
            typical_p,
        } = self.decoding;
        top_k.is_some_and(|k| k < vocab_size)
            || top_p.is_some_and(|p| p < 1.0)
            || min_p.is_some_and(|share| share > 0.0)
            || typical_p.is_some_and(|p| p < 1.0)
    }

    /// Applies the repetition penalty to `logits` (V).
    fn penalise(&mut self, logits: &mut [f32], document_so_far: &[TokenId]) {
        let penalty = self.decoding.repetition_penalty as f32;
        if penalty == 1.0 {
            return;
        }
        self.occurs.resize(logits.len(), false);
        for &token in document_so_far {
            let token = token as usize;
            if let (Some(logit), Some(seen @ false)) = (logits.get_mut(token), self.occurs.get_mut(token)) {
                *seen = true;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        for &token in document_so_far {
            if let Some(seen) = self.occurs.get_mut(token as usize) {
                *seen = false;
            }
        }
    }

    /// Replaces logits by weights relative to the most probable token, and fills `block_sums`.
    fn weigh(&mut self, logits: &mut [f32], largest: f32) {
        let inverse_temperature = inverse_temperature(&self.decoding);
        self.block_sums.clear();
        for block in logits.chunks_mut(BLOCK) {
            self.block_sums.push(exp::weigh(block, largest, inverse_temperature));
        }
    }

    /// The first token at which the cumulative weight exceeds the fraction `uniform` of the total.
    fn pick(&self, weights: &[f32], uniform: f64) -> TokenId {
        let total: f64 = self.block_sums.iter().map(|&sum| f64::from(sum)).sum();
        let mut left = uniform * total;
        let mut chosen = 0;
        for (block, &sum) in self.block_sums.iter().enumerate() {
            if sum > 0.0 {
                chosen = block;
                if left < f64::from(sum) {
                    break;
                }
            }
            left -= f64::from(sum);
        }
        let start = chosen * BLOCK;
        let block = &weights[start.min(weights.len())..weights.len().min(start + BLOCK)];
        (start + position_at(block, left)) as TokenId
    }
}

/// The last position that has a positive weight and whose preceding weights sum to at most `left`.
fn position_at(weights: &[f32], mut left: f64) -> usize {
    let mut chosen = 0;
    for (position, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            chosen = position;
            if left < f64::from(weight) {
                break;
            }
        }
        left -= f64::from(weight);
    }
    chosen
}

/// The token with the largest logit, or the lowest id if several are equal; 0 if no token is possible.
fn most_probable(logits: &[f32]) -> TokenId {
    let largest = exp::maximum(logits);
    logits.iter().position(|&logit| logit == largest).unwrap_or(0) as TokenId
}

/// The largest logit, always finite. If the largest of `logits` is infinite, they are rewritten and 0 is returned:
/// tokens at +∞ then share all of the probability, and if all tokens were impossible, they are equally likely.
fn possible_maximum(logits: &mut [f32]) -> f32 {
    let largest = exp::maximum(logits);
    if largest.is_finite() {
        return largest;
    }
    for logit in logits.iter_mut() {
        *logit = if largest < 0.0 || *logit == f32::INFINITY { 0.0 } else { f32::NEG_INFINITY };
    }
    0.0
}

/// The `k` most probable tokens, most probable first, with the natural logarithms of their probabilities. Returns fewer
/// if fewer tokens are possible. Overwrites `logits`.
fn best(logits: &mut [f32], k: usize) -> Vec<(TokenId, f64)> {
    let largest = possible_maximum(logits);
    let ids = truncation::largest(logits, k).into_iter();
    let mut best: Vec<(TokenId, f64)> = ids.map(|id| (id, f64::from(logits[id as usize]))).collect();
    best.retain(|&(_, logit)| logit.is_finite());
    let total = exp::weigh(logits, largest, 1.0);
    let log_total = f64::from(largest) + f64::from(total).ln();
    for (_, log) in &mut best {
        *log -= log_total;
    }
    best
}

/// The factor by which logits are multiplied: exactly 1 at temperature 1, and at most `f32::MAX`, which leaves only the
/// largest logit.
fn inverse_temperature(decoding: &SamplingSettings) -> f32 {
    ((1.0 / decoding.temperature) as f32).min(f32::MAX)
}

/// Description of a decoder for run records: `"sampling, temperature 1, top-k 50"`, `"greedy"`,
/// `"beam search, 4 beams, length penalty 1"`.
#[must_use]
pub fn describe(strategy: &DecodingStrategy) -> String {
    match strategy {
        DecodingStrategy::TokenByToken(decoding) => describe_choice(decoding),
        DecodingStrategy::Beam(BeamSearchSettings { beams, length_penalty }) => {
            format!("beam search, {beams} beams, length penalty {length_penalty}")
        }
        DecodingStrategy::Contrastive(ContrastiveSearchSettings { k, alpha }) => {
            format!("contrastive search, k {k}, alpha {alpha}")
        }
    }
}

fn describe_choice(sampling: &SamplingSettings) -> String {
    let SamplingSettings { greedy, repetition_penalty, temperature, top_k, top_p, min_p, typical_p } =
        *sampling;
    let mut words = Vec::new();
    if greedy {
        words.push("greedy".to_owned());
    } else {
        words.push("sampling".to_owned());
        words.push(format!("temperature {temperature}"));
    }
    if repetition_penalty != 1.0 {
        words.push(format!("repetition penalty {repetition_penalty}"));
    }
    if !greedy {
        words.extend(top_k.map(|k| format!("top-k {k}")));
        words.extend(top_p.map(|p| format!("top-p {p}")));
        words.extend(min_p.map(|share| format!("min-p {share}")));
        words.extend(typical_p.map(|p| format!("typical-p {p}")));
    }
    words.join(", ")
}
