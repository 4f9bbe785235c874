//! Interpolated Kneser–Ney: an n-gram model that learns and writes millions of tokens per second.
//!
//! The probability of token w after a context h of up to order − 1 tokens (h′ is h without its first token)
//!
//! ```text
//! p(w | h) = max(a(hw) − D(a(hw)), 0) / a(h·)  +  γ(h) · p(w | h′),     a(h·) = Σ_w a(hw),
//! γ(h)     = Σ_w D(a(hw)) / a(h·)
//! ```
//!
//! so that what is taken from the followers of h is what the shorter context hands out, and every distribution sums
//! to one. For n-grams of the full order, a is their count. For shorter ones it is the number of different tokens
//! seen before them (Kneser & Ney 1995): "Francisco" is frequent but follows one word only, so it is improbable where
//! the context is unknown. An n-gram of two or more tokens that begins with the start token has nothing before it,
//! and keeps its count. The shortest context of all is empty, and below it every token of the vocabulary is equally
//! probable: no token has probability 0. A context that was never followed by anything is skipped.
//!
//! The discounts D are three per order, for a = 1, 2 and more, from the counts of counts (Chen & Goodman 1999): see
//! [`discounts`](self::Ngram::discounts).
//!
//! A document is read as the start token and its tokens. At the beginning of a document the context is the start
//! token alone; it is not repeated.
//!
//! **Pitfall.** High orders remember: an order-5 model trained on little text writes long stretches of it verbatim,
//! because most of its contexts have one follower.
//!
//! ```
//! use genloss::{config, documents::Documents, progress::Silent, seed::StreamKey, stage::Stage};
//! use genloss::model::{SpecialTokens, ngram::Ngram};
//! let text: Documents = [&[1, 1, 2, 0][..], &[1, 2, 0]].into_iter().collect();
//! let never = std::sync::atomic::AtomicBool::new(false);
//! let stage = Stage::new(StreamKey::new(1, "control", 0, "training"), &Silent, &never);
//! let special = SpecialTokens { start: 0, end: 0 };
//! let model = Ngram::fit(&text, config::Ngram { order: 3 }, 4, special, &stage)?;
//! let after_1_2 = model.distribution(&[1, 2])?;
//! assert!(after_1_2[0] > 0.5 && after_1_2[3] > 0.0);
//! assert!((after_1_2.iter().sum::<f64>() - 1.0).abs() < 1e-12);
//! # Ok::<(), genloss::model::ModelError>(())
//! ```

mod counts;
mod discounts;
mod files;
mod predictions;
mod sampling;

use super::{Generate, LanguageModel, ModelError, Redrawn, Scores, SpecialTokens};
use crate::config::{self, Decoding};
use crate::decoding::Sampler;
use crate::documents::{Documents, TokenId};
use crate::stage::Stage;
use counts::{Context, Counts};
use discounts::Discounts;
use predictions::Predictions;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

/// The highest order.
pub const MAX_ORDER: usize = 5;

/// Documents that one task scores or writes. It decides nothing but the overhead.
const DOCUMENTS_PER_TASK: usize = 16;

/// An interpolated Kneser–Ney model.
#[derive(Debug)]
pub struct Ngram {
    special: SpecialTokens,
    counts: Counts,
    /// By order, from 1; index 0 is unused.
    discounts: Vec<Discounts>,
    /// Probabilities of all n-grams, computed when first asked for: sampling needs none of them.
    predictions: OnceLock<Predictions>,
}

impl Ngram {
    /// Counts `documents`. Advances `stage` by their tokens.
    ///
    /// # Errors
    /// When the run is interrupted, when a token (or special token) is outside of the vocabulary, or when there are
    /// 2^32 − 1 tokens or more.
    ///
    /// # Panics
    /// When `shape` is not a checked one: its order is not 1 to [`MAX_ORDER`].
    pub fn fit(
        documents: &Documents,
        shape: config::Ngram,
        vocab_size: usize,
        special: SpecialTokens,
        stage: &Stage,
    ) -> Result<Self, ModelError> {
        assert!((1..=MAX_ORDER).contains(&shape.order), "an order of 1 to {MAX_ORDER}, not {}", shape.order);
        check_tokens(&[special.start, special.end], vocab_size)?;
        check_tokens(documents.flat(), vocab_size)?;
        if documents.tokens().0 >= u64::from(u32::MAX) || vocab_size >= u32::MAX as usize {
            return Err(ModelError::Text("an n-gram model counts up to 2^32 − 2 tokens".into()));
        }
        let counts = counts::count(documents, shape.order, vocab_size, special.start, stage)?;
        Ok(Self::from_counts(counts, special))
    }

