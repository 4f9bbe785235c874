//! Writing of documents.
//!
//! Sampling without truncation or temperature does not need the distribution. At context h, it draws a uniform number
//! in [0, a(h·)). This interval is divided among the followers w of h: each has a part of length a(hw), of which the
//! last D(a(hw)) is the discount. If the number falls on the undiscounted part of w, w is the token; this happens with
//! probability (a(hw) − D) / a(h·). If it falls on a discount, which happens with probability γ(h), sampling continues
//! at h′. This takes one uniform number and one binary search per order visited.
//!
//! Top-k or top-p alone draws in the same way until the token is one of those that are kept: fewer than k tokens come before
//! it, or tokens of a probability below p ([`ranks`](super::ranks)). What is drawn is distributed like the tokens that are
//! kept. After many draws in vain, and with all other decoders, the distribution over the vocabulary is computed. Beam search
//! computes one for each beam.

use super::counts::{ContextNode, NgramNode};
use super::ranks::Before;
use super::{ModelError, Ngram};
use crate::decoding::{BeamSearchSettings, DecodingStrategy, SamplingSettings};
use crate::decoding::{Sampler, beam};
use crate::documents::{Documents, TokenId};
use crate::model::GenerateRequest;
use crate::seed::Stream;
use crate::stage::Stage;
use rand::Rng;
use std::ops::Range;

/// Number of draws after which the distribution is computed instead. It takes as long as about this number of draws.
const MOST_DRAWS: usize = 64;

/// The tokens that a truncation keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kept {
    All,
    /// The k most probable ones.
    TopK(usize),
    /// The fewest tokens, most probable first, whose probabilities sum to at least p.
    TopP(f64),
}

impl Kept {
    /// What `decoding` keeps of the model's own probabilities; `None` if it changes them, or keeps tokens by another rule.
    fn of(decoding: &SamplingSettings) -> Option<Self> {
        let with = |top_k, top_p| SamplingSettings { top_k, top_p, ..decoding.clone() };
        let is_plain_but_for_it = with(None, None).is_plain();
        match (decoding.top_k, decoding.top_p) {
            _ if decoding.is_plain() => Some(Self::All),
            (Some(k), None) if is_plain_but_for_it => Some(Self::TopK(k)),
            (None, Some(p)) if is_plain_but_for_it => Some(Self::TopP(p)),
            _ => None,
        }
    }

    /// Whether a token is kept, given those before it in the order of descending probability.
    fn has(self, before: Before) -> bool {
        match self {
            Self::All => true,
            Self::TopK(k) => before.tokens < k as i64,
            Self::TopP(p) => before.tokens == 0 || before.mass < p,
        }
    }
}

impl Ngram {
    /// Writes the documents of the request whose indices are in `range`.
    pub(super) fn write(
        &self,
        request: &GenerateRequest,
        range: Range<usize>,
        stage: &Stage,
    ) -> Result<Documents, ModelError> {
        match request.decoding {
            DecodingStrategy::TokenByToken(decoding) => self.sample(request, decoding, range, stage),
            DecodingStrategy::Beam(beam) => {
                let written = range.map(|index| self.search(request, *beam, index));
                let written = written.collect::<Result<Vec<_>, _>>()?;
                Ok(written.iter().map(Vec::as_slice).collect())
            }
            DecodingStrategy::Contrastive(_) => Err(ModelError::NoHiddenStates),
        }
    }

    fn sample(
        &self,
        request: &GenerateRequest,
        decoding: &SamplingSettings,
        range: Range<usize>,
        stage: &Stage,
    ) -> Result<Documents, ModelError> {
        let kept = Kept::of(decoding);
        let mut sampler = Sampler::new(decoding);
        let mut logits = Vec::new();
        let mut documents = Documents::new();
        let mut text = Vec::new();
        for index in range {
            let mut rng = stage.stream((request.item)(index));
            let prompt = request.prompts.get(index);
            let mut context = self.context_after(prompt)?;
            text.clear();
            text.extend_from_slice(prompt);
            for _ in 0..request.max_document_tokens {
                let drawn = kept.and_then(|kept| self.draw_kept(context, kept, &mut rng));
                let (token, found) = drawn.unwrap_or_else(|| {
                    logits.resize(self.vocab_size(), 0.0_f32);
                    self.predictions().fill(&self.counts, context, &mut logits);
                    let token = sampler.draw(&mut logits, &text, &mut rng);
                    (token, self.counts.find(context, token))
                });
                text.push(token);
                if token == self.special.end {
                    break;
                }
                context = self.counts.context_after(found);
            }
            documents.push(&text[prompt.len()..]);
        }
        Ok(documents)
    }

