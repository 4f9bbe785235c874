//! *Rephrase*: the model rewrites spans of a natural document, with the text on both sides of a span as its context.
//!
//! The share `fidelity` of a document's tokens is kept, in randomly chosen spans of `span_tokens` tokens. The model
//! fills the gaps between them from left to right:
//!
//! | gap | action | prompt | end of the filling |
//! |---|---|---|---|
//! | at most `view_tokens` long | infill | prefix sentinel, the last `view_tokens` written, suffix sentinel, up to `view_tokens` of the next kept span, middle sentinel | an end-of-text token, or the length of the gap |
//! | longer | extend | the last `2 · view_tokens` written | when the rest of the gap is `view_tokens` long; that is infilled |
//! | without a kept span after it | finish | the last `2 · view_tokens` written | an end-of-text token, or `max_document_tokens` |
//!
//! If the source document has at most `max_document_tokens` tokens, the rewriting is cut at this length. If the source
//! is longer, all of its kept spans are copied, however long the rewriting becomes.
//!
//! The model learns infilling during training if `training.fim_share` is positive (fill-in-the-middle, Bavarian et al.
//! 2022, in the order prefix, suffix, middle). It never reads the original text of a gap, so a rewritten document
//! shares only the kept spans with its source. With a fidelity of 1 the result is a copy. With 0 there is a single gap
//! without context, and the result is the same as with [textbook](super::Textbook), token for token.
//!
//! **Pitfall.** An n-gram model cannot infill, because it reads only the text to the left of a gap.

use crate::decoding::DecodingStrategy;
use crate::documents::{Documents, TokenId};
use crate::model::{GenerateRequest, LanguageModel};
use crate::seed::{Stream, StreamKey, streams};
use crate::settings::SettingError;
use crate::stage::Stage;
use crate::synthesis::method::{
    Draft, Generator, GeneratorContext, GeneratorResult, MethodContext, MethodProperties, SynthesisMethod,
    TokenChoice,
};
use crate::synthesis::sources::{Rotation, longest_rewriting};
use crate::synthesis::{SynthesisError, without_sentinels};
use crate::tokenizer::Sentinels;
use crate::units::Tokens;
use rand::Rng;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ops::Range;
use toml::{Table, Value};

/// The model rewrites spans of a natural document, with the text on both sides of a span as its context.
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
    /// Tokens in view on each side of a gap; at most a quarter of `model.context` less 2. That or 64, whichever is
    /// less, if left out.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub view_tokens: usize,
}

/// Largest `view_tokens`. With it, two views and three sentinels fill at most half the context; the model writes in the
/// other half.
fn widest_view(context: &MethodContext) -> usize {
    const WIDEST: usize = 1 << 20;
    context.model.context_tokens().map_or(WIDEST, |context| (context / 4).saturating_sub(2).max(1))
}

impl SynthesisMethod for Rephrase {
    fn name() -> &'static str {
        "rephrase"
    }

    fn token_choice() -> TokenChoice {
        TokenChoice::Decoder
    }

    fn complete(table: &mut Table, context: &MethodContext) {
        let integer = |tokens: usize| Value::Integer(i64::try_from(tokens).unwrap_or(i64::MAX));
        let view = table.entry("view_tokens").or_insert_with(|| integer(widest_view(context).min(64)));
        let view = match view {
            Value::Float(view) => *view as i64,
            view => view.as_integer().unwrap_or(1),
        };
        // Kept spans are as long as the average middle that a model fills in during training: half a view.
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
        if fills_gaps && !context.model.can_fill_gaps() {
            let message = "an n-gram model reads only the left side of a gap and cannot rephrase; use a transformer, or method = \"token-edit\"";
            return Err(SettingError::new("method", message));
        }
        if fills_gaps && context.training.fim_share == 0.0 {
            let message = "\"rephrase\" fills gaps, which the model does not learn with training.fim_share = 0; set it to 0.5, for example";
            return Err(SettingError::new("method", message));
        }
        Ok(())
    }

    fn generator<'a>(&'a self, context: GeneratorContext<'a>) -> GeneratorResult<'a> {
        Ok(Box::new(Rewriter {
            model: context.model,
            decoding: context.decoding,
            max_document_tokens: context.max_document_tokens,
            fidelity: self.fidelity,
            span_tokens: self.span_tokens,
            view: View { tokens: self.view_tokens, sentinels: context.sentinels() },
            end: context.end(),
            spans: context.key.at(streams::SPANS),
            sources: Rotation::new(context.sources.natural, context.candidates, context.key)?,
        }))
    }

    fn properties(&self) -> MethodProperties {
        MethodProperties {
            rewrites_documents: self.fidelity > 0.0,
            prompt_tokens: 0,
            candidates_differ_only_by_sampling: false,
            reads_previous: false,
        }
    }
}