    /// Reads the model that [`save`](LanguageModel::save) wrote into `dir`.
    ///
    /// # Errors
    /// When the folder is not there, is no n-gram model, or is damaged.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        files::load(dir)
    }

    /// Whether `dir` is the folder of an n-gram model, whole or not.
    #[must_use]
    pub fn is_folder(dir: &Path) -> bool {
        files::is_folder(dir)
    }

    fn from_counts(counts: Counts, special: SpecialTokens) -> Self {
        let discounts =
            (0..=counts.order()).map(|order| Discounts::estimate(counts.of_order(order))).collect();
        Self { special, counts, discounts, predictions: OnceLock::new() }
    }

    /// The longest n-grams counted.
    #[must_use]
    pub fn order(&self) -> usize {
        self.counts.order()
    }

    /// Tokens in the vocabulary.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.counts.vocab_size()
    }

    /// The tokens that start and end a document.
    #[must_use]
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// Different n-grams seen, of all orders.
    #[must_use]
    pub fn distinct_ngrams(&self) -> u64 {
        (1..=self.order())
            .map(|order| self.counts.of_order(order).filter(|&count| count > 0).count() as u64)
            .sum()
    }

    /// What is taken from n-grams of `order` (1 to [`order`](Self::order)) whose count is 1, 2, and 3 or more.
    ///
    /// With nᵣ the number of n-grams counted r times and Y = n₁ / (n₁ + 2 n₂): 1 − 2 Y n₂/n₁, 2 − 3 Y n₃/n₂ and
    /// 3 − 4 Y n₄/n₃ (Chen & Goodman 1999, equation 26). Where the text is too small for that, all three are Y (Ney,
    /// Essen & Kneser 1994), and failing that ½.
    #[must_use]
    pub fn discounts(&self, order: usize) -> [f64; 3] {
        self.discounts[order].of_1_2_3()
    }

    /// The distribution (V) of the token after `document_so_far`, which does not hold the start token. Sums to one.
    ///
    /// # Errors
    /// When a token is outside of the vocabulary.
    pub fn distribution(&self, document_so_far: &[TokenId]) -> Result<Vec<f64>, ModelError> {
        let context = self.context_after(document_so_far)?;
        let mut logs = vec![0.0_f64; self.vocab_size()];
        self.predictions().fill(&self.counts, context, &mut logs);
        Ok(logs.into_iter().map(f64::exp).collect())
    }

    /// Mean negative natural-log probability of the tokens of `documents`, 0 if there are none.
    ///
    /// # Errors
    /// When a token is outside of the vocabulary.
    pub fn loss_nats_per_token(&self, documents: &Documents) -> Result<f64, ModelError> {
        check_tokens(documents.flat(), self.vocab_size())?;
        let predictions = self.predictions();
        let sums: Vec<f64> = tasks(documents.len())
            .map(|range| {
                let mut nats = 0.0;
                for index in range {
                    self.walk(documents.get(index), |context, token| {
                        let (log_probability, next) = predictions.score(&self.counts, context, token);
                        nats -= log_probability;
                        next
                    });
                }
                nats
            })
            .collect();
        Ok(sums.iter().sum::<f64>() / (documents.tokens().0 as f64).max(1.0))
    }

    fn predictions(&self) -> &Predictions {
        self.predictions.get_or_init(|| Predictions::compute(&self.counts, &self.discounts))
    }

    fn context_after(&self, document_so_far: &[TokenId]) -> Result<Context, ModelError> {
        check_tokens(document_so_far, self.vocab_size())?;
        let mut context = self.counts.context_of_start(self.special.start);
        for &token in document_so_far {
            context = self.counts.context_after(self.counts.find(context, token));
        }
        Ok(context)
    }

    /// Calls `step` with every token of a document and its context; it gives back the context of the next token.
    fn walk(&self, document: &[TokenId], mut step: impl FnMut(Context, TokenId) -> Context) {
        let mut context = self.counts.context_of_start(self.special.start);
        for &token in document {
            context = step(context, token);
        }
    }

    /// What `of_row` makes of the prediction (V) of each token of some documents, which it may spend; it is given the
    /// document before the token, the token, and its place among those of the documents.
    fn by_row<'a, T>(
        &self,
        documents: impl Iterator<Item = &'a [TokenId]>,
        mut of_row: impl FnMut(&mut [f32], &[TokenId], TokenId, usize) -> T,
    ) -> Vec<T> {
        let predictions = self.predictions();
        let mut logits = vec![0f32; self.vocab_size()];
        let mut all = Vec::new();
        for document in documents {
            let mut before = 0;
            self.walk(document, |context, token| {
                predictions.fill(&self.counts, context, &mut logits);
                all.push(of_row(&mut logits, &document[..before], token, all.len()));
                before += 1;
                predictions.score(&self.counts, context, token).1
            });
        }
        all
    }

    /// What `of_task` makes of ranges of documents, one after the other.
    fn in_tasks<T: Send>(
        &self,
        documents: &Documents,
        stage: &Stage,
        of_task: impl Fn(Range<usize>) -> Vec<T> + Sync,
    ) -> Result<Vec<T>, ModelError> {
        check_tokens(documents.flat(), self.vocab_size())?;
        let parts: Vec<Vec<T>> = tasks(documents.len())
            .map(|range| {
                if stage.interrupted() {
                    return Err(ModelError::Interrupted);
                }
                let part = of_task(range);
                stage.advance(part.len() as u64);
                Ok(part)
            })
            .collect::<Result<_, _>>()?;
        Ok(parts.into_iter().flatten().collect())
    }
}

