//! Selection after synthesis: of the documents that a model writes, which are kept?
//!
//! Documents come in the order of their numbers, in groups of as many as compete for one place. Each is dropped by the
//! first rule that it fails:
//!
//! | rule | keeps | file |
//! |---|---|---|
//! | `loss_band` | what the reference model finds neither too probable nor too improbable | `loss_band.rs` |
//! | `max_repetition` | what does not go round in circles | `repetition.rs` |
//! | `importance` | documents in proportion to their odds of being natural | `importance.rs`, `detector.rs` |
//! | `best_of` | of those left in the group, the one that the reference model finds most probable | `best_of.rs` |
//! | `near_duplicates` | what is not nearly the same as a document that was kept | `near_duplicates.rs` |
//!
//! Near duplicates come last because they are held against what was really kept. The *reference model* is generation 0
//! of the lineage, the only one that has seen natural text alone; generation 0 is judged by itself.
//!
//! A decision depends on the document, its number, its group, and the groups before it; on nothing that comes later. So
//! what is kept is again the beginning of an endless row.
//!
//! **Pitfall.** Every rule but `importance` moves the text away from what the model says, wherever that is: `best_of` and
//! the upper end of `loss_band` take the improbable out, and with it the tail that one may have meant to save.

pub mod best_of;
pub mod detector;
pub mod importance;
pub mod loss_band;
pub mod near_duplicates;
pub mod repetition;

use crate::config::Selection;
use crate::documents::TokenId;
use crate::seed::{StreamKey, streams};
use crate::units::Tokens;
use detector::FEWEST;
use importance::{Importance, ImportanceRecord};
use near_duplicates::NearDuplicates;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The rules, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Its loss under the reference model lies outside of the band.
    LossBand,
    /// Too many of its 4-grams are repeated.
    MaxRepetition,
    /// Importance resampling passed it over.
    Importance,
    /// Another document of its group was better.
    BestOf,
    /// A document like it was kept.
    NearDuplicates,
}

impl fmt::Display for Rule {
    /// As an experiment file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LossBand => "loss_band",
            Self::MaxRepetition => "max_repetition",
            Self::Importance => "importance",
            Self::BestOf => "best_of",
            Self::NearDuplicates => "near_duplicates",
        })
    }
}

/// A document that may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its number in the row of all that the model writes.
    pub item: u64,
    /// Its tokens.
    pub document: &'a [TokenId],
    /// Its mean loss under the reference model in nats per token. None if no rule asks, or if it is empty.
    pub loss_nats: Option<f64>,
}

/// What the rules did so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Documents that were kept.
    pub kept: u64,
    /// Documents that each rule dropped; rules that dropped none are left out.
    pub dropped: BTreeMap<Rule, u64>,
}

impl Tally {
    /// Documents that were judged.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.kept + self.dropped.values().sum::<u64>()
    }

    /// `loss_band 900, importance 20`.
    fn listed(&self) -> String {
        let parts = self.dropped.iter().map(|(rule, documents)| format!("{rule} {documents}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn drop(&mut self, rule: Rule, documents: u64) {
        if documents > 0 {
            *self.dropped.entry(rule).or_default() += documents;
        }
    }
}

/// What selection did to a corpus: what was written for it, and where it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectionRecord {
    /// Documents written: those kept, those dropped, and those that the detector learnt from.
    pub documents_written: u64,
    /// Tokens of all of them.
    pub tokens_written: Tokens,
    /// Documents that each rule dropped; rules that dropped none are left out.
    pub dropped: BTreeMap<Rule, u64>,
    /// What importance resampling went by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<ImportanceRecord>,
    /// What the corpus cost: tokens written for each of its tokens.
    pub tokens_per_token_kept: f64,
}

/// What can go wrong in selection.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// Hardly anything passes.
    #[error(
        "selection keeps less than one of {least} tokens by now: of {} documents in all {} were kept, and dropped by {}; loosen the rule that drops the most, under synthesis.selection",
        tally.documents(),
        tally.kept,
        tally.listed()
    )]
    TooFew {
        /// Tokens of which one must be kept.
        least: u64,
        /// What the rules did by then.
        tally: Tally,
    },
    /// Too little natural text to tell synthetic text from.
    #[error(
        "synthesis.selection.importance learns from at least {FEWEST} natural documents, and there are {documents} (longer than the prefix, for a continuation); raise corpus.train_tokens, or leave it out"
    )]
    NoDetector {
        /// Natural documents there are.
        documents: usize,
    },
}

/// Judges the documents of one corpus.
pub struct Selector<'a> {
    rules: &'a Selection,
    /// There if the rules ask for it.
    importance: Option<Importance>,
    /// Where importance resampling draws.
    place: StreamKey,
    near_duplicates: Option<NearDuplicates>,
    tally: Tally,
}

impl<'a> Selector<'a> {
    /// A selector that has seen nothing. `place` names the stage that the documents are written at; `importance`, which
    /// must have been learnt if the rules ask for it, draws from streams of its own there.
    #[must_use]
    pub fn new(rules: &'a Selection, importance: Option<Importance>, place: &StreamKey) -> Self {
        let near_duplicates = rules.near_duplicates.map(NearDuplicates::new);
        Self {
            rules,
            importance,
            place: place.at(streams::SELECTION),
            near_duplicates,
            tally: Tally::default(),
        }
    }

    /// Which document of the next group is kept, if any, as an index into `group`.
    pub fn choose(&mut self, group: &[Candidate]) -> Option<usize> {
        let mut passing = Vec::with_capacity(group.len());
        for (index, candidate) in group.iter().enumerate() {
            match self.fault(candidate) {
                None => passing.push(index),
                Some(rule) => self.tally.drop(rule, 1),
            }
        }
        let losses = passing.iter().map(|&index| group[index].loss_nats);
        let best = passing[best_of::least_loss(losses)?];
        self.tally.drop(Rule::BestOf, passing.len() as u64 - 1);
        if !self.near_duplicates.as_mut().is_none_or(|kept| kept.admit(group[best].document)) {
            self.tally.drop(Rule::NearDuplicates, 1);
            return None;
        }
        self.tally.kept += 1;
        Some(best)
    }

    /// What the rules did so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The first of the rules for single documents that a document fails.
    fn fault(&self, candidate: &Candidate) -> Option<Rule> {
        let Candidate { item, document, loss_nats } = *candidate;
        if self.rules.loss_band.is_some_and(|band| !loss_band::holds(band, loss_nats)) {
            return Some(Rule::LossBand);
        }
        if self.rules.max_repetition.is_some_and(|most| repetition::share(document) > most) {
            return Some(Rule::MaxRepetition);
        }
        if self.importance.as_ref().is_some_and(|odds| !odds.keeps(document, &mut self.place.stream(item))) {
            return Some(Rule::Importance);
        }
        None
    }
}

#[cfg(test)]
mod tests;
