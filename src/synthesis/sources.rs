//! The natural document that each synthetic document is made from.
//!
//! **Pitfall.** Documents are rewritten whole, however long they are. If a rewriting were cut at
//! `synthesis.max_document_tokens`, the ends of longer documents would never be read and their beginnings all the more
//! often, and that loss of text would be mistaken for collapse.

use super::SynthesisError;
use crate::documents::{Documents, TokenId};
use crate::seed::StreamKey;
use rand::seq::SliceRandom;

/// Assigns natural documents to slots. Every epoch uses each natural document once, in a new random order. All
/// candidates for a slot are made from the same document.
pub(super) struct Rotation<'a> {
    documents: &'a Documents,
    /// Number of candidates for each slot.
    candidates: u64,
    /// Key of the streams that shuffle the documents, one for each epoch.
    key: StreamKey,
}

/// The length at which the rewriting of `source` is cut: `max_document_tokens`, as for text written from nothing, but
/// without a limit if the source itself is longer.
pub(super) fn longest_rewriting(source: &[TokenId], max_document_tokens: usize) -> usize {
    if source.len() > max_document_tokens { usize::MAX } else { max_document_tokens }
}

impl<'a> Rotation<'a> {
    pub(super) fn new(
        documents: &'a Documents,
        candidates: usize,
        key: StreamKey,
    ) -> Result<Self, SynthesisError> {
        if documents.is_empty() {
            return Err(SynthesisError::NoSource);
        }
        Ok(Self { documents, candidates: candidates as u64, key })
    }

    /// The natural document for each of the synthetic documents `items`.
    pub(super) fn of(&self, items: &[u64]) -> Vec<&'a [TokenId]> {
        let epoch_items = self.documents.len() as u64 * self.candidates;
        let of_epoch = items.chunk_by(|one, next| one / epoch_items == next / epoch_items);
        let mut sources = Vec::new();
        for items in of_epoch {
            let mut order: Vec<usize> = (0..self.documents.len()).collect();
            order.shuffle(&mut self.key.stream(items[0] / epoch_items));
            let slots = items.iter().map(|item| (item % epoch_items / self.candidates) as usize);
            sources.extend(slots.map(|slot| self.documents.get(order[slot])));
        }
        sources
    }

    /// The natural documents for the first of `items`, at least one. More are added while their tokens together do not
    /// exceed `max_document_tokens` times the number of `items`. This bounds the memory of a request where documents
    /// are long.
    pub(super) fn of_first(&self, items: &[u64], max_document_tokens: usize) -> Vec<&'a [TokenId]> {
        let mut left = max_document_tokens.saturating_mul(items.len());
        let mut sources = self.of(items);
        let fits = |source: &&[TokenId]| {
            let rest = left.checked_sub(source.len());
            left = rest.unwrap_or(0);
            rest.is_some()
        };
        let fitting = sources.iter().copied().take_while(fits).count();
        sources.truncate(fitting.max(1));
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_occurs_once_in_each_epoch_for_any_sequence_of_requests() {
        let documents: Documents = [&[1][..], &[2], &[3], &[4], &[5]].into_iter().collect();
        let rotation = Rotation::new(&documents, 1, StreamKey::new(1, "", 0, "prompts")).unwrap();
        let numbers: Vec<u64> = (0..45).collect();
        let all = rotation.of(&numbers[..15]);
        let piecewise: Vec<&[TokenId]> =
            [0..4, 4..11, 11..15].into_iter().flat_map(|items| rotation.of(&numbers[items])).collect();
        assert_eq!(all, piecewise);
        for epoch in all.chunks(5) {
            let mut epoch = epoch.to_vec();
            epoch.sort_unstable();
            assert_eq!(epoch, [&[1], &[2], &[3], &[4], &[5]]);
        }
        assert_ne!(all[..5], all[5..10]);
        let of_three =
            Rotation::new(&documents, 3, StreamKey::new(1, "", 0, "prompts")).unwrap().of(&numbers);
        assert!(of_three.chunks(3).zip(all).all(|(candidates, one)| candidates == [one; 3]));
    }
}
