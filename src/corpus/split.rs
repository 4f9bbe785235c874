//! Train, held-out and reference: which is decided by the hash of a document's text.
//!
//! The first 8 bytes of the BLAKE3 hash, as a fraction u of 2⁶⁴, are as good as uniform. A document is held out if
//! `u < heldout_share`, reference if `u < heldout_share + reference_share`, and train otherwise. Nothing else
//! enters: not its file, not its neighbours, not how many documents there are. Within a split documents are in the
//! order of their hashes, which is a shuffle that anyone can repeat.
//!
//! Exact copies of a document have the same hash, so they fall into the same split and stand side by side. They are
//! kept: how often a text occurs is part of a distribution. Near copies are different texts, and can fall apart.

/// A part of the natural text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CorpusSplit {
    /// What models train on.
    Train,
    /// What losses are measured on.
    Heldout,
    /// What synthetic text is compared with.
    Reference,
}

impl CorpusSplit {
    /// Its name in records and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Heldout => "heldout",
            Self::Reference => "reference",
        }
    }
}

/// A document and its hash. Sorts by the hash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HashedDocument {
    hash: [u8; 32],
    text: String,
}

impl HashedDocument {
    /// Hashes a document.
    pub(super) fn new(text: String) -> Self {
        Self { hash: *blake3::hash(text.as_bytes()).as_bytes(), text }
    }

    /// The document.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where it belongs.
    pub(super) fn portion(&self, heldout_share: f64, reference_share: f64) -> CorpusSplit {
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

/// Splits documents into train, held-out and reference, each in the order of hashes.
pub(super) fn split(
    mut documents: Vec<HashedDocument>,
    heldout_share: f64,
    reference_share: f64,
) -> [Vec<String>; 3] {
    documents.sort_unstable();
    let mut splits = [Vec::new(), Vec::new(), Vec::new()];
    for document in documents {
        splits[document.portion(heldout_share, reference_share) as usize].push(document.text);
    }
    splits
}

/// BLAKE3 of some texts in order, as hexadecimal digits. Lengths are hashed too, so that texts cannot run together.
pub(super) fn hash_of(texts: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
