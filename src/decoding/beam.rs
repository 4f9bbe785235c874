//! BeamSearchSettings search: several documents grow side by side, and the best one is written.
//!
//! A document's score is its log-probability over a power of its length, the end-of-text token counted,
//!
//! ```text
//! score(y) = ln p(y) / |y|^α
//! ```
//!
//! the length penalty of Wu et al. (2016, equation 14) without its constant 5, and the `length_penalty` of Hugging Face
//! transformers. With α = 1 it is the mean log-probability of a token. With α = 0 the most probable document wins, and
//! that is a short one: every further token makes a document less probable.
//!
//! There is room for B documents. Every step grows each one that is still open by every token of the vocabulary, and
//! keeps the most probable of these; all of them have the same length, so the score has no say yet. A document that has
//! reached the end-of-text token, or the limit, is put aside and its room is lost to the open ones. When all rooms are
//! taken the one of the highest score is written. One beam would be greedy decoding.
//!
//! Equals go by the order of the documents they grew out of, then by id: nothing is left to chance.
//!
//! **Pitfalls.** More beams find more probable documents, and those are not more like natural text: they are dull and
//! repeat themselves (Holtzman et al. 2020). And a beam is no guarantee: the document that greedy decoding writes can
//! fall out of it on the way, though its score be higher.
//!
//! ```
//! use genloss::decoding::BeamSearchSettings;
//! use genloss::decoding::beam::Search;
//! // Token 0 ends a document. Two tokens with 0.55 · 0.4 = 0.22 lose against two with 0.45 · 0.9 = 0.405.
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

/// A search for one document.
#[derive(Clone, Debug)]
pub struct Search {
    settings: BeamSearchSettings,
    end: TokenId,
    most_tokens: usize,
    /// Those that still grow, all of one length.
    open: Vec<Hypothesis>,
    finished: Vec<Hypothesis>,
}

/// A document that may be written, or its beginning.
#[derive(Clone, Debug, Default)]
struct Hypothesis {
    tokens: Vec<TokenId>,
    log_probability: f64,
}

/// One token more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The number of what it comes after.
    pub parent: usize,
    /// The token.
    pub token: TokenId,
}

impl Search {
    /// A search that has one open document, the empty one. The token `end` ends a document, and so does the limit of
    /// `most_tokens`, at least 1.
    #[must_use]
    pub fn new(settings: BeamSearchSettings, end: TokenId, most_tokens: usize) -> Self {
        Self { settings, end, most_tokens, open: vec![Hypothesis::default()], finished: Vec::new() }
    }

    /// One step, given what comes next after each open document: `logits` (open, V), which are spent. Gives, for every
    /// document that is then open, the one it has grown out of and its last token; none when the search is over.
    pub fn grow(&mut self, logits: &mut [f32]) -> Vec<Growth> {
        let vocab_size = (logits.len() / self.open.len().max(1)).max(1);
        let room = self.settings.beams - self.finished.len();
        let mut grown: Vec<(Growth, f64)> = Vec::new();
        for (parent, row) in logits.chunks_exact_mut(vocab_size).enumerate() {
            let before = self.open[parent].log_probability;
            let after = |(token, log): (TokenId, f64)| (Growth { parent, token }, before + log);
            grown.extend(best(row, room).into_iter().map(after));
        }
        // A stable sort: equals stay in the order of their parents and ids.
        grown.sort_by(|a, b| b.1.total_cmp(&a.1));
        grown.truncate(room);
        let parents = std::mem::take(&mut self.open);
        let mut still_open = Vec::new();
        for (growth, log_probability) in grown {
            let tokens = [&parents[growth.parent].tokens[..], &[growth.token]].concat();
            let is_finished = growth.token == self.end || tokens.len() >= self.most_tokens;
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

    /// The document of the highest score among those that are finished, the first of equals.
    #[must_use]
    pub fn into_best(self) -> Vec<TokenId> {
        let score = |hypothesis: &Hypothesis| {
            hypothesis.log_probability / (hypothesis.tokens.len() as f64).powf(self.settings.length_penalty)
        };
        let better = |a: Hypothesis, b: Hypothesis| if score(&b) > score(&a) { b } else { a };
        self.finished.into_iter().reduce(better).unwrap_or_default().tokens
    }
}
