//! Tokenised documents, stored in one flat buffer of token ids.
//!
//! A complete document ends with the end-of-text token. A document that was cut to reach an exact number of tokens does
//! not.
//!
//! ```
//! use genloss::documents::Documents;
//! use genloss::units::Tokens;
//! let documents: Documents = [&[5, 7, 0][..], &[8, 0]].into_iter().collect();
//! assert_eq!((documents.len(), documents.tokens()), (2, Tokens(5)));
//! assert_eq!(documents.prefix(Tokens(4)).get(1), [8]);
//! ```
//!
//! Documents can also be in files that are [mapped](Documents::mapped) into memory. Then copies of them are cheap, and
//! processes of one machine share them. A [`DocumentWriter`] keeps what does not fit into memory in such a file.

use crate::units::Tokens;
use genloss_kernels::mapped::{Mapped, Number};
use std::ops::Deref;
use std::sync::Arc;

mod writer;

pub use writer::DocumentWriter;

/// An index into a tokenizer's vocabulary.
pub type TokenId = u32;

/// Tokens that end a document in common tokenizers. Natural text may contain them as ordinary text.
pub const END_MARKERS: [&str; 8] =
    ["<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<|eot|>", "<|im_end|>", "[EOS]", "[SEP]"];

/// A sequence of tokenised documents, stored flat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    ids: Numbers<TokenId>,
    /// Where each document ends among the ids.
    ends: Numbers<u64>,
}

/// Numbers in this process or in a mapped file.
#[derive(Clone, Debug)]
enum Numbers<T> {
    Owned(Vec<T>),
    Mapped(Arc<Mapped<T>>),
}

impl<T: Number> Numbers<T> {
    /// The numbers as a list that can be changed; those of a file are copied first.
    fn to_mut(&mut self) -> &mut Vec<T> {
        if let Self::Mapped(mapped) = self {
            *self = Self::Owned(mapped.to_vec());
        }
        match self {
            Self::Owned(numbers) => numbers,
            Self::Mapped(_) => unreachable!("copied above"),
        }
    }
}

impl<T: Number> Deref for Numbers<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(numbers) => numbers,
            Self::Mapped(numbers) => numbers,
        }
    }
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self::Owned(Vec::new())
    }
}

impl<T: Number + PartialEq> PartialEq for Numbers<T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T: Number + Eq> Eq for Numbers<T> {}

impl Documents {
    /// No documents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Documents whose ids, and whose [ends](Self::ends), are in mapped files; `None` if the two do not fit together.
    #[must_use]
    pub fn mapped(ids: Mapped<TokenId>, ends: Mapped<u64>) -> Option<Self> {
        let fit = ends.is_sorted() && ends.last().copied().unwrap_or(0) == ids.len() as u64;
        fit.then(|| Self { ids: Numbers::Mapped(Arc::new(ids)), ends: Numbers::Mapped(Arc::new(ends)) })
    }

    /// Adds a document.
    pub fn push(&mut self, document: &[TokenId]) {
        let ids = self.ids.to_mut();
        ids.extend_from_slice(document);
        self.ends.to_mut().push(ids.len() as u64);
    }

