//! Interpolated Kneser–Ney: an n-gram model that learns and writes millions of tokens per second.
//!
//! Let h be a context of up to order − 1 tokens, and h′ the same context without its first token. The probability of
//! token w after h is
//!
//! ```text
//! p(w | h) = max(a(hw) − D(a(hw)), 0) / a(h·)  +  γ(h) · p(w | h′),     a(h·) = Σ_w a(hw),
//! γ(h)     = Σ_w D(a(hw)) / a(h·)
//! ```
//!
//! It consists of a discounted count and a backoff term. The discounts take the mass γ(h) from the followers of h, and
//! the backoff term distributes the same mass according to the shorter context, so every distribution sums to one. For
//! n-grams of the full order, a is their count. For shorter ones it is the number of different tokens seen before them
//! (Kneser & Ney 1995): "Francisco" is frequent but follows only one word, so it is improbable in an unknown context.
//! An n-gram of two or more tokens that begins with the start token has no token before it, so its a is its count. The
//! empty context backs off to the uniform distribution over the vocabulary, so no token has probability 0. For a
//! context that was never followed by any token, p(w | h) = p(w | h′).
//!
//! Each order has three discounts D, for a = 1, 2 and more, estimated from the counts of counts (Chen & Goodman 1999):
//! see [`discounts`](self::Ngram::discounts).
//!
//! A document is read as one start token followed by its tokens. The start token is not repeated, so contexts at the
//! beginning of a document are shorter than elsewhere.
//!
//! **Pitfall.** High orders memorise: an order-5 model trained on little text writes long passages of it verbatim,
//! because most of its contexts have a single follower.
//!
//! ```
//! use genloss::{documents::Documents, progress::Silent, seed::StreamKey, stage::Stage};
//! use genloss::model::{NgramSettings, SpecialTokens, ngram::Ngram};
//! let text: Documents = [&[1, 1, 2, 0][..], &[1, 2, 0]].into_iter().collect();
//! let never = std::sync::atomic::AtomicBool::new(false);
//! let stage = Stage::new(StreamKey::new(1, "control", 0, "training"), &Silent, &never);
//! let special = SpecialTokens { start: 0, end: 0 };
//! let model = Ngram::fit(&text, NgramSettings { order: 3 }, 4, special, &stage)?;
//! let after_1_2 = model.distribution(&[1, 2])?;
//! assert!(after_1_2[0] > 0.5 && after_1_2[3] > 0.0);
//! assert!((after_1_2.iter().sum::<f64>() - 1.0).abs() < 1e-12);
//! # Ok::<(), genloss::model::ModelError>(())
//! ```

mod counts;
mod discounts;
mod files;
mod predictions;
mod ranks;
mod sampling;

use super::{
    FolderFormat, GenerateRequest, LanguageModel, Loaded, ModelError, NgramSettings, Redrawn, Scores,
    SpecialTokens, check_tokens,
};
use crate::decoding::{Sampler, SamplingSettings};
use crate::documents::{Documents, TokenId};
use crate::stage::Stage;
use crate::tokenizer::LEARNT;
use candle_core::Device;
use counts::{ContextNode, NgramCounts};
use discounts::Discounts;
use predictions::Predictions;
use ranks::Ranks;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

/// The highest order that a model can have.
pub const MAX_ORDER: usize = 5;

/// Folders of n-gram models: `config.json` and `ngram.safetensors`.
#[derive(Clone, Copy, Debug)]
pub struct NgramFolder;

impl FolderFormat for NgramFolder {
    fn recognises(&self, dir: &Path) -> bool {
        files::is_folder(dir)
    }

    fn load(&self, dir: &Path, _: &Device) -> Result<Loaded, ModelError> {
        let model = Ngram::load(dir)?;
        let (vocab_size, special) = (model.vocab_size(), model.special());
        Ok(Loaded { model: Box::new(model), vocab_size, special, sources: LEARNT, notes: Vec::new() })
    }
}

/// Number of documents that one parallel task scores or writes. Does not affect results.
const DOCUMENTS_PER_TASK: usize = 16;

