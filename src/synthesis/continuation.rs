//! *Continuation*: the model goes on from the beginning of a document: a natural one, or one that the generation before
//! wrote.
//!
//! The prefix is not part of what is written. If it were, part of every synthetic corpus would be natural text, and
//! the loop would be anchored by it. Prefixes are cut by tokens, from documents in which something comes after them,
//! each equally likely and with replacement.

use super::SynthesisError;
use super::prompted::Prompts;
use crate::documents::{Documents, TokenId};
use crate::seed::StreamKey;
use rand::Rng;

/// Prefixes of documents.
pub(super) struct Continuation<'a> {
    documents: &'a Documents,
    /// What they are, in words.
    from: &'static str,
    prefix_tokens: usize,
    /// Documents longer than that.
    long_enough: Vec<usize>,
    /// Where prefixes are chosen: not among the streams that the documents draw from.
    place: StreamKey,
}

impl<'a> Continuation<'a> {
    pub(super) fn new(
        documents: &'a Documents,
        from: &'static str,
        prefix_tokens: usize,
        place: StreamKey,
    ) -> Result<Self, SynthesisError> {
        let long_enough = long_enough(documents, prefix_tokens)?;
        Ok(Self { documents, from, prefix_tokens, long_enough, place })
    }
}

/// The documents longer than a prefix.
pub(super) fn long_enough(documents: &Documents, prefix_tokens: usize) -> Result<Vec<usize>, SynthesisError> {
    let lengths = documents.iter().map(<[TokenId]>::len);
    let long_enough: Vec<usize> = lengths
        .clone()
        .enumerate()
        .filter(|&(_, length)| length > prefix_tokens)
        .map(|(index, _)| index)
        .collect();
    if long_enough.is_empty() {
        let longest = lengths.max().unwrap_or(0);
        return Err(SynthesisError::NoPrefix { documents: documents.len(), prefix_tokens, longest });
    }
    Ok(long_enough)
}

impl Prompts for Continuation<'_> {
    fn prompt(&self, place: u64) -> &[TokenId] {
        let chosen = self.place.stream(place).random_range(0..self.long_enough.len() as u64);
        &self.documents.get(self.long_enough[chosen as usize])[..self.prefix_tokens]
    }

    fn method(&self) -> &'static str {
        "continuation"
    }

    fn source(&self) -> String {
        format!("{}, {} tokens", self.from, self.prefix_tokens)
    }
}
