//! Several processes work on one run: whatever happens to them, the results are those of a single process.

#![cfg(target_os = "linux")]

use crate::command::{output, text};
use crate::folder::contents;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Twelve units. Training takes a moment, so that processes can be stopped in it.
const FILE: &str = r#"
name = "shared"
seeds = [1, 2, 3]
generations = 2
corpus = { source = "world", train_tokens = 3000, heldout_tokens = 300, reference_tokens = 1000 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 16, heads = 2, context = 16 }
training = { tokens = 40000, batch = 8, init = "chained", checkpoint_minutes = 0.001 }
synthesis = { max_document_tokens = 32 }
[[arm]]
name = "unanchored"
mixture = "replace"
[[arm]]
name = "anchored"
mixture = "anchored"
"#;

/// The shortest lease that the program takes.
const LEASE: &[&str] = &["--lease", "1"];

struct Place {
    _dir: tempfile::TempDir,
    file: PathBuf,
    root: PathBuf,
}

fn genloss() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command that should fail with exit code 1, and returns its standard error.
fn error(arguments: &[&str]) -> String {
    let output = genloss().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A run that is ready for workers.
fn prepared(file: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let place = Place { file: dir.path().join("shared.toml"), root: dir.path().join("many"), _dir: dir };
    fs::write(&place.file, file).unwrap();
    output(&["prepare", text(&place.file), "--out", text(&place.root)]);
    place
}

/// The files of a run by a single process, made once for all tests.
fn whole() -> &'static BTreeMap<String, Vec<u8>> {
    static WHOLE: std::sync::OnceLock<BTreeMap<String, Vec<u8>>> = std::sync::OnceLock::new();
    WHOLE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let (file, out) = (dir.path().join("shared.toml"), dir.path().join("whole"));
        fs::write(&file, FILE).unwrap();
        output(&["run", text(&file), "--out", text(&out)]);
        contents(&out)
    })
}

fn start_worker(root: &Path, options: &[&str], preloaded: Option<&Path>) -> Child {
    let mut command = genloss();
    command
        .args(["work", text(root), "--threads", "1"])
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(library) = preloaded {
        command.env("LD_PRELOAD", library);
    }
    command.spawn().unwrap()
}

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn units(root: &Path) -> String {
    output(&["units", text(root)])
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a process works on some unit.
fn wait_for_claim_of(root: &Path, child: &Child) {
    let process = format!("process {}", child.id());
    wait_until("no claim", || units(root).contains(&process));
}

/// Collects the results and compares them with those of a single process.
fn assert_like_a_single_process(root: &Path) {
    let listed = units(root);
    assert!(listed.lines().count() == 12 && listed.lines().all(|line| line.ends_with("done")), "{listed}");
    output(&["collect", text(root)]);
    let mut found = contents(root);
    found.retain(|name, _| !name.starts_with("figures/") && name != "report.html");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(whole()));
    for (name, bytes) in whole() {
        assert!(found[name] == *bytes, "{name} differs");
    }
}

#[test]
fn eight_processes_of_which_some_are_killed_or_stopped_give_the_results_of_one() {
    let Place { _dir, root, .. } = prepared(FILE);
    let mut workers: Vec<Child> = (0..8).map(|_| start_worker(&root, LEASE, None)).collect();
    // Of those that work, two are killed, and one stops for longer than its lease.
    let working = |workers: &[Child]| {
        let listed = units(&root);
        let is_working = |child: &Child| listed.contains(&format!("process {},", child.id()));
        workers.iter().position(is_working)
    };
    let mut next_working = || {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(120), "nobody works");
            if let Some(found) = working(&workers) {
                return workers.remove(found);
            }
        }
    };
    for _ in 0..2 {
        let mut killed = next_working();
        signal("-KILL", &killed);
        killed.wait().unwrap();
    }
    let mut stopped = next_working();
    signal("-STOP", &stopped);
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    signal("-CONT", &stopped);
    stopped.wait().unwrap();
    assert_like_a_single_process(&root);
}

