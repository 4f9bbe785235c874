//! Signals: which ones stop a run gently, and what is left of a command when the run ends.

#![cfg(target_os = "linux")]

use crate::folder::checkpoints;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Trains for a long time, and saves hardly any checkpoints until it is asked to stop.
const LONG: &str = r#"
name = "long"
seeds = [1]
generations = 1
corpus = { source = "world", train_tokens = 6000, heldout_tokens = 1000, reference_tokens = 3000 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 16, heads = 2, context = 16 }
training = { tokens = 400000000, batch = 8, checkpoint_minutes = 0.001 }
[[arm]]
name = "unanchored"
mixture = "replace"
"#;

/// Writes with a command that never answers.
const EXTERNAL: &str = r#"
name = "outside"
seeds = [1]
generations = 1
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 500, reference_tokens = 2000 }
tokenizer = { vocab_size = 300 }
model = { kind = "ngram", order = 2 }
[[arm]]
name = "other"
mixture = "replace"
synthesis = { method = "external", command = ["sh", "-c", "echo $$ > PIDFILE; sleep 600"] }
"#;

fn start(prefix: &[&str], file: &Path, out: &Path) -> Child {
    start_command("run", prefix, file, out)
}

fn start_command(subcommand: &str, prefix: &[&str], file: &Path, out: &Path) -> Child {
    let words: Vec<&str> = prefix.iter().copied().chain([env!("CARGO_BIN_EXE_genloss")]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(subcommand).arg(file).arg("--out").arg(out).args(["--threads", "1"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(mut child: Child) -> (ExitStatus, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap(), said)
}

/// A run that is training: the folder that holds everything, the process, and where its checkpoints are.
fn training(prefix: &[&str]) -> (tempfile::TempDir, Child, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("long.toml"), dir.path().join("out"));
    fs::write(&file, LONG).unwrap();
    let child = start(prefix, &file, &out);
    let found = || checkpoints(&out.join("seed-1"), "gen-000");
    wait_until("no checkpoint", || found().is_some());
    let folder = found().unwrap();
    (dir, child, folder)
}

#[test]
fn two_sigterms_in_a_row_count_as_one() {
    let (_dir, child, checkpoints) = training(&[]);
    for _ in 0..3 {
        signal("-TERM", child.id());
    }
    let (status, said) = end(child);
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("Resume with:"), "{said}");
    assert!(fs::read_dir(checkpoints).unwrap().count() == 1);
}

/// While a run reads its text there is nothing to keep, so it ends at once, with the same codes as later.
#[test]
fn signals_during_the_reading_of_the_text_end_the_run_with_the_same_codes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("long.toml");
    fs::write(&file, LONG.replace("train_tokens = 6000", "train_tokens = 30000000")).unwrap();
    for (one, code) in [("-USR1", 75), ("-TERM", 130), ("-INT", 130), ("-HUP", 130)] {
        let mut child = start(&[], &file, &dir.path().join("out"));
        let mut said = [0; 4];
        child.stderr.as_mut().unwrap().read_exact(&mut said).unwrap();
        // The line that the handlers follow is on its way.
        std::thread::sleep(Duration::from_millis(300));
        signal(one, child.id());
        let (status, said) = end(child);
        assert_eq!(status.code(), Some(code), "{one}: {said}");
        assert!(!dir.path().join("out").exists());
    }
}

/// Exit codes: 75 asks a batch script to put the job back into the queue, 130 does not.
#[test]
fn sigusr1_asks_to_be_continued_unless_the_run_was_also_asked_to_end() {
    for (signals, code) in [
        (&["-USR1"][..], 75),
        (&["-USR1", "-USR1", "-USR1"], 75),
        (&["-USR1", "-TERM"], 130),
        (&["-TERM", "-USR1"], 130),
        (&["-INT", "-USR1"], 130),
    ] {
        let (_dir, child, checkpoints) = training(&[]);
        // The process cannot end between two signals: it is stopped until all of them are there.
        signal("-STOP", child.id());
        for one in signals {
            signal(one, child.id());
        }
        signal("-CONT", child.id());
        let (status, said) = end(child);
        assert_eq!(status.code(), Some(code), "{signals:?}: {said}");
        assert!(said.contains("interrupted; finished work is kept in"), "{said}");
        assert!(said.contains("Resume with:"), "{said}");
        assert_eq!(fs::read_dir(checkpoints).unwrap().count(), 1);
    }
}