    /// Writes document `index` of the request by beam search.
    fn search(
        &self,
        request: &GenerateRequest,
        beam: BeamSearchSettings,
        index: usize,
    ) -> Result<Vec<TokenId>, ModelError> {
        let mut search = beam::Search::new(beam, self.special.end, request.max_document_tokens);
        let mut contexts = vec![self.context_after(request.prompts.get(index))?];
        let mut logits = Vec::new();
        while !contexts.is_empty() {
            logits.resize(contexts.len() * self.vocab_size(), 0.0_f32);
            for (&context, row) in contexts.iter().zip(logits.chunks_exact_mut(self.vocab_size())) {
                self.predictions().fill(&self.counts, context, row);
            }
            let after = |growth: &beam::Growth| self.counts.find(contexts[growth.parent], growth.token);
            let grown = search.grow(&mut logits);
            contexts = grown.iter().map(|growth| self.counts.context_after(after(growth))).collect();
        }
        Ok(search.into_best())
    }

    /// Draws a token that is kept, or returns `None` after [`MOST_DRAWS`] draws in vain.
    fn draw_kept(&self, context: ContextNode, kept: Kept, rng: &mut Stream) -> Option<(TokenId, NgramNode)> {
        if matches!(kept, Kept::All) {
            return Some(self.draw(context, rng));
        }
        let (ranks, predictions) = (self.ranks(), self.predictions());
        (0..MOST_DRAWS)
            .map(|_| self.draw(context, rng))
            .find(|&(token, found)| kept.has(ranks.before(&self.counts, predictions, context, found, token)))
    }

    /// Draws a token from the prediction after `context`. Returns it with the longest n-gram seen that is a suffix of
    /// `context` followed by the token.
    fn draw(&self, context: ContextNode, rng: &mut Stream) -> (TokenId, NgramNode) {
        let mut reached = context;
        let (token, node) = loop {
            if let Some(drawn) = self.draw_follower(reached, rng) {
                break drawn;
            }
            if reached.length == 0 {
                let token = rng.random_range(0..self.vocab_size() as TokenId);
                break (token, token);
            }
            reached = self.counts.shorter(reached);
        };
        // The token may have been drawn at a shorter context although it also follows a longer one.
        let mut longer = context;
        while longer.length > reached.length {
            if let Some(node) = self.counts.follower(longer, token) {
                return (token, NgramNode { order: longer.length + 1, node });
            }
            longer = self.counts.shorter(longer);
        }
        (token, NgramNode { order: reached.length + 1, node })
    }

    /// Draws a follower of `context` by the discounted counts. Returns the token and its node, or `None` if the draw
    /// falls on a discount.
    fn draw_follower(&self, context: ContextNode, rng: &mut Stream) -> Option<(TokenId, u32)> {
        let level = &self.counts.levels[context.length + 1];
        let range = self.counts.levels[context.length].children_of(context.node as usize);
        let base = level.cumulative[range.start];
        let total = level.cumulative[range.end] - base;
        if total == 0 {
            return None;
        }
        let drawn = rng.random::<f64>() * f64::from(total);
        // By rounding, `drawn` may equal the total.
        let whole = base + (drawn as u32).min(total - 1);
        let node =
            range.start + level.cumulative[range.start + 1..=range.end].partition_point(|&end| end <= whole);
        let count = level.count(node);
        let within = drawn - f64::from(level.cumulative[node] - base);
        let kept = f64::from(count) - self.discounts[context.length + 1].of(count);
        (within < kept).then(|| (level.tokens[node], node as u32))
    }
}
