//! Beam search: extends several documents in parallel and returns the one with the best score.
//!
//! The score of a document y is its log-probability divided by a power of its length, which includes the end-of-text
//! token:
//!
//! ```text
//! score(y) = ln p(y) / |y|^α
//! ```
//!
//! This is the length penalty of Wu et al. (2016, equation 14) without the constant 5, and the `length_penalty` of
//! Hugging Face transformers. With α = 1 the score is the mean log-probability of a token. With α = 0 the most probable
//! document wins, which favours short documents, because every further token lowers the probability.
//!
//! The search keeps B documents (beams). Each step extends every open document by every token of the vocabulary and
//! keeps the most probable results. All open documents have the same length, so this comparison needs no length
//! penalty. A document that reaches the end-of-text token or the length limit is finished and still occupies its beam.
//! When no open document is left, the finished one with the highest score is the result. A single beam would be greedy
//! decoding.
//!
//! Ties are broken by the order of the parent documents, then by token id, so the search is deterministic.
//!
//! **Pitfalls.** More beams find more probable documents, but these are not more like natural text: they are dull and
//! repetitive (Holtzman et al. 2020). The result can have a lower score than the document of greedy decoding, because
//! that document can be dropped at an early step.
//!
//! ```
//! use genloss::decoding::BeamSearchSettings;
//! use genloss::decoding::beam::Search;
//! // Token 0 ends a document. The best start is 1 (0.55), but the best document is [2, 0]: 0.45 · 0.9 = 0.405.
//! let mut search = Search::new(BeamSearchSettings { beams: 2, length_penalty: 1.0 }, 0, 2);
//! let row = |p: [f32; 3]| p.map(f32::ln);
//! let grown = search.grow(&mut row([0.0, 0.55, 0.45]));
//! assert_eq!(grown.iter().map(|growth| growth.token).collect::<Vec<_>>(), [1, 2]);
//! assert!(search.grow(&mut [row([0.3, 0.3, 0.4]), row([0.9, 0.1, 0.0])].concat()).is_empty());
//! assert_eq!(search.into_best(), [2, 0]);
//! ```

use super::best;
use crate::decoding::BeamSearchSettings;
use crate::documents::TokenId;

/// The state of a search for one document.
#[derive(Clone, Debug)]
pub struct Search {
    settings: BeamSearchSettings,
    end: TokenId,
    max_tokens: usize,
    /// Documents that are still extended, all of the same length.
    open: Vec<Hypothesis>,
    finished: Vec<Hypothesis>,
}

/// A document, or the beginning of one.
#[derive(Clone, Debug, Default)]
struct Hypothesis {
    tokens: Vec<TokenId>,
    /// In nats.
    log_probability: f64,
}

/// The extension of an open document by one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Index of the extended document among those that were open before the step.
    pub parent: usize,
    /// The token that was added.
    pub token: TokenId,
}

impl Search {
    /// Starts with one open document, which is empty. A document is finished by the token `end`, or when it has
    /// `max_tokens` tokens (at least 1).
    #[must_use]
    pub fn new(settings: BeamSearchSettings, end: TokenId, max_tokens: usize) -> Self {
        Self { settings, end, max_tokens, open: vec![Hypothesis::default()], finished: Vec::new() }
    }

    /// Takes one step. `logits` (open documents, V) are the predictions after each open document, and are overwritten.
    /// Returns one extension for each document that is open after the step; the search is over when there is none.
    pub fn grow(&mut self, logits: &mut [f32]) -> Vec<Growth> {
        let vocab_size = (logits.len() / self.open.len().max(1)).max(1);
        let room = self.settings.beams - self.finished.len();
        let mut grown: Vec<(Growth, f64)> = Vec::new();
        for (parent, row) in logits.chunks_exact_mut(vocab_size).enumerate() {
            let before = self.open[parent].log_probability;
            let after = |(token, log): (TokenId, f64)| (Growth { parent, token }, before + log);
            grown.extend(best(row, room).into_iter().map(after));
        }
        // The sort is stable, so ties stay in the order of parents and token ids.
        grown.sort_by(|a, b| b.1.total_cmp(&a.1));
        grown.truncate(room);
        let parents = std::mem::take(&mut self.open);
        let mut still_open = Vec::new();
        for (growth, log_probability) in grown {
            let tokens = [&parents[growth.parent].tokens[..], &[growth.token]].concat();
            let is_finished = growth.token == self.end || tokens.len() >= self.max_tokens;
            let hypothesis = Hypothesis { tokens, log_probability };
            if is_finished {
                self.finished.push(hypothesis);
            } else {
                self.open.push(hypothesis);
                still_open.push(growth);
            }
        }
        still_open
    }

    /// The finished document with the highest score, or the first if several are equal; empty if none is finished.
    #[must_use]
    pub fn into_best(self) -> Vec<TokenId> {
        let score = |hypothesis: &Hypothesis| {
            hypothesis.log_probability / (hypothesis.tokens.len() as f64).powf(self.settings.length_penalty)
        };
        let better = |a: Hypothesis, b: Hypothesis| if score(&b) > score(&a) { b } else { a };
        self.finished.into_iter().reduce(better).unwrap_or_default().tokens
    }
}