/// An interpolated Kneser–Ney model.
#[derive(Debug)]
pub struct Ngram {
    special: SpecialTokens,
    counts: NgramCounts,
    /// Discounts of each order; index 0 is unused.
    discounts: Vec<Discounts>,
    /// Probabilities of all n-grams, computed on first use: sampling without truncation does not need them.
    predictions: OnceLock<Predictions>,
    /// The order of tokens after each context, computed on first use: only truncated sampling needs it.
    ranks: OnceLock<Ranks>,
}

impl Ngram {
    /// Counts the n-grams of `documents`. Advances `stage` by the number of their tokens.
    ///
    /// # Errors
    /// If the run is interrupted, a token (or special token) is outside the vocabulary, or there are 2^32 − 1 tokens or
    /// more.
    ///
    /// # Panics
    /// If the order is not 1 to [`MAX_ORDER`], which checked settings exclude.
    pub fn fit(
        documents: &Documents,
        shape: NgramSettings,
        vocab_size: usize,
        special: SpecialTokens,
        stage: &Stage,
    ) -> Result<Self, ModelError> {
        assert!((1..=MAX_ORDER).contains(&shape.order), "an order of 1 to {MAX_ORDER}, not {}", shape.order);
        check_tokens(&[special.start, special.end], vocab_size)?;
        check_tokens(documents.flat(), vocab_size)?;
        let tokens = documents.tokens().0;
        if tokens >= u64::from(u32::MAX) || vocab_size >= u32::MAX as usize {
            return Err(ModelError::TooManyToCount { tokens, vocab_size });
        }
        let counts = counts::count(documents, shape.order, vocab_size, special.start, stage)?;
        Ok(Self::from_counts(counts, special))
    }

