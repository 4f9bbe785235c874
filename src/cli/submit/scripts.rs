//! Batch scripts for Slurm: workers, as arrays, and a job that collects.
//!
//! Slurm schedules, limits and restarts jobs; the store alone says what is done. A script therefore gives a worker no
//! particular unit, and any number of workers may die, be cancelled or be added.

use super::time_limit::TimeLimit;
use crate::cli::run::shell_quoted;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The folder, in that of the experiment, with the batch scripts and the output of the jobs. The name begins with a dot
/// so that `DIR/*` are the experiments of a sweep and nothing else.
pub const FOLDER: &str = ".slurm";

/// Settings that the workers of an experiment and the job that collects share.
pub struct Jobs {
    /// The absolute path of this program.
    pub program: PathBuf,
    /// The absolute path of the folder of the experiment, or of the sweep.
    pub folder: PathBuf,
    /// The name of the experiment or sweep.
    pub name: String,
    pub resources: Resources,
}

/// Resources that each job requests.
pub struct Resources {
    /// Processors.
    pub cpus: usize,
    /// Request one GPU, and compute on it.
    pub gpu: bool,
    /// The partition; that of the cluster if `None`.
    pub partition: Option<String>,
    /// The time after which Slurm ends the job; that of the partition if `None`.
    pub time: Option<TimeLimit>,
}

/// A batch script.
#[derive(Debug)]
pub struct Script {
    /// Its file in [`FOLDER`].
    pub file_name: String,
    /// Its text.
    pub text: String,
}

/// Waits for the worker and passes signals on to it. `wait` also returns when a signal arrives; only a `wait` during
/// which none arrived returns the exit code of the worker.
const WAIT_FOR_WORKER: &str = r#"worker=$!
pass_on() {
  signalled=yes
  kill -s "$1" "$worker" 2>/dev/null
}
trap 'pass_on USR1' USR1
trap 'pass_on TERM' TERM
signalled=yes
while [ -n "$signalled" ]; do
  signalled=
  wait "$worker"
  code=$?
done
trap '' USR1 TERM
"#;

impl Jobs {
    /// Scripts for `workers` workers: arrays of at most `most_tasks`, or single jobs where that is 0 because the cluster
    /// has no arrays. No script if there are no workers.
    pub fn worker_scripts(&self, workers: usize, most_tasks: usize) -> Vec<Script> {
        let arrays = workers.div_ceil(most_tasks.max(1));
        let script = |index: usize| {
            let file_name = if arrays == 1 { "work.sh".to_owned() } else { format!("work-{}.sh", index + 1) };
            // The remainder goes to the first arrays.
            let tasks = workers / arrays + usize::from(index < workers % arrays);
            Script { file_name, text: self.worker_script((most_tasks > 0).then_some(tasks)) }
        };
        (0..arrays).map(script).collect()
    }

    fn worker_script(&self, array_tasks: Option<usize>) -> String {
        let (output, job) = match array_tasks {
            // SLURM_JOB_ID does not do: for one task of the array it is the id of the whole array.
            Some(_) => ("work-%A_%a.out", "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"),
            None => ("work-%j.out", "$SLURM_JOB_ID"),
        };
        let mut text = self.header("work", output);
        if let Some(tasks) = array_tasks {
            let _ = writeln!(text, "#SBATCH --array=0-{}", tasks - 1);
        }
        if self.resources.gpu {
            text.push_str("#SBATCH --gres=gpu:1\n");
        }
        let seconds = TimeLimit::notice_seconds(self.resources.time);
        let device = if self.resources.gpu { " --device cuda:0" } else { "" };
        let _ = write!(
            text,
            "#SBATCH --signal=B:USR1@{seconds}\n\
             # A worker: makes one unit after the other until nothing is left to do.\n\
             \n\
             {} work {} --leave{device} &\n\
             {WAIT_FOR_WORKER}\
             # 75: asked by SIGUSR1 to save its work; 138: ended by that signal before it had begun. Never after scancel: a\n\
             # cancelled job must not come back.\n\
             if [ \"$code\" -eq 75 ] || [ \"$code\" -eq 138 ]; then\n\
             \x20 scontrol requeue \"{job}\"\n\
             fi\n\
             exit \"$code\"\n",
            self.program(),
            self.folder_word(),
        );
        text
    }

    /// The script of the job that verifies and compares once no worker is left.
    pub fn collect_script(&self) -> Script {
        let text = format!(
            "{}# Verifies and compares; says what is missing if a worker failed or was cancelled.\n\nexec {} collect {}\n",
            self.header("collect", "collect-%j.out"),
            self.program(),
            self.folder_word()
        );
        Script { file_name: "collect.sh".to_owned(), text }
    }

    fn header(&self, job: &str, output: &str) -> String {
        let Resources { cpus, partition, time, .. } = &self.resources;
        let folder = output_folder(&self.folder);
        let mut text = format!(
            "#!/bin/bash\n\
             #SBATCH --job-name=genloss-{job}-{}\n\
             #SBATCH --output=\"{folder}/{output}\"\n\
             #SBATCH --requeue\n\
             #SBATCH --open-mode=append\n\
             #SBATCH --ntasks=1\n\
             #SBATCH --cpus-per-task={cpus}\n",
            self.name,
        );
        if let Some(partition) = partition {
            let _ = writeln!(text, "#SBATCH --partition={partition}");
        }
        if let Some(time) = time {
            let _ = writeln!(text, "#SBATCH --time={time}");
        }
        text
    }

    fn program(&self) -> String {
        shell_quoted(&self.program.to_string_lossy())
    }

    fn folder_word(&self) -> String {
        shell_quoted(&self.folder.to_string_lossy())
    }
}

/// Returns why Slurm could not write the output of jobs below this path; `None` if it could.
pub fn unusable_folder(folder: &Path) -> Option<&'static str> {
    let Some(text) = folder.to_str() else { return Some("is not valid UTF-8") };
    // A backslash makes Slurm take every other character of the path literally too, from the percent sign on.
    text.contains(|c: char| c == '\\' || c.is_control())
        .then_some("contains a backslash or a control character")
}

/// The folder of the output, for an `#SBATCH` line: in double quotes, with percent signs doubled, because Slurm replaces
/// what follows one.
fn output_folder(folder: &Path) -> String {
    folder.join(FOLDER).to_string_lossy().replace('%', "%%").replace('"', "\\\"")
}
