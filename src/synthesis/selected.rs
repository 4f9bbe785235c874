//! Writes and selects documents until the kept documents fill the corpus.
//!
//! Documents are written in blocks of a fixed number of slots, and judged in order until the corpus is full. Whether a
//! document is kept therefore depends neither on the budget nor on the size of requests. Documents after the last one
//! judged are not counted in the record.
//!
//! **Pitfall.** A detector recognizes the documents that it was trained on too well. The detector of importance
//! resampling is therefore trained on a pilot sample, whose document numbers are larger than those of any candidate.

use super::method::{Draft, Generator, MethodProperties};
use super::settings::SynthesisSettings;
use super::{SynthesisError, UncutCorpus};
use crate::documents::{Documents, TokenId};
use crate::model::LanguageModel;
use crate::seed::streams;
use crate::selection::{
    Candidate, FEWEST_DOCUMENTS, MOST_DOCUMENTS, Pilot, SelectionError, SelectionRecord, Selector,
    mean_losses,
};
use crate::stage::Stage;
use crate::units::Tokens;
use std::ops::Range;

/// Slots per block. The candidates of a block are written together.
const BLOCK_SLOTS: u64 = 128;
/// Number of blocks between two checks that enough tokens are kept.
const WINDOW_BLOCKS: u64 = 8;
/// Largest number of tokens written per token kept, divided by the number of candidates per slot. Above it, selection
/// is given up. Importance resampling with a high cost raises this limit.
const MAX_TOKENS_PER_KEPT: u64 = 100;
/// Importance resampling with cost c keeps about one in c documents. By chance it may keep fewer, by up to this factor.
const CHANCE_FACTOR: f64 = 4.0;
/// Number of the first document of the pilot sample; larger than the number of any candidate.
const PILOT_START: u64 = 1 << 32;

/// Writes one corpus under selection.
pub(super) struct SelectiveWriter<'a> {
    pub(super) generator: &'a dyn Generator,
    pub(super) reference: &'a dyn LanguageModel,
    pub(super) synthesis: &'a SynthesisSettings,
    pub(super) natural: &'a Documents,
}

impl SelectiveWriter<'_> {
    /// Writes until the kept documents have at least as many tokens as the corpus needs.
    pub(super) fn write(&self, stage: &Stage) -> Result<UncutCorpus, SynthesisError> {
        let mut sequence = DocumentSequence {
            generator: self.generator,
            stage: stage.unobserved(),
            tokens: Tokens(0),
            kept: None,
        };
        let (selector, pilot_documents) = self.selector(&mut sequence, stage)?;
        let mut corpus = SelectedCorpus {
            selector,
            budget: self.synthesis.tokens,
            kept: Documents::new(),
            pilot_documents,
            judged: sequence.tokens,
        };
        let candidates = self.synthesis.selection.candidates() as u64;
        let mut last_check = corpus.token_counts();
        for block in 0.. {
            if corpus.is_full() {
                break;
            }
            if block > 0 && block % WINDOW_BLOCKS == 0 {
                last_check = corpus.check_yield(last_check, self.max_tokens_per_kept() * candidates)?;
            }
            let mut items = block * BLOCK_SLOTS * candidates..(block + 1) * BLOCK_SLOTS * candidates;
            while !items.is_empty() && !corpus.is_full() {
                let first = items.start;
                let documents = sequence.complete_groups(items.clone(), candidates)?;
                items.start += documents.len() as u64;
                let losses = self.losses(&documents, &sequence.stage)?;
                let groups: Vec<Candidate> = (first..)
                    .zip(documents.iter().zip(losses))
                    .map(|(item, (document, loss_nats))| Candidate { item, document, loss_nats })
                    .collect();
                corpus.judge(groups.chunks(candidates as usize), stage);
            }
        }
        Ok(UncutCorpus {
            kept_share: sequence.kept.map(|tokens| tokens.0 as f64 / sequence.tokens.0 as f64),
            selection: Some(corpus.record()),
            documents: corpus.kept,
        })
    }

    /// Largest number of tokens written per token kept, divided by the number of candidates per slot. Above it,
    /// selection is given up.
    fn max_tokens_per_kept(&self) -> u64 {
        let cost = self.synthesis.selection.documents_per_kept();
        MAX_TOKENS_PER_KEPT.max((CHANCE_FACTOR * cost) as u64)
    }

    /// The selector of the corpus, and the number of documents written for the pilot sample.
    fn selector(
        &self,
        sequence: &mut DocumentSequence,
        stage: &Stage,
    ) -> Result<(Selector, u64), SynthesisError> {
        let selection = &self.synthesis.selection;
        if !selection.needs_pilot() {
            return Ok((Selector::new(selection, None, stage.key()), 0));
        }
        let natural = counterparts(self.synthesis, self.natural)?;
        let written = sequence.documents(PILOT_START..PILOT_START + natural.len() as u64)?;
        let stream = sequence.stage.at(streams::DETECTOR).stream(0);
        let mut pilot = Pilot { natural: &natural, written: &written, stream };
        Ok((Selector::new(selection, Some(&mut pilot), stage.key()), written.len() as u64))
    }

    /// The mean loss of each document under the reference model in nats per token; all `None` if no rule needs it.
    fn losses(&self, documents: &Documents, stage: &Stage) -> Result<Vec<Option<f64>>, SynthesisError> {
        if !self.synthesis.selection.needs_losses() {
            return Ok(vec![None; documents.len()]);
        }
        Ok(mean_losses(documents, &self.reference.score(documents, stage)?))
    }
}

