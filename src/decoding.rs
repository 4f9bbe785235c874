//! From a model's predictions to a document.
//!
//! A prediction is a row of logits, one per token of the vocabulary. Most decoders go **token by token**: a [`Sampler`]
//! turns the prediction after the document so far into a token, in the order of the fields of [`SamplingSettings`]:
//!
//! 1. *repetition penalty* θ: the logit of every token already in the document is divided by θ if it is positive and
//!    multiplied by θ if it is negative (Keskar et al. 2019, CTRL, section 4.1), once however often it occurred;
//! 2. *greedy*: if set, the token with the largest logit, and nothing below happens;
//! 3. *temperature* τ: logits are divided by τ, so probabilities become p^(1/τ), renormalised;
//! 4. *top-k*: the k most probable tokens stay;
//! 5. *top-p*: of those, the fewest that hold at least a share p of what is left (Holtzman et al. 2020);
//! 6. *min-p*: of those, the ones at least a share m as probable as the most probable (Nguyen et al. 2024);
//! 7. *typical-p*: of those, the fewest that hold at least a share p of what is left, beginning with the tokens whose
//!    surprisal −ln p is nearest to the entropy (locally typical sampling, Meister et al. 2023). It may drop the most
//!    probable token of all.
//!
//! Each truncation acts on the renormalised outcome of the one before, so the entropy of the last one is that of what
//! the others left. Among equally probable (or typical) tokens the one with the lower id goes first, so that the outcome
//! is always the same. A logit that is not a number, or −∞, is a token that cannot come; if no token can come, each is as
//! likely as any other.
//!
//! Every token takes exactly one uniform number from its stream, greedy or not: the streams of two decoders stay
//! aligned, and a comparison between them uses common random numbers.
//!
//! Two decoders look at more than one prediction, and draw nothing: [`beam`] search compares whole documents, and
//! [`contrastive`] search the hidden states of tokens.
//!
//! **Pitfall.** A decoder that draws nothing writes the same document after the same prompt: greedy decoding, beam search
//! and contrastive search from the start token alone fill a corpus with copies of one document. Give them prompts.
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

/// Chooses next tokens as one [`SamplingSettings`] says. It holds scratch space only: one sampler may serve many documents.
#[derive(Clone, Debug)]
pub struct Sampler {
    decoding: SamplingSettings,
    /// Whether a token occurs in the document; all false between calls.
    occurs: Vec<bool>,
    /// Sums of weights over [`BLOCK`] tokens.
    block_sums: Vec<f32>,
    candidates: Candidates,
}

/// Tokens summed together before a search. Its size is a compromise between the search over blocks and inside one.
const BLOCK: usize = 64;

impl Sampler {
    /// A sampler for `decoding`.
    #[must_use]
    pub fn new(decoding: &SamplingSettings) -> Self {
        Self {
            decoding: decoding.clone(),
            occurs: Vec::new(),
            block_sums: Vec::new(),
            candidates: Candidates::default(),
        }
    }

    /// The next token. `logits` (V) is spent: it holds other numbers afterwards. `document_so_far` is the prompt and
    /// what was written since, without the start token; only the repetition penalty reads it. Takes one uniform
    /// number from `rng`. An empty `logits` gives token 0.
    pub fn draw(&mut self, logits: &mut [f32], document_so_far: &[TokenId], rng: &mut Stream) -> TokenId {
        self.draw_at(logits, document_so_far, rng.random())
    }

    /// The token that [`draw`](Self::draw) gives for that uniform number.
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

    /// The distribution (V) that [`draw`](Self::draw) draws from: truncated and renormalised, dropped tokens at
    /// exactly 0. `logits` is spent.
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

    /// The natural-log probability that [`draw`](Self::draw) gives to `token`; −∞ for one that it drops. `logits` is
    /// spent.
    #[must_use]
    pub fn log_probability(
        &mut self,
        logits: &mut [f32],
        document_so_far: &[TokenId],
        token: TokenId,
    ) -> f32 {
        self.distribution(logits, document_so_far)[token as usize].ln() as f32
    }

    /// Whether some of `vocab_size` tokens may have to be dropped.
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

    /// Turns logits into weights relative to the most probable token, in place, and sums them by blocks.
    fn weigh(&mut self, logits: &mut [f32], largest: f32) {
        let inverse_temperature = inverse_temperature(&self.decoding);
        self.block_sums.clear();
        for block in logits.chunks_mut(BLOCK) {
            self.block_sums.push(exp::weigh(block, largest, inverse_temperature));
        }
    }

    /// The token at the share `uniform` of the cumulative weights.
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

/// The last position with a positive weight whose predecessors sum to at most `left`.
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

/// The token with the largest logit, the first of several; 0 if there is none.
fn most_probable(logits: &[f32]) -> TokenId {
    let largest = exp::maximum(logits);
    logits.iter().position(|&logit| logit == largest).unwrap_or(0) as TokenId
}

/// The largest logit. If that is infinite, rewrites the row so that it is 0: tokens at +∞ share all the mass, and
/// where no token can come every token can.
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

/// The `k` most probable of the tokens that can come, most probable first, and their natural-log probabilities. Rewrites
/// `logits` if some of them are infinite.
fn best(logits: &mut [f32], k: usize) -> Vec<(TokenId, f64)> {
    let largest = f64::from(possible_maximum(logits));
    let finite = |logit: f32| Some(f64::from(logit)).filter(|logit| logit.is_finite());
    let weights = logits.iter().filter_map(|&logit| Some((finite(logit)? - largest).exp()));
    let log_total = largest + weights.sum::<f64>().ln();
    let ids = truncation::largest(logits, k).into_iter();
    ids.filter_map(|id| Some((id, finite(logits[id as usize])? - log_total))).collect()
}

/// What logits are multiplied by. A temperature of 1 gives exactly 1; one too small for f32 leaves the largest only.
fn inverse_temperature(decoding: &SamplingSettings) -> f32 {
    ((1.0 / decoding.temperature) as f32).min(f32::MAX)
}

/// A decoder in words, for the record: `"sampling, temperature 1, top-k 50"`, `"greedy"`,
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
