//! A killed and resumed run equals an uninterrupted one to the bit: with a real SIGKILL, for both kinds of model.

use crate::folder::{checkpoints, contents};
use genloss_kernels::instructions::Instructions;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NGRAM: &str = r#"
name = "counts"
seeds = [1, 2]
generations = 3
corpus = { source = "world", train_tokens = 20000, heldout_tokens = 2000, reference_tokens = 10000 }
tokenizer = { vocab_size = 400 }
model = { kind = "ngram", order = 3 }
[[arm]]
name = "unanchored"
mixture = "replace"
[[arm]]
name = "accumulate"
mixture = "accumulate-subsample"
[[arm]]
name = "grown"
mixture = "replace-multiple"
"#;

const TRANSFORMER: &str = r#"
name = "small"
seeds = [1]
generations = 1
corpus = { source = "world", train_tokens = 6000, heldout_tokens = 1000, reference_tokens = 3000 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 16, heads = 2, context = 16 }
training = { tokens = 40000, batch = 8, init = "chained", checkpoint_minutes = 0.0005 }
synthesis = { max_document_tokens = 64 }
[[arm]]
name = "unanchored"
mixture = "replace"
"#;

/// `command` is `run` or `sweep`.
fn start(command: &str, file: &Path, out: &Path, threads: usize) -> Child {
    Command::new(env!("CARGO_BIN_EXE_genloss"))
        .arg(command)
        .arg(file)
        .arg("--out")
        .arg(out)
        .args(["--threads", &threads.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills a run again and again, each time a little later, until it finishes, each time with another number of threads.
/// Returns the number of kills.
pub fn run_with_kills(command: &str, file: &Path, out: &Path, first: Duration, factor: f64) -> usize {
    let mut delay = first;
    for kills in 0.. {
        let mut child = start(command, file, out, 1 + kills % 3);
        let deadline = std::time::Instant::now() + delay;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "the run failed after {kills} kills");
                return kills;
            }
            if std::time::Instant::now() >= deadline {
                break;
            }
            std::thread::yield_now();
        }
        // SIGKILL on Unix.
        child.kill().unwrap();
        child.wait().unwrap();
        delay = delay.mul_f64(factor);
    }
    unreachable!("every delay is longer than the one before")
}

/// Compares a run that was killed with one that never was. Returns the number of kills.
pub fn assert_killed_run_equals_uninterrupted_run(
    command: &str,
    experiment: &str,
    first: Duration,
    factor: f64,
) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("experiment.toml");
    fs::write(&file, experiment).unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    assert!(start(command, &file, &whole, 2).wait().unwrap().success());
    let kills = run_with_kills(command, &file, &broken, first, factor);
    let (whole, broken) = (contents(&whole), contents(&broken));
    assert_eq!(whole.keys().collect::<Vec<_>>(), broken.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(broken[name] == *bytes, "{name} differs after {kills} kills");
    }
    assert!(whole.keys().all(|name| !name.contains("work-") && !name.contains("partial")));
    kills
}

/// Kills a run at least three times.
fn assert_many_kills_change_nothing(command: &str, experiment: &str, first: Duration, factor: f64) {
    let kills = assert_killed_run_equals_uninterrupted_run(command, experiment, first, factor);
    assert!(kills >= 3, "only {kills} kills before the run finished");
}

/// Several processes start the same run in an empty folder, as jobs of a cluster do.
#[test]
fn processes_that_start_a_run_together_share_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("experiment.toml");
    fs::write(&file, NGRAM).unwrap();
    let alone = dir.path().join("alone");
    assert!(start("run", &file, &alone, 1).wait().unwrap().success());
    for round in 0..4 {
        let together = dir.path().join(format!("together-{round}"));
        let started: Vec<Child> = (0..4).map(|_| start("run", &file, &together, 1)).collect();
        for mut child in started {
            assert!(child.wait().unwrap().success(), "round {round}");
        }
        assert!(contents(&together) == contents(&alone), "round {round}");
    }
}

#[test]
fn a_killed_ngram_run_resumes_to_the_same_bits() {
    assert_many_kills_change_nothing("run", NGRAM, Duration::from_millis(40), 1.25);
}

#[test]
fn a_killed_transformer_run_resumes_to_the_same_bits() {
    assert_many_kills_change_nothing("run", TRANSFORMER, Duration::from_millis(150), 1.15);
}

#[test]
fn a_killed_transformer_run_in_bf16_resumes_to_the_same_bits() {
    let experiment = TRANSFORMER.replace("layers = 1", "precision = \"bf16\", layers = 1");
    assert_many_kills_change_nothing("run", &experiment, Duration::from_millis(150), 1.15);
}

