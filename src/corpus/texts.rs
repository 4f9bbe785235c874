//! The texts of a split, as many as the disk can hold.

use crate::spool::{Spool, SpoolError};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Bytes of the texts of a split that are kept in memory; if there are more, all of them go to a temporary file.
const IN_MEMORY: usize = 32 << 20;

/// Bytes of text in a batch, without its last text.
const BATCH: u64 = 4 << 20;

/// Texts in the order of their hashes. They are read in batches, because all together they may be larger than memory.
#[derive(Debug)]
pub struct Texts {
    bytes: Mutex<Spool>,
    /// Where each text ends among the bytes.
    ends: Vec<u64>,
    longest: usize,
    hash: String,
    /// Bytes of text in a batch, without its last text.
    batch: u64,
}

impl Texts {
    /// Some texts, of which no more than `in_memory` bytes are kept in memory, in batches of `batch` bytes.
    #[cfg(test)]
    pub(crate) fn stored<T: AsRef<str>>(texts: &[T], in_memory: usize, batch: u64) -> Self {
        let mut writer = TextWriter { bytes: Spool::new(in_memory), ..TextWriter::new() };
        texts.iter().for_each(|text| writer.push(text.as_ref()).expect("writes"));
        Self { batch, ..writer.finish() }
    }

    /// The number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true if there are no texts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all texts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.start_of(self.len())
    }

    /// Bytes of the longest text.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// BLAKE3 of the texts and their lengths, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// All texts, some at a time.
    ///
    /// # Errors
    /// If a temporary file cannot be read.
    pub fn batches(&self) -> impl Iterator<Item = Result<TextBatch, SpoolError>> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = next;
            next = self.end_of_batch(first);
            (first < next).then(|| self.read(first..next))
        })
    }

    /// The first `count` texts.
    ///
    /// # Errors
    /// If a temporary file cannot be read.
    pub fn first(&self, count: usize) -> Result<Vec<String>, SpoolError> {
        let batch = self.read(0..count.min(self.len()))?;
        Ok(batch.texts().into_iter().map(str::to_owned).collect())
    }

    fn start_of(&self, index: usize) -> u64 {
        if index == 0 { 0 } else { self.ends[index - 1] }
    }

    /// One more than the index of the last text of the batch that begins with `first`.
    fn end_of_batch(&self, first: usize) -> usize {
        let before = self.start_of(first);
        let full = self.ends[first..].partition_point(|end| end - before < self.batch);
        (first + full + 1).min(self.len())
    }

    fn read(&self, texts: Range<usize>) -> Result<TextBatch, SpoolError> {
        let start = self.start_of(texts.start);
        let mut spool = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = spool.read(start..self.start_of(texts.end))?;
        let text = String::from_utf8(bytes).map_err(std::io::Error::other)?;
        let ends = self.ends[texts].iter().map(|end| (end - start) as usize).collect();
        Ok(TextBatch { text, ends })
    }
}

/// Some texts in memory.
#[derive(Debug)]
pub struct TextBatch {
    text: String,
    /// Where each text ends.
    ends: Vec<usize>,
}

impl TextBatch {
    /// The texts in order.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end]).collect()
    }
}

/// Collects texts.
pub(super) struct TextWriter {
    bytes: Spool,
    ends: Vec<u64>,
    longest: usize,
    hasher: blake3::Hasher,
}

impl TextWriter {
    pub(super) fn new() -> Self {
        Self::with_memory(IN_MEMORY)
    }

    fn with_memory(in_memory: usize) -> Self {
        Self { bytes: Spool::new(in_memory), ends: Vec::new(), longest: 0, hasher: blake3::Hasher::new() }
    }

    /// Adds a text. Its length is hashed too, so that it matters where one text ends.
    pub(super) fn push(&mut self, text: &str) -> Result<(), SpoolError> {
        self.bytes.append(text.as_bytes())?;
        self.ends.push(self.ends.last().copied().unwrap_or(0) + text.len() as u64);
        self.longest = self.longest.max(text.len());
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text.as_bytes());
        Ok(())
    }

    pub(super) fn finish(self) -> Texts {
        let Self { bytes, ends, longest, hasher } = self;
        let hash = hasher.finalize().to_hex().to_string();
        Texts { bytes: Mutex::new(bytes), ends, longest, hash, batch: BATCH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five texts: an empty one, two that are half a batch each, one that is larger than a batch, and a short one.
    #[test]
    fn batches_have_every_text_once_in_memory_and_in_a_file() {
        const BATCH: u64 = 4000;
        let half = "é".repeat(BATCH as usize / 4);
        let texts = [String::new(), half.clone(), half.clone(), half.repeat(3), "short".to_owned()];
        for in_memory in [0, usize::MAX] {
            let stored = Texts::stored(&texts, in_memory, BATCH);
            let batches: Vec<TextBatch> = stored.batches().map(|batch| batch.expect("reads")).collect();
            let read: Vec<Vec<&str>> = batches.iter().map(TextBatch::texts).collect();
            assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 1]);
            assert!(read.concat() == texts);
            assert_eq!((stored.len(), stored.longest()), (5, texts[3].len()));
            assert_eq!(stored.bytes(), texts.iter().map(|text| text.len() as u64).sum::<u64>());
            assert!(
                stored.first(2).expect("reads") == texts[..2] && stored.first(9).expect("reads") == texts
            );
        }
    }

    #[test]
    fn no_texts_have_no_batches_and_the_hash_depends_on_where_a_text_ends() {
        let none = Texts::stored::<&str>(&[], 0, 1);
        assert!(
            none.is_empty() && none.batches().next().is_none() && none.first(1).expect("reads").is_empty()
        );
        let hash = |texts: &[&str]| Texts::stored(texts, 0, 1).hash().to_owned();
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
