//! Reading the live files of a run.

use super::{FOLDER, LiveRecord};
use crate::claims::Process;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A process that cannot be seen from here has ended if its file has not changed for this long. It writes every five
/// seconds at most; a file server may show that late.
const LEASE: Duration = Duration::from_secs(60);

/// No live file is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// Looks at live files, and remembers when they changed.
#[derive(Debug)]
pub struct Onlooker {
    this: Process,
    /// When each file was last changed, and when that was first seen, by the clock of this process.
    changes: BTreeMap<PathBuf, (SystemTime, Instant)>,
}

/// A live file.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its path.
    pub file: PathBuf,
    /// When it was written, by the clock of the file system.
    pub written: SystemTime,
    /// Its contents.
    pub record: LiveRecord,
    /// Whether its process has ended without removing it.
    pub has_ended: bool,
}

impl Default for Onlooker {
    fn default() -> Self {
        Self::new()
    }
}

impl Onlooker {
    /// An onlooker that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { this: Process::this(), changes: BTreeMap::new() }
    }

    /// The live files of the run at `root`, sorted by name. Files that cannot be read are left out.
    pub fn look(&mut self, root: &Path) -> Vec<Seen> {
        self.look_in(&root.join(FOLDER))
    }

    pub(super) fn look_in(&mut self, folder: &Path) -> Vec<Seen> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        self.changes.retain(|path, _| !path.starts_with(folder) || paths.contains(path));
        paths.into_iter().filter_map(|path| self.read(path)).collect()
    }

    fn read(&mut self, file: PathBuf) -> Option<Seen> {
        let name = file.file_name()?.to_str()?;
        if name.starts_with('.') || !name.ends_with(".json") {
            return None;
        }
        let metadata = fs::metadata(&file).ok().filter(|found| found.is_file() && found.len() <= LONGEST)?;
        let record: LiveRecord = serde_json::from_slice(&fs::read(&file).ok()?).ok()?;
        let written = metadata.modified().ok()?;
        let unchanged = self.unchanged(&file, written);
        let has_ended = record.process.has_ended(&self.this).unwrap_or_else(|| {
            unchanged.max(SystemTime::now().duration_since(written).unwrap_or_default()) > LEASE
        });
        Some(Seen { file, written, record, has_ended })
    }

    fn unchanged(&mut self, file: &Path, written: SystemTime) -> Duration {
        let entry = self.changes.entry(file.to_owned()).or_insert((written, Instant::now()));
        if entry.0 != written {
            *entry = (written, Instant::now());
        }
        entry.1.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{Live, file_name};
    use crate::progress::{Event, Observer, Recorder, Silent};
    use std::process::Command;

    fn begun(root: &Path) -> Live<'static> {
        let live = Live::new(root, &Silent);
        live.observe(&Event::LineageStarted { seed: 1, arm: "a".to_owned(), generations: 1, done: 0 });
        let begun = Instant::now();
        while Onlooker::new().look(root).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "no file");
        }
        live
    }

    /// Puts the file of this process where that of another one would be.
    fn as_if_of(root: &Path, process: Process) -> PathBuf {
        let live = begun(root);
        let Seen { record, file, .. } = Onlooker::new().look(root).remove(0);
        let other = file.with_file_name(file_name(&process));
        fs::write(&other, serde_json::to_vec(&LiveRecord { process, ..record }).unwrap()).unwrap();
        drop(live);
        other
    }

    fn killed() -> Process {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        Process { pid: child.id(), ..Process::this() }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_was_killed_is_recognised_at_once_and_its_file_goes_with_the_next_work() {
        let root = tempfile::tempdir().unwrap();
        let live = begun(root.path());
        let Seen { record, file, .. } = Onlooker::new().look(root.path()).remove(0);
        let process = killed();
        let other = file.with_file_name(file_name(&process));
        fs::write(&other, serde_json::to_vec(&LiveRecord { process, ..record }).unwrap()).unwrap();
        let ended: Vec<bool> = Onlooker::new().look(root.path()).iter().map(|seen| seen.has_ended).collect();
        assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
        drop(live);
        assert!(!root.path().join(FOLDER).exists());
    }

    #[test]
    fn a_process_on_another_machine_has_ended_when_its_file_is_old() {
        let root = tempfile::tempdir().unwrap();
        let there = Process { host: "node7".to_owned(), ..Process::unknown() };
        let file = as_if_of(root.path(), there);
        let look = || Onlooker::new().look(root.path()).remove(0).has_ended;
        assert!(!look());
        let old = SystemTime::now() - 2 * LEASE;
        fs::File::options().append(true).open(file).unwrap().set_modified(old).unwrap();
        assert!(look());
    }

    #[test]
    fn what_is_no_live_file_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        for (name, text) in [("a.json", "{"), ("b.json", "{\"process\": 1}"), ("c", "{}"), (".d.json", "")] {
            fs::write(folder.join(name), text).unwrap();
        }
        fs::create_dir(folder.join("e.json")).unwrap();
        assert!(Onlooker::new().look(root.path()).is_empty());
    }

    /// The folder of the run does not exist, as if the disk were unmounted.
    #[test]
    fn a_file_that_cannot_be_written_is_told_once_and_stops_nothing() {
        let root = tempfile::tempdir().unwrap();
        let recorder = Recorder::default();
        let live = Live::new(&root.path().join("gone"), &recorder);
        let event = Event::LineageStarted { seed: 1, arm: "a".to_owned(), generations: 1, done: 0 };
        let notes = || recorder.events().iter().filter(|event| matches!(event, Event::Note(_))).count();
        let begun = Instant::now();
        while notes() == 0 {
            live.observe(&event);
            assert!(begun.elapsed() < Duration::from_secs(60), "no note");
        }
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            live.observe(&event);
        }
        assert_eq!(notes(), 1);
    }
}
