//! `[synthesis.selection]`: which of the documents that a model writes are kept.

use super::check::{number, share, within};
use super::error::{ConfigError, setting};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most documents that either of two rules may have written for one that is kept.
const MOST: usize = 64;

/// `[synthesis.selection]`, word for word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SelectionTable {
    /// Least and greatest mean loss.
    pub loss_band: Option<[f64; 2]>,
    /// Largest share of repeated 4-grams.
    pub max_repetition: Option<f64>,
    /// Documents written for one that is kept.
    pub importance: Option<f64>,
    /// Candidates per document.
    pub best_of: Option<usize>,
    /// Similarity at which a document is a duplicate.
    pub near_duplicates: Option<f64>,
}

/// Which of the documents that a model writes are kept. The rules are applied in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Least and greatest mean loss of a document under the reference model, in nats per token. At least 0, and the
    /// second above the first; it may be infinite.
    pub loss_band: Option<[f64; 2]>,
    /// Largest share of a document's 4-grams that occurred in it before. Within `[0, 1]`.
    pub max_repetition: Option<f64>,
    /// Documents are kept in proportion to their odds of being natural, about one of so many. From 1 to 64.
    pub importance: Option<f64>,
    /// Of so many candidates the one that the reference model finds most probable is kept. From 2 to 64.
    pub best_of: Option<usize>,
    /// Documents whose estimated Jaccard similarity to one that was kept is at least this are dropped. In `(0, 1]`.
    pub near_duplicates: Option<f64>,
}

impl Selection {
    /// Whether every document is kept.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a rule asks for the loss of documents under the reference model.
    #[must_use]
    pub fn needs_losses(&self) -> bool {
        self.loss_band.is_some() || self.best_of.is_some()
    }

    /// How many documents compete for one place.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.best_of.unwrap_or(1)
    }
}

/// As in an experiment file: `loss_band = [1.0, 4.0], best_of = 4`; nothing where everything is kept.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = toml::Table::try_from(SelectionTable::from(self)).map_err(|_| fmt::Error)?;
        let rules: Vec<String> = table.iter().map(|(rule, value)| format!("{rule} = {value}")).collect();
        f.pad(&rules.join(", "))
    }
}

/// Checks a selection; `key` is what errors call it.
pub(super) fn selection(key: &str, table: &SelectionTable) -> Result<Selection, ConfigError> {
    let sub = |part: &str| format!("{key}.{part}");
    let optional = |part: &str, value: Option<f64>, good: fn(f64) -> bool, range: &str| {
        value.map(|x| number(&sub(part), x, good, range)).transpose()
    };
    if let Some([least, greatest]) = table.loss_band
        && !(least >= 0.0 && least < greatest)
    {
        let message = format!(
            "[{least}, {greatest}] is no band; give two losses in nats per token, the smaller first, such as [1.0, 4.0] (0.0 or inf where an end is open)"
        );
        return Err(setting(sub("loss_band"), message));
    }
    Ok(Selection {
        loss_band: table.loss_band,
        max_repetition: table.max_repetition.map(|x| share(&sub("max_repetition"), x)).transpose()?,
        importance: optional(
            "importance",
            table.importance,
            |x| (1.0..=MOST as f64).contains(&x),
            "a number from 1 to 64: about how many documents are written for one that is kept",
        )?,
        best_of: table.best_of.map(|k| within(&sub("best_of"), k, 2, MOST)).transpose()?,
        near_duplicates: optional(
            "near_duplicates",
            table.near_duplicates,
            |x| x > 0.0 && x <= 1.0,
            "above 0 and at most 1",
        )?,
    })
}

impl From<&Selection> for SelectionTable {
    fn from(selection: &Selection) -> Self {
        let &Selection { loss_band, max_repetition, importance, best_of, near_duplicates } = selection;
        Self { loss_band, max_repetition, importance, best_of, near_duplicates }
    }
}
