//! How much of a text comes back otherwise after encoding and decoding.
//!
//! Many tokenizers change a text before they split it: they lower-case it, strip accents, replace characters by
//! compatible ones (NFKC), or make all white space single spaces. Every token is then known, and still the model never
//! sees the text itself. What [`Coverage`](super::Coverage) counts as lost is not counted again here: unknown and dropped
//! text, and white space that no token stands for. White space that decoding adds between words is not counted either.

use super::{Tokenizer, TokenizerError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::ops::Range;

/// Lost or changed share of a text above which a note says what is lost or changed.
pub(super) const NOTED_SHARE: f64 = 0.001;

/// Bytes of a text that are compared; of a longer text, evenly spaced pieces.
const SAMPLE: u64 = 256 << 10;

/// Size of a piece in bytes. It limits the time of a comparison, which can grow as the square of this size.
const PIECE: usize = 1 << 10;

/// Maximum number of characters of an example.
const EXAMPLE_CHARS: usize = 20;

/// How much of a sample of a text comes back otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoundTrip {
    /// Characters that were compared. 0 if the tokenizer changes no text.
    pub chars: u64,
    /// Characters that come back otherwise.
    pub changed_chars: u64,
    /// The first words that are changed, and what they become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<(String, String)>,
}

impl RoundTrip {
    /// Share of the characters that come back otherwise.
    #[must_use]
    pub fn changed_share(&self) -> f64 {
        share(self.changed_chars, self.chars)
    }

    /// What the tokenizer changes in `text` ("the heldout split"), if that is more than 0.1 %.
    #[must_use]
    pub fn note(&self, text: &str) -> Option<String> {
        let (source, decoded) = self.example.as_ref()?;
        (self.changed_share() > NOTED_SHARE).then(|| {
            format!(
                "the tokenizer changes the text: {:.2} % of the characters of {text} come back otherwise after encoding \
                 and decoding (first: {source:?} as {decoded:?}); models and metrics see the changed text only, and \
                 bits_per_byte is that of the changed text",
                100.0 * self.changed_share()
            )
        })
    }

    fn and(mut self, next: Self) -> Self {
        self.chars += next.chars;
        self.changed_chars += next.changed_chars;
        self.example = self.example.or(next.example);
        self
    }
}

/// 0 of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Evenly spaced pieces of texts, as many as have about [`SAMPLE`] bytes.
pub(super) struct Sample {
    /// One of this many pieces is taken.
    step: u64,
    seen: u64,
    taken: Vec<String>,
}

impl Sample {
    /// Of texts that have this many bytes together.
    pub(super) fn of_bytes(bytes: u64) -> Self {
        Self { step: bytes.div_ceil(SAMPLE).max(1), seen: 0, taken: Vec::new() }
    }

    fn add(&mut self, text: &str) {
        for piece in pieces(text) {
            if self.seen.is_multiple_of(self.step) {
                self.taken.push(piece.to_owned());
            }
            self.seen += 1;
        }
    }
}

impl Tokenizer {
    /// How much of `texts` comes back otherwise after encoding and decoding, measured on a sample.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn round_trip<T: AsRef<str>>(&self, texts: &[T]) -> Result<RoundTrip, TokenizerError> {
        let bytes = texts.iter().map(|text| text.as_ref().len() as u64).sum();
        let mut sample = Sample::of_bytes(bytes);
        self.add_to_sample(&mut sample, texts);
        self.round_trip_of_sample(&sample)
    }

    /// Adds the next texts to the sample of all of them.
    pub(super) fn add_to_sample<T: AsRef<str>>(&self, sample: &mut Sample, texts: &[T]) {
        // The tokens of such a tokenizer are the bytes of the text, as long as `Coverage` has none dropped.
        if !self.is_byte_level() || self.inner.get_normalizer().is_some() {
            texts.iter().for_each(|text| sample.add(text.as_ref()));
        }
    }

    /// How much of a sample comes back otherwise.
    pub(super) fn round_trip_of_sample(&self, sample: &Sample) -> Result<RoundTrip, TokenizerError> {
        let all: Result<Vec<RoundTrip>, TokenizerError> =
            sample.taken.par_iter().map(|piece| self.round_trip_of(piece)).collect();
        Ok(all?.into_iter().fold(RoundTrip::default(), RoundTrip::and))
    }

    fn round_trip_of(&self, text: &str) -> Result<RoundTrip, TokenizerError> {
        let spans = self.spans(text)?;
        let known = spans.iter().filter(|&&(id, ..)| Some(id) != self.unknown);
        let ids: Vec<u32> = known.clone().map(|&(id, ..)| id).collect();
        let decoded = self.decode(&ids);
        let compared = RoundTrip { chars: text.chars().count() as u64, ..RoundTrip::default() };
        if decoded.trim() == text {
            return Ok(compared);
        }
        let mut is_seen = vec![self.is_byte_level(); text.len()];
        known.for_each(|&(_, start, end)| is_seen[start..end].fill(true));
        let is_seen: Vec<bool> = text.char_indices().map(|(index, _)| is_seen[index]).collect();
        Ok(compare(text, &is_seen, decoded.trim(), compared))
    }
}

/// Adds the differences between `text` and `decoded` to `found`. Characters of the text that no token stands for are
/// not counted.
fn compare(text: &str, is_seen: &[bool], decoded: &str, mut found: RoundTrip) -> RoundTrip {
    let [source, result] = [text, decoded].map(|text| text.chars().collect::<Vec<char>>());
    for operation in capture_diff_slices(Algorithm::Myers, &source, &result) {
        let (old, new) = (operation.old_range(), operation.new_range());
        let added = result[new.clone()].iter().filter(|c| !c.is_whitespace()).count();
        let changed = match operation {
            DiffOp::Equal { .. } => 0,
            DiffOp::Insert { .. } => added,
            DiffOp::Delete { .. } | DiffOp::Replace { .. } => {
                is_seen[old.clone()].iter().filter(|is_seen| **is_seen).count()
            }
        };
        found.changed_chars += changed as u64;
        if changed > 0 && found.example.is_none() {
            found.example = Some((words_around(&source, old), words_around(&result, new)));
        }
    }
    found
}

/// The characters `range` of a text, with the rest of the words at both ends.
fn words_around(text: &[char], range: Range<usize>) -> String {
    let start = text[..range.start].iter().rposition(|c| c.is_whitespace()).map_or(0, |space| space + 1);
    let rest = text[range.end..].iter().position(|c| c.is_whitespace()).unwrap_or(text.len() - range.end);
    text[start.max(range.start.saturating_sub(EXAMPLE_CHARS / 2))..range.end + rest]
        .iter()
        .take(EXAMPLE_CHARS)
        .collect()
}

/// Pieces of about [`PIECE`] bytes, cut at white space where there is some, without white space at their ends.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let least = rest.ceil_char_boundary(PIECE.min(rest.len()));
        let most = rest.ceil_char_boundary((2 * PIECE).min(rest.len()));
        let end = rest[least..most].find(char::is_whitespace).map_or(most, |space| least + space);
        let piece = &rest[..end];
        rest = rest[end..].trim_start();
        Some(piece.trim_end())
    })
}
