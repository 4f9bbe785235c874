//! Locks and checks a folder before a run writes into it.

use super::{DRIFT, EXPERIMENT, LOCK, PROVENANCE, Provenance, StoreError, TOKENIZER, disk, read};
use crate::config::{self, Experiment, difference};
use crate::files;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Locks the store at `root`, creating it if need be, and records `experiment` there. Returns no lock if the folder is
/// read-only and the run is finished, so that nothing needs to be written.
pub(super) fn open(
    root: &Path,
    experiment: &Experiment,
    provenance: &Provenance,
) -> Result<Option<File>, StoreError> {
    check_not_foreign(root)?;
    match open_for_writing(root, experiment, provenance) {
        Err(error) if is_read_only(&error) && read::is_complete(root, experiment) => {
            match check_unchanged(root, experiment, provenance)? {
                RecordedSeeds::All => Ok(None),
                RecordedSeeds::Some => Err(error),
            }
        }
        opened => opened.map(Some),
    }
}

fn is_read_only(error: &StoreError) -> bool {
    let StoreError::File { source, .. } = error else { return false };
    matches!(source.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

fn open_for_writing(
    root: &Path,
    experiment: &Experiment,
    provenance: &Provenance,
) -> Result<File, StoreError> {
    disk::create_dir(root)?;
    let lock = lock(root)?;
    disk::remove_temporary(root)?;
    let recorded = if root.join(EXPERIMENT).exists() {
        check_unchanged(root, experiment, provenance)
    } else {
        Err(StoreError::NoExperiment { root: root.to_owned(), file: EXPERIMENT })
    };
    match recorded {
        Ok(seeds) => {
            if seeds == RecordedSeeds::Some {
                disk::remove_file(&root.join(DRIFT))?;
            }
            write_experiment(root, experiment)?;
        }
        // Nothing is lost if a changed experiment replaces one without a committed generation.
        Err(StoreError::Changed { .. } | StoreError::NoExperiment { .. } | StoreError::Missing { .. })
            if !has_generations(root)? =>
        {
            seed_folders(root)?.iter().try_for_each(|seed| disk::remove_dir(seed))?;
            disk::remove_file(&root.join(DRIFT))?;
            disk::write_record(&root.join(PROVENANCE), provenance)?;
            // Last, because this file makes the folder a store.
            write_experiment(root, experiment)?;
        }
        Err(error) => return Err(error),
    }
    Ok(lock)
}

fn write_experiment(root: &Path, experiment: &Experiment) -> Result<(), StoreError> {
    disk::write_if_changed(&root.join(EXPERIMENT), disk::sealed(&experiment.to_toml()).as_bytes())
}

/// As [`open`], but writes nothing and does not lock.
pub(super) fn check(root: &Path, experiment: &Experiment, provenance: &Provenance) -> Result<(), StoreError> {
    check_not_foreign(root)?;
    if root.join(EXPERIMENT).exists() && has_generations(root)? {
        check_unchanged(root, experiment, provenance)?;
    }
    Ok(())
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join(LOCK);
    let file = disk::at(&path, files::create_or_open(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { root: root.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::File { path, source }),
    }
}

/// Returns an error if the folder has contents but no experiment. (A run that was killed at its very start may have
/// left the files that it creates before the experiment file.)
fn check_not_foreign(root: &Path) -> Result<(), StoreError> {
    if !root.exists() || root.join(EXPERIMENT).exists() {
        return Ok(());
    }
    let ours = [LOCK, TOKENIZER, PROVENANCE];
    for name in disk::names(root)? {
        if !ours.contains(&name.as_str()) && !files::is_temporary(&name) {
            return Err(StoreError::Foreign { root: root.to_owned(), found: name });
        }
    }
    Ok(())
}

fn seed_folders(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let names = disk::names(root)?;
    let seeds = names.iter().filter(|name| name.strip_prefix("seed-").is_some_and(is_seed));
    Ok(seeds.map(|name| root.join(name)).filter(|path| path.is_dir()).collect())
}

fn is_seed(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
}

/// The folders that hold generations or their checkpoints: one for each seed, and one for each arm of a seed.
pub(super) fn lineage_folders(root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut folders = Vec::new();
    for seed in seed_folders(root)? {
        for name in disk::names(&seed)? {
            let arm = seed.join(&name);
            if arm.is_dir() && !is_generation(&name) && !name.starts_with('.') {
                folders.push(arm);
            }
        }
        folders.push(seed);
    }
    Ok(folders)
}

pub(super) fn is_generation(name: &str) -> bool {
    name.starts_with("gen-")
}

fn has_generations(root: &Path) -> Result<bool, StoreError> {
    for folder in lineage_folders(root)? {
        if disk::names(&folder)?.iter().any(|name| is_generation(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which seeds of an experiment are on record.
#[derive(PartialEq)]
enum RecordedSeeds {
    All,
    Some,
}

/// Returns an error if the store was written for another experiment, text, tokenizer or base model.
fn check_unchanged(
    root: &Path,
    experiment: &Experiment,
    now: &Provenance,
) -> Result<RecordedSeeds, StoreError> {
    let (then, seeds) = recorded_settings(root, experiment)?;
    let mut changes = difference(&then, &experiment.to_toml());
    changes.extend(changed_inputs(&read::provenance(root)?, now));
    if !changes.is_empty() {
        return Err(StoreError::Changed { root: root.to_owned(), changes });
    }
    Ok(seeds)
}

/// The experiment file on record, with the current default of each setting that it lacks, and with the seeds of
/// `experiment` if those only add to the recorded ones.
fn recorded_settings(root: &Path, experiment: &Experiment) -> Result<(String, RecordedSeeds), StoreError> {
    let text = disk::read_text(&root.join(EXPERIMENT))?;
    // A file that no longer parses is compared key by key.
    let Ok(mut recorded) = config::parse_recorded(&text, EXPERIMENT) else {
        return Ok((text, RecordedSeeds::All));
    };
    let only_adds = recorded.seeds.iter().all(|seed| experiment.seeds.contains(seed));
    if !only_adds || recorded.seeds == experiment.seeds {
        return Ok((recorded.to_toml(), RecordedSeeds::All));
    }
    recorded.seeds.clone_from(&experiment.seeds);
    Ok((recorded.to_toml(), RecordedSeeds::Some))
}

/// One line for each input of a run that is not the one on record.
fn changed_inputs(then: &Provenance, now: &Provenance) -> Vec<String> {
    let mut changes = Vec::new();
    let counted_copies = then.text.files.is_empty() && now.text.documents > now.text.distinct;
    let reason =
        if counted_copies { " (before this version, copies of a text counted as documents)" } else { "" };
    for (split, hash) in &now.corpus {
        if then.corpus.get(split) != Some(hash) {
            changes.push(format!("the text of the {split} split has changed{reason}"));
        }
    }
    for (base, hash) in &now.bases {
        if then.bases.get(base) != Some(hash) {
            changes.push(format!("the base model {base} has changed"));
        }
    }
    for (subject, convention) in &now.conventions {
        if then.conventions.get(subject) != Some(convention) {
            changes.push(format!("{subject}: {convention} (the folder follows an earlier version)"));
        }
    }
    if then.tokenizer != now.tokenizer {
        changes.push("the tokenizer has changed".to_owned());
    }
    changes
}
