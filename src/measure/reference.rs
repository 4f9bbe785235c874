//! Natural text, counted.

use super::natural::Natural;
use super::pair_bins::PairBins;
use super::{MeasureError, same_size, uncertainty, words};
use crate::documents::Documents;
use crate::rarity::Rarity;
use crate::units::Tokens;

/// Natural text that generations are compared with, counted once per experiment: a reference text, whose frequencies
/// serve as those of natural text, and the held-out text that models are scored on.
#[derive(Clone, Debug)]
pub struct Reference {
    pub(super) tokens: Natural,
    pub(super) words: Natural,
    pub(super) vocabulary: words::Vocabulary,
    pub(super) word_documents: Documents,
    pub(super) reference_tokens: Tokens,
    pub(super) pair_bins: PairBins,
    /// Where each held-out document ends among the held-out tokens.
    pub(super) heldout_ends: Vec<usize>,
    /// The rarity of each held-out token, by the frequencies of the reference text.
    pub(super) heldout_rarity: Vec<Rarity>,
    /// The number of UTF-8 bytes of each held-out document.
    pub(super) heldout_bytes: Vec<u64>,
    dictionaries: Option<&'static str>,
}

impl Reference {
    /// Counts the reference text and classifies the tokens of the held-out text by rarity. `reference_texts` and
    /// `heldout_texts` are the decoded documents, one string each.
    ///
    /// # Errors
    /// If the number of texts differs from the number of documents.
    pub fn new(
        reference: &Documents,
        reference_texts: &[String],
        heldout: &Documents,
        heldout_texts: &[String],
    ) -> Result<Self, MeasureError> {
        same_size("reference texts", reference_texts.len(), "reference documents", reference.len())?;
        same_size("held-out texts", heldout_texts.len(), "held-out documents", heldout.len())?;
        let tokens = Natural::new(reference);
        let (vocabulary, word_documents) = words::Vocabulary::learn(reference_texts);
        Ok(Self {
            words: Natural::new(&word_documents),
            vocabulary,
            word_documents,
            reference_tokens: reference.tokens(),
            pair_bins: PairBins::new(reference),
            heldout_ends: uncertainty::ends(heldout),
            heldout_rarity: heldout.flat().iter().map(|&id| tokens.class(id)).collect(),
            dictionaries: crate::words::dictionaries(reference_texts)
                .or_else(|| crate::words::dictionaries(heldout_texts)),
            heldout_bytes: heldout_texts.iter().map(|text| text.len() as u64).collect(),
            tokens,
        })
    }

    /// The dictionaries by which words were found, with their version; None if the text is written with spaces.
    #[must_use]
    pub fn dictionaries(&self) -> Option<&'static str> {
        self.dictionaries
    }

    /// The count of each token type in the reference text, by token id. Types beyond its end do not occur.
    #[must_use]
    pub fn token_counts(&self) -> &[u32] {
        &self.tokens.counts
    }
}