#[test]
fn of_two_processes_that_take_over_at_once_one_does() {
    let Place { _dir, root, .. } = prepared(FILE);
    let mut first = start_worker(&root, &["--unit", "seed-1"], None);
    wait_for_claim_of(&root, &first);
    signal("-KILL", &first);
    first.wait().unwrap();
    let others: Vec<Child> = (0..4).map(|_| start_worker(&root, &["--unit", "seed-1"], None)).collect();
    for mut other in others {
        assert!(other.wait().unwrap().success());
    }
    let claims = fs::read_dir(root.join(".units/claims")).unwrap().flatten();
    let mut of_unit: Vec<String> = claims
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("seed-1+0") || name == "seed-1+done")
        .collect();
    of_unit.sort();
    assert_eq!(of_unit, ["seed-1+0001", "seed-1+0002", "seed-1+done"]);
}

/// On many network file systems `flock` fails, or succeeds and locks nothing.
#[test]
fn locks_of_files_are_not_needed() {
    for result in ["(errno = 38, -1)", "0"] {
        let dir = tempfile::tempdir().unwrap();
        let (source, library) = (dir.path().join("flock.c"), dir.path().join("flock.so"));
        fs::write(
            &source,
            format!("#include <errno.h>\nint flock(int file, int how) {{ return {result}; }}\n"),
        )
        .unwrap();
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(compiled.unwrap().success());
        let Place { _dir, root, .. } = prepared(FILE);
        let workers: Vec<Child> = (0..3).map(|_| start_worker(&root, &[], Some(&library))).collect();
        for mut worker in workers {
            assert!(worker.wait().unwrap().success());
        }
        assert_like_a_single_process(&root);
    }
}

#[test]
fn a_run_and_workers_share_the_work() {
    let Place { _dir, file, root } = prepared(FILE);
    let mut worker = start_worker(&root, &[], None);
    wait_for_claim_of(&root, &worker);
    output(&["run", text(&file), "--out", text(&root)]);
    // Everything is done, and the run has removed the claims.
    assert!(worker.wait().unwrap().success());
    assert!(!root.join(".units").exists());
    let found = contents(&root);
    assert!(found == *whole());
}

#[test]
fn a_worker_that_is_asked_to_stop_gives_its_unit_back_with_a_checkpoint() {
    let Place { _dir, root, .. } = prepared(&FILE.replace("tokens = 40000", "tokens = 40000000"));
    for (name, code) in [("-TERM", 130), ("-USR1", 75)] {
        let mut worker = start_worker(&root, &["--unit", "seed-1"], None);
        wait_for_claim_of(&root, &worker);
        wait_until("no checkpoint", || crate::folder::checkpoints(&root.join("seed-1"), "gen-000").is_some());
        signal(name, &worker);
        assert_eq!(worker.wait().unwrap().code(), Some(code));
        assert!(units(&root).contains("seed-1             ready"), "{}", units(&root));
        let work = crate::folder::checkpoints(&root.join("seed-1"), "gen-000").unwrap();
        assert_eq!(fs::read_dir(work).unwrap().count(), 1);
    }
}

#[test]
fn a_unit_that_fails_is_told_and_the_others_are_made() {
    let file = FILE.replace(
        "mixture = \"anchored\"",
        "mixture = \"replace\"\nsynthesis = { method = \"external\", command = [\"false\"] }",
    );
    let Place { _dir, file, root } = prepared(&file);
    let said = error(&["work", text(&root), "--threads", "1"]);
    assert!(said.contains("seed-1") && said.contains("failed"), "{said}");
    let status = output(&["status", text(&root)]);
    assert!(status.contains("3 failed") && status.contains("seed-1 failed on"), "{status}");
    // The same machine does not try again by itself, and the others need the one that failed.
    assert!(output(&["work", text(&root)]).contains("failed or need one that failed"));
    assert!(error(&["collect", text(&root)]).contains("missing: seed-1 (failed on"));
    // Preparing again makes another attempt possible.
    output(&["prepare", text(&file), "--out", text(&root)]);
    assert!(!output(&["status", text(&root)]).contains("failed"));
}

#[test]
fn a_generation_that_was_deleted_is_named_and_made_again() {
    let Place { _dir, root, .. } = prepared(FILE);
    output(&["work", text(&root)]);
    fs::remove_dir_all(root.join("seed-2/anchored/gen-002")).unwrap();
    assert!(error(&["collect", text(&root)]).contains("1 unit missing: seed-2/anchored"));
    assert_eq!(output(&["units", text(&root), "--pending"]), "seed-2/anchored\n");
    assert_eq!(output(&["work", text(&root)]), "made 1 unit\n");
    assert_like_a_single_process(&root);
}

