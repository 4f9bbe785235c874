//! The runs below the watched folders, with what the list shows of each.

use crate::claims::ClaimState;
use crate::config::Experiment;
use crate::live::{Onlooker, Seen};
use crate::progress::error_chain;
use crate::store::{self, ClaimsSeen, Glance};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Runs are looked for this many folders below a watched one.
const DEPTH: usize = 4;

/// The state of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RunState {
    /// A process works on it.
    Running,
    /// Every generation is committed.
    Finished,
    /// Nobody works on it, and the last attempt at a unit failed with this error.
    Failed(String),
    /// Nobody works on it, because this process was killed, or its machine failed.
    Killed(String),
    /// Nobody works on it yet, and no generation is committed.
    Waiting,
    /// Nobody works on it.
    Stopped,
    /// Its records cannot be read.
    Unreadable(String),
}

impl RunState {
    /// The state in one word.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed(_) => "failed",
            Self::Killed(_) => "killed",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// What a reason does not say, because it may be read while files are on their way.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => " (If its files are still being copied here, wait.)",
            Self::Running
            | Self::Finished
            | Self::Failed(_)
            | Self::Killed(_)
            | Self::Waiting
            | Self::Stopped => "",
        }
    }

    /// The reason for a state that needs one.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Failed(reason) | Self::Killed(reason) | Self::Unreadable(reason) => Some(reason),
            Self::Running | Self::Finished | Self::Waiting | Self::Stopped => None,
        }
    }
}

/// A run or study, with what the list shows of it. Records are not kept.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) folder: PathBuf,
    /// The names of its experiments: several in a study.
    pub(super) name: String,
    pub(super) arms: usize,
    pub(super) seeds: usize,
    pub(super) is_study: bool,
    pub(super) state: RunState,
    pub(super) glance: Glance,
    /// The live files of processes, also of those that have ended.
    pub(super) live: Vec<Seen>,
    /// Units whose last attempt failed, with the error.
    pub(super) failures: Vec<(String, String)>,
    /// Why its records cannot be read, as far as they were read.
    damage: Option<String>,
    /// When a record of it was last changed.
    pub(super) changed: Option<SystemTime>,
    /// When the folders changed in which generations are committed.
    changes: BTreeMap<PathBuf, SystemTime>,
    /// When its own folder changed, as far as it was looked at.
    touched: Option<SystemTime>,
    /// The state of its records; `None` while it is at work, and if that was not looked at.
    stamp: Option<u64>,
    /// Counts the changes of its records.
    pub(super) version: u64,
}

/// What has changed of a run since it was looked at before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// A generation was committed, or the experiment has changed.
    pub(super) records: bool,
    /// What its processes do, or its state.
    pub(super) now: bool,
}

/// All runs, by the text that names them in addresses: see [`id_of`].
#[derive(Debug, Default)]
pub(super) struct Runs {
    folders: Vec<PathBuf>,
    pub(super) found: BTreeMap<String, Run>,
    onlooker: Onlooker,
    claims: BTreeMap<String, ClaimsSeen>,
}

