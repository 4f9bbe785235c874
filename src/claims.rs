//! Claims: at most one live process works on a thing at a time, without file locks.
//!
//! Locks of files are missing, local to one machine, or ineffective on many network file systems. Claims need only two
//! operations that all of them order correctly: `link(2)`, which fails if the new name exists, and `rename(2)`.
//!
//! The claims on a thing are numbered files, and the highest number holds. A process takes a thing by creating the next
//! number, which only one of several can do. The holder appends to its file from time to time. Its claim is void as soon
//! as another process can tell that it has ended: on the same machine, because there is no such process; under Slurm,
//! because its job has ended or was restarted; elsewhere, because the file has not changed for the length of the lease, by
//! the clock of the file system. A holder that was judged dead by mistake finds a higher number before its next write and
//! ends ([`Claim::check`]). Whoever writes results must also be safe if two processes believe that they hold a claim for a
//! moment: results are written aside and renamed, and the first rename wins.
//!
//! ```
//! use genloss::claims::{Claims, Process};
//! use std::time::Duration;
//!
//! let folder = tempfile::tempdir()?;
//! let claims = Claims::new(folder.path(), Process::this(), Duration::from_secs(600));
//! let claim = claims.claim("seed-1")?.expect("nobody else works here");
//! assert!(claims.claim("seed-1")?.is_err(), "it is held");
//! claim.finish("")?;
//! assert!(claims.survey()?["seed-1"].is_done());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claim;
mod judge;
mod process;
mod slurm;

pub use claim::Claim;
pub use process::{Job, Process};

use crate::files;
use judge::Judge;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, fs};

/// Separates the name of a thing from the number of a claim. Names must not contain it.
const SEPARATOR: char = '+';

/// In place of a number: the thing is done.
const DONE: &str = "done";

/// No thing is claimed more often. Files with higher numbers are not ours.
const HIGHEST: u64 = 1_000_000_000;

/// The longest lease that is granted to others.
const LONGEST_LEASE: f64 = 86_400.0;

/// The claims in a folder.
#[derive(Debug)]
pub struct Claims {
    folder: PathBuf,
    process: Process,
    lease: Duration,
    judge: Judge,
    /// Whether the clock of the file system may be read, which takes a file.
    is_read_only: bool,
}

/// What is known about a thing that somebody has claimed.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimState {
    /// A live process works on it.
    Held(Holder),
    /// The process that worked on it gave it back, or has ended.
    Free,
    /// The last attempt failed.
    Failed(Failure),
    /// It is done. The text is that of [`Claim::finish`].
    Done,
}

impl ClaimState {
    /// Returns true if the thing is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// Why a thing cannot be claimed.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// A live process works on it.
    By(Holder),
    /// It is done.
    Done,
}

/// A process that holds a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// The process.
    pub process: Process,
    /// When it made the claim, by the clock of its machine. `None` if the file of the claim is damaged.
    pub since: Option<SystemTime>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The process that failed.
    pub process: Process,
    /// Its error.
    pub error: String,
}

/// The contents of the file of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ClaimRecord {
    /// Different in every file.
    nonce: String,
    process: Process,
    /// Seconds since 1970 by the clock of the process's machine, 0 if unknown; for display only.
    since_seconds: u64,
    /// Seconds without a sign of life after which the claim is void.
    lease_seconds: f64,
    /// The process holds the thing no longer; with its error if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    released: Option<Release>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Release {
    error: Option<String>,
}

/// Another process has taken over what this process had claimed.
#[derive(Debug, thiserror::Error)]
#[error("another process has taken over {name}; this one leaves it alone")]
pub struct Lost {
    /// The thing.
    pub name: String,
}

impl Claims {
    /// The claims in `folder`, seen by `process`. Its own claims are void after `lease` without a sign of life.
    #[must_use]
    pub fn new(folder: &Path, process: Process, lease: Duration) -> Self {
        Self { folder: folder.to_owned(), process, lease, judge: Judge::default(), is_read_only: false }
    }

