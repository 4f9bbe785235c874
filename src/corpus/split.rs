//! Splitting natural text into train, held-out and reference, by the hash of each document's text.
//!
//! Let u be the first 8 bytes of the BLAKE3 hash as a fraction of 2⁶⁴, which is uniform for all practical purposes. A
//! document is held out if `u < heldout_share`, reference if `u < heldout_share + reference_share`, and train otherwise.
//! Nothing else matters: neither its file, nor its neighbours, nor the number of documents. Within a split, documents are
//! sorted by hash, a shuffle that anyone can reproduce.
//!
//! Exact copies of a document have the same hash, so they are in the same split, next to each other. They are kept,
//! because the frequency of a text is part of the distribution. **Pitfall:** near copies are different texts, which can
//! end up in different splits.

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
    text: String,
}

impl HashedDocument {
    pub(super) fn new(text: String) -> Self {
        Self { hash: *blake3::hash(text.as_bytes()).as_bytes(), text }
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
