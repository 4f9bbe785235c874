//! Corpora and models of a run that is not open, each file compared with its hash.

use super::manifest::Manifest;
use super::{Address, MEASUREMENTS, MODEL, SYNTHETIC, StoreError, disk, synthetic};
use crate::documents::Documents;
use std::path::Path;
use std::time::SystemTime;

/// The corpus of a committed generation as token ids; `None` if it is not on record, as in some published runs.
///
/// # Errors
/// If it cannot be read, or was changed after it was written.
pub fn read_corpus(root: &Path, address: Address) -> Result<Option<Documents>, StoreError> {
    let path = address.folder(root).join(SYNTHETIC);
    has_corpus(root, address)?.then(|| synthetic::read_ids(&path)).transpose()
}

/// The first `most` documents of a committed generation as text; `None` if its corpus is not on record.
///
/// # Errors
/// As [`read_corpus`].
pub fn read_documents(root: &Path, address: Address, most: usize) -> Result<Option<Vec<String>>, StoreError> {
    let path = address.folder(root).join(SYNTHETIC);
    has_corpus(root, address)?.then(|| synthetic::read_texts(&path, most)).transpose()
}

/// Whether the corpus is on record, as it was written.
fn has_corpus(root: &Path, address: Address) -> Result<bool, StoreError> {
    let folder = address.folder(root);
    // A study has no folders of generations.
    if !folder.exists() {
        return Ok(false);
    }
    let manifest = Manifest::read(&folder, address)?;
    if !manifest.names(SYNTHETIC) {
        return Ok(false);
    }
    manifest.check(&folder, SYNTHETIC)?;
    Ok(true)
}

/// Copies the model of a committed generation into the folder `to`.
///
/// # Errors
/// If a file of the generation was changed after it was written, or if the disk fails.
pub fn copy_model(root: &Path, address: Address, to: &Path) -> Result<(), StoreError> {
    let folder = address.folder(root);
    Manifest::read(&folder, address)?.verify(&folder)?;
    disk::copy_dir(&folder.join(MODEL), to)
}

/// When a generation was committed, by the clock of the file system. Copying a run may change it.
///
/// # Errors
/// If the generation is not on record.
pub fn committed_at(root: &Path, address: Address) -> Result<SystemTime, StoreError> {
    let path = address.folder(root).join(MEASUREMENTS);
    disk::at(&path, std::fs::metadata(&path).and_then(|metadata| metadata.modified()))
}