/// Work units run side by side, on a number of threads that differs from one start to the next.
#[test]
fn a_killed_sweep_resumes_to_the_same_bits() {
    let grid = "[grid]\nsynthesis.method = [\"textbook\", \"continuation\"]\nmodel.order = [2, 3]\n";
    let sweep = format!("{NGRAM}{grid}");
    assert_many_kills_change_nothing("sweep", &sweep, Duration::from_millis(60), 1.2);
    let grid = "[grid]\nsynthesis.temperature = [1.0, 0.9]\nmodel.precision = [\"f32\", \"bf16\"]\n";
    let sweep = format!("{TRANSFORMER}{grid}");
    assert_many_kills_change_nothing("sweep", &sweep, Duration::from_millis(150), 1.2);
}

/// Without vector instructions sums are rounded differently, so that training ends at slightly other weights.
#[test]
fn a_run_with_other_vector_instructions_measures_the_same_except_for_rounding() {
    for precision in ["f32", "bf16"] {
        let experiment =
            TRANSFORMER.replace("layers = 1", &format!("precision = \"{precision}\", layers = 1"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("experiment.toml");
        fs::write(&file, experiment).unwrap();
        let run = |instructions: &str| {
            let out = dir.path().join(instructions);
            let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
            command.arg("run").arg(&file).arg("--out").arg(&out).env("GENLOSS_INSTRUCTIONS", instructions);
            assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
            let json = |path: &str| -> serde_json::Value {
                serde_json::from_slice(&fs::read(out.join(path)).unwrap()).unwrap()
            };
            let measurements = json("seed-1/gen-000/measurements.json");
            let metrics = measurements["measurements"].as_array().unwrap();
            let loss = metrics.iter().find(|metric| metric["metric"] == "heldout_loss").unwrap();
            assert_eq!(json("provenance.json")["instructions"], instructions);
            loss["value"].as_f64().unwrap()
        };
        let portable = run("portable");
        for name in Instructions::all().into_iter().map(Instructions::name).filter(|name| name != "portable")
        {
            let loss = run(&name);
            assert!(
                (loss / portable - 1.0).abs() < 0.002,
                "{precision}: {loss} with {name}, {portable} without"
            );
        }
    }
}

#[test]
fn instructions_that_the_processor_lacks_are_an_error_that_names_those_it_has() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
    let output =
        command.args(["bench", "--size", "tiny"]).env("GENLOSS_INSTRUCTIONS", "avx3").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("GENLOSS_INSTRUCTIONS: this processor has no \"avx3\""), "{said}");
    assert!(said.trim_end().ends_with("portable"), "{said}");
}

/// The run is resumed without vector instructions, so generation 1 is made with other instructions than generation 0.
#[test]
fn a_run_that_goes_on_with_other_vector_instructions_says_so_and_each_generation_has_its_own_on_record() {
    let usual = Instructions::get().name();
    if usual == "portable" {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("experiment.toml"), dir.path().join("out"));
    fs::write(&file, NGRAM).unwrap();
    let run = |portable: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
        command.arg("run").arg(&file).arg("--out").arg(&out).env("GENLOSS_PORTABLE", portable);
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(!run("1").contains("goes on with"));
    assert!(!run("").contains("goes on with"), "a finished run does not go on");
    fs::remove_dir_all(out.join("seed-2/unanchored")).unwrap();
    let said = run("");
    assert!(
        said.contains(&format!("goes on with {usual} instructions, device cpu after portable")),
        "{said}"
    );
    let json = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(out.join(path)).unwrap()).unwrap()
    };
    let instructions = |path: &str| json(path)["machine"]["instructions"].clone();
    assert_eq!(instructions("seed-2/gen-000/measurements.json"), "portable");
    assert_eq!(instructions("seed-2/unanchored/gen-001/measurements.json"), usual);
    let provenance = json("provenance.json");
    assert_eq!(provenance["instructions"], "portable");
    assert_eq!(provenance["resumed_on"][0]["instructions"], usual);
    let compared = Command::new(env!("CARGO_BIN_EXE_genloss")).arg("compare").arg(&out).output().unwrap();
    let said = String::from_utf8_lossy(&compared.stderr).into_owned();
    assert!(
        said.contains("different vector instructions or devices") && said.contains("with portable"),
        "{said}"
    );
}

/// Ctrl-C: exit code 130, a line that says how to continue, and the same bits in the end.
#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_continue_and_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("experiment.toml");
    fs::write(&file, TRANSFORMER).unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    assert!(start("run", &file, &whole, 1).wait().unwrap().success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_genloss"))
        .args(["run", file.to_str().unwrap(), "--out", broken.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Training has begun once there is a checkpoint.
    while checkpoints(&broken.join("seed-1"), "gen-000").is_none() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("genloss: interrupted; finished work is kept in"), "{said}");
    assert!(said.contains("Resume with:") && said.contains("experiment.toml"), "{said}");
    assert!(start("run", &file, &broken, 2).wait().unwrap().success());
    assert!(contents(&whole) == contents(&broken));
}