impl Runs {
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, ..Self::default() }
    }

    /// Looks for runs that have appeared or gone, and at all others whose folder has changed. Returns what has changed.
    pub(super) fn scan(&mut self) -> BTreeMap<String, Change> {
        let names: BTreeMap<String, PathBuf> =
            find(&self.folders).into_iter().map(|folder| (id_of(&folder), folder)).collect();
        let gone: Vec<String> = self.found.keys().filter(|id| !names.contains_key(*id)).cloned().collect();
        let mut changes = BTreeMap::new();
        for id in gone {
            let change = self.forget(&id);
            changes.insert(id, change);
        }
        for (id, folder) in names {
            let touched = modified(&folder);
            let is_still = self.found.get(&id).is_some_and(|run| run.is_at_rest() && run.touched == touched);
            let mut change = if is_still { Change::default() } else { self.look(&id, &folder) };
            change.records |= self.is_rewritten(&id);
            if change != Change::default() {
                changes.insert(id, change);
            }
        }
        changes
    }

    /// Looks at the runs at which somebody works, and at those called `open`.
    pub(super) fn look_at_active(&mut self, open: &[String]) -> BTreeMap<String, Change> {
        let is_wanted = |(id, run): &(&String, &Run)| run.is_active() || open.contains(id);
        let wanted: Vec<(String, PathBuf)> =
            (self.found.iter()).filter(is_wanted).map(|(id, run)| (id.clone(), run.folder.clone())).collect();
        let changes = wanted.into_iter().map(|(id, folder)| {
            let change = self.look(&id, &folder);
            (id, change)
        });
        changes.filter(|(_, change)| *change != Change::default()).collect()
    }

    /// Whether a record of a run at rest was written since it was looked at before. Its records then have to be read again.
    fn is_rewritten(&mut self, id: &str) -> bool {
        let Some(run) = self.found.get_mut(id) else { return false };
        let stamp = (!run.is_active()).then(|| store::stamp(&run.folder));
        let is_rewritten = run.stamp.zip(stamp).is_some_and(|(before, now)| before != now);
        run.stamp = stamp;
        run.version += u64::from(is_rewritten);
        is_rewritten
    }

    /// Notes that the records of a run cannot be read, or that they can. Returns true if that is new.
    pub(super) fn set_damage(&mut self, id: &str, damage: Option<String>) -> bool {
        let Some(run) = self.found.get_mut(id).filter(|run| run.damage != damage) else { return false };
        run.damage = damage;
        let folder = run.folder.clone();
        self.look(id, &folder);
        true
    }

    /// Takes a run that is gone off the list.
    fn forget(&mut self, id: &str) -> Change {
        self.found.remove(id);
        self.claims.remove(id);
        Change { now: true, records: false }
    }

    /// Looks at one run.
    fn look(&mut self, id: &str, folder: &Path) -> Change {
        if !is_run(folder) {
            return self.forget(id);
        }
        let before = self.found.remove(id);
        let touched = modified(folder);
        let now = match store::is_store(folder) {
            true => self.look_at_store(id, folder, before.as_ref()),
            false => study(folder, before.as_ref()),
        };
        let mut run = Run { touched, ..now };
        let change = match &before {
            None => Change { records: true, now: true },
            Some(before) => Change {
                records: run.glance != before.glance
                    || run.name != before.name
                    || run.is_study != before.is_study,
                now: run.live != before.live || run.state != before.state || run.failures != before.failures,
            },
        };
        run.version = before.map_or(0, |before| before.version) + u64::from(change.records);
        self.found.insert(id.to_owned(), run);
        change
    }

    fn look_at_store(&mut self, id: &str, folder: &Path, before: Option<&Run>) -> Run {
        let live = self.onlooker.look(folder);
        let changes = store::changed(folder);
        let same = before.filter(|before| before.changes == changes && !before.is_study);
        let mut run = match same {
            Some(before) => before.clone(),
            None => match store::experiment(folder) {
                Ok(experiment) => with_experiment(folder, &experiment),
                Err(error) => return unreadable(folder, error_chain(&error)),
            },
        };
        run.changed = changes.values().max().copied();
        run.changes = changes;
        run.live = live;
        let is_complete = run.glance.done == run.glance.generations;
        let has_live = run.live.iter().any(|seen| !seen.has_ended);
        run.failures.clear();
        let mut is_held = false;
        if !is_complete {
            let claims = self.claims.entry(id.to_owned()).or_insert_with(|| ClaimsSeen::new(folder));
            for (unit, state) in claims.survey(folder) {
                match state {
                    ClaimState::Held(_) => is_held = true,
                    ClaimState::Failed(failure) => run.failures.push((unit.to_string(), failure.error)),
                    ClaimState::Free | ClaimState::Done => {}
                }
            }
        }
        let ended = run.live.iter().find(|seen| seen.has_ended);
        run.state = if let Some(damage) = &run.damage {
            RunState::Unreadable(damage.clone())
        } else if has_live || is_held {
            RunState::Running
        } else if is_complete {
            RunState::Finished
        } else if let Some((unit, error)) = run.failures.first() {
            RunState::Failed(failure(unit, error))
        } else if let Some(seen) = ended {
            RunState::Killed(format!(
                "{} was killed, or its machine failed; run the same command to resume",
                seen.record.process
            ))
        } else if run.glance.done == 0 {
            RunState::Waiting
        } else {
            RunState::Stopped
        };
        run
    }
}

/// The error of a unit. Most errors name their place themselves.
fn failure(unit: &str, error: &str) -> String {
    if error.starts_with("seed ") { error.to_owned() } else { format!("{unit}: {error}") }
}

impl Run {
    /// Whether there is nothing to see until its folder changes. What could not be read may be on its way here.
    fn is_at_rest(&self) -> bool {
        !self.is_active() && !matches!(self.state, RunState::Unreadable(_))
    }

    /// Whether it has to be looked at often.
    fn is_active(&self) -> bool {
        self.state == RunState::Running
    }

    /// The share of its generations that are committed, in percent.
    pub(super) fn percent(&self) -> u64 {
        (100 * self.glance.done).checked_div(self.glance.generations).unwrap_or(0)
    }
}

