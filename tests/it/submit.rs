//! `genloss submit`: the scripts that Slurm gets, with stand-ins for its commands, and the job file for HyperQueue.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXPERIMENT: &str = r#"
name = "small"
seeds = [1, 2]
generations = 1
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 500, reference_tokens = 2000 }
tokenizer = { vocab_size = 300 }
model = { kind = "ngram", order = 2 }
[[arm]]
name = "unanchored"
mixture = "replace"
"#;

/// Accepts every job and writes down how it was called.
const SBATCH: &str = r#"
if [ "$1" = --version ]; then echo "slurm 22.05.8"; exit 0; fi
echo "$*" >> "$STAND_IN/calls"
wc -l < "$STAND_IN/calls"
"#;

const SCONTROL: &str = r#"
echo "MaxArraySize            = 3"
echo "MaxJobCount             = 1000"
"#;

const SINFO: &str = "printf 'low*\\nhigh\\n'";

/// A folder with an experiment file, stand-ins for Slurm's commands, and the folder of the run.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(site.file(), EXPERIMENT).unwrap();
        fs::create_dir(site.path("bin")).unwrap();
        for (name, script) in [("sbatch", SBATCH), ("scontrol", SCONTROL), ("sinfo", SINFO)] {
            site.program(name, script);
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self) -> PathBuf {
        self.path("small.toml")
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Standard output, or the last line of standard error.
    fn submit(&self, out: &Path, options: &[&str]) -> Result<String, String> {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        self.submit_with_path(&path, out, options)
    }

    fn submit_with_path(&self, path: &str, out: &Path, options: &[&str]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
        command.arg("submit").arg(self.file()).arg("--out").arg(out).args(options);
        command.env("PATH", path).env("STAND_IN", self.dir.path());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        if output.status.success() { Ok(printed) } else { Err(said.lines().last().unwrap().to_owned()) }
    }

    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn lines<'a>(script: &'a str, beginning: &str) -> Vec<&'a str> {
    script.lines().filter(|line| line.starts_with(beginning)).collect()
}

#[test]
fn workers_are_submitted_as_arrays_within_the_limit_and_collected_after_the_last() {
    let site = Site::new();
    let out = site.path("run");
    // Two seeds of two arms: four lineages, and three tasks per array.
    let printed = site.submit(&out, &["--slurm", "--", "--account=lab", "--mem=4G"]).unwrap();
    let scripts = out.join(".slurm");
    let script = |name: &str| scripts.join(name).display().to_string();
    assert_eq!(
        site.calls(),
        [
            format!("--parsable --account=lab --mem=4G {}", script("work-1.sh")),
            format!("--parsable --account=lab --mem=4G {}", script("work-2.sh")),
            format!(
                "--parsable --account=lab --mem=4G --dependency=afterany:1:2 --kill-on-invalid-dep=yes {}",
                script("collect.sh")
            ),
        ]
    );
    let array = |name| lines(&fs::read_to_string(scripts.join(name)).unwrap(), "#SBATCH --array").concat();
    assert_eq!(array("work-1.sh"), "#SBATCH --array=0-1");
    assert_eq!(array("work-2.sh"), "#SBATCH --array=0-1");
    assert!(printed.contains("workers as job 1, 2, and job 3"), "{printed}");
    assert!(printed.contains("genloss status"), "{printed}");
    assert!(printed.contains("squeue -j 1,2,3"), "{printed}");
}

