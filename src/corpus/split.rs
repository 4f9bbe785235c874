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
}

impl HashedDocument {
    pub(super) fn new(text: String, file: usize) -> Self {
        Self { hash: *blake3::hash(text.as_bytes()).as_bytes(), file, text }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
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

/// Sorts documents of `files` files by hash, and keeps each text once: where it occurs first.
pub(super) fn drop_copies(documents: &mut Vec<HashedDocument>, files: usize) -> Copies {
    documents.sort_unstable();
    let mut copies = Copies { by_file: vec![0; files], most: u64::from(!documents.is_empty()) };
    let mut occurrences = 1;
    documents.dedup_by(|later, earlier| {
        let is_copy = later.hash == earlier.hash;
        occurrences = if is_copy { occurrences + 1 } else { 1 };
        copies.most = copies.most.max(occurrences);
        copies.by_file[later.file] += u64::from(is_copy);
        is_copy
    });
    copies
}

/// The texts of train, held-out and reference, each in the order of hashes.
pub(super) fn split(
    mut documents: Vec<HashedDocument>,
    heldout_share: f64,
    reference_share: f64,
) -> [Vec<String>; 3] {
    documents.sort_unstable();
    let mut splits = [Vec::new(), Vec::new(), Vec::new()];
    for document in documents {
        splits[document.split(heldout_share, reference_share) as usize].push(document.text);
    }
    splits
}

/// BLAKE3 of a sequence of texts, in hexadecimal. Lengths are hashed too, so that it matters where one text ends.
pub(super) fn hash_of(texts: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_its_copies_are_counted_in_the_files_that_come_later() {
        let texts = [("a", 0), ("b", 1), ("a", 1), ("a", 2), ("c", 2), ("a", 0)];
        let mut documents: Vec<HashedDocument> =
            texts.iter().map(|&(text, file)| HashedDocument::new(text.to_owned(), file)).collect();
        let copies = drop_copies(&mut documents, 3);
        assert_eq!(copies, Copies { by_file: vec![1, 1, 1], most: 4 });
        let mut kept: Vec<(&str, usize)> = documents.iter().map(|kept| (kept.text(), kept.file)).collect();
        kept.sort_unstable();
        assert_eq!(kept, [("a", 0), ("b", 1), ("c", 2)]);
    }
}