impl LanguageModel for Ngram {
    fn score(&self, documents: &Documents, stage: &Stage) -> Result<Scores, ModelError> {
        let predictions = self.predictions();
        let scores = self.in_tasks(documents, stage, |range| {
            let mut scores = Vec::new();
            for index in range {
                self.walk(documents.get(index), |context, token| {
                    let (log_probability, next) = predictions.score(&self.counts, context, token);
                    scores.push((log_probability as f32, predictions.entropy(context) as f32));
                    next
                });
            }
            scores
        })?;
        let (log_probabilities, entropies) = scores.into_iter().unzip();
        Ok(Scores { log_probabilities, entropies })
    }

    fn score_decoded(
        &self,
        documents: &Documents,
        decoding: &Decoding,
        stage: &Stage,
    ) -> Result<Vec<f32>, ModelError> {
        self.in_tasks(documents, stage, |range| {
            let mut sampler = Sampler::new(decoding);
            self.by_row(range.map(|index| documents.get(index)), |logits, so_far, token, _| {
                sampler.log_probability(logits, so_far, token)
            })
        })
    }

    fn redraw(
        &self,
        documents: &Documents,
        decoding: &Decoding,
        uniforms: &[f64],
        stage: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError> {
        let starts = documents.starts();
        self.in_tasks(documents, stage, |range| {
            let mut sampler = Sampler::new(decoding);
            let first = starts[range.start];
            self.by_row(range.map(|index| documents.get(index)), |logits, so_far, token, place| {
                let log_probability = logits[token as usize];
                let uniform = uniforms[first + place];
                Redrawn { log_probability, token: sampler.draw_at(logits, so_far, uniform) }
            })
        })
    }

    fn generate(&self, request: &Generate, stage: &Stage) -> Result<Documents, ModelError> {
        check_tokens(request.prompts.flat(), self.vocab_size())?;
        let parts: Vec<Documents> = tasks(request.prompts.len())
            .map(|range| {
                if stage.interrupted() {
                    return Err(ModelError::Interrupted);
                }
                let part = self.write(request, range, stage)?;
                stage.advance(part.tokens().0);
                Ok(part)
            })
            .collect::<Result<_, _>>()?;
        Ok(parts.iter().flat_map(Documents::iter).collect())
    }

    fn save(&self, dir: &Path) -> Result<(), ModelError> {
        files::save(self, dir)
    }
}

/// The ranges of documents that are worked on together, out of `documents`.
fn tasks(documents: usize) -> impl IndexedParallelIterator<Item = Range<usize>> {
    (0..documents.div_ceil(DOCUMENTS_PER_TASK)).into_par_iter().map(move |task| {
        let start = task * DOCUMENTS_PER_TASK;
        start..documents.min(start + DOCUMENTS_PER_TASK)
    })
}

fn check_tokens(tokens: &[TokenId], vocab_size: usize) -> Result<(), ModelError> {
    match tokens.iter().find(|&&token| token as usize >= vocab_size) {
        None => Ok(()),
        Some(token) => Err(ModelError::Text(format!(
            "token {token} is outside of the vocabulary of {vocab_size}; was it made with another tokenizer?"
        ))),
    }
}
