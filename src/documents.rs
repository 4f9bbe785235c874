//! Tokenised documents: many short runs of token ids in one flat buffer.
//!
//! A complete document ends with the end-of-text token. One that was cut to make a token count exact does not.

use crate::units::Tokens;

/// An index into a tokenizer's vocabulary.
pub type TokenId = u32;

/// A sequence of tokenised documents, stored flat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    ids: Vec<TokenId>,
    ends: Vec<usize>,
}

impl Documents {
    /// No documents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a document.
    pub fn push(&mut self, document: &[TokenId]) {
        self.ids.extend_from_slice(document);
        self.ends.push(self.ids.len());
    }

    /// The number of documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of tokens over all documents, end-of-text tokens included.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens(self.ids.len() as u64)
    }

    /// Document `index`; panics when there is none, as a slice does.
    #[must_use]
    pub fn get(&self, index: usize) -> &[TokenId] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.ids[start..self.ends[index]]
    }

    /// Where each document begins among all tokens.
    #[must_use]
    pub fn starts(&self) -> Vec<usize> {
        let ends = self.ends.iter().copied();
        std::iter::once(0).chain(ends).take(self.len()).collect()
    }

    /// The documents in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[TokenId]> + Clone + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// All token ids, document after document.
    #[must_use]
    pub fn flat(&self) -> &[TokenId] {
        &self.ids
    }

    /// The leading documents that hold exactly `budget` tokens, the last one cut where the budget ends.
    /// Shorter than `budget` only if there are not that many tokens.
    #[must_use]
    pub fn prefix(&self, budget: Tokens) -> Self {
        let mut kept = Self::new();
        let mut left = budget.0 as usize;
        for document in self.iter() {
            if left == 0 {
                break;
            }
            let part = &document[..document.len().min(left)];
            kept.push(part);
            left -= part.len();
        }
        kept
    }
}

impl<'a> FromIterator<&'a [TokenId]> for Documents {
    fn from_iter<I: IntoIterator<Item = &'a [TokenId]>>(documents: I) -> Self {
        let mut all = Self::new();
        for document in documents {
            all.push(document);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_exactly_the_tokens_asked_for() {
        let documents: Documents = [&[1, 2, 3][..], &[4, 5], &[6]].into_iter().collect();
        let prefix = documents.prefix(Tokens(4));
        assert_eq!(prefix.tokens(), Tokens(4));
        assert_eq!(prefix.iter().collect::<Vec<_>>(), [&[1, 2, 3][..], &[4]]);
        assert_eq!(documents.prefix(Tokens(99)), documents);
    }
}
