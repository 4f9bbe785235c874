//! Writing until what selection keeps fills the corpus.
//!
//! The row of documents is written and judged in blocks of a fixed number of places, whatever the budget, and judged in
//! order up to the document that fills it. So what is kept depends on neither the budget nor the requests made to the
//! model, and what was written beyond the last document that was judged is no part of the record.
//!
//! The detector of importance resampling learns from documents of its own, whose numbers no corpus reaches: a document
//! that it had learnt from would be told from natural text too well.

use super::method::{Draft, Generator};
use super::settings::SynthesisSettings;
use super::{SynthesisError, Written};
use crate::documents::{Documents, TokenId};
use crate::model::LanguageModel;
use crate::seed::streams;
use crate::selection::detector;
use crate::selection::loss_band::mean_losses;
use crate::selection::{Candidate, Pilot, SelectionError, SelectionRecord, Selector};
use crate::stage::Stage;
use crate::units::Tokens;
use std::ops::Range;

/// Places of a block: as many groups of candidates are written at a time.
const BLOCK_PLACES: u64 = 128;
/// After so many blocks it is seen whether enough is kept.
const WINDOW_BLOCKS: u64 = 8;
/// Of so many tokens written per candidate of a place one must be kept, and more where importance resampling is to keep
/// few.
const LEAST_KEPT: u64 = 100;
/// How far below what it is to keep importance resampling may come by chance.
const FEWER_BY_CHANCE: f64 = 4.0;
/// The number of the first document that the detector learns from.
const PILOT: u64 = 1 << 32;

/// A corpus under selection.
pub(super) struct Selected<'a> {
    pub(super) generator: &'a dyn Generator,
    pub(super) reference: &'a dyn LanguageModel,
    pub(super) synthesis: &'a SynthesisSettings,
    pub(super) natural: &'a Documents,
}

impl Selected<'_> {
    /// Writes until the documents that are kept have at least as many tokens as the corpus needs.
    pub(super) fn write(&self, stage: &Stage) -> Result<Written, SynthesisError> {
        let mut row = DocumentSequence {
            generator: self.generator,
            stage: stage.unobserved(),
            tokens: Tokens(0),
            kept: None,
        };
        let (selector, pilot_documents) = self.selector(&mut row, stage)?;
        let mut corpus = SelectedCorpus {
            selector,
            budget: self.synthesis.tokens,
            kept: Documents::new(),
            pilot_documents,
            judged: row.tokens,
        };
        let candidates = self.synthesis.selection.candidates() as u64;
        let mut last = corpus.reached();
        for block in 0.. {
            if corpus.is_full() {
                break;
            }
            if block > 0 && block % WINDOW_BLOCKS == 0 {
                last = corpus.grown_since(last, self.least_kept() * candidates)?;
            }
            let first = block * BLOCK_PLACES * candidates;
            let documents = row.documents(first..first + BLOCK_PLACES * candidates)?;
            let losses = self.losses(&documents, &row.stage)?;
            let block: Vec<Candidate> = (first..)
                .zip(documents.iter().zip(losses))
                .map(|(item, (document, loss_nats))| Candidate { item, document, loss_nats })
                .collect();
            corpus.judge(block.chunks(candidates as usize), stage);
        }
        Ok(Written {
            kept_share: row.kept.map(|tokens| tokens.0 as f64 / row.tokens.0 as f64),
            selection: Some(corpus.record()),
            documents: corpus.kept,
        })
    }

    fn least_kept(&self) -> u64 {
        let cost = self.synthesis.selection.documents_per_kept();
        LEAST_KEPT.max((FEWER_BY_CHANCE * cost) as u64)
    }

    /// The rules at the start of the corpus, and the number of documents that they learned from.
    fn selector(&self, row: &mut DocumentSequence, stage: &Stage) -> Result<(Selector, u64), SynthesisError> {
        let selection = &self.synthesis.selection;
        if !selection.needs_pilot() {
            return Ok((Selector::new(selection, None, stage.key()), 0));
        }
        let natural = counterparts(self.synthesis, self.natural)?;
        let written = row.documents(PILOT..PILOT + natural.len() as u64)?;
        let stream = row.stage.at(streams::DETECTOR).stream(0);
        let mut pilot = Pilot { natural: &natural, written: &written, stream };
        Ok((Selector::new(selection, Some(&mut pilot), stage.key()), written.len() as u64))
    }

    /// The mean loss of each document under the reference model, if a rule asks for it.
    fn losses(&self, documents: &Documents, stage: &Stage) -> Result<Vec<Option<f64>>, SynthesisError> {
        if !self.synthesis.selection.needs_losses() {
            return Ok(vec![None; documents.len()]);
        }
        Ok(mean_losses(documents, &self.reference.score(documents, stage)?))
    }
}

