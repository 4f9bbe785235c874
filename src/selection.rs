//! Selection after synthesis: which of the documents that a model writes are kept?
//!
//! Documents come in the order of their numbers, in groups of candidates for one place. The rules of an experiment are
//! applied to each group in this order, and a document is dropped by the first rule that it fails:
//!
//! | rule | keeps | file |
//! |---|---|---|
//! | `loss_band` | what the reference model finds neither too probable nor too improbable | `loss_band.rs` |
//! | `max_repetition` | what does not repeat itself | `repetition.rs` |
//! | `importance` | documents in proportion to their odds of being natural | `importance.rs`, `detector.rs` |
//! | `best_of` | of those left in the group, the one that the reference model finds most probable | `best_of.rs` |
//! | `near_duplicates` | what is not nearly the same as a document that was kept | `near_duplicates.rs` |
//!
//! Near duplicates come last because they are compared with documents that were kept in the end. The *reference model* is
//! generation 0 of the lineage, the only one that was trained on natural text alone; generation 0 is judged by itself.
//!
//! A decision depends on the document, its number, its group, and the groups before it; on nothing that comes later. So
//! the documents kept for a smaller corpus are the first ones of those kept for a larger one.
//!
//! A new rule is a file with a struct that implements [`SelectionRule`], and a line in [`SelectionRules::builtin`].
//!
//! **Pitfall.** Every rule but `importance` moves the text away from what the model would write: `best_of` and the upper
//! end of `loss_band` remove improbable text, and with it the tail that one may want to keep.
//!
//! ```
//! use genloss::selection::SelectionRules;
//!
//! let rules = SelectionRules::builtin();
//! let selection = rules.read("best_of = 4\nmax_repetition = 0.5".parse().unwrap()).unwrap();
//! assert_eq!(selection.candidates(), 4);
//! assert_eq!(selection.to_string(), "max_repetition = 0.5, best_of = 4");
//! ```

pub mod best_of;
pub mod detector;
pub mod importance;
pub mod loss_band;
pub mod near_duplicates;
pub mod repetition;
mod rules;

pub use rules::{Selection, SelectionRules};

use crate::documents::{Documents, TokenId};
use crate::seed::{Stream, StreamKey, streams};
use crate::settings::SettingError;
use crate::units::Tokens;
use detector::FEWEST;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A rule that decides which documents are kept, as its settings: the value of its key in `[synthesis.selection]`.
pub trait SelectionRule: fmt::Debug + Send + Sync {
    /// Its key in `[synthesis.selection]`.
    fn name() -> &'static str
    where
        Self: Sized;

    /// Checks what its settings mean together.
    ///
    /// # Errors
    /// When they do not fit together; the key of the error is relative to the rule.
    fn check(&self) -> Result<(), SettingError> {
        Ok(())
    }

    /// Documents that compete for one place.
    fn candidates(&self) -> usize {
        1
    }

    /// Documents written for one that is kept, if the rule is about that number.
    fn documents_per_kept(&self) -> f64 {
        1.0
    }

    /// Whether it uses the loss of documents under the reference model.
    fn needs_losses(&self) -> bool {
        false
    }

    /// Whether it learns from a [`Pilot`] before it decides.
    fn needs_pilot(&self) -> bool {
        false
    }

    /// The rule at the start of a corpus. There is a pilot if it needs one. It draws from streams of `key`, one for each
    /// document.
    fn start(&self, pilot: Option<&mut Pilot>, key: &StreamKey) -> Box<dyn Filter>;
}

/// A rule at work on one corpus.
pub trait Filter {
    /// Drops documents of the next group: `passing` are those that no earlier rule dropped, as indices into `group`.
    fn filter(&mut self, group: &[Candidate], passing: &mut Vec<usize>);

    /// What the rule puts on record.
    fn record(&self) -> Option<serde_json::Value> {
        None
    }
}

/// Documents for a rule to learn from; none of them is judged later.
pub struct Pilot<'a> {
    /// Natural documents, cut to what the method could have written.
    pub natural: &'a Documents,
    /// As many documents that the model wrote.
    pub written: &'a Documents,
    /// Random numbers for learning.
    pub stream: Stream,
}

