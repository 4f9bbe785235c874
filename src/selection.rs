//! Selection after synthesis: which of the documents that a model writes are kept?
//!
//! A *slot* is a position in the corpus that is filled by at most one document. Each slot has a group of candidates: a
//! single one unless `best_of` sets more. The groups are judged in the order of their document numbers. The rules of an
//! experiment are applied to each group in the following order, and the first rule that a document fails drops it:
//!
//! | rule | keeps | file |
//! |---|---|---|
//! | `loss_band` | documents whose loss under the reference model is neither too low nor too high | `loss_band.rs` |
//! | `max_repetition` | documents that do not repeat themselves | `repetition.rs` |
//! | `importance` | documents in proportion to their odds of being natural | `importance.rs`, `detector.rs` |
//! | `best_of` | the remaining candidate with the lowest loss under the reference model | `best_of.rs` |
//! | `near_duplicates` | documents that are not nearly identical to one that was already kept | `near_duplicates.rs` |
//!
//! `near_duplicates` comes last because it compares documents with those that passed every rule. The *reference model*
//! is generation 0 of the lineage, the only one trained on natural text alone; generation 0 is judged by itself.
//!
//! A decision depends only on the document, its number, its group, and earlier groups. The documents kept for a small
//! corpus are therefore the first documents of those kept for a larger corpus.
//!
//! To add a rule, implement [`SelectionRule`] in a new file, and add it to `mod` and to `register!` below.
//!
//! **Pitfall.** Every rule except `importance` distorts the distribution of the text: `best_of` and the upper bound of
//! `loss_band` remove improbable text, and with it the tail of the distribution.
//!
//! ```
//! use genloss::selection::SelectionRules;
//!
//! let rules = SelectionRules::builtin();
//! let selection = rules.read("best_of = 4\nmax_repetition = 0.5".parse().unwrap()).unwrap();
//! assert_eq!(selection.candidates(), 4);
//! assert_eq!(selection.to_string(), "max_repetition = 0.5, best_of = 4");
//! ```

mod best_of;
mod detector;
mod importance;
mod loss_band;
mod near_duplicates;
mod repetition;
mod rules;

pub use detector::{DetectorRecord, FEWEST_DOCUMENTS, MOST_DOCUMENTS};
pub use importance::ImportanceRecord;
pub use loss_band::mean_losses;
pub use near_duplicates::{NearDuplicates, Signature, shingles};
pub use repetition::repeated_share;
pub use rules::{Selection, SelectionRules};

use crate::documents::{Documents, TokenId};
use crate::seed::{Stream, StreamKey, streams};
use crate::settings::SettingError;
use crate::units::Tokens;
use rules::RegisteredRule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The settings of a rule that decides which documents are kept: the value of its key in `[synthesis.selection]`.
pub trait SelectionRule: fmt::Debug + Send + Sync {
    /// The rule's key in `[synthesis.selection]`.
    fn name() -> &'static str
    where
        Self: Sized;

    /// Checks constraints between settings.
    ///
    /// # Errors
    /// Returns an error if the settings contradict each other. Its key is relative to the rule.
    fn check(&self) -> Result<(), SettingError> {
        Ok(())
    }

    /// What the rule needs in order to judge.
    fn needs(&self) -> RuleNeeds;

    /// Creates the filter of one corpus. `pilot` is given if the rule [needs](Self::needs) one. Random numbers for a
    /// document must be drawn from `key.stream` of the document's number.
    fn start(&self, pilot: Option<&mut Pilot>, key: &StreamKey) -> Box<dyn Filter>;
}

/// What a selection rule needs in order to judge documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RuleNeeds {
    /// Number of candidates in the group of a slot; at least 1.
    pub candidates: usize,
    /// Expected number of documents written for each one kept, where the rule sets it; otherwise 1.
    pub documents_per_kept: f64,
    /// Whether the rule needs the loss of each candidate under the reference model.
    pub losses: bool,
    /// Whether the rule must be fitted to a [`Pilot`] sample first.
    pub pilot: bool,
}

impl RuleNeeds {
    /// The needs of a rule that only looks at the tokens of a document.
    pub const TOKENS: Self = Self { candidates: 1, documents_per_kept: 1.0, losses: false, pilot: false };
}

/// Registers the rules in the order in which they are applied, and makes their types public. A rule that is not in the
/// list is never used, and therefore does not compile.
macro_rules! register {
    ($($module:ident::$rule:ident),+ $(,)?) => {
        $(pub use $module::$rule;)+

        impl SelectionRules {
            /// The rules of the library, in the order in which they are applied.
            #[must_use]
            pub fn builtin() -> Self {
                Self(vec![$(RegisteredRule::of::<$rule>()),+])
            }
        }
    };
}

register! {
    loss_band::LossBand,
    repetition::MaxRepetition,
    importance::ImportanceResampling,
    best_of::BestOf,
    near_duplicates::NearDuplicateLimit,
}

