//! How much of a text a tokenizer represents: unknown tokens, and bytes that no token stands for.
//!
//! A model of text that is mostly one unknown token predicts it very well: its loss is low and says nothing about the
//! text. White space that a tokenizer drops after splitting text into words is counted separately, because the words
//! are still represented.
//!
//! ```
//! use genloss::tokenizer::Tokenizer;
//! let texts = vec!["the old dog sees the other dog".to_owned()];
//! let tokenizer = Tokenizer::learn(&texts, 260)?;
//! let coverage = tokenizer.coverage(&texts, &tokenizer.encode_documents(&texts)?)?;
//! assert_eq!((coverage.bytes, coverage.lost_share()), (30, 0.0));
//! # Ok::<(), genloss::tokenizer::TokenizerError>(())
//! ```

use super::round_trip::{NOTED_SHARE, RoundTrip, share};
use super::{Tokenizer, TokenizerError, panicked};
use crate::documents::{Documents, TokenId};
use crate::guard::guard;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Lost share of a text above which the text is refused, because a model's loss would be that of a different text.
pub const REFUSED_SHARE: f64 = 0.05;

/// Maximum number of characters of an example.
const EXAMPLE_CHARS: usize = 20;

/// How much of a text a tokenizer represents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Coverage {
    /// Tokens of the text, without end tokens.
    pub tokens: u64,
    /// Tokens of the text that are the unknown token.
    pub unknown_tokens: u64,
    /// Bytes of the text.
    pub bytes: u64,
    /// Bytes that unknown tokens stand for.
    pub unknown_bytes: u64,
    /// Bytes that no token stands for, white space not counted.
    pub dropped_bytes: u64,
    /// Bytes of white space that no token stands for.
    pub dropped_space_bytes: u64,
    /// Beginning of the first stretch of text that is unknown or dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
    /// How much of the text comes back otherwise after encoding and decoding.
    pub round_trip: RoundTrip,
}

impl Coverage {
    /// Share of unknown tokens.
    #[must_use]
    pub fn unknown_share(&self) -> f64 {
        share(self.unknown_tokens, self.tokens)
    }

    /// Share of the bytes that are unknown or dropped, white space not counted.
    #[must_use]
    pub fn lost_share(&self) -> f64 {
        share(self.unknown_bytes + self.dropped_bytes, self.bytes)
    }

    /// Whether so much of the text is lost that the loss of a model would be meaningless.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.unknown_share().max(self.lost_share()) > REFUSED_SHARE
    }

    /// What the tokenizer does not represent of `text` ("the heldout split"), and what it changes, if either is more than
    /// 0.1 %.
    pub fn notes(&self, text: &str) -> impl Iterator<Item = String> + use<> {
        self.note_on_loss(text).into_iter().chain(self.round_trip.note(text))
    }

    fn note_on_loss(&self, text: &str) -> Option<String> {
        let space_share = share(self.dropped_space_bytes, self.bytes);
        let largest = self.unknown_share().max(self.lost_share()).max(space_share);
        (largest > NOTED_SHARE)
            .then(|| format!("the tokenizer does not represent all of the text; {text}: {self}"))
    }

    pub(crate) fn and(mut self, next: Self) -> Self {
        self.tokens += next.tokens;
        self.unknown_tokens += next.unknown_tokens;
        self.bytes += next.bytes;
        self.unknown_bytes += next.unknown_bytes;
        self.dropped_bytes += next.dropped_bytes;
        self.dropped_space_bytes += next.dropped_space_bytes;
        self.example = self.example.or(next.example);
        self
    }

    /// Counts the bytes of `text`, a stretch of the text that is lost. The first such stretch becomes the example.
    fn lose(&mut self, text: &str, is_unknown: bool) {
        let space: usize = text.chars().filter(|c| c.is_whitespace()).map(char::len_utf8).sum();
        if is_unknown {
            self.unknown_bytes += text.len() as u64;
        } else {
            self.dropped_bytes += (text.len() - space) as u64;
            self.dropped_space_bytes += space as u64;
        }
        if self.example.is_none() && space < text.len() {
            self.example = Some(text.trim().chars().take(EXAMPLE_CHARS).collect());
        }
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        write!(
            f,
            "{} of its tokens are the unknown token, and {} of its bytes are in no known token",
            percent(self.unknown_share()),
            percent(self.lost_share())
        )?;
        if self.dropped_space_bytes > 0 {
            let space = share(self.dropped_space_bytes, self.bytes);
            write!(f, ", not counting dropped white space, which is {} of its bytes", percent(space))?;
        }
        match &self.example {
            Some(example) => write!(f, " (first: {example:?})"),
            None => Ok(()),
        }
    }
}

