//! Checkpoints inside a generation: numbered folders, of which the highest is the last.

use super::{StoreError, disk};
use crate::training::{Checkpoints, TrainingError};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PREFIX: &str = "checkpoint-";

/// The checkpoints of one generation at work.
#[derive(Debug)]
pub struct StoreCheckpoints {
    folder: PathBuf,
    every: Duration,
    last: Instant,
}

impl StoreCheckpoints {
    pub(super) fn new(folder: PathBuf, every: Duration) -> Self {
        Self { folder, every, last: Instant::now() }
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

    fn replace(
        &self,
        write: &mut dyn FnMut(&Path) -> Result<(), TrainingError>,
    ) -> Result<Result<(), TrainingError>, StoreError> {
        let old = self.numbers();
        let aside = self.folder.join("partial");
        disk::remove_dir(&aside)?;
        disk::create_dir(&aside)?;
        if let Err(error) = write(&aside) {
            return Ok(Err(error));
        }
        for entry in disk::at(&aside, fs::read_dir(&aside))? {
            disk::sync_file(&disk::at(&aside, entry)?.path())?;
        }
        disk::sync_dir(&aside)?;
        disk::rename_dir(&aside, &self.path(old.last().map_or(0, |number| number + 1)))?;
        for number in old {
            disk::remove_dir(&self.path(number))?;
        }
        Ok(Ok(()))
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
        let saved = self.replace(write).map_err(|error| TrainingError::Checkpoint {
            path: self.folder.clone(),
            reason: error.to_string(),
        })?;
        self.last = Instant::now();
        saved
    }
}
