//! What Slurm knows about jobs: `squeue`, which needs no accounting.

use super::process::Job;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// The jobs of a user that Slurm remembers.
#[derive(Clone, Debug)]
pub(super) struct JobList {
    pub(super) user: String,
    /// State and number of restarts, by job.
    jobs: BTreeMap<String, (String, u64)>,
}

/// Asks Slurm for the jobs of a user. `None` if there is no Slurm, or it does not answer.
pub(super) fn jobs_of(user: &str) -> Option<JobList> {
    let format = "JobArrayID:64,State:32,RestartCnt:16";
    let mut command = Command::new("squeue");
    command.args(["--noheader", "--array", "--states=all", "--user", user, "-O", format]);
    let answer = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    answer.status.success().then(|| JobList { user: user.to_owned(), jobs: parse(&text) })
}

/// One line per job: its number, its state and its restarts.
fn parse(text: &str) -> BTreeMap<String, (String, u64)> {
    let job = |line: &str| {
        let mut fields = line.split_whitespace();
        let (id, state, restarts) = (fields.next()?, fields.next()?, fields.next()?);
        Some((id.to_owned(), (state.to_owned(), restarts.parse().ok()?)))
    };
    text.lines().filter_map(job).collect()
}

impl JobList {
    /// Returns true if the job has ended or was restarted, so that none of its earlier processes is left. Slurm forgets a
    /// job some minutes after its end.
    pub(super) fn has_ended(&self, job: &Job) -> bool {
        match self.jobs.get(&job.id).map(|(state, restarts)| (state.as_str(), *restarts)) {
            None => true,
            Some((_, restarts)) if restarts > job.restarts => true,
            Some((
                "RUNNING" | "COMPLETING" | "CONFIGURING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "RESIZING"
                | "STAGE_OUT",
                _,
            )) => false,
            // Pending again, or ended in one way or another.
            Some(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the format of Slurm 22.05.
    const ANSWER: &str =
        "12_0                 RUNNING        0\n12_1      PENDING   1\n12_2   CANCELLED  0\n13  RUNNING 2\n";

    fn has_ended(id: &str, restarts: u64) -> bool {
        let list = JobList { user: "ann".to_owned(), jobs: parse(ANSWER) };
        list.has_ended(&Job { id: id.to_owned(), user: "ann".to_owned(), restarts })
    }

    #[test]
    fn a_job_that_was_restarted_cancelled_or_forgotten_has_ended() {
        assert!(!has_ended("12_0", 0) && !has_ended("13", 2));
        assert!(has_ended("12_1", 0) && has_ended("12_2", 0) && has_ended("13", 1) && has_ended("14", 0));
    }
}