#[test]
fn a_sweep_that_is_asked_to_be_continued_says_so_by_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("grid.toml"), dir.path().join("out"));
    fs::write(&file, format!("{LONG}[grid]\ntraining.learning_rate = [0.001, 0.002]\n")).unwrap();
    let child = start_command("sweep", &[], &file, &out);
    let is_training = || {
        let runs = fs::read_dir(&out).into_iter().flatten().flatten();
        runs.into_iter().any(|run| checkpoints(&run.path().join("seed-1"), "gen-000").is_some())
    };
    wait_until("no checkpoint", is_training);
    signal("-USR1", child.id());
    let (status, said) = end(child);
    assert_eq!(status.code(), Some(75), "{said}");
    assert!(said.contains("Resume with:"), "{said}");
}

#[test]
fn a_job_of_slurm_computes_on_as_many_threads_as_it_was_given() {
    let threads = |of_job: &str, options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
        command.args(["bench", "--size", "tiny", "--what", "sample", "--format", "json"]).args(options);
        let output = command.env("SLURM_CPUS_PER_TASK", of_job).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let speed: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
        (speed.map(|speed| speed["threads"].as_u64().unwrap()), said)
    };
    assert_eq!(threads("3", &[]).0, Some(3));
    assert_eq!(threads("3", &["--threads", "1"]).0, Some(1));
    for wrong in ["0", "1025", "two", ""] {
        let (none, said) = threads(wrong, &[]);
        assert_eq!(none, None);
        assert_eq!(said, format!("genloss: SLURM_CPUS_PER_TASK={wrong}: give a number from 1 to 1024\n"));
    }
}

/// The tests may themselves have been started under nohup, so the signal is reset first.
#[test]
fn a_hangup_stops_a_run_gently_and_is_ignored_under_nohup() {
    let (_dir, child, _) = training(&["env", "--default-signal=HUP"]);
    signal("-HUP", child.id());
    let (status, said) = end(child);
    assert_eq!(status.code(), Some(130), "{said}");
    let (_dir, mut child, _) = training(&["nohup"]);
    signal("-HUP", child.id());
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "a run under nohup ended at a hangup");
    signal("-KILL", child.id());
    child.wait().unwrap();
}

/// A run that waits for a command: the process, and the process of the command.
fn waiting_for_a_command(dir: &Path) -> (Child, u32) {
    let (file, out, pid) = (dir.join("outside.toml"), dir.join("out"), dir.join("pid"));
    fs::write(&file, EXTERNAL.replace("PIDFILE", pid.to_str().unwrap())).unwrap();
    let child = start(&[], &file, &out);
    let number = || fs::read_to_string(&pid).ok()?.trim().parse().ok();
    wait_until("the command did not start", || number().is_some());
    (child, number().unwrap())
}

fn is_alive(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A zombie has ended.
    status.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_command_does_not_outlive_a_killed_run_nor_a_second_ctrl_c() {
    for signals in [&["-KILL"][..], &["-INT", "-INT"]] {
        let dir = tempfile::tempdir().unwrap();
        let (child, command) = waiting_for_a_command(dir.path());
        for one in signals {
            // A run that has ended at the first one is also fine.
            let _ = Command::new("kill").args([*one, &child.id().to_string()]).stderr(Stdio::null()).status();
        }
        end(child);
        wait_until(&format!("the command outlived {signals:?}"), || !is_alive(command));
    }
}
