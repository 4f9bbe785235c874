//! The documents of one file, and counts of what is left out.

use super::{CorpusError, FileToRead};
use crate::corpus::buckets::Buckets;
use crate::corpus::record::FileRecord;
use crate::corpus::split::HashedDocument;
use std::path::PathBuf;

/// Bytes that a document takes besides its text.
const BYTES_PER_DOCUMENT: u64 = size_of::<String>() as u64;

/// Takes the documents of a file, and counts what is left out.
pub(super) struct Findings<'a> {
    path: PathBuf,
    /// Index of the file.
    file: usize,
    documents: &'a Buckets,
    pub(super) record: FileRecord,
    /// Bytes that documents may still take.
    bytes_left: u64,
    max_expansion: u64,
    skip_bad: u64,
}

impl<'a> Findings<'a> {
    /// Starts without documents, for the file with this index, whose documents may take up to `max_bytes`.
    pub(super) fn new(file: FileToRead<'a>, max_bytes: u64, max_expansion: u64, skip_bad: u64) -> Self {
        let FileToRead { path, file, documents } = file;
        let record = FileRecord { path: path.display().to_string(), ..FileRecord::default() };
        Self {
            path: path.to_owned(),
            file,
            documents,
            record,
            bytes_left: max_bytes,
            max_expansion,
            skip_bad,
        }
    }

    /// Adds a document, unless it is blank.
    ///
    /// # Errors
    /// If the documents take more room than is allowed, or if a temporary file cannot be written.
    pub(super) fn add(&mut self, text: String) -> Result<(), CorpusError> {
        if text.trim().is_empty() {
            self.record.blanks += 1;
            return Ok(());
        }
        let bytes = text.len() as u64 + BYTES_PER_DOCUMENT;
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| self.too_large())?;
        self.record.documents += 1;
        Ok(self.documents.add(HashedDocument::new(text, self.file))?)
    }

    /// The error for a file that unpacks to more than is allowed.
    pub(super) fn too_large(&self) -> CorpusError {
        CorpusError::TooMuchExpansion { path: self.path.clone(), max_expansion: self.max_expansion }
    }

    /// Counts documents that are null.
    pub(super) fn add_nulls(&mut self, nulls: usize) {
        self.record.nulls += nulls as u64;
    }

    /// Counts a line that holds no document.
    ///
    /// # Errors
    /// `error`, which says what is wrong with the line, if no more bad lines are allowed.
    pub(super) fn add_bad_line(&mut self, error: CorpusError) -> Result<(), CorpusError> {
        if self.record.bad_lines >= self.skip_bad {
            return Err(error);
        }
        self.record.bad_lines += 1;
        Ok(())
    }
}
