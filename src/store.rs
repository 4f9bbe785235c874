//! The run store, the only writer below `generations/`.
//!
//! ```text
//! generations/<experiment>/
//!   experiment.toml      the resolved experiment file: every default written out
//!   provenance.json      version, features, processor, command line, corpus hashes
//!   tokenizer.json
//!   drift.json           the baseline: what drift alone would have done, by arm and metric
//!   seed-1/gen-000/      shared by all arms that differ in nothing but the mixture
//!     model/  synthetic.parquet  measurements.json  manifest.json
//!   seed-1/<arm>/gen-001/ …
//! ```
//!
//! A generation exists completely or not at all: it is written to a temporary folder, flushed to disk with a manifest
//! of the BLAKE3 hash and size of every file, and renamed. A kill at any instant loses at most the training since the
//! last checkpoint of the generation in progress. The manifest also holds the [`Fingerprints`] by which other runs find
//! the same generation.
//!
//! [`Store::exists`] only looks for the folder of a generation. [`Store::verify`] hashes every file of it, at most
//! once while the store is open. [`Store::clean_up`] removes what a killed process left.
//!
//! A lock keeps other processes from writing to an open store. Opening a store whose experiment, corpus or tokenizer
//! differs is an error, and changes nothing. JSON records carry a `schema` number and their own hash: a record of a newer
//! schema is an error, and so is one that was changed after it was written, or that lost its hash.
//!
//! `tests/it/store.rs` shows how a generation is committed and read back; [`read()`] needs no open store.

mod address;
mod checkpoints;
mod disk;
mod error;
mod manifest;
mod missing;
mod notes;
mod open;
mod read;
mod record;
mod study;
mod synthetic;

pub use address::Address;
pub use checkpoints::StoreCheckpoints;
pub use disk::{remove_unfinished, write_derived};
pub use error::StoreError;
pub use manifest::{Fingerprint, Fingerprints};
pub use missing::MissingMetrics;
pub use notes::notes;
pub use read::{Sample, is_finished, is_store, read, read_all, read_with, samples};
pub use record::*;
pub use study::{export, is_study, read_study};

use crate::baseline::Baseline;
use crate::config::Experiment;
use crate::documents::Documents;
use crate::files;
use manifest::Manifest;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const EXPERIMENT: &str = "experiment.toml";
const PROVENANCE: &str = "provenance.json";
const TOKENIZER: &str = "tokenizer.json";
const DRIFT: &str = "drift.json";
const LOCK: &str = ".lock";
const MODEL: &str = "model";
const MEASUREMENTS: &str = "measurements.json";
const SYNTHETIC: &str = "synthetic.parquet";

/// Beside `gen-001`, the folder `.work-gen-001` holds checkpoints of its training, and `.partial-gen-001` the files of
/// a commit that is not finished. No scan for generations matches these names.
const WORK: &str = ".work-";
const PARTIAL: &str = ".partial-";

/// A store open for writing, by this process alone.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    tokenizer_json: String,
    /// The provenance on record.
    provenance: Mutex<Provenance>,
    /// Folders of generations whose files have been found to match their manifests.
    verified: Mutex<BTreeSet<PathBuf>>,
    /// Locked as long as the store is open; the operating system releases the lock however the process ends. `None` for a
    /// finished run in a folder that this process may not write to.
    lock: Option<File>,
}

/// Everything that a generation leaves behind except its model.
#[derive(Clone, Copy, Debug)]
pub struct GenerationOutput<'a> {
    /// Training, mixture and measurements.
    pub record: &'a GenerationRecord,
    /// The synthetic corpus as token ids.
    pub documents: &'a Documents,
    /// The synthetic corpus as text.
    pub texts: &'a [String],
    /// Fingerprints by which other runs find this generation.
    pub fingerprints: &'a Fingerprints,
}

