//! The run store, the only writer below `generations/`.
//!
//! ```text
//! generations/<experiment>/
//!   experiment.toml      the resolved experiment file: every default written out
//!   provenance.json      version, features, processor, command line, corpus hashes
//!   tokenizer.json
//!   drift.json           the baseline: what drift alone would have done, by arm and metric
//!   seed-1/gen-000/      shared by all arms that differ in nothing but the mixture
//!     model/  synthetic.parquet  measurements.json  manifest.json  origin.json
//!   seed-1/<arm>/gen-001/ …
//!   .live/               what processes do now, see [`crate::live`]; no result depends on it
//!   .units/              claims of the processes that work on the run; removed when everything is done
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
//! Any number of processes, on any machines that share the folder, may have a store open. Each generation belongs to a
//! [`Unit`], and a process claims a unit before it makes its generations ([`Store::claim`], [`crate::claims`]). Unfinished
//! folders carry the claim in their names, so that two processes never write to the same one. If a process is taken for
//! dead by mistake and two make the same generation, the first rename wins and the other generation is dropped.
//!
//! Opening a store whose experiment, corpus or tokenizer differs is an error, and changes nothing. JSON records carry a
//! `schema` number and their own hash: a record of a newer schema is an error, and so is one that was changed after it was
//! written, or that lost its hash.
//!
//! `tests/it/store.rs` shows how a generation is committed and read back; [`read()`] needs no open store.

mod address;
mod checkpoints;
mod claiming;
mod content;
mod disk;
mod error;
mod glance;
mod growth;
mod manifest;
mod missing;
mod name_order;
mod notes;
mod open;
mod read;
mod record;
mod state;
mod study;
mod synthetic;
mod text;
mod unit;

pub use address::Address;
pub use checkpoints::StoreCheckpoints;
pub use content::{committed_at, copy_model, read_corpus, read_documents};
pub use disk::{remove_unfinished, write_derived, write_folder};
pub use error::StoreError;
pub use glance::{ClaimsSeen, Glance, changed, observations, sample, stamp};
pub use manifest::{Fingerprint, Fingerprints};
pub use missing::MissingMetrics;
pub use notes::notes;
pub use read::{
    Sample, experiment, is_finished, is_store, read, read_all, read_generation, read_with, samples,
    stores_below,
};
pub use record::*;
pub use state::{UnitState, unit_seconds, unit_states};
pub use study::{export, is_study, measurements_note, read_study};
pub use text::{read_text, share_text, text_folder, text_identity, write_text};
pub use unit::{NotAUnit, Unit};

use crate::baseline::Baseline;
use crate::claims::{Claim, Claims, Process};
use crate::config::Experiment;
use crate::documents::Documents;
use crate::files;
use crate::model::group;
use manifest::Manifest;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const EXPERIMENT: &str = "experiment.toml";
const PROVENANCE: &str = "provenance.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const DRIFT: &str = "drift.json";
const ORIGIN: &str = "origin.json";
const MODEL: &str = "model";
const MEASUREMENTS: &str = "measurements.json";
const SYNTHETIC: &str = "synthetic.parquet";

/// Claims, and text that was prepared for workers. Removed when everything is done.
const UNITS: &str = ".units";

/// Beside `gen-001`, the folder `.work-gen-001.CLAIM` holds checkpoints of its training, and `.partial-gen-001.CLAIM` the
/// files of a commit that is not finished. No scan for generations matches these names.
const WORK: &str = ".work-";
const PARTIAL: &str = ".partial-";

/// `.outgrown-gen-003` is generation 3 as it was before later generations were added: see [`growth`].
const OUTGROWN: &str = ".outgrown-";

/// A run that this process, and possibly others, work on.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// The experiment file on record when the store was opened.
    experiment_toml: String,
    tokenizer_json: String,
    /// The provenance on record.
    provenance: Mutex<Provenance>,
    /// Folders of generations whose files have been found to match their manifests.
    verified: Mutex<BTreeSet<PathBuf>>,
    claims: Claims,
    /// The claims of this process.
    held: Mutex<BTreeMap<Unit, Arc<Claim>>>,
}

/// The time without a sign of life after which another process may take over a unit.
pub const LEASE: Duration = Duration::from_secs(600);

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
    /// Where it was made.
    pub origin: &'a Origin,
    /// The contents of `tokenizer_config.json` in the model folder.
    pub tokenizer_config: &'a str,
}