#[test]
fn a_script_asks_for_what_the_options_say() {
    let site = Site::new();
    let options =
        ["--slurm", "--workers", "3", "--cpus", "4", "--partition", "high", "--time", "1-12", "--dry-run"];
    let printed = site.submit(&site.path("run"), &options).unwrap();
    let (work, collect) = printed.split_once("==> collect.sh").unwrap();
    for script in [work, collect] {
        for line in
            ["--requeue", "--open-mode=append", "--cpus-per-task=4", "--partition=high", "--time=1-12:00:00"]
        {
            assert_eq!(lines(script, &format!("#SBATCH {line}")).len(), 1, "{line}: {script}");
        }
    }
    assert_eq!(lines(work, "#SBATCH --array"), ["#SBATCH --array=0-2"]);
    assert_eq!(lines(work, "#SBATCH --signal"), ["#SBATCH --signal=B:USR1@120"]);
    assert!(lines(collect, "#SBATCH --array").is_empty() && lines(collect, "#SBATCH --signal").is_empty());
    assert!(
        printed.contains("estimate from the speed of this machine with 4 threads: 6 generations"),
        "{printed}"
    );
    assert!(!site.path("run").exists(), "a dry run wrote something");
    assert!(site.calls().is_empty(), "a dry run submitted something");
}

/// The worker script, run by bash with a stand-in for the program: its exit code, and what was asked of Slurm.
fn run_script(site: &Site, worker: &str, signal: Option<&str>) -> (Option<i32>, String) {
    let out = site.path("it's a \"run\" of 50% $HOME");
    site.submit(&out, &["--slurm", "--workers", "1"]).unwrap();
    let script = fs::read_to_string(out.join(".slurm/work.sh")).unwrap();
    site.program("worker", worker);
    site.program("scontrol", r#"echo "$*" >> "$STAND_IN/asked""#);
    let worker = site.path("bin/worker").display().to_string();
    let script = script.replace(env!("CARGO_BIN_EXE_genloss"), &worker);
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).env("STAND_IN", site.dir.path());
    command.env("PATH", format!("{}:/usr/bin:/bin", site.path("bin").display()));
    command.env("SLURM_JOB_ID", "8").env("SLURM_ARRAY_JOB_ID", "7").env("SLURM_ARRAY_TASK_ID", "0");
    let mut child = command.spawn().unwrap();
    if let Some(signal) = signal {
        let begun = std::time::Instant::now();
        while !site.path("started").exists() && begun.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for _ in 0..3 {
            Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        }
    }
    let code = child.wait().unwrap().code();
    let said = fs::read_to_string(site.path("said")).unwrap_or_default();
    assert_eq!(
        said.lines().next().unwrap(),
        format!("work {} --leave", out.display()),
        "the folder was misread"
    );
    (code, fs::read_to_string(site.path("asked")).unwrap_or_default())
}

#[test]
fn a_job_goes_back_into_the_queue_only_if_its_work_is_to_be_continued() {
    let says = r#"echo "$*" > "$STAND_IN/said""#;
    for code in [0, 1, 2, 130, 137] {
        let site = Site::new();
        assert_eq!(run_script(&site, &format!("{says}\nexit {code}"), None), (Some(code), String::new()));
    }
    // Tasks of an array are addressed by its id and their index: the id of the array alone means all of them.
    // A worker without a handler for the signal, because it has hardly started, ends with 128 + 10.
    for (end, code) in [("exit 75", 75), ("kill -s USR1 $$", 138)] {
        let site = Site::new();
        let outcome = run_script(&site, &format!("{says}\n{end}"), None);
        assert_eq!(outcome, (Some(code), "requeue 7_0\n".to_owned()));
    }
}

#[test]
fn a_script_passes_signals_on_and_waits_until_the_worker_has_saved_its_work() {
    let worker = r#"
echo "$*" > "$STAND_IN/said"
trap 'code=75' USR1
trap 'code=130' TERM
touch "$STAND_IN/started"
while [ -z "$code" ]; do sleep 0.01; done
sleep 0.3
exit "$code"
"#;
    let site = Site::new();
    assert_eq!(run_script(&site, worker, Some("-USR1")), (Some(75), "requeue 7_0\n".to_owned()));
    let site = Site::new();
    assert_eq!(run_script(&site, worker, Some("-TERM")), (Some(130), String::new()));
}

