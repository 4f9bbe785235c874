//! Collecting documents that may be larger than memory.

use super::{Documents, Numbers, TokenId};
use crate::spool::{Spool, SpoolError};
use genloss_kernels::mapped::{Mapped, Number, to_bytes};
use std::sync::Arc;
use tempfile::SpooledData;

/// Bytes of token ids that are kept in memory; beyond that all of them go to a temporary file.
const IN_MEMORY: usize = 64 << 20;

/// Collects documents, in a temporary file if there are many.
#[derive(Debug)]
pub struct DocumentWriter {
    ids: Spool,
    ends: Vec<u64>,
}

impl Default for DocumentWriter {
    fn default() -> Self {
        Self::with_memory(IN_MEMORY)
    }
}

impl DocumentWriter {
    fn with_memory(in_memory: usize) -> Self {
        Self { ids: Spool::new(in_memory), ends: Vec::new() }
    }

    /// Adds documents.
    ///
    /// # Errors
    /// If a temporary file cannot be written.
    pub fn extend(&mut self, documents: &Documents) -> Result<(), SpoolError> {
        let before = self.ends.last().copied().unwrap_or(0);
        self.ids.append(&to_bytes(documents.flat()))?;
        self.ends.extend(documents.ends().iter().map(|end| before + end));
        Ok(())
    }

    /// All documents.
    ///
    /// # Errors
    /// If a temporary file cannot be read.
    pub fn finish(self) -> Result<Documents, SpoolError> {
        let ids = match self.ids.into_data()? {
            SpooledData::InMemory(bytes) => {
                let numbers = bytes.get_ref().chunks_exact(size_of::<TokenId>());
                Numbers::Owned(numbers.map(<TokenId as Number>::from_le_bytes).collect())
            }
            // Nothing else has the file, so that nobody changes it.
            SpooledData::OnDisk(file) => Numbers::Mapped(Arc::new(Mapped::new(&file)?)),
        };
        Ok(Documents { ids, ends: Numbers::Owned(self.ends) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collected_documents_are_the_same_in_memory_and_in_a_file() {
        let part = |first: u32| -> Documents { [&[first, 2, 3][..], &[], &[4]].into_iter().collect() };
        let expected: Documents = part(1).iter().chain(part(7).iter()).collect();
        for in_memory in [0, 1000] {
            let mut writer = DocumentWriter::with_memory(in_memory);
            for documents in [part(1), Documents::new(), part(7)] {
                writer.extend(&documents).expect("writes");
            }
            assert_eq!(writer.finish().expect("reads"), expected);
        }
        assert_eq!(DocumentWriter::with_memory(0).finish().expect("reads"), Documents::new());
    }
}