    /// As [`Self::new`], for a process that only looks: it writes nothing, and so judges the time since the last sign of
    /// life by its own clock alone.
    #[must_use]
    pub fn read_only(folder: &Path, process: Process, lease: Duration) -> Self {
        Self { is_read_only: true, ..Self::new(folder, process, lease) }
    }

    /// The state of everything that was ever claimed, from one listing of the folder.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn survey(&self) -> io::Result<BTreeMap<String, ClaimState>> {
        let now = LazyTime::default();
        let state = |(name, latest): (String, Latest)| {
            let state = match latest {
                Latest::Done => ClaimState::Done,
                Latest::Number(number) => self.state(&name, number, &now)?,
            };
            Ok((name, state))
        };
        self.latest()?.into_iter().map(state).collect()
    }

    /// Everything that was ever claimed, and whether it is done, from one listing of the folder. No claim is read.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn marks(&self) -> io::Result<BTreeMap<String, bool>> {
        let latest = self.latest()?.into_iter();
        Ok(latest.map(|(name, latest)| (name, latest == Latest::Done)).collect())
    }

    /// The state of one thing; `None` if it was never claimed.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn state_of(&self, name: &str) -> io::Result<Option<ClaimState>> {
        match self.latest()?.remove(name) {
            None => Ok(None),
            Some(Latest::Done) => Ok(Some(ClaimState::Done)),
            Some(Latest::Number(number)) => self.state(name, number, &LazyTime::default()).map(Some),
        }
    }

    /// Takes a thing. If a live process holds it, or if it is done, the inner result is an error.
    ///
    /// # Errors
    /// If the file system fails, or has no hard links.
    pub fn claim(&self, name: &str) -> io::Result<Result<Claim, Taken>> {
        files::create_dirs(&self.folder)?;
        // Each round ends unless another process took the thing meanwhile, which happens a few times at most.
        loop {
            let number = match self.latest()?.remove(name) {
                None => 0,
                Some(Latest::Done) => return Ok(Err(Taken::Done)),
                Some(Latest::Number(number)) => match self.state(name, number, &LazyTime::default())? {
                    ClaimState::Held(holder) => return Ok(Err(Taken::By(holder))),
                    ClaimState::Free | ClaimState::Failed(_) | ClaimState::Done => number,
                },
            };
            let record = self.record();
            live().insert(record.nonce.clone());
            let created = create(&self.folder, name, number + 1, &record);
            if matches!(created, Ok(true)) {
                return Ok(Ok(Claim::new(&self.folder, name, number + 1, record)));
            }
            live().remove(&record.nonce);
            created?;
        }
    }

    /// The text with which a thing was marked as done; `None` if it is not done.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<String> {
        fs::read_to_string(done_path(&self.folder, name)).ok()
    }

    /// Removes the marks of things that are done but have to be made again, and of failures.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        for file in names(&self.folder)? {
            if file.rsplit_once(SEPARATOR).is_some_and(|(thing, _)| thing == name) {
                files::remove_file(&self.folder.join(file))?;
            }
        }
        Ok(())
    }

    /// The time since the last sign of life, by the clock of the file system or by that of this process, whichever is
    /// longer: the first may be set back.
    fn silence(&self, path: &Path, now: &LazyTime) -> io::Result<Duration> {
        let changed = fs::metadata(path)?.modified()?;
        let now = if self.is_read_only { SystemTime::now() } else { now.get(path)? };
        let by_file_system = now.duration_since(changed).unwrap_or_default();
        Ok(by_file_system.max(self.judge.unchanged(path, changed)))
    }

    /// In place of a record that cannot be read.
    fn damaged(&self) -> ClaimRecord {
        ClaimRecord {
            nonce: String::new(),
            process: Process::unknown(),
            since_seconds: 0,
            lease_seconds: self.lease.as_secs_f64(),
            released: None,
        }
    }

    fn record(&self) -> ClaimRecord {
        ClaimRecord {
            nonce: nonce(&self.process),
            process: self.process.clone(),
            since_seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            lease_seconds: self.lease.as_secs_f64(),
            released: None,
        }
    }

    /// The highest number of each thing.
    fn latest(&self) -> io::Result<BTreeMap<String, Latest>> {
        let mut latest: BTreeMap<String, Latest> = BTreeMap::new();
        for file in names(&self.folder)? {
            let Some((name, number)) = file.rsplit_once(SEPARATOR) else { continue };
            let found = match number.parse() {
                Ok(number) if number <= HIGHEST => Latest::Number(number),
                Ok(_) => continue,
                Err(_) if number == DONE => Latest::Done,
                Err(_) => continue,
            };
            let entry = latest.entry(name.to_owned()).or_insert(found);
            *entry = (*entry).max(found);
        }
        Ok(latest)
    }

    fn state(&self, name: &str, number: u64, now: &LazyTime) -> io::Result<ClaimState> {
        let path = path(&self.folder, name, number);
        let record = match read(&path) {
            // It was removed after the listing, because everything is done.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ClaimState::Done),
            // Damaged: void after the lease of this process.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::IsADirectory
                ) =>
            {
                self.damaged()
            }
            record => record?,
        };
        let ClaimRecord { process, since_seconds, released, .. } = &record;
        Ok(match released {
            Some(Release { error: Some(error) }) => {
                ClaimState::Failed(Failure { process: process.clone(), error: error.clone() })
            }
            Some(Release { error: None }) => ClaimState::Free,
            None if *process == self.process && !live().contains(&record.nonce) => ClaimState::Free,
            None if self.judge.has_ended(process, &self.process) => ClaimState::Free,
            None if self.silence(&path, now)?.as_secs_f64() > record.lease_seconds.min(LONGEST_LEASE) => {
                ClaimState::Free
            }
            None => ClaimState::Held(Holder {
                process: process.clone(),
                since: (*since_seconds > 0).then(|| UNIX_EPOCH + Duration::from_secs(*since_seconds)),
            }),
        })
    }
}