impl Store {
    /// Opens the store at `root` for `experiment`, or creates it. The experiment may differ from the one on
    /// record in two ways: seeds may be added, because different seeds are independent, and run-time-only settings may
    /// change. A finished run can be opened in a read-only folder.
    ///
    /// # Errors
    /// If another process has the store open, if the store belongs to another or a changed experiment, if the text or
    /// the tokenizer differs from what is on record, or if the disk fails. In these cases nothing is written.
    pub fn open(
        root: &Path,
        experiment: &Experiment,
        provenance: &Provenance,
        tokenizer_json: &str,
    ) -> Result<Self, StoreError> {
        let lock = open::open(root, experiment, provenance)?;
        if lock.is_some() {
            disk::write_if_changed(&root.join(TOKENIZER), tokenizer_json.as_bytes())?;
        }
        Ok(Self {
            root: root.to_owned(),
            tokenizer_json: tokenizer_json.to_owned(),
            provenance: Mutex::new(read::provenance(root)?),
            verified: Mutex::default(),
            lock,
        })
    }

    /// Checks that [`Self::open`] would accept `experiment` for the generations at `root`. Writes nothing, and does not
    /// test whether another process has the store open.
    ///
    /// # Errors
    /// As [`Self::open`], except for the lock.
    pub fn check(root: &Path, experiment: &Experiment, provenance: &Provenance) -> Result<(), StoreError> {
        open::check(root, experiment, provenance)
    }

    /// The store's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns true if a generation is committed. Does not verify its contents.
    #[must_use]
    pub fn exists(&self, address: Address) -> bool {
        address.exists_in(&self.root)
    }

    /// Compares every file of a committed generation with the manifest, unless this was done already since the store
    /// was opened or the generation was committed.
    ///
    /// # Errors
    /// If a file is missing or does not match the manifest.
    pub fn verify(&self, address: Address) -> Result<(), StoreError> {
        let folder = address.folder(&self.root);
        if self.verified().contains(&folder) {
            return Ok(());
        }
        manifest::verify(&folder, address)?;
        self.verified().insert(folder);
        Ok(())
    }

