//! A job file for HyperQueue: one task for each unit, after those that it needs.
//!
//! The format is described at <https://it4innovations.github.io/hyperqueue/stable/jobs/jobfile/>.

use serde::Serialize;
use std::path::Path;

/// The folder, in that of the experiment, with the job file and the output of failed tasks.
pub const FOLDER: &str = ".hyperqueue";

/// The job file in [`FOLDER`].
pub const FILE: &str = "job.toml";

/// The units of an experiment: names as `genloss work --unit` takes them.
pub struct SeedUnits {
    /// Generation 0 of all arms of a seed.
    pub first: String,
    /// The later generations of each arm. They need the first.
    pub later: Vec<String>,
}

#[derive(Serialize)]
struct JobFile<'a> {
    name: &'a str,
    task: Vec<Task<'a>>,
}

#[derive(Serialize)]
struct Task<'a> {
    id: u32,
    command: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deps: Vec<u32>,
    stdout: &'a str,
    stderr: Output<'a>,
    request: [Request; 1],
}

/// A file that is kept only if the task fails.
#[derive(Serialize)]
struct Output<'a> {
    path: &'a str,
    mode: &'a str,
}

#[derive(Serialize)]
struct Request {
    resources: Requested,
}

#[derive(Serialize)]
struct Requested {
    cpus: usize,
    #[serde(rename = "gpus/nvidia", skip_serializing_if = "Option::is_none")]
    gpus: Option<usize>,
}

/// The tasks of a job file: one for each unit, and one that collects.
pub struct Tasks<'a> {
    /// The name of the job.
    pub name: &'a str,
    /// The path of this program.
    pub program: &'a str,
    /// The folder of the experiment or sweep.
    pub folder: &'a str,
    /// Processors of each task.
    pub cpus: usize,
    /// Request one GPU for each unit, and compute on it.
    pub gpu: bool,
}

impl Tasks<'_> {
    /// The text of the job file. The last task collects, after all others.
    pub fn job_file(&self, units: &[SeedUnits]) -> String {
        let stderr = Path::new(self.folder).join(FOLDER).join("%{TASK_ID}.err");
        let stderr = stderr.to_string_lossy();
        let device: &[&str] = if self.gpu { &["--device", "cuda:0"] } else { &[] };
        let work = |unit| [&[self.program, "work", self.folder, "--unit", unit], device].concat();
        let mut tasks: Vec<Task> = Vec::new();
        let mut add = |command, deps, gpu: bool| {
            let id = u32::try_from(tasks.len()).expect("an experiment has fewer than 2^32 units");
            let requested = Requested { cpus: self.cpus, gpus: gpu.then_some(1) };
            let stderr = Output { path: &stderr, mode: "rm-if-finished" };
            tasks.push(Task {
                id,
                command,
                deps,
                stdout: "none",
                stderr,
                request: [Request { resources: requested }],
            });
            id
        };
        let mut ends = Vec::new();
        for seed in units {
            let first = add(work(&seed.first), Vec::new(), self.gpu);
            ends.extend(seed.later.iter().map(|unit| add(work(unit), vec![first], self.gpu)));
            if seed.later.is_empty() {
                ends.push(first);
            }
        }
        add(vec![self.program, "collect", self.folder], ends, false);
        toml::to_string(&JobFile { name: self.name, task: tasks }).expect("a job file is valid TOML")
    }
}