fn empty(folder: &Path, name: String) -> Run {
    Run {
        folder: folder.to_owned(),
        name,
        arms: 0,
        seeds: 0,
        is_study: false,
        state: RunState::Finished,
        glance: Glance::default(),
        live: Vec::new(),
        failures: Vec::new(),
        damage: None,
        changed: modified(folder),
        changes: BTreeMap::new(),
        touched: None,
        stamp: None,
        version: 0,
    }
}

fn with_experiment(folder: &Path, experiment: &Experiment) -> Run {
    Run {
        arms: experiment.arms.len(),
        seeds: experiment.seeds.len(),
        glance: Glance::of(folder, experiment),
        ..empty(folder, experiment.name.clone())
    }
}

fn unreadable(folder: &Path, reason: String) -> Run {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Run { state: RunState::Unreadable(reason), ..empty(folder, name) }
}

/// A study is read again only if its folder was touched, or if it could not be read.
fn study(folder: &Path, before: Option<&Run>) -> Run {
    let was_read = |before: &&Run| before.is_study && before.glance.done > 0;
    let same = before.filter(was_read).filter(|before| before.touched == modified(folder));
    if let Some(before) = same {
        let state = before.damage.clone().map_or(RunState::Finished, RunState::Unreadable);
        return Run { state, ..before.clone() };
    }
    match store::read_all(folder) {
        Ok(records) => {
            let names: Vec<&str> = records.iter().map(|record| record.experiment.name.as_str()).collect();
            let glances = records.iter().map(|record| {
                record.lineages.iter().map(|lineage| lineage.generations.len() as u64).sum::<u64>()
            });
            let done = glances.sum();
            Run {
                is_study: true,
                arms: records.iter().map(|record| record.experiment.arms.len()).max().unwrap_or(0),
                seeds: records.iter().map(|record| record.experiment.seeds.len()).max().unwrap_or(0),
                glance: Glance { generations: done, done, ..Glance::default() },
                ..empty(folder, names.join(", "))
            }
        }
        Err(error) => Run { is_study: true, ..unreadable(folder, error_chain(&error)) },
    }
}

fn is_run(folder: &Path) -> bool {
    store::is_store(folder) || store::is_study(folder)
}

/// The runs and studies at or below these folders. One that several paths lead to is there by the shortest.
fn find(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    folders.iter().for_each(|folder| collect(folder, DEPTH, &mut found));
    found.sort_by_cached_key(|path| (path.components().count(), path.clone()));
    let mut known = BTreeSet::new();
    found.retain(|path| known.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    found
}

/// Adds the runs and studies at or below a folder. Links to folders are followed, up to the depth.
fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if is_run(folder) {
        found.push(folder.to_owned());
        return;
    }
    if depth == 0 {
        return;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut below: Vec<PathBuf> = entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    below.sort();
    below.iter().for_each(|path| collect(path, depth - 1, found));
}

/// The path of a folder as a text that names no other one: letters and signs that a screen shows as they are, and the
/// bytes of everything else as `%1B`.
fn id_of(folder: &Path) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || c == ' ' || c.is_ascii_graphic() && c != '%';
    let mut id = String::new();
    let encode = |id: &mut String, bytes: &[u8]| id.extend(bytes.iter().map(|byte| format!("%{byte:02X}")));
    for chunk in folder.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_plain(c) { id.push(c) } else { encode(&mut id, c.encode_utf8(&mut [0; 4]).as_bytes()) }
        }
        encode(&mut id, chunk.invalid());
    }
    id
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|found| found.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_path_as_far_as_a_screen_shows_it_as_it_is() {
        assert_eq!(id_of(Path::new("generations/my run ü=1")), "generations/my run ü=1");
        assert_eq!(id_of(Path::new("a\u{1b}[1m\u{202e}b%")), "a%1B[1m%E2%80%AEb%25");
    }

    #[cfg(unix)]
    #[test]
    fn a_run_that_links_lead_to_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("study/run");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("experiment.toml"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("study/above")).unwrap();
        std::os::unix::fs::symlink(&run, dir.path().join("study/sun")).unwrap();
        let folders = [dir.path().join("study"), dir.path().to_owned()];
        assert_eq!(find(&folders), [run]);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_text_have_ids_of_their_own() {
        use std::os::unix::ffi::OsStrExt;
        let id = |bytes: &[u8]| id_of(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        assert_eq!(id(b"a\xff"), "a%FF");
        assert_ne!(id(b"a\xff"), id(b"a\xfe"));
    }
}
