//! Checkpoints inside a generation: numbered folders, the highest number being the latest.
//!
//! Like a generation, each checkpoint has a manifest: the hashes of its files, and the fingerprint of the model in
//! training. The fingerprint covers the training text. Training therefore never continues from weights that were
//! trained on another text, or in which a bit was flipped.

use super::manifest::{self, FileHashes, Fingerprint};
use super::{StoreError, WORK, claimed, disk};
use crate::claims::Claim;
use crate::files;
use crate::progress::error_chain;
use crate::training::{Checkpoints, TrainingError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    claim: Arc<Claim>,
    model: Fingerprint,
    every: Duration,
    last: Instant,
}

impl StoreCheckpoints {
    /// The checkpoints of the generation whose folder will be `generation`, of the model with this fingerprint, written
    /// under `claim`. The newest checkpoint that another claim left is taken over. Older ones are removed, and those that
    /// are damaged or belong to another model; the second result says why the newest of these cannot be continued, unless
    /// there is another one.
    pub(super) fn open(
        generation: &Path,
        claim: Arc<Claim>,
        model: Fingerprint,
        every: Duration,
    ) -> Result<(Self, Option<String>), StoreError> {
        let folder = claimed(generation, WORK, &claim);
        let checkpoints = Self { folder, claim, model, every, last: Instant::now() };
        let left = left_folders(generation)?;
        let mut candidates: Vec<(u64, PathBuf)> = left.iter().flat_map(|folder| numbered(folder)).collect();
        candidates.sort();
        let mut fault = None;
        for (number, candidate) in candidates.into_iter().rev() {
            match checkpoints.fault(&candidate) {
                None => {
                    checkpoints.take_over(number, &candidate)?;
                    fault = None;
                    break;
                }
                reason => fault = fault.or(reason),
            }
        }
        let others = left.iter().filter(|folder| **folder != checkpoints.folder);
        others
            .chain(fault.is_some().then_some(&checkpoints.folder))
            .try_for_each(|folder| disk::remove_dir(folder))?;
        Ok((checkpoints, fault))
    }

    fn take_over(&self, number: u64, found: &Path) -> Result<(), StoreError> {
        if found.starts_with(&self.folder) {
            return Ok(());
        }
        self.claim.check()?;
        disk::create_dir(&self.folder)?;
        disk::rename_dir(found, &self.path(number))
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
        numbered(&self.folder).into_iter().map(|(number, _)| number).collect()
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
        self.claim.check().map_err(|lost| failed(lost.into()))?;
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

/// The checkpoints in a folder with their numbers, ascending. None if the folder does not exist.
fn numbered(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let checkpoint = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name.strip_prefix(PREFIX)?.parse().ok()?, entry.path()))
    };
    let mut all: Vec<(u64, PathBuf)> = entries.filter_map(checkpoint).collect();
    all.sort();
    all
}

/// The folders with checkpoints of a generation that any claim has left, and that of a version without claims.
fn left_folders(generation: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let lineage = files::containing_folder(generation);
    let name = format!("{WORK}{}", generation.file_name().unwrap_or_default().to_string_lossy());
    let is_left = |found: &String| {
        found.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let names = disk::names_if_any(lineage)?;
    Ok(names.iter().filter(|found| is_left(found)).map(|found| lineage.join(found)).collect())
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