/// Generates documents by rewriting spans of natural ones.
struct Rewriter<'a> {
    model: &'a dyn LanguageModel,
    decoding: &'a DecodingStrategy,
    max_document_tokens: usize,
    fidelity: f64,
    span_tokens: usize,
    view: View,
    end: TokenId,
    sources: Rotation<'a>,
    spans: StreamKey,
}

/// The context that the model sees around a gap.
#[derive(Clone, Copy)]
struct View {
    /// Tokens on each side.
    tokens: usize,
    /// `None` if the tokenizer has no sentinels. Then no gap is infilled.
    sentinels: Option<Sentinels>,
}

/// Difference between the stream numbers of a document in successive passes. Larger than the number of documents.
const PASS_STRIDE: u64 = 1 << 40;

impl Rewriter<'_> {
    /// Makes one request to the model for each unfinished document. `pass` counts the calls, from 0.
    fn fill(&self, open: &mut [Rewriting], pass: u64, stage: &Stage) -> Result<(), SynthesisError> {
        // The actions are determined before any request, so that each document takes at most one action per pass. Its
        // next action needs another random stream.
        let actions: Vec<Option<GapAction>> = open.iter().map(|one| one.next(self.view.tokens)).collect();
        for action in [GapAction::Finish, GapAction::Extend, GapAction::Infill] {
            let takes_action = |(one, next): (_, &Option<GapAction>)| (*next == Some(action)).then_some(one);
            let mut batch: Vec<&mut Rewriting> =
                open.iter_mut().zip(&actions).filter_map(takes_action).collect();
            if batch.is_empty() {
                continue;
            }
            let items: Vec<u64> = batch.iter().map(|one| one.item + pass * PASS_STRIDE).collect();
            let mut prompts = Documents::new();
            batch.iter().for_each(|one| prompts.push(&one.prompt(action, self.view)));
            let request = GenerateRequest {
                prompts: &prompts,
                max_document_tokens: match action {
                    GapAction::Finish => self.max_document_tokens,
                    GapAction::Extend => self.view.tokens,
                    GapAction::Infill => 2 * self.view.tokens,
                },
                decoding: self.decoding,
                item: &|index| items[index],
            };
            let written = without_sentinels(self.model.generate(&request, stage)?, self.view.sentinels);
            for (one, text) in batch.iter_mut().zip(written.iter()) {
                one.insert(action, text, self.view.tokens, self.end);
            }
        }
        Ok(())
    }
}

impl Generator for Rewriter<'_> {
    fn generate(&self, items: &[u64], stage: &Stage) -> Result<Draft, SynthesisError> {
        let max_tokens = self.max_document_tokens;
        let sources = self.sources.of_first(items, max_tokens);
        let mut rewritings: Vec<Rewriting> = items
            .iter()
            .zip(sources)
            .map(|(&item, source)| {
                let is_kept = self.choose_kept(source, &mut self.spans.stream(item));
                Rewriting::new(item, source, &is_kept, longest_rewriting(source, max_tokens))
            })
            .collect();
        for pass in 0.. {
            if rewritings.iter().all(|one| one.next(self.view.tokens).is_none()) {
                break;
            }
            self.fill(&mut rewritings, pass, stage)?;
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
    /// Chooses the tokens of a document to keep: the share `fidelity`, rounded to the nearest token, in spans. The
    /// end-of-text token is kept if the token before it is kept.
    fn choose_kept(&self, source: &[TokenId], stream: &mut Stream) -> Vec<bool> {
        let body = source.len() - usize::from(source.last() == Some(&self.end));
        let mut left = (self.fidelity * body as f64).round() as usize;
        let offset = stream.random_range(0..self.span_tokens as u64) as usize;
        let mut spans: Vec<Range<usize>> = std::iter::once(0..offset.min(body))
            .chain((offset..body).step_by(self.span_tokens).map(|at| at..body.min(at + self.span_tokens)))
            .collect();
        spans.shuffle(stream);
        let mut is_kept = vec![false; source.len()];
        for span in spans {
            let kept = span.len().min(left);
            is_kept[span][..kept].fill(true);
            left -= kept;
        }
        if body < source.len() {
            is_kept[body] = if body == 0 { self.fidelity > 0.0 } else { is_kept[body - 1] };
        }
        is_kept
    }
}

/// Part of a source document.
#[derive(Clone, Debug, PartialEq)]
enum Segment<'a> {
    /// Tokens to copy.
    Kept(&'a [TokenId]),
    /// Number of tokens to rewrite.
    Gap(usize),
}

/// The action of the model on the next gap of a document; see the table of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GapAction {
    /// Write to the end of the document.
    Finish,
    /// Write from left to right, because the next kept span is outside the view.
    Extend,
    /// Fill the rest of the gap with both sides as context.
    Infill,
}

