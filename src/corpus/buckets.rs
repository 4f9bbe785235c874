//! Sorting documents by hash, also where they do not fit into memory.
//!
//! Documents are first distributed over buckets by the leading bits of their hashes. Hashes are uniform, so that buckets of
//! different texts have nearly equal sizes, and one at a time is sorted in memory. The next bucket has larger hashes only.
//! Copies of a text are all in one bucket; those that come close together are written once, with their number.

use super::split::HashedDocument;
use crate::spool::{Spool, SpoolError};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Number of buckets: a power of two, and few enough for the number of files that a process may open.
const BUCKETS: usize = 128;

/// Bytes of a bucket that are kept in memory; if there are more, all of them go to a temporary file.
const IN_MEMORY: usize = 512 << 10;

/// Bytes of text that a bucket collects before copies are looked for among them.
const COLLECTED: usize = 64 << 10;

/// Documents on their way into the order of their hashes.
pub(super) struct Buckets(Vec<Mutex<Bucket>>);

struct Bucket {
    collected: Vec<HashedDocument>,
    collected_bytes: usize,
    written: Spool,
}

impl Buckets {
    pub(super) fn new() -> Self {
        let bucket = || Bucket { collected: Vec::new(), collected_bytes: 0, written: Spool::new(IN_MEMORY) };
        Self((0..BUCKETS).map(|_| Mutex::new(bucket())).collect())
    }

    /// Adds a document. Documents may be added by several threads in any order.
    pub(super) fn add(&self, document: HashedDocument) -> Result<(), SpoolError> {
        let index = document.leading_byte() as usize * BUCKETS / 256;
        let mut bucket = self.0[index].lock().unwrap_or_else(PoisonError::into_inner);
        bucket.collected_bytes += document.bytes();
        bucket.collected.push(document);
        if bucket.collected_bytes < COLLECTED { Ok(()) } else { bucket.write() }
    }

    /// The documents of one bucket after the other, each sorted by hash, file and text. Copies of a text in one file may be one
    /// document with their number, or several.
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
        let mut documents = std::mem::take(&mut self.collected);
        self.collected_bytes = 0;
        documents.sort_unstable();
        documents.dedup_by(|later, earlier| earlier.takes(later));
        let mut bytes = Vec::new();
        documents.iter().for_each(|document| document.write(&mut bytes));
        self.written.append(&bytes)
    }

    fn read(mut self) -> Result<Vec<HashedDocument>, SpoolError> {
        self.write()?;
        let bytes = self.written.read_all()?;
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
    use crate::corpus::split::Copies;

    /// Three texts of 300,000 bytes are more than a bucket keeps in memory, should they meet in one, as the copies do. A
    /// short text occurs 30,000 times in each of two files.
    #[test]
    fn documents_come_back_sorted_once_with_the_number_of_their_copies() {
        let text = |number: usize| {
            format!("text {number} {}", "x".repeat(if number < 3 { 300_000 } else { number }))
        };
        let documents: Vec<HashedDocument> = (0..2000)
            .map(|number| HashedDocument::new(text(number % 1500), number % 7))
            .chain((0..60_000).map(|number| HashedDocument::new("[deleted]".to_owned(), 2 + number % 2)))
            .collect();
        let buckets = Buckets::new();
        documents.par_iter().for_each(|document| buckets.add(document.clone()).expect("writes"));
        let (mut copies, mut kept, mut read) = (Copies::none(7), Vec::new(), 0);
        for bucket in buckets.into_sorted() {
            let mut bucket = bucket.expect("reads");
            assert!(bucket.is_sorted());
            read += bucket.len();
            copies.drop_from(&mut bucket);
            kept.extend(bucket);
        }
        let mut expected = documents;
        expected.sort_unstable();
        let mut of_all = Copies::none(7);
        of_all.drop_from(&mut expected);
        let texts = |documents: &[HashedDocument]| {
            documents.iter().map(|one| one.text().to_owned()).collect::<Vec<_>>()
        };
        assert!(texts(&kept) == texts(&expected) && copies == of_all);
        assert_eq!((kept.len(), copies.most), (1501, 60_000));
        assert!(read < 2300, "{read} documents were kept on the way");
    }
}
