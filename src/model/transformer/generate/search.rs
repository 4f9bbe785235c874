//! Writes documents by beam search or by contrastive search, several at a time.
//!
//! The branches of all open documents are read in one step, so that a product has many rows. What is chosen for a
//! document depends on that document only.

use super::branches::Branches;
use super::steppers::TokenStepper;
use super::{Transformer, all_finite};
use crate::decoding::beam::{self, Growth};
use crate::decoding::contrastive::{self, Candidate, Direction};
use crate::decoding::{BeamSearchSettings, ContrastiveSearchSettings};
use crate::documents::TokenId;
use crate::model::{GenerateRequest, ModelError};
use crate::stage::Stage;
use std::ops::Range;

/// A search for one document.
pub trait Search {
    /// Whether [`read`](Self::read) looks at hidden states.
    const READS_STATES: bool;

    /// Takes the hidden states (branches, W) of the token that all branches have just read.
    fn read(&mut self, branches: &Branches, states: &[f32]);

    /// When all tokens have been read: the branches whose predictions are needed to go on; none if the search is over.
    fn wanted(&self) -> Range<usize>;

    /// Takes the predictions (wanted branches, tokens that may be written), and overwrites them. Returns the branches
    /// that go on; the search is over when there is none.
    fn grow(&mut self, logits: &mut [f32]) -> Vec<Growth>;

    /// The document, without its prompt.
    fn into_document(self) -> Vec<TokenId>;
}

/// A beam search.
pub struct BeamSearch {
    search: beam::Search,
    open: usize,
}

impl BeamSearch {
    /// Starts a document of up to `max_tokens` tokens.
    pub fn new(settings: BeamSearchSettings, end: TokenId, max_tokens: usize) -> Self {
        Self { search: beam::Search::new(settings, end, max_tokens), open: 1 }
    }
}

impl Search for BeamSearch {
    const READS_STATES: bool = false;

    fn read(&mut self, _: &Branches, _: &[f32]) {}

    fn wanted(&self) -> Range<usize> {
        0..self.open
    }

    fn grow(&mut self, logits: &mut [f32]) -> Vec<Growth> {
        let grown = self.search.grow(logits);
        self.open = grown.len();
        grown
    }

    fn into_document(self) -> Vec<TokenId> {
        self.search.into_best()
    }
}

/// A contrastive search. A candidate is compared with the tokens in the context. When the context is full, these are
/// the tokens that are read again.
pub struct ContrastiveSearch {
    settings: ContrastiveSearchSettings,
    end: TokenId,
    max_tokens: usize,
    document: Vec<TokenId>,
    /// Directions of the hidden states of the tokens in the context that all branches have in common.
    before: Vec<Direction>,
    /// The possible last tokens, one for each branch; empty at first.
    candidates: Vec<Candidate>,
    /// The direction of the hidden state of each branch at its last token.
    states: Vec<Direction>,
    /// The branch that was chosen.
    chosen: usize,
}

impl ContrastiveSearch {
    /// Starts a document of up to `max_tokens` tokens.
    pub fn new(settings: ContrastiveSearchSettings, end: TokenId, max_tokens: usize) -> Self {
        Self {
            settings,
            end,
            max_tokens,
            document: Vec::new(),
            before: Vec::new(),
            candidates: Vec::new(),
            states: Vec::new(),
            chosen: 0,
        }
    }
}

impl Search for ContrastiveSearch {
    const READS_STATES: bool = true;

    fn read(&mut self, branches: &Branches, states: &[f32]) {
        let width = states.len() / branches.count();
        if branches.has_unread() {
            if branches.is_at_context_start() {
                self.before.clear();
            }
            self.before.push(Direction::of(&states[..width]));
            return;
        }
        self.states = states.chunks_exact(width).map(Direction::of).collect();
        if !self.candidates.is_empty() {
            self.chosen = contrastive::choose(self.settings, &self.candidates, &self.states, &self.before);
            self.document.push(self.candidates[self.chosen].token);
        }
    }

    fn wanted(&self) -> Range<usize> {
        let is_over = self.document.len() >= self.max_tokens || self.document.last() == Some(&self.end);
        self.chosen..self.chosen + usize::from(!is_over)
    }

    fn grow(&mut self, logits: &mut [f32]) -> Vec<Growth> {
        self.before.push(self.states.swap_remove(self.chosen));
        self.candidates = contrastive::candidates(self.settings, logits);
        self.candidates.iter().map(|&Candidate { token, .. }| Growth { parent: self.chosen, token }).collect()
    }

