//! Writing documents.
//!
//! Drawing from the prediction as it is needs no distribution. At context h, draw one of the a(h·) counts. It belongs
//! to a follower w, and within its a(hw) counts it is among the D(a(hw)) taken ones, or not. If not, w is the token:
//! that happens with probability (a(hw) − D) / a(h·). Otherwise, with probability γ(h), go on at h′. That is one
//! uniform number and one binary search per order visited. Any other decoding spells the distribution out, and a beam
//! search one for each document that grows.

use super::counts::{Context, Node};
use super::{ModelError, Ngram};
use crate::config::{Beam, Decoding, Strategy};
use crate::decoding::{Sampler, beam, is_plain};
use crate::documents::{Documents, TokenId};
use crate::model::Generate;
use crate::seed::Stream;
use crate::stage::Stage;
use rand::Rng;
use std::ops::Range;

impl Ngram {
    /// Writes the documents of `range` of the request.
    pub(super) fn write(
        &self,
        request: &Generate,
        range: Range<usize>,
        stage: &Stage,
    ) -> Result<Documents, ModelError> {
        match request.decoding {
            Strategy::TokenByToken(decoding) => self.sample(request, decoding, range, stage),
            Strategy::Beam(beam) => {
                let written = range.map(|index| self.search(request, *beam, index));
                let written = written.collect::<Result<Vec<_>, _>>()?;
                Ok(written.iter().map(Vec::as_slice).collect())
            }
            Strategy::Contrastive(_) => Err(ModelError::NoHiddenStates),
        }
    }

    fn sample(
        &self,
        request: &Generate,
        decoding: &Decoding,
        range: Range<usize>,
        stage: &Stage,
    ) -> Result<Documents, ModelError> {
        let plain = is_plain(decoding);
        let mut sampler = Sampler::new(decoding);
        let mut logits = vec![0.0_f32; if plain { 0 } else { self.vocab_size() }];
        let mut documents = Documents::new();
        let mut text = Vec::new();
        for index in range {
            let mut rng = stage.stream((request.item)(index));
            let prompt = request.prompts.get(index);
            let mut context = self.context_after(prompt)?;
            text.clear();
            text.extend_from_slice(prompt);
            for _ in 0..request.max_document_tokens {
                let (token, found) = if plain {
                    self.draw(context, &mut rng)
                } else {
                    self.predictions().fill(&self.counts, context, &mut logits);
                    let token = sampler.draw(&mut logits, &text, &mut rng);
                    (token, self.counts.find(context, token))
                };
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

    /// Document `index` of the request by beam search.
    fn search(&self, request: &Generate, beam: Beam, index: usize) -> Result<Vec<TokenId>, ModelError> {
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

    /// A token from the prediction after `context`, and the longest n-gram seen that it ends.
    fn draw(&self, context: Context, rng: &mut Stream) -> (TokenId, Node) {
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
        // The token may follow one of the longer contexts all the same.
        let mut longer = context;
        while longer.length > reached.length {
            if let Some(node) = self.counts.follower(longer, token) {
                return (token, Node { order: longer.length + 1, node });
            }
            longer = self.counts.shorter(longer);
        }
        (token, Node { order: reached.length + 1, node })
    }

    /// A follower of `context` and its node, by the counts that the discount leaves; none where they are taken.
    fn draw_follower(&self, context: Context, rng: &mut Stream) -> Option<(TokenId, u32)> {
        let level = &self.counts.levels[context.length + 1];
        let range = self.counts.levels[context.length].children_of(context.node as usize);
        let base = level.cumulative[range.start];
        let total = level.cumulative[range.end] - base;
        if total == 0 {
            return None;
        }
        let place = rng.random::<f64>() * f64::from(total);
        // Rounding may take the place to the total itself.
        let whole = base + (place as u32).min(total - 1);
        let node =
            range.start + level.cumulative[range.start + 1..=range.end].partition_point(|&end| end <= whole);
        let count = level.count(node);
        let within = place - f64::from(level.cumulative[node] - base);
        let kept = f64::from(count) - self.discounts[context.length + 1].of(count);
        (within < kept).then(|| (level.tokens[node], node as u32))
    }
}