    /// Removes what a killed process left beside committed generations. Checkpoints of a generation that is not
    /// committed stay.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn clean_up(&self) -> Result<(), StoreError> {
        if self.lock.is_none() {
            return Ok(());
        }
        for lineage in open::lineage_folders(&self.root)? {
            for name in disk::names(&lineage)? {
                let generation = name.strip_prefix(WORK).or(name.strip_prefix(PARTIAL));
                if generation.is_some_and(|generation| lineage.join(generation).exists()) {
                    disk::remove_dir(&lineage.join(&name))?;
                }
            }
        }
        Ok(())
    }

    /// Commits a generation: `save_model` fills the model folder, and the rest is written beside it.
    ///
    /// # Errors
    /// If the disk or `save_model` fails; the generation then does not exist.
    pub fn commit<E: From<StoreError>>(
        &self,
        address: Address,
        output: GenerationOutput,
        save_model: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let aside = self.empty_partial(address)?;
        let model = aside.join(MODEL);
        disk::create_dir(&model)?;
        save_model(&model)?;
        disk::write_file(&model.join(TOKENIZER), self.tokenizer_json.as_bytes())?;
        synthetic::write(&aside.join(SYNTHETIC), output.documents, output.texts)?;
        disk::write_record(&aside.join(MEASUREMENTS), output.record)?;
        manifest::write(&aside, address, output.fingerprints)?;
        disk::sync_dir(&model)?;
        self.record_machine(output.record)?;
        Ok(self.finish(address, &aside)?)
    }

    /// Commits a copy of the generation in `folder`, which belongs to this store or another one.
    ///
    /// # Errors
    /// If that generation is damaged, or if the disk fails; the generation then does not exist here.
    pub fn adopt(
        &self,
        address: Address,
        folder: &Path,
        fingerprints: &Fingerprints,
    ) -> Result<(), StoreError> {
        let aside = self.empty_partial(address)?;
        disk::copy_dir(folder, &aside)?;
        Manifest::read_anywhere(&aside)?.verify(&aside)?;
        manifest::readdress(&aside, address, fingerprints)?;
        self.record_machine(&disk::read_record(&aside.join(MEASUREMENTS))?)?;
        self.finish(address, &aside)
    }

    /// Creates an empty folder for the files of a generation. [`Self::finish`] renames it to the generation's folder.
    fn empty_partial(&self, address: Address) -> Result<PathBuf, StoreError> {
        let aside = beside(&address.folder(&self.root), PARTIAL);
        disk::remove_dir(&aside)?;
        disk::create_dir(&aside)?;
        Ok(aside)
    }

    /// Adds the vector instructions and device of a generation to the provenance, unless they are there already.
    fn record_machine(&self, record: &GenerationRecord) -> Result<(), StoreError> {
        let Some(machine) = &record.machine else { return Ok(()) };
        let mut provenance = self.provenance();
        if provenance.machine() != *machine && !provenance.resumed_on.contains(machine) {
            provenance.resumed_on.push(machine.clone());
            disk::write_record(&self.root.join(PROVENANCE), &*provenance)?;
        }
        Ok(())
    }

    /// The vector instructions and devices with which the generations on record were made.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        self.provenance().machines()
    }

    fn provenance(&self) -> MutexGuard<'_, Provenance> {
        self.provenance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renames a finished folder to the generation's folder, and flushes the new name and the names of the folders
    /// above it to disk.
    fn finish(&self, address: Address, aside: &Path) -> Result<(), StoreError> {
        let folder = address.folder(&self.root);
        self.verified().remove(&folder);
        disk::rename_dir(aside, &folder)?;
        let above = folder.ancestors().skip(2).take_while(|above| above.starts_with(&self.root));
        above.chain([files::containing_folder(&self.root)]).try_for_each(disk::sync_dir)?;
        disk::remove_dir(&beside(&folder, WORK))
    }

    fn verified(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        // A panic elsewhere cannot leave the set inconsistent: each use is a single insertion or removal.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if the baseline of `experiment` is on record.
    ///
    /// # Errors
    /// If the record was written by a newer version of the program, or is damaged.
    pub fn has_baseline(&self, experiment: &Experiment) -> Result<bool, StoreError> {
        Ok(read::baseline(&self.root, experiment)?.is_some())
    }

    /// Records the baseline.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write_baseline(&self, baseline: &Baseline) -> Result<(), StoreError> {
        disk::write_record(&self.root.join(DRIFT), baseline)
    }

    /// Storage for the checkpoints of the model with fingerprint `model`, which are due at intervals of `every`. A
    /// checkpoint that is damaged or belongs to another model is removed; the second result is the reason.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn checkpoints(
        &self,
        address: Address,
        model: &Fingerprint,
        every: Duration,
    ) -> Result<(StoreCheckpoints, Option<String>), StoreError> {
        StoreCheckpoints::open(beside(&address.folder(&self.root), WORK), model.clone(), every)
    }

    /// The folder of a committed generation.
    #[must_use]
    pub fn generation_dir(&self, address: Address) -> PathBuf {
        address.folder(&self.root)
    }

    /// The folder of a committed generation's model.
    #[must_use]
    pub fn model_dir(&self, address: Address) -> PathBuf {
        address.folder(&self.root).join(MODEL)
    }

    /// The record of a committed generation.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn record(&self, address: Address) -> Result<GenerationRecord, StoreError> {
        disk::read_record(&address.folder(&self.root).join(MEASUREMENTS))
    }

    /// The fingerprints of a committed generation; `None` if a version without fingerprints committed it.
    ///
    /// # Errors
    /// If the manifest cannot be read.
    pub fn fingerprints(&self, address: Address) -> Result<Option<Fingerprints>, StoreError> {
        manifest::fingerprints(&address.folder(&self.root))
    }

    /// The token ids of a committed generation's corpus.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn synthetic(&self, address: Address) -> Result<Documents, StoreError> {
        synthetic::read_ids(&address.folder(&self.root).join(SYNTHETIC))
    }
}

/// The folder beside `folder` whose name is `prefix` followed by the name of `folder`.
fn beside(folder: &Path, prefix: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{prefix}{name}"))
}
