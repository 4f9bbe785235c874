//! Splitting natural text into train, held-out and reference, by the hash of each document's text.
//!
//! Let u be the first 8 bytes of the BLAKE3 hash as a fraction of 2⁶⁴, which is uniform for all practical purposes. A
//! document is held out if `u < heldout_share`, reference if `u < heldout_share + reference_share`, and train otherwise.
//! Nothing else matters: neither the document's file, nor its neighbours, nor the number of documents. Within a split,
//! documents are sorted by hash, a shuffle that anyone can reproduce.
//!
//! A text from files counts once, however often it occurs. Its copies would all be in one split, next to each other,
//! and could fill held-out text that is cut to size. A standard error that takes documents as independent would also be
//! too small. Documents of the built-in world are independent draws, so they are all kept. **Pitfall:** near copies are
//! different texts, which can end up in different splits.

use std::io;

/// The three disjoint parts of the natural text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CorpusSplit {
    /// Text that models train on.
    Train,
    /// Text that losses are measured on.
    Heldout,
    /// Text that synthetic text is compared with.
    Reference,
}

impl CorpusSplit {
    /// Name in records, settings and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Heldout => "heldout",
            Self::Reference => "reference",
        }
    }
}

/// A document and the BLAKE3 hash of its text. Sorts by hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HashedDocument {
    hash: [u8; 32],
    /// Index of its file.
    file: usize,
    text: String,
    /// How often the text was found in this file.
    occurrences: u64,
}

impl HashedDocument {
    pub(super) fn new(text: String, file: usize) -> Self {
        Self { hash: *blake3::hash(text.as_bytes()).as_bytes(), file, text, occurrences: 1 }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn leading_byte(&self) -> u8 {
        self.hash[0]
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }

    /// Counts the occurrences of `other` as those of this document if it is a copy in the same file. Returns whether it is.
    pub(super) fn takes(&mut self, other: &Self) -> bool {
        let is_copy = (self.hash, self.file) == (other.hash, other.file);
        self.occurrences += if is_copy { other.occurrences } else { 0 };
        is_copy
    }

    /// Appends the document to `bytes`, for [`Self::read`].
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&(self.file as u64).to_le_bytes());
        bytes.extend_from_slice(&self.occurrences.to_le_bytes());
        bytes.extend_from_slice(&(self.text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(self.text.as_bytes());
    }

    /// The document that `bytes` begin with, and the bytes after it.
    pub(super) fn read(bytes: &[u8]) -> io::Result<(Self, &[u8])> {
        let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (&hash, bytes) = bytes.split_first_chunk().ok_or_else(cut)?;
        let (&file, bytes) = bytes.split_first_chunk().ok_or_else(cut)?;
        let (&occurrences, bytes) = bytes.split_first_chunk().ok_or_else(cut)?;
        let (&length, bytes) = bytes.split_first_chunk().ok_or_else(cut)?;
        let (text, rest) = bytes.split_at_checked(u64::from_le_bytes(length) as usize).ok_or_else(cut)?;
        let text = str::from_utf8(text).map_err(io::Error::other)?.to_owned();
        let [file, occurrences] = [file, occurrences].map(u64::from_le_bytes);
        Ok((Self { hash, file: file as usize, text, occurrences }, rest))
    }

    /// The split that the document belongs to.
    pub(super) fn split(&self, heldout_share: f64, reference_share: f64) -> CorpusSplit {
        let (leading, _) = self.hash.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let u = u64::from_be_bytes(*leading) as f64 / 2f64.powi(64);
        if u < heldout_share {
            CorpusSplit::Heldout
        } else if u < heldout_share + reference_share {
            CorpusSplit::Reference
        } else {
            CorpusSplit::Train
        }
    }
}

/// Counts of documents with the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copies {
    /// Dropped documents by file.
    pub(super) by_file: Vec<u64>,
    /// How often the most frequent text occurs.
    pub(super) most: u64,
}

impl Copies {
    /// No documents of `files` files.
    pub(super) fn none(files: usize) -> Self {
        Self { by_file: vec![0; files], most: 0 }
    }

    /// Keeps each text once, where it occurs first, and counts the others. `documents` are sorted, and have no texts in
    /// common with those of other calls.
    pub(super) fn drop_from(&mut self, documents: &mut Vec<HashedDocument>) {
        for copies in documents.chunk_by(|one, other| one.hash == other.hash) {
            self.most = self.most.max(copies.iter().map(|copy| copy.occurrences).sum());
            copies.iter().for_each(|copy| self.by_file[copy.file] += copy.occurrences);
            self.by_file[copies[0].file] -= 1;
        }
        documents.dedup_by(|later, earlier| later.hash == earlier.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_its_copies_are_counted_in_the_files_that_come_later() {
        let texts = [("a", 0), ("b", 1), ("a", 1), ("a", 2), ("c", 2), ("a", 0)];
        let mut documents: Vec<HashedDocument> =
            texts.iter().map(|&(text, file)| HashedDocument::new(text.to_owned(), file)).collect();
        documents.sort_unstable();
        let mut copies = Copies::none(3);
        copies.drop_from(&mut documents);
        assert_eq!(copies, Copies { by_file: vec![1, 1, 1], most: 4 });
        let mut kept: Vec<(&str, usize)> = documents.iter().map(|kept| (kept.text(), kept.file)).collect();
        kept.sort_unstable();
        assert_eq!(kept, [("a", 0), ("b", 1), ("c", 2)]);
    }
}
