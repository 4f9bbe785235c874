//! The run store: the only writer below `generations/`.
//!
//! ```text
//! generations/<experiment>/
//!   experiment.toml      the file as resolved, every default written out
//!   provenance.json      version, features, processor, command line, corpus hashes
//!   tokenizer.json
//!   drift.json           what drift alone would have done, by arm and metric
//!   seed-1/gen-000/      shared by all arms that change nothing but the mixture
//!     model/  synthetic.parquet  measurements.json  manifest.json
//!   seed-1/<arm>/gen-001/ …
//! ```
//!
//! A generation exists or it does not: it is written aside, flushed to disk with a manifest of the BLAKE3 hash and
//! size of every file, and renamed. A kill at any instant loses at most the training since the last checkpoint
//! inside the generation at work. A lock keeps a second process out, and a store whose experiment, corpus or
//! tokenizer differs is refused rather than mixed.

mod checkpoints;
mod disk;
mod error;
mod manifest;
mod read;
mod record;
mod synthetic;

pub use checkpoints::StoreCheckpoints;
pub use error::StoreError;
pub use read::{Sample, is_finished, is_store, read, samples};
pub use record::*;

use crate::baseline::Baseline;
use crate::config::{self, Arm, Experiment, difference};
use crate::documents::Documents;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXPERIMENT: &str = "experiment.toml";
const PROVENANCE: &str = "provenance.json";
const TOKENIZER: &str = "tokenizer.json";
const DRIFT: &str = "drift.json";
const LOCK: &str = ".lock";
const MODEL: &str = "model";
const MEASUREMENTS: &str = "measurements.json";
const SYNTHETIC: &str = "synthetic.parquet";

/// A store open for writing, by this process alone.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    tokenizer_json: String,
    /// Held for as long as the store is open; the system lets go of it however the process ends.
    _lock: File,
}

/// Which generation of which lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The seed.
    pub seed: u64,
    /// The arm; `None` for the generation 0 that arms share.
    pub arm: Option<&'a str>,
    /// The generation.
    pub generation: usize,
}

impl<'a> Address<'a> {
    /// Where a generation of an arm stands.
    #[must_use]
    pub fn of(experiment: &Experiment, seed: u64, arm: &'a Arm, generation: usize) -> Self {
        let is_shared = generation == 0 && experiment.shares_generation_0(arm);
        Self { seed, arm: (!is_shared).then_some(arm.name.as_str()), generation }
    }

    /// Whether there is such a generation in the store at `root`. Nobody looks whether it is whole.
    #[must_use]
    pub fn exists_in(&self, root: &Path) -> bool {
        self.folder(root).exists()
    }

    fn folder(&self, root: &Path) -> PathBuf {
        let seed = root.join(format!("seed-{}", self.seed));
        let lineage = self.arm.map_or(seed.clone(), |arm| seed.join(arm));
        lineage.join(format!("gen-{:03}", self.generation))
    }
}

/// Everything that a generation leaves behind besides its model.
#[derive(Clone, Copy, Debug)]
pub struct GenerationOutput<'a> {
    /// What was done and measured.
    pub record: &'a GenerationRecord,
    /// The synthetic corpus as token ids.
    pub documents: &'a Documents,
    /// The same as text.
    pub texts: &'a [String],
}

