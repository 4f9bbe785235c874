//! *Rephrase*: a natural document, spans of which are written anew with both sides in view.
//!
//! Of a document's tokens the share `fidelity` stays: spans of `span_tokens`, chosen at random. What lies between them
//! are gaps, and the model fills them from the first to the last:
//!
//! | gap | what the model reads | how it ends |
//! |---|---|---|
//! | up to `view_tokens` long | prefix sentinel, the last `view_tokens` written, suffix sentinel, the next tokens that stay (up to `view_tokens`), middle sentinel | with an end-of-text token, or as long as what was there |
//! | longer | what was written last; it goes on from there, until what is left to fill is `view_tokens` long | as above |
//! | nothing that stays comes after it | what was written last | as the model ends documents |
//!
//! The first is fill-in-the-middle, which the model has learnt with `training.fim_share` (Bavarian et al. 2022; the order
//! is prefix, suffix, middle). Nothing of a gap's own text is ever read: what stays is all that a rewritten document has
//! of its source. With a fidelity of 1 it is a copy. With 0 there is one gap without anything before or after it, which
//! is [textbook](super::textbook), token for token.

use super::method::{
    Draft, DrawnTokens, Generator, GeneratorContext, GeneratorResult, MethodContext, SynthesisMethod,
};
use super::settings::SynthesisSettings;
use super::sources::Rotation;
use super::{SynthesisError, without_sentinels};
use crate::documents::{Documents, TokenId};
use crate::model::{GenerateRequest, LanguageModel};
use crate::seed::{Stream, StreamKey, streams};
use crate::settings::SettingError;
use crate::stage::Stage;
use crate::tokenizer::Sentinels;
use crate::units::Tokens;
use rand::Rng;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ops::Range;
use toml::{Table, Value};

/// Spans of a natural document are written again with both sides in view.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rephrase {
    /// Share of a document's tokens that is kept: 1 is a copy, 0 is textbook.
    #[schemars(
        range(min = 0.0, max = 1.0),
        extend("x-hint" = "give the share of a document that is kept, from 0 (textbook) to 1 (a copy)")
    )]
    pub fidelity: f64,
    /// Tokens of a kept span. Half of `view_tokens` if left out.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub span_tokens: usize,
    /// Tokens in view on each side of a gap; at most a quarter of `model.context` less 2. That or 64, whichever is less, if
    /// left out.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub view_tokens: usize,
}

/// Two views and three sentinels take half the context at most; the other half is to write in.
fn widest_view(context: &MethodContext) -> usize {
    const WIDEST: usize = 1 << 20;
    context.model.context_tokens().map_or(WIDEST, |context| (context / 4).saturating_sub(2).max(1))
}

impl SynthesisMethod for Rephrase {
    fn name() -> &'static str {
        "rephrase"
    }

    fn complete(table: &mut Table, context: &MethodContext) {
        let integer = |tokens: usize| Value::Integer(i64::try_from(tokens).unwrap_or(i64::MAX));
        let view = table.entry("view_tokens").or_insert_with(|| integer(widest_view(context).min(64)));
        let view = match view {
            Value::Float(view) => *view as i64,
            view => view.as_integer().unwrap_or(1),
        };
        // What a model fills in is half a view long on average.
        table.entry("span_tokens").or_insert(Value::Integer((view / 2).max(1)));
    }

    fn check(&self, context: &MethodContext) -> Result<(), SettingError> {
        let widest = widest_view(context);
        if self.view_tokens > widest {
            let message =
                format!("{} is out of range; give a whole number from 1 to {widest}", self.view_tokens);
            return Err(SettingError::new("view_tokens", message));
        }
        let fills_gaps = self.fidelity > 0.0 && self.fidelity < 1.0;
        if fills_gaps && !context.model.sees_both_sides() {
            let message = "an n-gram model sees only the left side of a gap and cannot rephrase; use a transformer, or method = \"token-edit\"";
            return Err(SettingError::new("method", message));
        }
        if fills_gaps && context.training.fim_share == 0.0 {
            let message = "\"rephrase\" fills gaps, which the model never learns with training.fim_share = 0; set it to 0.5, for example";
            return Err(SettingError::new("method", message));
        }
        Ok(())
    }

    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        Ok(Box::new(Rewriter {
            model: context.model,
            synthesis: context.synthesis,
            fidelity: self.fidelity,
            span_tokens: self.span_tokens,
            view: View { tokens: self.view_tokens, sentinels: context.sentinels() },
            end: context.end(),
            spans: context.key.at(streams::SPANS),
            sources: Rotation::new(context.sources.natural, context.candidates(), context.key)?,
        }))
    }

    fn drawn_tokens(&self) -> DrawnTokens {
        if self.fidelity > 0.0 { DrawnTokens::Some } else { DrawnTokens::All }
    }

    fn rewrites_documents(&self) -> bool {
        self.fidelity > 0.0
    }
}

