//! A Slurm cluster, as its own commands describe it: `sinfo`, `scontrol`, `squeue` and `sbatch`.

use crate::terminal::on_one_line;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};

/// A command of Slurm that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The command is not installed.
    #[error(
        "{0}: not found on this machine; submit from a login node of the cluster, or use another engine (docs/how-to/cluster.md)"
    )]
    Missing(&'static str),
    /// The command could not be started.
    #[error("{program}: cannot be started")]
    Start {
        /// The command.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The command failed.
    #[error("{program}: {message}")]
    Refused {
        /// The command.
        program: &'static str,
        /// Its own words.
        message: String,
    },
    /// The output of a command does not have the form that is documented.
    #[error("{program}: unexpected output {output:?}")]
    Output {
        /// The command.
        program: &'static str,
        /// Its output.
        output: String,
    },
}

/// Limits of a cluster on the number of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most tasks of an array; 0 if the cluster has no arrays.
    pub tasks_per_array: usize,
    /// Most jobs of all users, in the queue or running; each task of an array is one.
    pub jobs: usize,
}

/// The limits of a cluster that does not set any (manual page of slurm.conf).
pub const DEFAULT_LIMITS: Limits = Limits { tasks_per_array: 1001, jobs: 10_000 };

/// Returns an error if this machine cannot submit jobs.
pub fn check_installed() -> Result<(), ClusterError> {
    output("sbatch", &["--version"]).map(drop)
}

/// The names of all partitions.
pub fn partitions() -> Result<Vec<String>, ClusterError> {
    Ok(partition_names(&output("sinfo", &["-h", "-o", "%P"])?))
}

/// The default partition is marked by an asterisk; a partition has a line for each state of its nodes.
fn partition_names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .map(|line| line.trim().trim_end_matches('*').to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    names.dedup();
    names
}

/// The limits of the cluster.
pub fn limits() -> Result<Limits, ClusterError> {
    let text = output("scontrol", &["show", "config"])?;
    limits_in(&text).ok_or_else(|| ClusterError::Output { program: "scontrol", output: shortened(&text) })
}

fn limits_in(config: &str) -> Option<Limits> {
    let value = |name: &str| -> Option<usize> {
        let of_name = |line: &str| {
            line.split_once('=')
                .filter(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().parse().ok())
        };
        config.lines().find_map(of_name)?
    };
    Some(Limits { tasks_per_array: value("MaxArraySize")?, jobs: value("MaxJobCount")? })
}

/// Submits a script with further options of `sbatch` and returns the id of the job.
pub fn submit(script: &Path, options: &[String]) -> Result<String, ClusterError> {
    let mut words: Vec<&OsStr> = vec!["--parsable".as_ref()];
    words.extend(options.iter().map(OsStr::new));
    words.push(script.as_os_str());
    let text = output("sbatch", &words)?;
    job_id(&text).ok_or_else(|| ClusterError::Output { program: "sbatch", output: shortened(&text) })
}

/// `--parsable` prints the id, and after a semicolon the name of the cluster if there are several.
fn job_id(text: &str) -> Option<String> {
    let id = text.lines().last()?.split(';').next()?.trim();
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| id.to_owned())
}

fn output<S: AsRef<OsStr>>(program: &'static str, arguments: &[S]) -> Result<String, ClusterError> {
    let outcome = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = outcome.map_err(|source| match source.kind() {
        ErrorKind::NotFound => ClusterError::Missing(program),
        _ => ClusterError::Start { program, source },
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let message =
            if said.trim().is_empty() { output.status.to_string() } else { in_its_words(program, &said) };
        return Err(ClusterError::Refused { program, message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a command printed, on one line, without its name at the beginning of every line.
fn in_its_words(program: &str, said: &str) -> String {
    let prefix = format!("{program}: error: ");
    let lines: Vec<&str> = said
        .lines()
        .map(|line| line.trim().trim_start_matches(&prefix))
        .filter(|line| !line.is_empty())
        .collect();
    on_one_line(&lines.join("; "))
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_partitions_and_job_ids_are_read_from_what_slurm_prints() {
        let config = "Configuration data as of 2026-01-01T00:00:00\nMaxArraySize            = 1001\nMaxDBDMsgs = 20012\nMaxJobCount             = 10000\n";
        assert_eq!(limits_in(config), Some(DEFAULT_LIMITS));
        assert_eq!(limits_in("MaxArraySize = 1001\nMaxJobCount = many\n"), None);
        assert_eq!(limits_in(""), None);
        assert_eq!(partition_names("low*\nlow*\nhigh\n"), ["low", "high"]);
        assert_eq!(job_id("123\n"), Some("123".to_owned()));
        assert_eq!(job_id("123;east\n"), Some("123".to_owned()));
        assert_eq!(job_id("Submitted batch job 123\n"), None);
        assert_eq!(job_id(""), None);
    }

    #[test]
    fn an_error_has_slurms_own_words_on_one_line() {
        let said = "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: Invalid partition name specified\n";
        assert_eq!(
            in_its_words("sbatch", said),
            "invalid partition specified: x; Batch job submission failed: Invalid partition name specified"
        );
    }
}
