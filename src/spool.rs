//! Bytes that are written once and then read: in memory while they are few, and in a temporary file beyond that.
//!
//! The file has no name, so that nothing of it stays when the process ends, however it ends.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;
use tempfile::{SpooledData, SpooledTempFile};

/// The temporary file cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error(
    "text that does not fit into memory cannot be kept in the temporary folder {}; free some room there, or let TMPDIR \
     name a folder with more",
    folder.display()
)]
pub struct SpoolError {
    folder: PathBuf,
    source: io::Error,
}

impl From<io::Error> for SpoolError {
    fn from(source: io::Error) -> Self {
        Self { folder: std::env::temp_dir(), source }
    }
}

/// Bytes in memory or in a temporary file.
#[derive(Debug)]
pub(crate) struct Spool(SpooledTempFile);

impl Spool {
    /// No bytes. Up to `in_memory` bytes stay in memory.
    pub(crate) fn new(in_memory: usize) -> Self {
        Self(SpooledTempFile::new(in_memory))
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.0.seek(SeekFrom::End(0))?;
        Ok(self.0.write_all(bytes)?)
    }

    /// The bytes at these places.
    pub(crate) fn read(&mut self, places: Range<u64>) -> Result<Vec<u8>, SpoolError> {
        let mut bytes = vec![0; (places.end - places.start) as usize];
        self.0.seek(SeekFrom::Start(places.start))?;
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The bytes, or the file that has them.
    pub(crate) fn into_data(self) -> SpooledData {
        self.0.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_in_memory_and_in_a_file() {
        for in_memory in [0, 5, 1000] {
            let mut spool = Spool::new(in_memory);
            for part in [&b"one"[..], b"", b"two", b"three"] {
                spool.append(part).expect("writes");
            }
            assert_eq!(spool.read(3..6).expect("reads"), b"two");
            spool.append(b"four").expect("writes");
            assert_eq!(spool.read(0..15).expect("reads"), b"onetwothreefour");
            assert!(spool.read(11..16).is_err(), "there are 15 bytes");
            assert_eq!(matches!(spool.into_data(), SpooledData::InMemory(_)), in_memory == 1000);
        }
    }
}
