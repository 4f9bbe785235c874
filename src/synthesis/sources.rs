//! Which natural document each synthetic one is made from.

use super::SynthesisError;
use crate::documents::{Documents, TokenId};
use crate::seed::StreamKey;
use rand::seq::SliceRandom;
use std::ops::Range;

/// The documents in an order of their own, all of them before any comes again, in another order then. Documents that
/// compete for one place are made from the same one.
pub(super) struct Rotation<'a> {
    documents: &'a Documents,
    /// How many compete for one place.
    candidates: u64,
    place: StreamKey,
}

impl<'a> Rotation<'a> {
    pub(super) fn new(
        documents: &'a Documents,
        candidates: usize,
        place: StreamKey,
    ) -> Result<Self, SynthesisError> {
        if documents.is_empty() {
            return Err(SynthesisError::NoSource);
        }
        Ok(Self { documents, candidates: candidates as u64, place })
    }

    /// What documents `items` are made from.
    pub(super) fn of(&self, items: Range<u64>) -> Vec<&'a [TokenId]> {
        let round = self.documents.len() as u64 * self.candidates;
        let mut sources = Vec::new();
        let mut next = items.start;
        while next < items.end {
            let mut order: Vec<usize> = (0..self.documents.len()).collect();
            order.shuffle(&mut self.place.stream(next / round));
            let end = items.end.min((next / round + 1) * round);
            let places = (next..end).map(|item| (item % round / self.candidates) as usize);
            sources.extend(places.map(|place| self.documents.get(order[place])));
            next = end;
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_comes_once_a_round_whatever_is_asked_for() {
        let documents: Documents = [&[1][..], &[2], &[3], &[4], &[5]].into_iter().collect();
        let rotation = Rotation::new(&documents, 1, StreamKey::new(1, "", 0, "prompts")).unwrap();
        let all = rotation.of(0..15);
        let piecewise: Vec<&[TokenId]> =
            [0..4, 4..11, 11..15].into_iter().flat_map(|items| rotation.of(items)).collect();
        assert_eq!(all, piecewise);
        for round in all.chunks(5) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, [&[1], &[2], &[3], &[4], &[5]]);
        }
        assert_ne!(all[..5], all[5..10]);
        let of_three = Rotation::new(&documents, 3, StreamKey::new(1, "", 0, "prompts")).unwrap().of(0..45);
        assert!(of_three.chunks(3).zip(all).all(|(candidates, one)| candidates == [one; 3]));
    }
}