    /// Reads the model that [`save`](LanguageModel::save) wrote to `dir`.
    ///
    /// # Errors
    /// If the folder is missing, not that of an n-gram model, or damaged.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        files::load(dir)
    }

    fn from_counts(counts: NgramCounts, special: SpecialTokens) -> Self {
        let discounts =
            (0..=counts.order()).map(|order| Discounts::estimate(counts.of_order(order))).collect();
        Self { special, counts, discounts, predictions: OnceLock::new(), ranks: OnceLock::new() }
    }

    /// Length in tokens of the longest n-grams counted.
    #[must_use]
    pub fn order(&self) -> usize {
        self.counts.order()
    }

    /// Size of the vocabulary.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.counts.vocab_size()
    }

    /// Tokens that mark the start and the end of a document.
    #[must_use]
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// Number of different n-grams seen, of all orders.
    #[must_use]
    pub fn distinct_ngrams(&self) -> u64 {
        (1..=self.order())
            .map(|order| self.counts.of_order(order).filter(|&count| count > 0).count() as u64)
            .sum()
    }

    /// The discounts of n-grams of `order` (1 to [`order`](Self::order)) whose count is 1, 2, and 3 or more.
    ///
    /// Let nᵣ be the number of n-grams counted r times and Y = n₁ / (n₁ + 2 n₂). The discounts are 1 − 2 Y n₂/n₁,
    /// 2 − 3 Y n₃/n₂ and 3 − 4 Y n₄/n₃ (Chen & Goodman 1999, equation 26). If the text is so small that one of them is
    /// invalid, all three are Y (Ney, Essen & Kneser 1994); if Y is invalid too, they are ½.
    #[must_use]
    pub fn discounts(&self, order: usize) -> [f64; 3] {
        self.discounts[order].of_1_2_3()
    }

    /// The probability, by token id, of every token after `document_so_far`, which does not include the start token.
    /// The probabilities sum to one.
    ///
    /// # Errors
    /// If a token is outside the vocabulary.
    pub fn distribution(&self, document_so_far: &[TokenId]) -> Result<Vec<f64>, ModelError> {
        let context = self.context_after(document_so_far)?;
        let mut logs = vec![0.0_f64; self.vocab_size()];
        self.predictions().fill(&self.counts, context, &mut logs);
        Ok(logs.into_iter().map(f64::exp).collect())
    }

    /// Mean negative natural-log probability of the tokens of `documents`; 0 if there are none.
    ///
    /// # Errors
    /// If a token is outside the vocabulary.
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

    fn ranks(&self) -> &Ranks {
        self.ranks.get_or_init(|| Ranks::new(&self.counts, self.predictions()))
    }

    fn context_after(&self, document_so_far: &[TokenId]) -> Result<ContextNode, ModelError> {
        check_tokens(document_so_far, self.vocab_size())?;
        let mut context = self.counts.context_of_start(self.special.start);
        for &token in document_so_far {
            context = self.counts.context_after(self.counts.find(context, token));
        }
        Ok(context)
    }

    /// Calls `step` for every token of a document, with the token's context and the token. `step` returns the context
    /// of the next token.
    fn walk(&self, document: &[TokenId], mut step: impl FnMut(ContextNode, TokenId) -> ContextNode) {
        let mut context = self.counts.context_of_start(self.special.start);
        for &token in document {
            context = step(context, token);
        }
    }

    /// Calls `compute` for every token of `documents` and returns the results. The arguments are the log-probabilities
    /// of all tokens of the vocabulary, which `compute` may overwrite; the part of the document before the token; the
    /// token; and the index of the token among all tokens of `documents`.
    fn map_predictions<'a, T>(
        &self,
        documents: impl Iterator<Item = &'a [TokenId]>,
        mut compute: impl FnMut(&mut [f32], &[TokenId], TokenId, usize) -> T,
    ) -> Vec<T> {
        let predictions = self.predictions();
        let mut logits = vec![0f32; self.vocab_size()];
        let mut all = Vec::new();
        for document in documents {
            let mut before = 0;
            self.walk(document, |context, token| {
                predictions.fill(&self.counts, context, &mut logits);
                all.push(compute(&mut logits, &document[..before], token, all.len()));
                before += 1;
                predictions.score(&self.counts, context, token).1
            });
        }
        all
    }

    /// Calls `compute` with ranges of document indices, in parallel. Returns the results in the order of the documents.
    fn map_tasks<T: Send>(
        &self,
        documents: &Documents,
        stage: &Stage,
        compute: impl Fn(Range<usize>) -> Vec<T> + Sync,
    ) -> Result<Vec<T>, ModelError> {
        check_tokens(documents.flat(), self.vocab_size())?;
        let parts: Vec<Vec<T>> = tasks(documents.len())
            .map(|range| {
                if stage.interrupted() {
                    return Err(ModelError::Interrupted);
                }
                let part = compute(range);
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
        let scores = self.map_tasks(documents, stage, |range| {
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
        Ok(Scores { log_probabilities, entropies, ..Scores::default() })
    }

    fn score_decoded(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        stage: &Stage,
    ) -> Result<Vec<f32>, ModelError> {
        self.map_tasks(documents, stage, |range| {
            let mut sampler = Sampler::new(decoding);
            self.map_predictions(range.map(|index| documents.get(index)), |logits, so_far, token, _| {
                sampler.log_probability(logits, so_far, token)
            })
        })
    }

    fn redraw(
        &self,
        documents: &Documents,
        decoding: &SamplingSettings,
        uniforms: &[f64],
        stage: &Stage,
    ) -> Result<Vec<Redrawn>, ModelError> {
        let starts = documents.starts();
        self.map_tasks(documents, stage, |range| {
            let mut sampler = Sampler::new(decoding);
            let first = starts[range.start];
            self.map_predictions(range.map(|index| documents.get(index)), |logits, so_far, token, index| {
                let log_probability = logits[token as usize];
                let uniform = uniforms[first + index];
                Redrawn { log_probability, token: sampler.draw_at(logits, so_far, uniform) }
            })
        })
    }

    fn generate(&self, request: &GenerateRequest, stage: &Stage) -> Result<Documents, ModelError> {
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

/// Splits the indices of `documents` documents into ranges, one for each parallel task.
fn tasks(documents: usize) -> impl IndexedParallelIterator<Item = Range<usize>> {
    (0..documents.div_ceil(DOCUMENTS_PER_TASK)).into_par_iter().map(move |task| {
        let start = task * DOCUMENTS_PER_TASK;
        start..documents.min(start + DOCUMENTS_PER_TASK)
    })
}