impl Store {
    /// Opens the store at `root` for `experiment`, or creates it. The experiment may differ from the one on record in what
    /// no committed generation depends on: seeds, arms and generations may be added, files of the same content may be
    /// elsewhere, and run-time-only settings may change. A finished run can be opened in a read-only folder.
    ///
    /// # Errors
    /// If the store belongs to another or a changed experiment, if the text or the tokenizer differs from what is on
    /// record, if something on record has to change while other processes work on the run, or if the disk fails. In
    /// these cases nothing is written.
    pub fn open(
        root: &Path,
        experiment: &Experiment,
        provenance: &Provenance,
        tokenizer_json: &str,
    ) -> Result<Self, StoreError> {
        open::open(root, experiment, provenance, tokenizer_json)?;
        Self::join(root, LEASE)
    }

    /// Opens the store at `root` as it is on record, to work on it. The claims of this process are void after `lease`
    /// without a sign of life.
    ///
    /// # Errors
    /// If there is no store, or if a record cannot be read.
    pub fn join(root: &Path, lease: Duration) -> Result<Self, StoreError> {
        Ok(Self {
            root: root.to_owned(),
            experiment_toml: disk::read_sealed(&root.join(EXPERIMENT))?,
            tokenizer_json: disk::read_text(&root.join(TOKENIZER))?,
            provenance: Mutex::new(read::provenance(root)?),
            verified: Mutex::default(),
            claims: Claims::new(&claims_folder(root), Process::this(), lease),
            held: Mutex::default(),
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

    /// The tokenizer on record, as JSON.
    #[must_use]
    pub fn tokenizer_json(&self) -> &str {
        &self.tokenizer_json
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
        self.verify_in(&address.folder(&self.root), address)
    }

    /// As [`verify`](Self::verify), of a generation that may be in another folder.
    fn verify_in(&self, folder: &Path, address: Address) -> Result<(), StoreError> {
        if lock(&self.verified).contains(folder) {
            return Ok(());
        }
        manifest::verify(folder, address)?;
        lock(&self.verified).insert(folder.to_owned());
        Ok(())
    }

    /// The folder of a committed generation, which may be one that was set aside because the experiment has outgrown it.
    /// The files are verified. `None` if there is neither.
    ///
    /// # Errors
    /// If a file is missing or does not match the manifest.
    pub(crate) fn find(&self, address: Address) -> Result<Option<CommittedFolder>, StoreError> {
        let folder = address.folder(&self.root);
        let aside = growth::outgrown(&folder);
        let Some(folder) = [folder, aside].into_iter().find(|folder| folder.exists()) else {
            return Ok(None);
        };
        self.verify_in(&folder, address)?;
        Ok(Some(CommittedFolder(folder)))
    }

    /// Removes what ended processes left beside committed generations. Checkpoints of a generation that is not committed
    /// stay.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn clean_up(&self) -> Result<(), StoreError> {
        disk::remove_temporary(&self.root)?;
        for lineage in open::lineage_folders(&self.root)? {
            for name in disk::names(&lineage)? {
                let generation =
                    [WORK, PARTIAL, OUTGROWN].iter().find_map(|prefix| name.strip_prefix(prefix));
                let generation = generation.map(|rest| rest.split_once('.').map_or(rest, |(name, _)| name));
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
        let claim = self.held(address)?;
        let aside = self.empty_partial(address, &claim)?;
        let model = aside.join(MODEL);
        disk::create_dir(&model)?;
        save_model(&model)?;
        for folder in group::model_folders(&model) {
            disk::write_file(&folder.join(TOKENIZER), self.tokenizer_json.as_bytes())?;
            disk::write_file(&folder.join(TOKENIZER_CONFIG), output.tokenizer_config.as_bytes())?;
            disk::sync_dir(&folder)?;
        }
        synthetic::write(&aside.join(SYNTHETIC), output.documents, output.texts)?;
        disk::write_record(&aside.join(MEASUREMENTS), output.record)?;
        manifest::write(&aside, address, output.fingerprints)?;
        disk::write_record(&aside.join(ORIGIN), output.origin)?;
        disk::sync_dir(&model)?;
        Ok(self.publish(address, &aside, &claim)?)
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
        let claim = self.held(address)?;
        let aside = self.empty_partial(address, &claim)?;
        disk::copy_dir(folder, &aside)?;
        Manifest::read_anywhere(&aside)?.verify(&aside)?;
        manifest::readdress(&aside, address, fingerprints)?;
        self.publish(address, &aside, &claim)
    }

    /// Creates an empty folder for the files of a generation. [`Self::publish`] renames it to the generation's folder.
    fn empty_partial(&self, address: Address, claim: &Claim) -> Result<PathBuf, StoreError> {
        let aside = claimed(&address.folder(&self.root), PARTIAL, claim);
        disk::remove_dir(&aside)?;
        disk::create_dir(&aside)?;
        Ok(aside)
    }

    /// Adds vector instructions and devices of generations to the provenance, unless they are there already.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn record_machines(&self, found: impl IntoIterator<Item = Machine>) -> Result<(), StoreError> {
        let mut provenance = lock(&self.provenance);
        let known = provenance.machines();
        // A program that uses the library may not say what it runs on.
        let is_new = |machine: &Machine| !machine.instructions.is_empty() && !known.contains(machine);
        let new: BTreeSet<Machine> = found.into_iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut new = new.into_iter();
        // The process that prepared the run made no generation.
        if provenance.device.is_empty()
            && let Some(first) = new.next()
        {
            provenance.instructions = first.instructions;
            provenance.device = first.device;
        }
        provenance.resumed_on.extend(new);
        disk::write_record(&self.root.join(PROVENANCE), &*provenance)
    }

    /// The vector instructions and devices with which the generations on record were made.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        lock(&self.provenance).machines()
    }

    /// Renames a finished folder to the generation's folder, and flushes the new name and the names of the folders
    /// above it to disk. If another process was faster, its generation stays and this one is dropped.
    fn publish(&self, address: Address, aside: &Path, claim: &Claim) -> Result<(), StoreError> {
        let folder = address.folder(&self.root);
        claim.check()?;
        lock(&self.verified).remove(&folder);
        if disk::rename_dir_if_absent(aside, &folder)? {
            let above = folder.ancestors().skip(2).take_while(|above| above.starts_with(&self.root));
            above.chain([files::containing_folder(&self.root)]).try_for_each(disk::sync_dir)?;
        } else {
            manifest::verify(&folder, address)?;
            disk::remove_dir(aside)?;
        }
        disk::remove_dir(&growth::outgrown(&folder))?;
        disk::remove_dir(&claimed(&folder, WORK, claim))
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

    /// Storage for the checkpoints of the model with fingerprint `model`, which are due at intervals of `every`. The newest
    /// checkpoint of a process that worked on the generation before is taken over. Checkpoints that are damaged or belong
    /// to another model are removed; the second result is the reason.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn checkpoints(
        &self,
        address: Address,
        model: &Fingerprint,
        every: Duration,
    ) -> Result<(StoreCheckpoints, Option<String>), StoreError> {
        let folder = address.folder(&self.root);
        StoreCheckpoints::open(&folder, self.held(address)?, model.clone(), every)
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

    /// As [`fingerprints`](Self::fingerprints), of a generation that was set aside; `None` also if there is none.
    pub(crate) fn outgrown_fingerprints(&self, address: Address) -> Result<Option<Fingerprints>, StoreError> {
        let aside = growth::outgrown(&address.folder(&self.root));
        if aside.exists() { manifest::fingerprints(&aside) } else { Ok(None) }
    }

    /// The token ids of a committed generation's corpus.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn synthetic(&self, address: Address) -> Result<Documents, StoreError> {
        synthetic::read_ids(&address.folder(&self.root).join(SYNTHETIC))
    }
}

/// The folder of a generation whose files match the manifest.
pub(crate) struct CommittedFolder(PathBuf);

impl CommittedFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn model_dir(&self) -> PathBuf {
        self.0.join(MODEL)
    }

    /// The record of the generation.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn record(&self) -> Result<GenerationRecord, StoreError> {
        disk::read_record(&self.0.join(MEASUREMENTS))
    }
}

/// The folder beside `folder` whose name is `prefix` followed by the name of `folder`.
fn beside(folder: &Path, prefix: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{prefix}{name}"))
}

/// As [`beside`], with the claim of the process that writes there at the end of the name.
fn claimed(folder: &Path, prefix: &str, claim: &Claim) -> PathBuf {
    let mut name = beside(folder, prefix).into_os_string();
    name.push(format!(".{}", claim.id()));
    name.into()
}

fn claims_folder(root: &Path) -> PathBuf {
    root.join(UNITS).join("claims")
}

/// Locks a mutex. A panic elsewhere cannot leave its data inconsistent: each use is a single insertion or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