/// A document that may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its number among all documents that the model writes.
    pub item: u64,
    /// Its tokens.
    pub document: &'a [TokenId],
    /// Its mean loss under the reference model in nats per token. None if no rule needs it, or if it is empty.
    pub loss_nats: Option<f64>,
}

/// How many documents were kept and dropped so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Documents that were kept.
    pub kept: u64,
    /// Documents that each rule dropped; rules that dropped none are left out.
    pub dropped: BTreeMap<String, u64>,
}

impl Tally {
    /// Documents that were judged.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.kept + self.dropped.values().sum::<u64>()
    }

    /// `importance 20, loss_band 900`.
    fn listed(&self) -> String {
        let parts = self.dropped.iter().map(|(rule, documents)| format!("{rule} {documents}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn drop(&mut self, rule: &str, documents: usize) {
        if documents > 0 {
            *self.dropped.entry(rule.to_owned()).or_default() += documents as u64;
        }
    }
}

/// What selection did to a corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectionRecord {
    /// Documents written: those kept, those dropped, and those that a rule learned from.
    pub documents_written: u64,
    /// Tokens of all of them.
    pub tokens_written: Tokens,
    /// Documents that each rule dropped; rules that dropped none are left out.
    pub dropped: BTreeMap<String, u64>,
    /// Tokens written for each token of the corpus.
    pub tokens_per_token_kept: f64,
    /// What each rule put on record itself, by its name.
    #[serde(flatten)]
    pub of_rules: BTreeMap<String, serde_json::Value>,
}

/// What can go wrong in selection.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// Hardly any document is kept.
    #[error(
        "selection keeps less than one of {least} tokens: of {} documents in all {} were kept, and dropped by {}; loosen the rule that drops the most, under synthesis.selection",
        tally.documents(),
        tally.kept,
        tally.listed()
    )]
    TooFew {
        /// One of this many tokens must be kept.
        least: u64,
        /// Documents kept and dropped.
        tally: Tally,
    },
    /// Too little natural text to tell synthetic text from.
    #[error(
        "synthesis.selection.importance learns from at least {FEWEST} natural documents, and there are {documents} (longer than the prefix, for a continuation); raise corpus.train_tokens, or leave it out"
    )]
    NoDetector {
        /// Natural documents that there are.
        documents: usize,
    },
}

/// Judges the documents of one corpus.
pub struct Selector {
    filters: Vec<(String, Box<dyn Filter>)>,
    tally: Tally,
}

impl Selector {
    /// A selector at the start of a corpus. `key` names the stage that writes it; a rule that draws does so from streams of
    /// its own there. There must be a `pilot` if a rule needs one.
    #[must_use]
    pub fn new(selection: &Selection, mut pilot: Option<&mut Pilot>, key: &StreamKey) -> Self {
        let key = key.at(streams::SELECTION);
        let mut filters = Vec::new();
        for (name, rule) in selection.rules() {
            let pilot = pilot.as_deref_mut().filter(|_| rule.needs_pilot());
            filters.push((name.to_owned(), rule.start(pilot, &key)));
        }
        Self { filters, tally: Tally::default() }
    }

    /// Which document of the next group is kept, as an index into `group`; the first one if several pass every rule.
    pub fn choose(&mut self, group: &[Candidate]) -> Option<usize> {
        let mut passing: Vec<usize> = (0..group.len()).collect();
        for (name, filter) in &mut self.filters {
            let before = passing.len();
            filter.filter(group, &mut passing);
            self.tally.drop(name, before - passing.len());
        }
        let kept = passing.first().copied();
        self.tally.kept += u64::from(kept.is_some());
        kept
    }

    /// Documents kept and dropped so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What rules put on record, by their names.
    #[must_use]
    pub fn of_rules(&self) -> BTreeMap<String, serde_json::Value> {
        let recorded = |(name, filter): &(String, Box<dyn Filter>)| Some((name.clone(), filter.record()?));
        self.filters.iter().filter_map(recorded).collect()
    }
}

#[cfg(test)]
mod tests;
