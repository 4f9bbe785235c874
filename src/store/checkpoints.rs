//! Checkpoints inside a generation: numbered folders, the highest number being the latest.
//!
//! Like a generation, each checkpoint has a manifest: the hashes of its files, and the fingerprint of the model in
//! training. The fingerprint covers the training text. Training therefore never continues from weights that were
//! trained on another text, or in which a bit was flipped.

use super::manifest::{self, FileHashes, Fingerprint};
use super::{StoreError, disk};
use crate::progress::error_chain;
use crate::training::{Checkpoints, TrainingError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PREFIX: &str = "checkpoint-";
const MANIFEST: &str = "manifest.json";

/// The model that a checkpoint belongs to, and the hashes of its files.
#[derive(Serialize, Deserialize)]
struct CheckpointManifest {
    /// The model in training.
    model: Fingerprint,
    files: FileHashes,
}

/// The checkpoints of a generation in training.
#[derive(Debug)]
pub struct StoreCheckpoints {
    folder: PathBuf,
    model: Fingerprint,
    every: Duration,
    last: Instant,
}

impl StoreCheckpoints {
    /// The checkpoints in `folder` of the model with this fingerprint. A checkpoint that is damaged or belongs to
    /// another model is removed; the second result says why.
    pub(super) fn open(
        folder: PathBuf,
        model: Fingerprint,
        every: Duration,
    ) -> Result<(Self, Option<String>), StoreError> {
        let checkpoints = Self { folder, model, every, last: Instant::now() };
        let Some(latest) = checkpoints.latest() else { return Ok((checkpoints, None)) };
        let fault = checkpoints.fault(&latest);
        if fault.is_some() {
            disk::remove_dir(&checkpoints.folder)?;
        }
        Ok((checkpoints, fault))
    }

    /// Why training cannot continue from a checkpoint; `None` if it can.
    fn fault(&self, checkpoint: &Path) -> Option<String> {
        let manifest: Result<CheckpointManifest, StoreError> = disk::read_record(&checkpoint.join(MANIFEST));
        let reason = match (manifest, manifest::hash_files(checkpoint)) {
            (Err(error), _) | (_, Err(error)) => error_chain(&error),
            (Ok(CheckpointManifest { model, files }), Ok(mut found)) => {
                found.remove(MANIFEST);
                if files != found {
                    "its files are not what was written".to_owned()
                } else if model != self.model {
                    "it was trained on another text, or with other settings".to_owned()
                } else {
                    return None;
                }
            }
        };
        Some(format!("{} cannot be continued: {reason}", checkpoint.display()))
    }

    fn numbers(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut numbers: Vec<u64> = names
            .filter_map(|name| name.strip_prefix(PREFIX).and_then(|number| number.parse().ok()))
            .collect();
        numbers.sort_unstable();
        numbers
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{PREFIX}{number}"))
    }

    /// Lets `write` fill a new checkpoint, which replaces the old ones once it is complete.
    fn replace(
        &self,
        write: &mut dyn FnMut(&Path) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let failed = |error| TrainingError::CheckpointStorage { source: Box::new(error) };
        let aside = self.empty_partial().map_err(failed)?;
        write(&aside)?;
        self.finish(&aside).map_err(failed)
    }

    fn empty_partial(&self) -> Result<PathBuf, StoreError> {
        let aside = self.folder.join("partial");
        disk::remove_dir(&aside)?;
        disk::create_dir(&aside)?;
        Ok(aside)
    }

    /// Flushes the new checkpoint to disk, gives it the next number and removes the old ones.
    fn finish(&self, aside: &Path) -> Result<(), StoreError> {
        let manifest = CheckpointManifest { model: self.model.clone(), files: manifest::hash_files(aside)? };
        disk::write_record(&aside.join(MANIFEST), &manifest)?;
        disk::sync_dir(aside)?;
        let old = self.numbers();
        disk::rename_dir(aside, &self.path(old.last().map_or(0, |number| number + 1)))?;
        for number in old {
            disk::remove_dir(&self.path(number))?;
        }
        Ok(())
    }
}

impl Checkpoints for StoreCheckpoints {
    fn latest(&self) -> Option<PathBuf> {
        self.numbers().last().map(|&number| self.path(number))
    }

    fn due(&self) -> bool {
        self.last.elapsed() >= self.every
    }

    fn save(
        &mut self,
        write: &mut dyn FnMut(&Path) -> Result<(), TrainingError>,
    ) -> Result<(), TrainingError> {
        let saved = self.replace(write);
        self.last = Instant::now();
        saved
    }
}