/// A model that rewrites documents.
struct Rewriter<'a> {
    model: &'a dyn LanguageModel,
    synthesis: &'a SynthesisSettings,
    fidelity: f64,
    span_tokens: usize,
    view: View,
    end: TokenId,
    sources: Rotation<'a>,
    spans: StreamKey,
}

/// How much is in view, and what marks it.
#[derive(Clone, Copy)]
struct View {
    tokens: usize,
    /// None where a model never fills a gap that has two sides.
    sentinels: Option<Sentinels>,
}

/// Streams of one round of filling lie so far apart: more than there are documents.
const ROUND: u64 = 1 << 40;

impl Rewriter<'_> {
    /// One step of everything that is open. `round` names its random streams.
    fn fill(&self, open: &mut [Rewriting], round: u64, stage: &Stage) -> Result<(), SynthesisError> {
        let longest = self.synthesis.max_document_tokens;
        // A document takes one step a round: the next one needs random streams of its own.
        let steps: Vec<Option<Step>> = open.iter().map(|one| one.next(self.view.tokens)).collect();
        for step in [Step::Ending, Step::Forward, Step::Bridge] {
            let takes_it = |(one, next): (_, &Option<Step>)| (*next == Some(step)).then_some(one);
            let mut these: Vec<&mut Rewriting> = open.iter_mut().zip(&steps).filter_map(takes_it).collect();
            if these.is_empty() {
                continue;
            }
            let items: Vec<u64> = these.iter().map(|one| one.item + round * ROUND).collect();
            let mut prompts = Documents::new();
            these.iter().for_each(|one| prompts.push(&one.prompt(step, self.view)));
            let request = GenerateRequest {
                prompts: &prompts,
                max_document_tokens: match step {
                    Step::Ending => longest,
                    Step::Forward => self.view.tokens,
                    Step::Bridge => 2 * self.view.tokens,
                },
                decoding: &self.synthesis.decoding,
                item: &|index| items[index],
            };
            let written = without_sentinels(self.model.generate(&request, stage)?, self.view.sentinels);
            for (one, text) in these.iter_mut().zip(written.iter()) {
                one.take(step, text, self.view.tokens, self.end);
            }
        }
        Ok(())
    }
}

impl Generator for Rewriter<'_> {
    fn generate(&self, items: Range<u64>, stage: &Stage) -> Result<Draft, SynthesisError> {
        let longest = self.synthesis.max_document_tokens;
        let sources = self.sources.of(items.clone());
        let mut rewritings: Vec<Rewriting> = items
            .zip(sources)
            .map(|(item, source)| {
                let stays = self.stays(source, &mut self.spans.stream(item));
                Rewriting::new(item, source, &stays, longest)
            })
            .collect();
        for round in 0.. {
            if rewritings.iter().all(|one| one.next(self.view.tokens).is_none()) {
                break;
            }
            self.fill(&mut rewritings, round, stage)?;
        }
        let kept = rewritings.iter().map(|one| one.kept as u64).sum();
        let documents = rewritings.iter().map(|one| one.text.as_slice()).collect();
        Ok(Draft { documents, kept: Some(Tokens(kept)) })
    }

    fn source(&self) -> String {
        format!(
            "train split, fidelity {}, spans of {} tokens, {} in view on each side of a gap",
            self.fidelity, self.span_tokens, self.view.tokens
        )
    }
}

