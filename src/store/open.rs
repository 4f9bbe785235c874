//! Checks a folder, and writes the records of a run into it, before a process works on the run.

use super::{
    DRIFT, EXPERIMENT, LEASE, PROVENANCE, Provenance, StoreError, TOKENIZER, UNITS, Unit, claims_folder,
    disk, growth, read,
};
use crate::claims::{Claim, ClaimState, Claims, Holder, Process, Taken};
use crate::config::{self, Experiment, difference};
use crate::files;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A file in the folders of runs of versions that locked them.
const OLD_LOCK: &str = ".lock";

/// Records `experiment` at `root`, and creates the folder if need be. Writes nothing if everything is on record already, or
/// if the folder is read-only and the run is finished.
pub(super) fn open(
    root: &Path,
    experiment: &Experiment,
    provenance: &Provenance,
    tokenizer_json: &str,
) -> Result<(), StoreError> {
    check_not_foreign(root)?;
    if is_on_record(root, experiment, provenance, tokenizer_json)? {
        return Ok(());
    }
    match prepare(root, experiment, provenance, tokenizer_json) {
        Err(error) if is_read_only(&error) && read::is_complete(root, experiment) => {
            let recorded = check_unchanged(root, experiment, provenance)?;
            if recorded.is_some_and(|recorded| growth::is_larger(&recorded, experiment)) {
                return Err(error);
            }
            Ok(())
        }
        prepared => prepared,
    }
}

/// Returns true if the records at `root` are those that [`prepare`] would write.
fn is_on_record(
    root: &Path,
    experiment: &Experiment,
    provenance: &Provenance,
    tokenizer_json: &str,
) -> Result<bool, StoreError> {
    let recorded = root.join(EXPERIMENT);
    if !recorded.exists()
        || !root.join(TOKENIZER).exists()
        || disk::read_sealed(&recorded).ok() != Some(experiment.to_toml())
    {
        return Ok(false);
    }
    let is_unchanged = check_unchanged(root, experiment, provenance).is_ok();
    Ok(is_unchanged && disk::read_text(&root.join(TOKENIZER))? == tokenizer_json)
}