impl Store {
    /// Opens the store at `root` for `experiment`, making it if there is none. Seeds may be added to one on record, because no
    /// lineage depends on the others, and settings changed that no result depends on.
    ///
    /// # Errors
    /// When another process has it open, when it belongs to another or a changed experiment, when the text or the
    /// tokenizer is not what it was, or when the disk fails. Nothing is written then.
    pub fn open(
        root: &Path,
        experiment: &Experiment,
        provenance: &Provenance,
        tokenizer_json: &str,
    ) -> Result<Self, StoreError> {
        refuse_foreign_folder(root)?;
        disk::create_dir(root)?;
        let lock = lock(root)?;
        disk::remove_temporary(root)?;
        let refused = if root.join(EXPERIMENT).exists() {
            refuse_changes(root, experiment, provenance)
        } else {
            Err(StoreError::NoExperiment { root: root.to_owned(), file: EXPERIMENT })
        };
        match refused {
            Ok(on_record) => {
                if on_record == OnRecord::FewerSeeds {
                    disk::remove_file(&root.join(DRIFT))?;
                }
                disk::write_file(&root.join(EXPERIMENT), experiment.to_toml().as_bytes())?;
            }
            // A changed experiment under which nothing was committed gives way.
            Err(StoreError::Changed { .. } | StoreError::NoExperiment { .. })
                if !holds_generations(root)? =>
            {
                seed_folders(root)?.iter().try_for_each(|seed| disk::remove_dir(seed))?;
                disk::remove_file(&root.join(DRIFT))?;
                disk::write_file(&root.join(PROVENANCE), &disk::to_json(provenance))?;
                // Last, because it is what makes the folder a store.
                disk::write_file(&root.join(EXPERIMENT), experiment.to_toml().as_bytes())?;
            }
            Err(error) => return Err(error),
        }
        disk::write_file(&root.join(TOKENIZER), tokenizer_json.as_bytes())?;
        Ok(Self { root: root.to_owned(), tokenizer_json: tokenizer_json.to_owned(), _lock: lock })
    }

    /// Whether [`Self::open`] would refuse `experiment` for the generations that stand at `root`. Writes nothing, and
    /// does not ask whether another process has it open.
    ///
    /// # Errors
    /// As [`Self::open`], but for that.
    pub fn check(root: &Path, experiment: &Experiment, provenance: &Provenance) -> Result<(), StoreError> {
        refuse_foreign_folder(root)?;
        if root.join(EXPERIMENT).exists() && holds_generations(root)? {
            refuse_changes(root, experiment, provenance)?;
        }
        Ok(())
    }

    /// The store's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a generation stands, whole. What a kill left beside one that stands is removed.
    ///
    /// # Errors
    /// When it stands but is damaged: a file is missing, or is not what the manifest says.
    pub fn is_committed(&self, address: Address) -> Result<bool, StoreError> {
        let folder = address.folder(&self.root);
        if !folder.exists() {
            return Ok(false);
        }
        manifest::verify(&folder)?;
        for left in ["work", "partial"] {
            disk::remove_dir(&beside(&folder, left))?;
        }
        Ok(true)
    }

    /// Commits a generation: `save_model` fills the model folder, the rest is written beside it.
    ///
    /// # Errors
    /// When the disk fails; the generation then does not exist.
    pub fn commit<E: From<StoreError>>(
        &self,
        address: Address,
        written: GenerationOutput,
        save_model: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let folder = address.folder(&self.root);
        let aside = beside(&folder, "partial");
        disk::remove_dir(&aside)?;
        let model = aside.join(MODEL);
        disk::create_dir(&model)?;
        save_model(&model)?;
        disk::write_file(&model.join(TOKENIZER), self.tokenizer_json.as_bytes())?;
        synthetic::write(&aside.join(SYNTHETIC), written.documents, written.texts)?;
        disk::write_file(&aside.join(MEASUREMENTS), &disk::to_json(written.record))?;
        manifest::write(&aside)?;
        disk::rename_dir(&aside, &folder)?;
        disk::remove_dir(&beside(&folder, "work"))?;
        Ok(())
    }

    /// Commits a copy of the generation that stands in `folder`, of this store or another.
    ///
    /// # Errors
    /// When that is damaged, or the disk fails; the generation then does not exist.
    pub fn adopt(&self, address: Address, folder: &Path) -> Result<(), StoreError> {
        let own = address.folder(&self.root);
        let aside = beside(&own, "partial");
        disk::remove_dir(&aside)?;
        disk::copy_dir(folder, &aside)?;
        manifest::verify(&aside)?;
        disk::rename_dir(&aside, &own)?;
        disk::remove_dir(&beside(&own, "work"))
    }

    /// Whether it is on record what drift alone would have done in `experiment`.
    #[must_use]
    pub fn has_baseline(&self, experiment: &Experiment) -> bool {
        read::baseline(&self.root, experiment).is_some()
    }