impl Tokenizer {
    /// How much of `texts` is represented by `documents`, the result of [`Tokenizer::encode_documents`].
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn coverage(&self, texts: &[String], documents: &Documents) -> Result<Coverage, TokenizerError> {
        let of_one = |index: usize| {
            let ids = documents.get(index);
            self.represented(&texts[index], &ids[..ids.len().saturating_sub(1)])
        };
        let all: Result<Vec<Coverage>, TokenizerError> =
            (0..texts.len().min(documents.len())).into_par_iter().map(of_one).collect();
        let all = all?.into_iter().fold(Coverage::default(), Coverage::and);
        Ok(Coverage { round_trip: self.round_trip(texts)?, ..all })
    }

    /// How much of `text` is represented by `ids`, the result of [`Tokenizer::encode`].
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn coverage_of(&self, text: &str, ids: &[TokenId]) -> Result<Coverage, TokenizerError> {
        Ok(Coverage { round_trip: self.round_trip(&[text])?, ..self.represented(text, ids)? })
    }

    /// As [`Self::coverage_of`], without what comes back otherwise after decoding.
    pub(super) fn represented(&self, text: &str, ids: &[TokenId]) -> Result<Coverage, TokenizerError> {
        let bytes = text.len() as u64;
        let mut coverage = Coverage { tokens: ids.len() as u64, bytes, ..Coverage::default() };
        let is_whole = self.byte_lengths.is_some() && self.byte_length(ids) == bytes;
        if is_whole && self.unknown.is_none_or(|unknown| !ids.contains(&unknown)) {
            return Ok(coverage);
        }
        let mut end = 0;
        for (id, start, stop) in self.spans(text)? {
            if start > end {
                coverage.lose(&text[end..start], false);
            }
            // A text may contain the name of the unknown token.
            let is_unknown = Some(id) == self.unknown
                && self.inner.id_to_token(id).as_deref() != Some(text[start..stop].trim());
            if is_unknown {
                coverage.unknown_tokens += 1;
                coverage.lose(&text[start.max(end).min(stop)..stop], true);
            }
            end = end.max(stop);
        }
        coverage.lose(&text[end..], false);
        if self.byte_lengths.is_some() {
            // The offsets of byte-level tokens leave out the white space at their ends; the bytes of the tokens do not. With a
            // normalizer these are the bytes of another text.
            let known = self.byte_length(ids) + coverage.unknown_bytes + coverage.dropped_bytes;
            let is_same = self.inner.get_normalizer().is_none();
            coverage.dropped_space_bytes = if is_same { bytes.saturating_sub(known) } else { 0 };
        }
        Ok(coverage)
    }

    /// Each token of `text`, with the start and the end of the bytes that it stands for. These are whole characters: if
    /// several tokens stand for one character, each of them has all bytes of that character.
    pub(super) fn spans(&self, text: &str) -> Result<Vec<(TokenId, usize, usize)>, TokenizerError> {
        let encoded = guard(|| self.inner.encode(text, false));
        let encoded = encoded.map_err(|panic| panicked(panic.into(), text))?;
        let encoded = encoded.map_err(TokenizerError::Failed)?;
        let spans = encoded.get_ids().iter().zip(encoded.get_offsets());
        Ok(spans
            .map(|(&id, &(start, end))| {
                let start = text.floor_char_boundary(start.min(text.len()));
                (id, start, text.ceil_char_boundary(end.clamp(start, text.len())))
            })
            .collect())
    }

    /// The part of `text` that its first `tokens` tokens stand for.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn source_of_prefix<'a>(&self, text: &'a str, tokens: usize) -> Result<&'a str, TokenizerError> {
        let spans = self.spans(text)?;
        let end = spans.iter().take(tokens).map(|&(_, _, end)| end).max().unwrap_or(0);
        Ok(&text[..end])
    }
}