/// The mark of the seed says that it is done, but its generation 0 is gone: nothing can be made, and nothing is tried for ever.
#[test]
fn a_lineage_whose_generation_0_was_deleted_is_not_tried_for_ever() {
    let Place { _dir, file, root } = prepared(FILE);
    output(&["work", text(&root), "--unit", "seed-1"]);
    fs::remove_dir_all(root.join("seed-1/gen-000")).unwrap();
    let said = error(&["work", text(&root), "--unit", "seed-1/anchored"]);
    assert!(said.contains("seed-1/anchored: a generation 0 that was committed is missing"), "{said}");
    output(&["prepare", text(&file), "--out", text(&root)]);
    output(&["work", text(&root)]);
    assert_like_a_single_process(&root);
}

#[test]
fn units_of_a_sweep_have_the_name_of_their_experiment_in_front() {
    let file = FILE.replace("seeds = [1, 2, 3]", "seeds = [1]")
        + "[grid]\ntraining.learning_rate = [0.001, 0.002]\n";
    let dir = tempfile::tempdir().unwrap();
    let (path, whole, many) =
        (dir.path().join("grid.toml"), dir.path().join("whole"), dir.path().join("many"));
    fs::write(&path, file).unwrap();
    output(&["sweep", text(&path), "--out", text(&whole)]);
    output(&["prepare", text(&path), "--out", text(&many)]);
    let pending = output(&["units", text(&many), "--pending"]);
    assert_eq!(pending.lines().count(), 8, "{pending}");
    let lineage = pending.lines().find(|name| name.ends_with("/seed-1/anchored")).unwrap();
    output(&["work", text(&many), "--unit", lineage]);
    assert_eq!(output(&["units", text(&many)]).matches("done").count(), 2, "{}", units(&many));
    // Collecting a part of the sweep closes the runs that are finished, and workers go on with the others.
    let (run, _) = lineage.split_once('/').unwrap();
    for arm in ["control", "unanchored"] {
        output(&["work", text(&many), "--unit", &format!("{run}/seed-1/{arm}")]);
    }
    assert!(error(&["collect", text(&many)]).contains("seed-1"));
    assert!(!many.join(run).join(".units").exists());
    assert!(output(&["work", text(&many), "--unit", lineage]).contains("made 0 units"));
    let workers: Vec<Child> = (0..3).map(|_| start_worker(&many, &["--leave"], None)).collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    output(&["collect", text(&many)]);
    let mut found = contents(&many);
    found.retain(|name, _| !name.contains("figures/") && !name.ends_with("report.html"));
    assert!(found == contents(&whole));
    // The folders below are those of the runs alone.
    let folders = |root: &Path| fs::read_dir(root).unwrap().count();
    assert_eq!(folders(&many), folders(&whole));
}

#[test]
fn folders_that_workers_cannot_use_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    assert!(error(&["work", text(&absent)]).contains("a file system that they share"));
    let (file, out) = (dir.path().join("shared.toml"), dir.path().join("out"));
    fs::write(&file, FILE).unwrap();
    let mut run = genloss().args(["run", text(&file), "--out", text(&out)]).spawn().unwrap();
    wait_until("no store", || out.join("experiment.toml").exists());
    signal("-KILL", &run);
    run.wait().unwrap();
    assert!(error(&["work", text(&out)]).contains("run genloss prepare with its experiment file"));
    assert!(
        error(&["work", text(&prepared(FILE).root), "--unit", "seed-9"]).contains("genloss units lists them")
    );
}

#[test]
fn an_experiment_is_not_changed_while_workers_are_busy() {
    let Place { _dir, file, root } = prepared(&FILE.replace("tokens = 40000", "tokens = 40000000"));
    let mut worker = start_worker(&root, &[], None);
    wait_for_claim_of(&root, &worker);
    let before = fs::read(root.join("experiment.toml")).unwrap();
    let said = error(&["prepare", text(&file), "--out", text(&root), "--set", "seeds=[1,2,3,4]"]);
    assert!(said.contains(&format!("process {} works on this run", worker.id())), "{said}");
    assert!(fs::read(root.join("experiment.toml")).unwrap() == before);
    signal("-KILL", &worker);
    worker.wait().unwrap();
    output(&["prepare", text(&file), "--out", text(&root), "--set", "seeds=[1,2,3,4]"]);
    assert!(units(&root).contains("seed-4/anchored"));
}