/// The part of each natural document that a perfect model would write: without the prefix that it continues, and, unless
/// documents are rewritten whole, cut at the maximum length.
///
/// # Errors
/// Returns an error if there are too few to train a detector.
pub(super) fn counterparts(
    synthesis: &SynthesisSettings,
    natural: &Documents,
) -> Result<Documents, SynthesisError> {
    let MethodProperties { prompt_tokens: prefix, rewrites_documents, .. } = synthesis.method.properties();
    let longer = natural.iter().filter(|document| document.len() > prefix);
    let longest = match rewrites_documents {
        true => usize::MAX,
        false => prefix + synthesis.max_document_tokens,
    };
    let written = |document: &'_ [TokenId]| document.len().min(longest);
    let counterparts: Documents =
        longer.map(|document| &document[prefix..written(document)]).take(MOST_DOCUMENTS).collect();
    if counterparts.len() < FEWEST_DOCUMENTS {
        return Err(SelectionError::NoDetector { documents: counterparts.len() }.into());
    }
    Ok(counterparts)
}

/// The numbered documents of the generator, with counts of what was written so far.
struct DocumentSequence<'a> {
    generator: &'a dyn Generator,
    stage: Stage<'a>,
    /// Tokens written so far.
    tokens: Tokens,
    /// Tokens written so far that were copied unchanged from natural documents; `None` if the method copies none.
    kept: Option<Tokens>,
}

impl DocumentSequence<'_> {
    /// Writes documents `items`, in as many requests as the generator needs.
    fn documents(&mut self, items: Range<u64>) -> Result<Documents, SynthesisError> {
        let all = items.end - items.start;
        self.complete_groups(items, all)
    }

    /// Writes documents from the start of `items` until they form whole groups of `candidates` documents, at least one
    /// group. Makes no more requests than that takes.
    fn complete_groups(&mut self, items: Range<u64>, candidates: u64) -> Result<Documents, SynthesisError> {
        let mut draft = Draft::default();
        while draft.documents.is_empty() || !(draft.documents.len() as u64).is_multiple_of(candidates) {
            let next = items.start + draft.documents.len() as u64;
            let rest: Vec<u64> = (next..items.end).collect();
            draft.append(&self.generator.generate(&rest, &self.stage)?)?;
        }
        self.tokens.0 += draft.documents.tokens().0;
        self.kept = draft.kept.map(|kept| Tokens(kept.0 + self.kept.unwrap_or_default().0));
        Ok(draft.documents)
    }
}

/// The corpus kept so far.
struct SelectedCorpus {
    selector: Selector,
    budget: Tokens,
    kept: Documents,
    /// Documents written for the pilot sample.
    pilot_documents: u64,
    /// Tokens of all documents that were judged, and of the pilot sample.
    judged: Tokens,
}

/// Tokens kept and judged up to some point.
#[derive(Clone, Copy)]
struct TokenCounts {
    kept: Tokens,
    judged: Tokens,
}

impl SelectedCorpus {
    fn is_full(&self) -> bool {
        self.kept.tokens() >= self.budget
    }

    fn token_counts(&self) -> TokenCounts {
        TokenCounts { kept: self.kept.tokens(), judged: self.judged }
    }

    /// Judges groups of candidates in order, until the corpus is full.
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

    /// Checks the share of tokens kept since `last`, and returns the current counts.
    ///
    /// # Errors
    /// Returns an error if fewer than one in `least` tokens was kept.
    fn check_yield(&self, last: TokenCounts, least: u64) -> Result<TokenCounts, SelectionError> {
        let now = self.token_counts();
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