#[test]
fn a_partition_that_is_not_there_is_an_error_before_anything_is_written() {
    let site = Site::new();
    let said = site.submit(&site.path("run"), &["--slurm", "--partition", "low,gpu"]).unwrap_err();
    assert_eq!(said, "genloss: --partition gpu: there is no such partition; choose from low, high");
    assert!(!site.path("run").exists());
    assert!(site.submit(&site.path("run"), &["--slurm", "--partition", "low,high"]).is_ok());
}

#[test]
fn a_machine_without_slurm_says_what_else_there_is_and_still_shows_the_scripts() {
    let site = Site::new();
    let bare = site.path("nothing").display().to_string();
    let said = site.submit_with_path(&bare, &site.path("run"), &["--slurm"]).unwrap_err();
    assert!(said.starts_with("genloss: sbatch: not found on this machine"), "{said}");
    assert!(said.contains("docs/how-to/cluster.md"), "{said}");
    assert!(!site.path("run").exists());
    let printed = site.submit_with_path(&bare, &site.path("run"), &["--slurm", "--dry-run"]).unwrap();
    assert!(printed.contains("#SBATCH --array=0-3"), "{printed}");
}

#[test]
fn a_refusal_has_slurms_words_and_says_what_was_submitted_before() {
    let refuse = r#"echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy" >&2; exit 1"#;
    let words = "sbatch: Batch job submission failed: Job violates accounting/QOS policy";
    let site = Site::new();
    site.program("sbatch", &format!("[ \"$1\" = --version ] && exit 0\n{refuse}"));
    let said = site.submit(&site.path("run"), &["--slurm"]).unwrap_err();
    assert!(said.contains("nothing was submitted") && said.ends_with(words), "{said}");
    // The first array is accepted.
    site.program("sbatch", &format!("[ -e \"$STAND_IN/calls\" ] && {{ {refuse}; }}\n{SBATCH}"));
    let said = site.submit(&site.path("run"), &["--slurm"]).unwrap_err();
    assert!(said.contains("scancel 1,") && said.ends_with(words), "{said}");
    // Output that is no job id.
    site.program("sbatch", "[ \"$1\" = --version ] && exit 0\necho Submitted batch job 5");
    let said = site.submit(&site.path("run"), &["--slurm"]).unwrap_err();
    assert!(said.contains("unexpected output \"Submitted batch job 5\""), "{said}");
}

#[test]
fn more_workers_than_jobs_that_the_cluster_takes_are_reduced() {
    let site = Site::new();
    site.program("scontrol", "echo MaxArraySize = 1001; echo MaxJobCount = 3");
    let printed = site.submit(&site.path("run"), &["--slurm", "--dry-run"]).unwrap();
    assert!(printed.contains("#SBATCH --array=0-1\n"), "{printed}");
    site.program("scontrol", "echo MaxArraySize = 1001; echo MaxJobCount = 1");
    assert!(site.submit(&site.path("run"), &["--slurm"]).unwrap_err().contains("MaxJobCount"));
    // A cluster without arrays: single jobs.
    site.program("scontrol", "echo MaxArraySize = 0; echo MaxJobCount = 1000");
    site.submit(&site.path("run"), &["--slurm", "--workers", "2"]).unwrap();
    assert_eq!(site.calls().len(), 3);
    let script = fs::read_to_string(site.path("run/.slurm/work-2.sh")).unwrap();
    assert!(!script.contains("--array") && script.contains("scontrol requeue \"$SLURM_JOB_ID\""), "{script}");
}

#[test]
fn only_what_is_not_done_gets_workers() {
    let site = Site::new();
    let out = site.path("run");
    let run = |seeds: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
        command.arg("run").arg(site.file()).arg("--out").arg(&out).args(["--set", seeds]);
        assert!(command.output().unwrap().status.success());
    };
    run("seeds=[1]");
    let printed = site.submit(&out, &["--slurm", "--dry-run"]).unwrap();
    assert!(printed.contains("#SBATCH --array=0-1\n") && printed.contains(": 3 generations in"), "{printed}");
    run("seeds=[1,2]");
    let printed = site.submit(&out, &["--slurm", "--dry-run"]).unwrap();
    assert!(!printed.contains("work.sh") && printed.contains(": 0 generations in"), "{printed}");
    let printed = site.submit(&out, &["--slurm"]).unwrap();
    assert!(printed.contains("all units are done; submitted: job 1, which collects"), "{printed}");
    assert_eq!(site.calls(), [format!("--parsable {}", out.join(".slurm/collect.sh").display())]);
}