/// Natural documents as the method would have them, were it a perfect writer: what comes after the prefix of a
/// continuation, and of that what a document may hold.
///
/// # Errors
/// When there are too few for a detector.
pub(super) fn counterparts(
    synthesis: &SynthesisSettings,
    natural: &Documents,
) -> Result<Documents, SynthesisError> {
    let prefix = synthesis.method.prompt_tokens();
    let longer = natural.iter().filter(|document| document.len() > prefix);
    let written = |document: &'_ [TokenId]| document.len().min(prefix + synthesis.max_document_tokens);
    let counterparts: Documents =
        longer.map(|document| &document[prefix..written(document)]).take(detector::MOST).collect();
    if counterparts.len() < detector::FEWEST {
        return Err(SelectionError::NoDetector { documents: counterparts.len() }.into());
    }
    Ok(counterparts)
}

/// The endless row of documents, and what was written of it.
struct DocumentSequence<'a> {
    generator: &'a dyn Generator,
    stage: Stage<'a>,
    tokens: Tokens,
    /// Tokens of these that stand as in their source, where the method leaves some.
    kept: Option<Tokens>,
}

impl DocumentSequence<'_> {
    /// Documents `items`, in as many requests as the generator needs.
    fn documents(&mut self, items: Range<u64>) -> Result<Documents, SynthesisError> {
        let mut draft = Draft::default();
        while (draft.documents.len() as u64) < items.end - items.start {
            let next = items.start + draft.documents.len() as u64;
            draft.append(&self.generator.generate(next..items.end, &self.stage)?)?;
        }
        self.tokens.0 += draft.documents.tokens().0;
        self.kept = draft.kept.map(|kept| Tokens(kept.0 + self.kept.unwrap_or_default().0));
        Ok(draft.documents)
    }
}

/// What was kept so far, and of how much.
struct SelectedCorpus {
    selector: Selector,
    budget: Tokens,
    kept: Documents,
    /// Documents that rules learned from.
    pilot_documents: u64,
    /// Tokens of all documents that were judged or learnt from.
    judged: Tokens,
}

/// Tokens that were kept, and of how many.
#[derive(Clone, Copy)]
struct Reached {
    kept: Tokens,
    judged: Tokens,
}

impl SelectedCorpus {
    fn is_full(&self) -> bool {
        self.kept.tokens() >= self.budget
    }

    fn reached(&self) -> Reached {
        Reached { kept: self.kept.tokens(), judged: self.judged }
    }

    /// Judges groups of candidates until the corpus is full.
    fn judge<'b>(&mut self, groups: impl Iterator<Item = &'b [Candidate<'b>]>, stage: &Stage) {
        for group in groups {
            if self.is_full() {
                return;
            }
            self.judged.0 += group.iter().map(|candidate| candidate.document.len() as u64).sum::<u64>();
            if let Some(chosen) = self.selector.choose(group) {
                let document = group[chosen].document;
                stage.advance((document.len() as u64).min(self.budget.0 - self.kept.tokens().0));
                self.kept.push(document);
            }
        }
    }

    /// What is reached now.
    ///
    /// # Errors
    /// When since `last` fewer than one of `least` tokens was kept.
    fn grown_since(&self, last: Reached, least: u64) -> Result<Reached, SelectionError> {
        let now = self.reached();
        if (now.kept.0 - last.kept.0) * least >= now.judged.0 - last.judged.0 {
            return Ok(now);
        }
        Err(SelectionError::TooFew { least, tally: self.selector.tally().clone() })
    }

    fn record(&self) -> SelectionRecord {
        let tally = self.selector.tally();
        SelectionRecord {
            documents_written: tally.documents() + self.pilot_documents,
            tokens_written: self.judged,
            dropped: tally.dropped.clone(),
            tokens_per_token_kept: self.judged.0 as f64 / self.budget.0.max(1) as f64,
            of_rules: self.selector.of_rules(),
        }
    }
}