/// The state of a rule while one corpus is selected.
pub trait Filter {
    /// Removes the candidates that fail the rule from `passing`, a list of indices into `group` that no longer contains
    /// candidates dropped by earlier rules. Called once for each group, in order.
    fn filter(&mut self, group: &[Candidate], passing: &mut Vec<usize>);

    /// Values to store with the corpus, such as fitted parameters.
    fn record(&self) -> Option<serde_json::Value> {
        None
    }
}

/// A sample to which rules are fitted. Its documents are not among the candidates later.
pub struct Pilot<'a> {
    /// Natural documents, cut to the part that the synthesis method could have written.
    pub natural: &'a Documents,
    /// Documents that the model wrote, equal in number to the natural documents.
    pub written: &'a Documents,
    /// Source of random numbers for fitting.
    pub stream: Stream,
}

/// A written document on which the rules decide.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Number of the document in the sequence that the generator writes.
    pub item: u64,
    /// Tokens, including the end-of-text token if the document has ended.
    pub document: &'a [TokenId],
    /// Mean loss under the reference model in nats per token. `None` if no rule needs it, or if the document is empty.
    pub loss_nats: Option<f64>,
}

/// Numbers of documents kept and dropped so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Documents that passed every rule and were chosen for their slot.
    pub kept: u64,
    /// Number of documents that each rule dropped. Rules that dropped none are absent.
    pub dropped: BTreeMap<String, u64>,
}

impl Tally {
    /// Number of documents judged: kept or dropped.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.kept + self.dropped.values().sum::<u64>()
    }

    /// Formats the numbers of dropped documents, for example as `importance 20, loss_band 900`.
    fn list_dropped(&self) -> String {
        let parts = self.dropped.iter().map(|(rule, documents)| format!("{rule} {documents}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn drop(&mut self, rule: &str, documents: usize) {
        if documents > 0 {
            *self.dropped.entry(rule.to_owned()).or_default() += documents as u64;
        }
    }
}

/// Summary of the selection of one corpus, stored with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelectionRecord {
    /// Number of documents written: kept, dropped, and those of the pilot sample.
    pub documents_written: u64,
    /// Tokens of all documents written.
    pub tokens_written: Tokens,
    /// Number of documents that each rule dropped. Rules that dropped none are absent.
    pub dropped: BTreeMap<String, u64>,
    /// Tokens written, divided by the tokens of the corpus; at least 1.
    pub tokens_per_token_kept: f64,
    /// [`Filter::record`] of each rule that has one, by rule.
    #[serde(flatten)]
    pub of_rules: BTreeMap<String, serde_json::Value>,
}

/// An error of selection.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// The rules drop nearly everything.
    #[error(
        "selection keeps fewer than one in {least} tokens: of {} documents, {} were kept; dropped by rule: {}; loosen the rule under synthesis.selection that drops the most",
        tally.documents(),
        tally.kept,
        tally.list_dropped()
    )]
    TooFew {
        /// At least one in this many tokens must be kept.
        least: u64,
        /// Documents kept and dropped so far.
        tally: Tally,
    },
    /// Too little natural text to train a detector of synthetic text.
    #[error(
        "synthesis.selection.importance needs at least {FEWEST_DOCUMENTS} natural documents to train its detector and found {documents} (with method = \"continuation\", only those longer than the prefix count); raise corpus.train_tokens, or remove this rule"
    )]
    NoDetector {
        /// Number of usable natural documents.
        documents: usize,
    },
}

/// Applies the chosen rules, in order, to the documents of one corpus.
pub struct Selector {
    filters: Vec<(String, Box<dyn Filter>)>,
    tally: Tally,
}

impl Selector {
    /// Starts the selection of one corpus. `key` is the key of the stage that writes the corpus; the rules draw from
    /// the stream [`streams::SELECTION`] of the same generation. A `pilot` is required if [`Selection::needs_pilot`]
    /// returns true.
    #[must_use]
    pub fn new(selection: &Selection, mut pilot: Option<&mut Pilot>, key: &StreamKey) -> Self {
        let key = key.at(streams::SELECTION);
        let mut filters = Vec::new();
        for (name, rule) in selection.rules() {
            let pilot = pilot.as_deref_mut().filter(|_| rule.needs().pilot);
            filters.push((name.to_owned(), rule.start(pilot, &key)));
        }
        Self { filters, tally: Tally::default() }
    }

    /// Judges the next group. Returns the index of the document to keep: the first one in `group` that passes every
    /// rule.
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

    /// Numbers of documents kept and dropped so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// [`Filter::record`] of each rule that has one, by rule.
    #[must_use]
    pub fn of_rules(&self) -> BTreeMap<String, serde_json::Value> {
        let recorded = |(name, filter): &(String, Box<dyn Filter>)| Some((name.clone(), filter.record()?));
        self.filters.iter().filter_map(recorded).collect()
    }
}

#[cfg(test)]
mod tests;