#[test]
fn options_that_cannot_work_are_refused_with_the_reason() {
    let site = Site::new();
    let refusal = |options: &[&str]| site.submit(&site.path("run"), options).unwrap_err();
    assert!(refusal(&["--slurm", "--time", "soon"]).contains("write minutes"));
    assert!(refusal(&["--slurm", "--time", "1"]).contains("at least 5 minutes"));
    assert!(refusal(&["--slurm", "--gpus", "2"]).contains("--gpus"));
    assert!(refusal(&["--slurm", "--workers", "0"]).contains("--workers"));
    assert!(refusal(&["--slurm", "--hyperqueue"]).contains("--hyperqueue"));
    assert!(refusal(&[]).contains("--slurm"));
    assert!(refusal(&["--hyperqueue", "--time", "60"]).contains("--time"));
    if !cfg!(feature = "cuda") {
        assert!(refusal(&["--slurm", "--gpus", "1"]).contains("--features cuda"));
    }
    let said = site.submit(&site.path("back\\slash"), &["--slurm"]).unwrap_err();
    assert!(said.contains("contains a backslash") && said.contains("--out"), "{said}");
    assert!(site.calls().is_empty());
}

/// The keys are those of HyperQueue's documentation of job files.
#[test]
fn a_job_file_for_hyperqueue_has_a_task_for_each_unit_after_those_that_it_needs() {
    let site = Site::new();
    let out = site.path("run");
    let printed = site.submit(&out, &["--hyperqueue", "--cpus", "2"]).unwrap();
    let path = out.join(".hyperqueue/job.toml");
    assert!(printed.contains(&format!("hq job submit-file {}", path.display())), "{printed}");
    let job: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(job["name"].as_str(), Some("small"));
    let tasks = job["task"].as_array().unwrap();
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let task = |task: &toml::Value| {
        let command: Vec<String> = task["command"].as_array().unwrap().iter().map(text).collect();
        let deps: Vec<i64> = task.get("deps").map_or_else(Vec::new, |deps| {
            deps.as_array().unwrap().iter().map(|id| id.as_integer().unwrap()).collect()
        });
        assert_eq!(task["request"][0]["resources"]["cpus"].as_integer(), Some(2));
        assert_eq!(command[0], env!("CARGO_BIN_EXE_genloss"));
        (task["id"].as_integer().unwrap(), command[1..].join(" "), deps)
    };
    let folder = out.display();
    let work = |unit: &str| format!("work {folder} --unit {unit}");
    assert_eq!(
        tasks.iter().map(task).collect::<Vec<_>>(),
        [
            (0, work("seed-1"), vec![]),
            (1, work("seed-1/control"), vec![0]),
            (2, work("seed-1/unanchored"), vec![0]),
            (3, work("seed-2"), vec![]),
            (4, work("seed-2/control"), vec![3]),
            (5, work("seed-2/unanchored"), vec![3]),
            (6, format!("collect {folder}"), vec![1, 2, 4, 5]),
        ]
    );
}

#[test]
fn units_of_a_sweep_begin_with_the_name_of_their_experiment() {
    let site = Site::new();
    fs::write(site.file(), format!("{EXPERIMENT}[grid]\nmodel.order = [2, 3]\n")).unwrap();
    let printed = site.submit(&site.path("sweep"), &["--hyperqueue", "--dry-run"]).unwrap();
    for order in [2, 3] {
        assert!(printed.contains(&format!("\"order={order}/seed-2/unanchored\"")), "{printed}");
    }
    assert!(printed.contains("estimate"), "{printed}");
}
