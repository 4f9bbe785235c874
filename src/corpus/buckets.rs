//! Sorting documents by hash, also where they do not fit into memory.
//!
//! Documents are first distributed over buckets by the leading bits of their hashes. Hashes are uniform, so the buckets
//! have nearly equal sizes, and one at a time is sorted in memory. The next bucket has larger hashes only.

use super::split::HashedDocument;
use crate::spool::{Spool, SpoolError};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Number of buckets: a power of two, and few enough for the number of files that a process may open.
const BUCKETS: usize = 128;

/// Bytes of a bucket that are kept in memory; beyond that all of it goes to a temporary file.
const IN_MEMORY: usize = 512 << 10;

/// Bytes of a bucket that are collected before they are written.
const WRITTEN_TOGETHER: usize = 64 << 10;

/// Documents on their way into the order of their hashes.
pub(super) struct Buckets(Vec<Mutex<Bucket>>);

struct Bucket {
    unwritten: Vec<u8>,
    written: Spool,
    length: u64,
}

impl Buckets {
    pub(super) fn new() -> Self {
        let bucket = || Bucket { unwritten: Vec::new(), written: Spool::new(IN_MEMORY), length: 0 };
        Self((0..BUCKETS).map(|_| Mutex::new(bucket())).collect())
    }

    /// Adds a document. Documents may be added by several threads in any order.
    pub(super) fn add(&self, document: &HashedDocument) -> Result<(), SpoolError> {
        let index = document.leading_byte() as usize * BUCKETS / 256;
        let mut bucket = self.0[index].lock().unwrap_or_else(PoisonError::into_inner);
        document.write(&mut bucket.unwritten);
        if bucket.unwritten.len() < WRITTEN_TOGETHER { Ok(()) } else { bucket.write() }
    }

    /// The documents of one bucket after the other, each sorted by hash, file and text.
    pub(super) fn into_sorted(self) -> impl Iterator<Item = Result<Vec<HashedDocument>, SpoolError>> {
        self.0.into_iter().map(|bucket| {
            let mut documents = bucket.into_inner().unwrap_or_else(PoisonError::into_inner).read()?;
            documents.par_sort_unstable();
            Ok(documents)
        })
    }
}

impl Bucket {
    fn write(&mut self) -> Result<(), SpoolError> {
        self.length += self.unwritten.len() as u64;
        self.written.append(&self.unwritten)?;
        self.unwritten.clear();
        Ok(())
    }

    fn read(mut self) -> Result<Vec<HashedDocument>, SpoolError> {
        self.write()?;
        let bytes = self.written.read(0..self.length)?;
        let mut rest = &bytes[..];
        let mut documents = Vec::new();
        while !rest.is_empty() {
            let (document, after) = HashedDocument::read(rest)?;
            documents.push(document);
            rest = after;
        }
        Ok(documents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three texts of 300,000 bytes are more than a bucket keeps in memory, should they meet in one, as the copies do.
    #[test]
    fn documents_come_back_sorted_with_their_copies() {
        let text = |number: usize| {
            format!("text {number} {}", "x".repeat(if number < 3 { 300_000 } else { number }))
        };
        let mut documents: Vec<HashedDocument> =
            (0..2000).map(|number| HashedDocument::new(text(number % 1500), number % 7)).collect();
        let buckets = Buckets::new();
        documents.par_iter().for_each(|document| buckets.add(document).expect("writes"));
        let sorted: Vec<HashedDocument> =
            buckets.into_sorted().flat_map(|bucket| bucket.expect("reads")).collect();
        documents.sort_unstable();
        assert!(sorted == documents);
    }
}