    /// Puts on record what drift alone would have done.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write_baseline(&self, baseline: &Baseline) -> Result<(), StoreError> {
        disk::write_file(&self.root.join(DRIFT), &disk::to_json(baseline))
    }

    /// Where the learner of a generation keeps its checkpoints.
    #[must_use]
    pub fn checkpoints(&self, address: Address, every: Duration) -> StoreCheckpoints {
        StoreCheckpoints::new(beside(&address.folder(&self.root), "work"), every)
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
    /// When the file cannot be read.
    pub fn record(&self, address: Address) -> Result<GenerationRecord, StoreError> {
        disk::read_json(&address.folder(&self.root).join(MEASUREMENTS))
    }

    /// The token ids of a committed generation's corpus.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn synthetic(&self, address: Address) -> Result<Documents, StoreError> {
        synthetic::read_ids(&address.folder(&self.root).join(SYNTHETIC))
    }
}

/// `.partial-gen-001` beside `gen-001`: names that no scan for generations takes for one.
fn beside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{what}-{name}"))
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join(LOCK);
    let file = disk::at(&path, File::options().create(true).truncate(false).write(true).open(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { root: root.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::File { path, source }),
    }
}

/// A folder that holds something, but no experiment, is not ours to write into. (A run that was killed in its first
/// instant may have left what it had begun to write.)
fn refuse_foreign_folder(root: &Path) -> Result<(), StoreError> {
    if !root.exists() || root.join(EXPERIMENT).exists() {
        return Ok(());
    }
    let ours = [LOCK, TOKENIZER, PROVENANCE];
    for name in disk::names(root)? {
        if !ours.contains(&name.as_str()) && !disk::is_temporary(&name) {
            return Err(StoreError::Foreign { root: root.to_owned(), found: name });
        }
    }
    Ok(())
}

/// The folders of seeds.
fn seed_folders(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let names = disk::names(root)?;
    let of_a_seed = names.iter().filter(|name| name.strip_prefix("seed-").is_some_and(is_number));
    Ok(of_a_seed.map(|name| root.join(name)).filter(|path| path.is_dir()).collect())
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
}

/// Whether any generation was ever committed.
fn holds_generations(root: &Path) -> Result<bool, StoreError> {
    for seed in seed_folders(root)? {
        for name in disk::names(&seed)? {
            let lineage = seed.join(&name);
            let is_generation = |name: &String| name.starts_with("gen-");
            if is_generation(&name) || (lineage.is_dir() && disk::names(&lineage)?.iter().any(is_generation))
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// How much of an experiment is on record.
#[derive(PartialEq)]
enum OnRecord {
    Everything,
    FewerSeeds,
}

fn refuse_changes(root: &Path, experiment: &Experiment, now: &Provenance) -> Result<OnRecord, StoreError> {
    let recorded = disk::read_text(&root.join(EXPERIMENT))?;
    // A file from before there was some setting means its default.
    let (resolved, has_fewer_seeds) = match config::parse(&recorded, EXPERIMENT, &[]) {
        Ok(mut then) => {
            let is_extended = then.seeds.iter().all(|seed| experiment.seeds.contains(seed));
            let has_fewer_seeds = is_extended && then.seeds != experiment.seeds;
            if has_fewer_seeds {
                then.seeds.clone_from(&experiment.seeds);
            }
            (then.to_toml(), has_fewer_seeds)
        }
        Err(_) => (recorded, false),
    };
    let mut changes = difference(&resolved, &experiment.to_toml());
    let then: Provenance = disk::read_json(&root.join(PROVENANCE))?;
    for (split, hash) in &now.corpus {
        if then.corpus.get(split) != Some(hash) {
            changes.push(format!("the text of the {split} split is not what it was"));
        }
    }
    for (base, hash) in &now.bases {
        if then.bases.get(base) != Some(hash) {
            changes.push(format!("the base model {base} is not what it was"));
        }
    }
    if then.tokenizer != now.tokenizer {
        changes.push("the tokenizer is not what it was".to_owned());
    }
    if !changes.is_empty() {
        return Err(StoreError::Changed { root: root.to_owned(), changes });
    }
    Ok(if has_fewer_seeds { OnRecord::FewerSeeds } else { OnRecord::Everything })
}
