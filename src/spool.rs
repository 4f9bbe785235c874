//! Bytes that are written once and then read: in memory while they are few, and in a temporary file beyond that.
//!
//! The file has no name, so that nothing of it stays when the process ends, however it ends.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;
use tempfile::{SpooledData, SpooledTempFile};

/// Bytes that are collected before they are written.
const WRITTEN_TOGETHER: usize = 64 << 10;

/// The temporary file cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("text that does not fit into memory cannot be kept in the temporary folder {}; {}", folder.display(), advice(source))]
pub struct SpoolError {
    folder: PathBuf,
    source: io::Error,
}

/// What to try after an error of the file system.
fn advice(error: &io::Error) -> &'static str {
    /// The number of too many open files, in a process or in the system, on all Unix systems.
    const TOO_MANY_FILES: [i32; 2] = [24, 23];
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some room there, or let TMPDIR name a folder with more"
        }
        ErrorKind::FileTooLarge => "raise the size that a file may have (ulimit -f)",
        _ if error.raw_os_error().is_some_and(|number| TOO_MANY_FILES.contains(&number)) => {
            "raise the number of files that a process may open (ulimit -n) by 200"
        }
        _ => "let TMPDIR name a folder that this user may write to",
    }
}

impl From<io::Error> for SpoolError {
    fn from(source: io::Error) -> Self {
        Self { folder: std::env::temp_dir(), source }
    }
}

/// Bytes in memory or in a temporary file.
#[derive(Debug)]
pub(crate) struct Spool {
    written: SpooledTempFile,
    unwritten: Vec<u8>,
}

impl Spool {
    /// No bytes. Up to `in_memory` bytes stay in memory; if there are more, all of them go to a temporary file.
    pub(crate) fn new(in_memory: usize) -> Self {
        Self { written: SpooledTempFile::new(in_memory), unwritten: Vec::new() }
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.unwritten.extend_from_slice(bytes);
        if self.unwritten.len() < WRITTEN_TOGETHER { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), SpoolError> {
        let bytes = std::mem::take(&mut self.unwritten);
        if !bytes.is_empty() {
            self.written.seek(SeekFrom::End(0))?;
            self.written.write_all(&bytes)?;
        }
        Ok(())
    }

    /// The bytes at these places.
    pub(crate) fn read(&mut self, places: Range<u64>) -> Result<Vec<u8>, SpoolError> {
        self.write()?;
        let mut bytes = vec![0; (places.end - places.start) as usize];
        self.written.seek(SeekFrom::Start(places.start))?;
        self.written.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// All bytes.
    pub(crate) fn read_all(&mut self) -> Result<Vec<u8>, SpoolError> {
        self.write()?;
        let end = self.written.seek(SeekFrom::End(0))?;
        self.read(0..end)
    }

    /// The bytes, or the file that has them.
    pub(crate) fn into_data(mut self) -> Result<SpooledData, SpoolError> {
        self.write()?;
        Ok(self.written.into_inner())
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
            assert_eq!(spool.read_all().expect("reads").len(), 15);
            let data = spool.into_data().expect("writes");
            assert_eq!(matches!(data, SpooledData::InMemory(_)), in_memory == 1000);
        }
    }

    #[test]
    fn more_bytes_than_are_written_together_come_back_in_order() {
        let part = |number: u8| vec![number; WRITTEN_TOGETHER / 3];
        let mut spool = Spool::new(0);
        (0..10).for_each(|number| spool.append(&part(number)).expect("writes"));
        assert!(spool.read_all().expect("reads") == (0..10).flat_map(part).collect::<Vec<u8>>());
    }

    #[test]
    fn errors_name_the_folder_and_what_to_try() {
        for (number, advice) in
            [(28, "free some room"), (24, "ulimit -n"), (27, "ulimit -f"), (13, "may write to")]
        {
            let message = SpoolError::from(io::Error::from_raw_os_error(number)).to_string();
            let folder = std::env::temp_dir().display().to_string();
            assert!(message.contains(advice) && message.contains(&folder), "{message}");
        }
    }
}
