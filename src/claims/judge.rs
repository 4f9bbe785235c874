//! Whether a process that holds a claim has ended, as far as that can be told without waiting.

use super::process::Process;
use super::slurm::{self, JobList};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Slurm is asked at most this often.
const INTERVAL: Duration = Duration::from_secs(30);

/// Judges whether processes have ended. Remembers what Slurm answered, and which files have not changed.
#[derive(Debug, Default)]
pub(super) struct Judge {
    jobs: Mutex<Option<(Instant, Option<JobList>)>>,
    /// When files were last changed, and when this process first saw that.
    seen: Mutex<BTreeMap<PathBuf, (SystemTime, Instant)>>,
}

impl Judge {
    /// Returns true if `process` is known to have ended. `observer` is this process.
    pub(super) fn has_ended(&self, process: &Process, observer: &Process) -> bool {
        if let Some(ended) = process.has_ended(observer) {
            return ended;
        }
        let Some(job) = &process.job else { return false };
        let is_own_job =
            observer.job.as_ref().is_some_and(|own| own.id == job.id && own.restarts > job.restarts);
        is_own_job || self.jobs_of(&job.user).is_some_and(|jobs| jobs.has_ended(job))
    }

    /// How long this process has seen a file unchanged, by its own clock.
    pub(super) fn unchanged(&self, path: &Path, changed: SystemTime) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.entry(path.to_owned()).or_insert((changed, Instant::now()));
        if entry.0 != changed {
            *entry = (changed, Instant::now());
        }
        entry.1.elapsed()
    }

    /// The jobs of a user, if Slurm answers and the user is the one whom it lists.
    fn jobs_of(&self, user: &str) -> Option<JobList> {
        let mut known = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = known.as_ref().is_some_and(|(asked, _)| asked.elapsed() < INTERVAL);
        if !is_recent {
            *known = Some((Instant::now(), slurm::jobs_of(user)));
        }
        known.as_ref().and_then(|(_, jobs)| jobs.clone()).filter(|jobs| jobs.user == user)
    }
}