fn is_read_only(error: &StoreError) -> bool {
    let StoreError::File { source, .. } = error else { return false };
    matches!(source.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

/// Writes the records of a run, while no other process works on it. Waits for a process that is writing records: they may
/// be the same.
fn prepare(
    root: &Path,
    experiment: &Experiment,
    provenance: &Provenance,
    tokenizer_json: &str,
) -> Result<(), StoreError> {
    disk::create_dir(root)?;
    let is_on_record = || is_on_record(root, experiment, provenance, tokenizer_json);
    let Some(claim) = wait_for_claim(root, is_on_record)? else { return Ok(()) };
    let write = || {
        // Since the last look, another process may have written the same records, and it may work on the run by now.
        if is_on_record()? {
            return Ok(());
        }
        check_idle(root)?;
        disk::remove_temporary(root)?;
        write_records(root, experiment, provenance)?;
        disk::write_if_changed(&root.join(TOKENIZER), tokenizer_json.as_bytes())
    };
    let written = write();
    drop(claim);
    let removed = disk::remove_dir(&preparation_folder(root));
    written.and(removed)
}

/// Longest time to wait for a process that is writing the records of the run.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Time between two looks at whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The claim to write the records of the run; `None` if they are on record before it can be had.
fn wait_for_claim(
    root: &Path,
    is_on_record: impl Fn() -> Result<bool, StoreError>,
) -> Result<Option<Claim>, StoreError> {
    let begun = Instant::now();
    loop {
        let holder = match preparation(root).claim(PREPARATION) {
            Ok(Ok(claim)) => return Ok(Some(claim)),
            Ok(Err(Taken::By(holder))) => holder.to_string(),
            Ok(Err(Taken::Done)) => "another process".to_owned(),
            // The other process has just removed the folder of its claim.
            Err(error) if error.kind() == ErrorKind::NotFound => "another process".to_owned(),
            Err(error) => return disk::at(root, Err(error)),
        };
        if begun.elapsed() > LONGEST_WAIT {
            return Err(StoreError::Busy { root: root.to_owned(), holder });
        }
        thread::sleep(LOOK_AGAIN);
        if is_on_record()? {
            return Ok(None);
        }
    }
}

fn write_records(root: &Path, experiment: &Experiment, provenance: &Provenance) -> Result<(), StoreError> {
    let recorded = if root.join(EXPERIMENT).exists() {
        check_unchanged(root, experiment, provenance)
    } else {
        Err(StoreError::NoExperiment { root: root.to_owned(), file: EXPERIMENT })
    };
    match recorded {
        Ok(recorded) => {
            if let Some(recorded) = recorded.filter(|recorded| growth::is_larger(recorded, experiment)) {
                growth::set_outgrown_aside(root, &recorded, experiment)?;
                // Units that were done may have more generations now.
                disk::remove_dir(&claims_folder(root))?;
                disk::remove_file(&root.join(DRIFT))?;
            }
            write_experiment(root, experiment)
        }
        // Nothing is lost if a changed experiment replaces one without a committed generation.
        Err(StoreError::Changed { .. } | StoreError::NoExperiment { .. } | StoreError::Missing { .. })
            if !has_generations(root)? =>
        {
            seed_folders(root)?.iter().try_for_each(|seed| disk::remove_dir(seed))?;
            disk::remove_dir(&claims_folder(root))?;
            disk::remove_file(&root.join(DRIFT))?;
            disk::write_record(&root.join(PROVENANCE), provenance)?;
            // Last, because this file makes the folder a store.
            write_experiment(root, experiment)
        }
        Err(error) => Err(error),
    }
}

/// The name of the claim of a process that changes the records of a run.
const PREPARATION: &str = "prepare";

fn preparation_folder(root: &Path) -> PathBuf {
    root.join(UNITS).join(PREPARATION)
}

fn preparation(root: &Path) -> Claims {
    Claims::new(&preparation_folder(root), Process::this(), LEASE)
}

/// Returns an error if another process is changing the records of the run.
pub(super) fn check_not_prepared(root: &Path) -> Result<(), StoreError> {
    let states = disk::at(root, preparation(root).survey())?;
    match states.get(PREPARATION) {
        Some(ClaimState::Held(holder)) => Err(busy(root, holder)),
        _ => Ok(()),
    }
}

/// Returns an error if a live process works on a unit of the run.
fn check_idle(root: &Path) -> Result<(), StoreError> {
    let claims = Claims::new(&claims_folder(root), Process::this(), LEASE);
    let states = survey(&claims, root)?;
    let holder = states.values().find_map(|state| match state {
        ClaimState::Held(holder) => Some(holder),
        ClaimState::Free | ClaimState::Failed(_) | ClaimState::Done => None,
    });
    holder.map_or(Ok(()), |holder| Err(busy(root, holder)))
}

/// The state of every unit that was ever claimed.
pub(super) fn survey(claims: &Claims, root: &Path) -> Result<BTreeMap<Unit, ClaimState>, StoreError> {
    let states = disk::at(root, claims.survey())?;
    let unit = |(key, state): (String, ClaimState)| Some((Unit::from_key(&key)?, state));
    Ok(states.into_iter().filter_map(unit).collect())
}

fn busy(root: &Path, holder: &Holder) -> StoreError {
    StoreError::Busy { root: root.to_owned(), holder: holder.to_string() }
}

fn write_experiment(root: &Path, experiment: &Experiment) -> Result<(), StoreError> {
    disk::write_if_changed(&root.join(EXPERIMENT), disk::sealed(&experiment.to_toml()).as_bytes())
}

/// As [`open`], but writes nothing.
pub(super) fn check(root: &Path, experiment: &Experiment, provenance: &Provenance) -> Result<(), StoreError> {
    check_not_foreign(root)?;
    if root.join(EXPERIMENT).exists() && has_generations(root)? {
        check_unchanged(root, experiment, provenance)?;
    }
    Ok(())
}

/// Returns an error if the folder has contents but no experiment. (A run that was killed at its very start may have
/// left the files that it creates before the experiment file.)
fn check_not_foreign(root: &Path) -> Result<(), StoreError> {
    if !root.exists() || root.join(EXPERIMENT).exists() {
        return Ok(());
    }
    let ours = [UNITS, OLD_LOCK, TOKENIZER, PROVENANCE];
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

/// Returns an error if something has changed that committed generations depend on: the experiment, the text, the tokenizer
/// or a base model. Otherwise returns the experiment on record, with the current default of each setting that it lacks;
/// `None` if its file no longer parses.
fn check_unchanged(
    root: &Path,
    experiment: &Experiment,
    now: &Provenance,
) -> Result<Option<Experiment>, StoreError> {
    let text = disk::read_text(&root.join(EXPERIMENT))?;
    let recorded = config::parse_recorded(&text, EXPERIMENT).ok();
    let inputs = changed_inputs(&read::provenance(root)?, now);
    let mut changes = match &recorded {
        None => difference(&text, &experiment.to_toml()),
        Some(recorded) => {
            let enlarged = growth::enlarged(recorded, experiment);
            let then = if inputs.is_empty() { growth::moved(enlarged, experiment) } else { enlarged };
            let mut changes = difference(&then.to_toml(), &experiment.to_toml());
            if changes.is_empty() {
                changes = growth::rewritten(recorded, experiment);
            }
            changes
        }
    };
    changes.extend(inputs);
    if !changes.is_empty() {
        return Err(StoreError::Changed { root: root.to_owned(), changes });
    }
    Ok(recorded)
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