/// The time on the clock of the file system, asked for once and only if it is needed.
#[derive(Default)]
struct LazyTime(OnceCell<SystemTime>);

impl LazyTime {
    /// The time in the folder of a file.
    fn get(&self, path: &Path) -> io::Result<SystemTime> {
        if let Some(&now) = self.0.get() {
            return Ok(now);
        }
        let now = files::time_in(files::containing_folder(path))?;
        Ok(*self.0.get_or_init(|| now))
    }
}

/// The last entry of a thing. Done is above every number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Latest {
    Number(u64),
    Done,
}

/// The nonces of the claims that this process holds. A claim of this process that is not among them could not be given
/// back when its work ended.
fn live() -> MutexGuard<'static, BTreeSet<String>> {
    static LIVE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text that is different each time, on every machine.
fn nonce(process: &Process) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = format!("{process:?} {time:?} {}", COUNT.fetch_add(1, Ordering::Relaxed));
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

fn create(folder: &Path, name: &str, number: u64, record: &ClaimRecord) -> io::Result<bool> {
    let text = serde_json::to_string(record)?;
    files::create_exclusively(&path(folder, name, number), text.as_bytes()).map_err(|error| {
        let is_impossible = matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied);
        if is_impossible && folder.is_dir() {
            let reason = format!(
                "{error} (if this file system has no hard links, which claims need, use another one)"
            );
            io::Error::new(error.kind(), reason)
        } else {
            error
        }
    })
}

fn read(path: &Path) -> io::Result<ClaimRecord> {
    // Reading a pipe might never end.
    if !files::persistently(|| fs::metadata(path))?.is_file() {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(serde_json::from_str(&files::persistently(|| fs::read_to_string(path))?)?)
}

fn path(folder: &Path, name: &str, number: u64) -> PathBuf {
    folder.join(format!("{name}{SEPARATOR}{number:04}"))
}

fn done_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{SEPARATOR}{DONE}"))
}