    fn into_document(self) -> Vec<TokenId> {
        self.document
    }
}

/// A document that is being written.
struct OpenSearch<S> {
    /// Index in the request.
    index: usize,
    branches: Branches,
    search: S,
}

/// Writes some documents of the request. `indices` are their indices, which are consecutive. Each has `width` slots of
/// the stepper.
pub fn write<S: Search>(
    model: &Transformer,
    request: &GenerateRequest,
    begin: &impl Fn() -> S,
    width: usize,
    indices: &[usize],
    stepper: &mut dyn TokenStepper,
    stage: &Stage,
) -> Result<Vec<Vec<TokenId>>, ModelError> {
    let open = |slots: Range<usize>, index: usize| {
        let text = [&[model.special.start], request.prompts.get(index)].concat();
        OpenSearch { index, branches: Branches::new(slots, text), search: begin() }
    };
    let first = indices.first().copied().unwrap_or(0);
    let mut waiting = indices.iter().copied();
    let places = (0..stepper.slots() / width).map(|place| place * width..(place + 1) * width);
    let mut documents: Vec<OpenSearch<S>> =
        places.zip(waiting.by_ref()).map(|(slots, index)| open(slots, index)).collect();
    let mut written = vec![Vec::new(); indices.len()];
    while !documents.is_empty() {
        if stage.interrupted() {
            return Err(ModelError::Interrupted);
        }
        read(model, &mut documents, stepper)?;
        for document in step(model, &mut documents, stepper)? {
            let tokens = document.search.into_document();
            stage.advance(tokens.len() as u64);
            written[document.index - first] = tokens;
            documents.extend(waiting.next().map(|index| open(document.branches.slots(), index)));
        }
    }
    Ok(written)
}

/// Reads the next token of every branch of all documents.
fn read<S: Search>(
    model: &Transformer,
    documents: &mut [OpenSearch<S>],
    stepper: &mut dyn TokenStepper,
) -> Result<(), ModelError> {
    let context = model.context();
    let branches = documents.iter_mut().flat_map(|document| document.branches.advance(context));
    let (tokens, places): (Vec<_>, Vec<_>) = branches.unzip();
    stepper.read(&tokens, &places)?;
    if S::READS_STATES {
        let states = stepper.states()?;
        let width = states.len() / tokens.len();
        let mut states = &states[..];
        for OpenSearch { branches, search, .. } in documents {
            let (own, others) = states.split_at(branches.count() * width);
            search.read(branches, own);
            states = others;
        }
    }
    Ok(())
}

/// Takes a step of the search for each document that has been read, and removes those that are finished.
fn step<S: Search>(
    model: &Transformer,
    documents: &mut Vec<OpenSearch<S>>,
    stepper: &mut dyn TokenStepper,
) -> Result<Vec<OpenSearch<S>>, ModelError> {
    let mut first_row = 0;
    let mut rows = Vec::new();
    let mut counts = Vec::with_capacity(documents.len());
    for OpenSearch { branches, search, .. } in documents.iter() {
        let wanted = if branches.has_unread() { 0..0 } else { search.wanted() };
        counts.push(wanted.len());
        rows.extend(wanted.map(|branch| (first_row + branch) as u32));
        first_row += branches.count();
    }
    let mut logits = logits(model, &rows, stepper)?;
    let mut logits = &mut logits[..];
    let mut finished = Vec::new();
    for (mut document, count) in std::mem::take(documents).into_iter().zip(counts) {
        if document.branches.has_unread() {
            documents.push(document);
            continue;
        }
        let (own, others) = std::mem::take(&mut logits).split_at_mut(count * model.writable);
        logits = others;
        let grown = if count > 0 { document.search.grow(own) } else { Vec::new() };
        if grown.is_empty() {
            finished.push(document);
        } else {
            document.branches.branch(grown, stepper)?;
            documents.push(document);
        }
    }
    Ok(finished)
}

/// The logits (rows, tokens that may be written) of the next token, for rows of the last step.
fn logits(model: &Transformer, rows: &[u32], stepper: &mut dyn TokenStepper) -> Result<Vec<f32>, ModelError> {
    let mut logits = Vec::new();
    let mut is_finite = true;
    if !rows.is_empty() {
        stepper.logits(rows, &mut |_, some| {
            is_finite &= all_finite(some);
            for row in some.chunks_exact(model.vocab_size()) {
                logits.extend_from_slice(&row[..model.writable]);
            }
        })?;
    }
    if is_finite { Ok(logits) } else { Err(model.not_finite("writing".to_owned())) }
}