impl Rewriter<'_> {
    /// Which tokens of a document stay: the share `fidelity`, to the nearest token, in spans. The token that ends the
    /// document stays if the one before it does.
    fn stays(&self, source: &[TokenId], stream: &mut Stream) -> Vec<bool> {
        let body = source.len() - usize::from(source.last() == Some(&self.end));
        let mut left = (self.fidelity * body as f64).round() as usize;
        let offset = stream.random_range(0..self.span_tokens as u64) as usize;
        let mut spans: Vec<Range<usize>> = std::iter::once(0..offset.min(body))
            .chain((offset..body).step_by(self.span_tokens).map(|at| at..body.min(at + self.span_tokens)))
            .collect();
        spans.shuffle(stream);
        let mut stays = vec![false; source.len()];
        for span in spans {
            let kept = span.len().min(left);
            stays[span][..kept].fill(true);
            left -= kept;
        }
        if body < source.len() {
            stays[body] = if body == 0 { self.fidelity > 0.0 } else { stays[body - 1] };
        }
        stays
    }
}

/// Part of a document.
#[derive(Clone, Debug, PartialEq)]
enum Piece<'a> {
    /// It stays.
    Kept(&'a [TokenId]),
    /// So many tokens are to be written anew.
    Gap(usize),
}

/// What can be done next for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Write to the end of the document.
    Ending,
    /// Write on; what stays is still far.
    Forward,
    /// Fill what is left of a gap.
    Bridge,
}

/// A document that is being rewritten.
#[derive(Debug)]
struct Rewriting<'a> {
    item: u64,
    pieces: VecDeque<Piece<'a>>,
    text: Vec<TokenId>,
    /// Tokens of the text that stand as in the source.
    kept: usize,
    longest: usize,
}

impl<'a> Rewriting<'a> {
    fn new(item: u64, source: &'a [TokenId], stays: &[bool], longest: usize) -> Self {
        let mut pieces = VecDeque::new();
        let mut start = 0;
        for run in stays.chunk_by(|a, b| a == b) {
            let tokens = &source[start..start + run.len()];
            pieces.push_back(if run[0] { Piece::Kept(tokens) } else { Piece::Gap(tokens.len()) });
            start += run.len();
        }
        let mut rewriting = Self { item, pieces, text: Vec::new(), kept: 0, longest };
        rewriting.copy();
        rewriting
    }

    /// Copies what stays, up to the next gap.
    fn copy(&mut self) {
        while let Some(&Piece::Kept(tokens)) = self.pieces.front() {
            let room = self.longest.saturating_sub(self.text.len()).min(tokens.len());
            self.text.extend_from_slice(&tokens[..room]);
            self.kept += room;
            self.pieces.pop_front();
        }
        if self.text.len() >= self.longest {
            self.pieces.clear();
        }
    }

    /// What is to be done; nothing for a document that is finished.
    fn next(&self, view: usize) -> Option<Step> {
        let gap = self.pieces.iter().find_map(|piece| match piece {
            Piece::Gap(tokens) => Some(*tokens),
            Piece::Kept(_) => None,
        })?;
        Some(match self.pieces.len() {
            1 => Step::Ending,
            _ if gap > view => Step::Forward,
            _ => Step::Bridge,
        })
    }

    /// What the model reads for it.
    fn prompt(&self, step: Step, view: View) -> Vec<TokenId> {
        let last = |tokens: usize| &self.text[self.text.len().saturating_sub(tokens)..];
        match (step, view.sentinels, self.pieces.get(1)) {
            (Step::Bridge, Some(sentinels), Some(Piece::Kept(after))) => {
                let after = &after[..after.len().min(view.tokens)];
                let Sentinels { prefix, suffix, middle } = sentinels;
                [&[prefix], last(view.tokens), &[suffix], after, &[middle]].concat()
            }
            _ => last(2 * view.tokens).to_vec(),
        }
    }

    /// Takes on what the model wrote.
    fn take(&mut self, step: Step, written: &[TokenId], view: usize, end: TokenId) {
        let has_ended = written.last() == Some(&end);
        let body = &written[..written.len() - usize::from(has_ended)];
        let Some(Piece::Gap(gap)) = self.pieces.pop_front() else { return };
        match step {
            Step::Ending => self.text.extend_from_slice(written),
            Step::Forward => {
                let filled = &body[..body.len().min(gap - view)];
                self.text.extend_from_slice(filled);
                // A model that would end here is brought to what stays.
                let left = gap - filled.len();
                self.pieces.push_front(Piece::Gap(if has_ended { left.min(view) } else { left }));
            }
            Step::Bridge => {
                let filled = if has_ended { body } else { &body[..body.len().min(gap)] };
                self.text.extend_from_slice(filled);
            }
        }
        if self.text.len() >= self.longest {
            self.text.truncate(self.longest);
            self.pieces.clear();
        }
        self.copy();
    }
}