/// A document that is being rewritten.
#[derive(Debug)]
struct Rewriting<'a> {
    item: u64,
    /// The rest of the source document after `text`: alternating gaps and kept spans, beginning with a gap. Empty when
    /// the document is finished.
    segments: VecDeque<Segment<'a>>,
    /// The document so far, at most `longest` tokens.
    text: Vec<TokenId>,
    /// Tokens of `text` copied from the source.
    kept: usize,
    longest: usize,
}

impl<'a> Rewriting<'a> {
    fn new(item: u64, source: &'a [TokenId], is_kept: &[bool], longest: usize) -> Self {
        let mut segments = VecDeque::new();
        let mut start = 0;
        for run in is_kept.chunk_by(|a, b| a == b) {
            let tokens = &source[start..start + run.len()];
            segments.push_back(if run[0] { Segment::Kept(tokens) } else { Segment::Gap(tokens.len()) });
            start += run.len();
        }
        let mut rewriting = Self { item, segments, text: Vec::new(), kept: 0, longest };
        rewriting.copy_kept();
        rewriting
    }

    /// Copies kept tokens up to the next gap.
    fn copy_kept(&mut self) {
        while let Some(&Segment::Kept(tokens)) = self.segments.front() {
            let room = self.longest.saturating_sub(self.text.len()).min(tokens.len());
            self.text.extend_from_slice(&tokens[..room]);
            self.kept += room;
            self.segments.pop_front();
        }
        if self.text.len() >= self.longest {
            self.segments.clear();
        }
    }

    /// The next action; `None` for a finished document.
    fn next(&self, view: usize) -> Option<GapAction> {
        let gap = self.segments.iter().find_map(|segment| match segment {
            Segment::Gap(tokens) => Some(*tokens),
            Segment::Kept(_) => None,
        })?;
        Some(match self.segments.len() {
            1 => GapAction::Finish,
            _ if gap > view => GapAction::Extend,
            _ => GapAction::Infill,
        })
    }

    /// The model's prompt for an action.
    fn prompt(&self, action: GapAction, view: View) -> Vec<TokenId> {
        let last = |tokens: usize| &self.text[self.text.len().saturating_sub(tokens)..];
        match (action, view.sentinels, self.segments.get(1)) {
            (GapAction::Infill, Some(sentinels), Some(Segment::Kept(after))) => {
                let after = &after[..after.len().min(view.tokens)];
                let Sentinels { prefix, suffix, middle } = sentinels;
                [&[prefix], last(view.tokens), &[suffix], after, &[middle]].concat()
            }
            _ => last(2 * view.tokens).to_vec(),
        }
    }

    /// Appends the text that the model wrote for an action, and the kept tokens that follow it.
    fn insert(&mut self, action: GapAction, written: &[TokenId], view: usize, end: TokenId) {
        let has_ended = written.last() == Some(&end);
        let body = &written[..written.len() - usize::from(has_ended)];
        let Some(Segment::Gap(gap)) = self.segments.pop_front() else { return };
        match action {
            GapAction::Finish => self.text.extend_from_slice(written),
            GapAction::Extend => {
                let filled = &body[..body.len().min(gap - view)];
                self.text.extend_from_slice(filled);
                // If the model ended the document here, shorten the gap so that the next action infills it.
                let left = gap - filled.len();
                self.segments.push_front(Segment::Gap(if has_ended { left.min(view) } else { left }));
            }
            GapAction::Infill => {
                let filled = if has_ended { body } else { &body[..body.len().min(gap)] };
                self.text.extend_from_slice(filled);
            }
        }
        if self.text.len() >= self.longest {
            self.text.truncate(self.longest);
            self.segments.clear();
        }
        self.copy_kept();
    }
}