/// The names in a folder; none if it does not exist.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    match files::persistently(|| fs::read_dir(folder)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::thread;

    const LEASE: Duration = Duration::from_secs(60);

    /// Claims of a process that cannot be seen from here, and the record of its claim on "thing".
    fn elsewhere(folder: &Path) -> PathBuf {
        let process = Process { host: "node7".to_owned(), ..Process::unknown() };
        let record = Claims::new(folder, process, LEASE).record();
        assert!(create(folder, "thing", 1, &record).unwrap());
        path(folder, "thing", 1)
    }

    fn age(path: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn here(folder: &Path) -> Claims {
        Claims::new(folder, Process::this(), LEASE)
    }

    #[test]
    fn a_claim_without_a_sign_of_life_is_void_after_its_lease() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = elsewhere(folder.path());
        age(&theirs, 50);
        let taken = here(folder.path()).claim("thing").unwrap().unwrap_err();
        assert!(matches!(taken, Taken::By(holder) if holder.process.host == "node7"));
        age(&theirs, 70);
        let claim = here(folder.path()).claim("thing").unwrap().unwrap();
        assert!(path(folder.path(), "thing", 2).exists());
        claim.check().unwrap();
    }

    /// The clock of a file server may be set back. Then a claim is void when it has not changed for a lease by our clock.
    #[test]
    fn a_claim_from_the_future_is_held_until_it_has_not_changed_for_a_lease() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process { host: "node7".to_owned(), ..Process::unknown() };
        let record = Claims::new(folder.path(), process, Duration::from_millis(200)).record();
        assert!(create(folder.path(), "thing", 1, &record).unwrap());
        let time = SystemTime::now() + Duration::from_secs(3600);
        let file = File::options().append(true).open(path(folder.path(), "thing", 1)).unwrap();
        file.set_modified(time).unwrap();
        let claims = here(folder.path());
        assert!(claims.claim("thing").unwrap().is_err());
        thread::sleep(Duration::from_millis(300));
        assert!(claims.claim("thing").unwrap().is_ok());
    }

    #[test]
    fn files_with_impossible_numbers_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        for number in ["18446744073709551615", "99999999999999999999999", "-1", "x"] {
            fs::write(folder.path().join(format!("thing+{number}")), "").unwrap();
        }
        assert!(here(folder.path()).claim("thing").unwrap().is_ok());
    }

    #[test]
    fn a_damaged_claim_is_void_after_the_lease() {
        let folder = tempfile::tempdir().unwrap();
        for damage in ["", "{", "{\"nonce\": 1}"] {
            let damaged = path(folder.path(), "thing", 1);
            fs::write(&damaged, damage).unwrap();
            assert!(here(folder.path()).claim("thing").unwrap().is_err());
            age(&damaged, 70);
            drop(here(folder.path()).claim("thing").unwrap().unwrap());
            here(folder.path()).forget("thing").unwrap();
        }
    }

    #[test]
    fn a_holder_that_was_taken_for_dead_finds_out() {
        let folder = tempfile::tempdir().unwrap();
        let claim = here(folder.path()).claim("thing").unwrap().unwrap();
        let record = here(folder.path()).record();
        assert!(create(folder.path(), "thing", 2, &record).unwrap());
        assert_eq!(claim.check().unwrap_err().name, "thing");
        // What it gives back is not its own any more.
        claim.release(None).unwrap();
        assert!(!path(folder.path(), "thing", 3).exists());
    }

    #[test]
    fn a_failure_is_kept_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let claims = here(folder.path());
        claims.claim("thing").unwrap().unwrap().release(Some("no base model".to_owned())).unwrap();
        let state = claims.survey().unwrap().remove("thing");
        assert!(matches!(state, Some(ClaimState::Failed(failure)) if failure.error == "no base model"));
        claims.forget("thing").unwrap();
        assert!(claims.survey().unwrap().is_empty());
    }
}
