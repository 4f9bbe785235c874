//! A process, told apart from all others on all machines.

use serde::{Deserialize, Serialize};
use std::{env, fmt, fs, process};

/// A process on some machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The name of its machine.
    pub host: String,
    /// Its number on that machine.
    pub pid: u32,
    /// When it started, in clock ticks since its machine did: tells it from a later process with the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<u64>,
    /// Where its number is valid: one start of a machine, and one namespace (such as a container) in it. `None` where
    /// the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// The job that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
}

/// A job of Slurm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number: `12`, or `12_3` for a task of an array.
    pub id: String,
    /// Its user.
    pub user: String,
    /// How often it was restarted before this process.
    pub restarts: u64,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let pids = fs::read_link("/proc/self/ns/pid").ok();
        let namespace = boot.zip(pids).map(|(boot, pids)| format!("{} {}", boot.trim(), pids.display()));
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
        let host = host.or_else(|| env::var("HOSTNAME").ok()).or_else(|| env::var("COMPUTERNAME").ok());
        Self {
            host: host.unwrap_or_else(|| "unknown".to_owned()),
            pid: process::id(),
            started: running(process::id()).flatten(),
            namespace,
            job: Job::this(),
        }
    }

    /// A process of which nothing is known.
    pub(crate) fn unknown() -> Self {
        Self { host: "an unknown machine".to_owned(), pid: 0, started: None, namespace: None, job: None }
    }

    /// Returns true if `self` ran on the machine of `observer` and has ended, and false if it still runs there. `None`
    /// if it cannot be seen from there.
    #[must_use]
    pub fn has_ended(&self, observer: &Self) -> Option<bool> {
        let is_visible = self.namespace.is_some() && self.namespace == observer.namespace;
        is_visible.then(|| match running(self.pid) {
            None => true,
            Some(started) => started.is_some() && self.started.is_some() && started != self.started,
        })
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, process {}", self.host, self.pid)?;
        self.job.as_ref().map_or(Ok(()), |job| write!(f, ", job {}", job.id))
    }
}

impl Job {
    /// The job that this process belongs to; `None` outside of Slurm.
    fn this() -> Option<Self> {
        let array = env::var("SLURM_ARRAY_JOB_ID").ok().zip(env::var("SLURM_ARRAY_TASK_ID").ok());
        let id =
            array.map(|(job, task)| format!("{job}_{task}")).or_else(|| env::var("SLURM_JOB_ID").ok())?;
        let restarts = env::var("SLURM_RESTART_COUNT").ok().and_then(|count| count.parse().ok());
        let user = env::var("SLURM_JOB_USER").or_else(|_| env::var("USER")).unwrap_or_default();
        Some(Self { id, user, restarts: restarts.unwrap_or(0) })
    }
}

/// When the process with this number started, in clock ticks since the machine did, if that is known. `None` if there is
/// no such process, or only its exit status is left.
fn running(pid: u32) -> Option<Option<u64>> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in parentheses and may contain anything.
    let fields: Vec<&str> = status.rsplit_once(')')?.1.split_whitespace().collect();
    let has_ended = matches!(fields.first(), Some(&("Z" | "X")));
    (!has_ended).then(|| fields.get(19).and_then(|ticks| ticks.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_one_that_has_ended_does_not() {
        let this = Process::this();
        assert_eq!(this.has_ended(&this), Some(false));
        let mut child = process::Command::new("true").spawn().unwrap();
        let ended = Process { pid: child.id(), ..this.clone() };
        child.wait().unwrap();
        assert_eq!(ended.has_ended(&this), Some(true));
    }

    #[test]
    fn a_later_process_with_the_same_number_is_another_one() {
        let this = Process::this();
        let earlier = Process { started: this.started.map(|ticks| ticks - 1), ..this.clone() };
        assert_eq!(earlier.has_ended(&this), Some(true));
    }

    #[test]
    fn a_process_in_another_container_or_on_another_machine_cannot_be_seen() {
        let this = Process::this();
        let elsewhere = Process { namespace: Some("another".to_owned()), ..this.clone() };
        assert_eq!(elsewhere.has_ended(&this), None);
    }
}