    /// The number of documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true if there are no documents.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of tokens over all documents, end-of-text tokens included.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens(self.ids.len() as u64)
    }

    /// The tokens of document `index`. Panics if `index` is out of range.
    #[must_use]
    pub fn get(&self, index: usize) -> &[TokenId] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.ids[start as usize..self.ends[index] as usize]
    }

    /// Lets the memory go that a mapped file takes. What is read again is loaded again.
    pub fn release(&self) {
        if let Numbers::Mapped(ids) = &self.ids {
            ids.release();
        }
    }

    /// The index in [`flat`](Self::flat) behind each document's last token.
    #[must_use]
    pub fn ends(&self) -> &[u64] {
        &self.ends
    }

    /// The index in [`flat`](Self::flat) of each document's first token.
    #[must_use]
    pub fn starts(&self) -> Vec<usize> {
        let ends = self.ends.iter().map(|&end| end as usize);
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

    /// The documents of several texts in one, each text in its order: the next document is from the text of which the fewest
    /// tokens were taken so far, from the first of them if several are equal. Texts that have no more documents are left out.
    #[must_use]
    pub fn merged_evenly(texts: &[Self]) -> Self {
        let mut merged = Self::new();
        // Tokens and documents taken of each text.
        let mut taken = vec![(0, 0); texts.len()];
        loop {
            let open = (0..texts.len()).filter(|&text| taken[text].1 < texts[text].len());
            let Some(next) = open.min_by_key(|&text| taken[text].0) else { return merged };
            let document = texts[next].get(taken[next].1);
            merged.push(document);
            taken[next] = (taken[next].0 + document.len(), taken[next].1 + 1);
        }
    }

    /// The first `budget` tokens, or all if there are fewer. The last document is cut if necessary.
    #[must_use]
    pub fn prefix(&self, budget: Tokens) -> Self {
        Self::first_tokens(budget, self.iter())
    }

    /// As [`prefix`](Self::prefix), of these documents in this order.
    pub fn first_tokens<'a>(budget: Tokens, documents: impl IntoIterator<Item = &'a [TokenId]>) -> Self {
        let mut kept = Self::new();
        let mut left = budget.0 as usize;
        for document in documents {
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

impl<D: AsRef<[TokenId]>> FromIterator<D> for Documents {
    fn from_iter<I: IntoIterator<Item = D>>(documents: I) -> Self {
        let mut all = Self::new();
        for document in documents {
            all.push(document.as_ref());
        }
        all
    }
}

/// A 64-bit hash of a short token sequence. Each token is added to the hash so far, and the sum is mixed by SplitMix64
/// (Steele et al. 2014).
#[must_use]
pub fn hash(tokens: &[TokenId]) -> u64 {
    hash_of(tokens.iter().copied())
}

/// As [`hash`].
pub fn hash_of(tokens: impl IntoIterator<Item = TokenId>) -> u64 {
    tokens.into_iter().fold(0, |hash: u64, token| mix(hash.wrapping_add(u64::from(token) + 1)))
}

/// A pseudo-random permutation of 64-bit numbers: one step of SplitMix64.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use genloss_kernels::mapped::to_bytes;
    use std::io::Write;

    #[test]
    fn a_prefix_has_exactly_the_requested_tokens() {
        let documents: Documents = [&[1, 2, 3][..], &[4, 5], &[6]].into_iter().collect();
        let prefix = documents.prefix(Tokens(4));
        assert_eq!(prefix.tokens(), Tokens(4));
        assert_eq!(prefix.iter().collect::<Vec<_>>(), [&[1, 2, 3][..], &[4]]);
        assert_eq!(documents.prefix(Tokens(99)), documents);
    }

    fn mapped<T: Number>(numbers: &[T]) -> Mapped<T> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&to_bytes(numbers)).expect("writes");
        Mapped::new(&file).expect("maps")
    }

    #[test]
    fn mapped_documents_equal_those_in_memory_and_a_copy_of_them_can_grow() {
        let owned: Documents = [&[1, 2, 3][..], &[], &[6]].into_iter().collect();
        let shared = Documents::mapped(mapped(owned.flat()), mapped(owned.ends())).expect("fits");
        assert_eq!((&shared, shared.starts(), shared.get(2)), (&owned, owned.starts(), owned.get(2)));
        let mut copy = shared.clone();
        copy.push(&[7]);
        assert_eq!((copy.len(), copy.get(3), shared.len()), (4, &[7][..], 3));
        let none = Documents::mapped(mapped(&[]), mapped(&[])).expect("no documents");
        assert_eq!(none, Documents::new());
    }

    #[test]
    fn ends_that_do_not_fit_the_ids_give_no_documents() {
        for ends in [&[2][..], &[4], &[3, 1, 3], &[]] {
            assert_eq!(Documents::mapped(mapped(&[1, 2, 3]), mapped(ends)), None, "{ends:?}");
        }
    }

    /// `mix(1)` and `mix(2)` are the first two outputs of the reference implementation of SplitMix64 from state 0.
    #[test]
    fn tokens_are_hashed_by_splitmix64() {
        assert_eq!(mix(1), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(2), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(hash(&[0]), mix(1));
        assert_eq!(hash(&[0, 4]), mix(mix(1).wrapping_add(5)));
    }
}
