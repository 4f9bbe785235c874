//! The command line: where output goes, and how bad input is reported.

mod damaged;
mod expected;
mod export;
mod fit;
mod limits;
mod natural;
mod pairs;
mod program;

use crate::command::{genloss, json, output, text};
use genloss_kernels::instructions::Instructions;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const EXPERIMENT: &str = r#"
name = "small"
seeds = [1, 2]
generations = 2
corpus = { source = "world", train_tokens = 20000, heldout_tokens = 2000, reference_tokens = 20000 }
tokenizer = { vocab_size = 400 }
model = { kind = "ngram", order = 3 }
synthesis = { max_document_tokens = 300 }
[[arm]]
name = "unanchored"
mixture = "replace"
[[arm]]
name = "cool"
mixture = { natural_fraction = 0.5 }
synthesis = { temperature = 0.7 }
"#;

/// A finished run, made once for all tests: the folder that holds it, its store and its file.
fn finished() -> &'static (tempfile::TempDir, PathBuf, PathBuf) {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf, PathBuf)> = OnceLock::new();
    RUN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let (file, root) = (dir.path().join("small.toml"), dir.path().join("run"));
        fs::write(&file, EXPERIMENT).unwrap();
        genloss().arg("run").arg(&file).arg("--out").arg(&root).assert().success();
        (dir, root, file)
    })
}

/// The one line of a command that fails; its exit code is not zero and standard output stays empty.
fn error_line(arguments: &[&str]) -> String {
    let assert = genloss().args(arguments).assert().failure();
    let output = assert.get_output();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    let said: Vec<&str> = stderr.lines().filter(|line| line.starts_with("genloss: ")).collect();
    assert_eq!(said.len(), 1, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    said[0].to_owned()
}

#[test]
fn inspect_is_tidy_and_complete() {
    let (_, root, _) = finished();
    let rows = json(&["inspect", text(root), "--format", "json"]);
    let rows = rows.as_array().unwrap();
    let keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["experiment", "seed", "arm", "generation", "metric", "unit", "value", "std_err", "n"]);
    let of = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    // Every metric has values for 2 seeds, 3 arms and 3 generations, with the same n in every arm.
    for metric in ["heldout_loss", "bits_per_byte", "tail_mass", "hill_0_words", "novelty_4", "excess_loss"] {
        let found: Vec<&Value> = rows.iter().filter(|row| of(row, "metric") == metric).collect();
        assert_eq!(found.len(), 18, "{metric}");
        assert!(found.iter().all(|row| row["std_err"].as_f64().unwrap() >= 0.0));
    }
    let unigram: Vec<u64> = rows
        .iter()
        .filter(|row| of(row, "metric") == "unigram_entropy")
        .map(|row| row["n"].as_u64().unwrap())
        .collect();
    assert!(unigram.iter().all(|&n| n == 20_000), "{unigram:?}");
}

#[test]
fn inspect_filters_and_formats_agree() {
    let (_, root, _) = finished();
    let filtered =
        ["inspect", text(root), "--arm", "unanchored", "--metric", "kl_unigram", "--generation", "1"];
    let rows = json(&[&filtered[..], &["--format", "json"]].concat());
    assert_eq!(rows.as_array().unwrap().len(), 2);
    let csv = output(&[&filtered[..], &["--format", "csv"]].concat());
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("experiment,seed,arm,generation,metric,unit,value,std_err,n\n"));
    let parquet = genloss().args(filtered).args(["--format", "parquet"]).assert().success();
    let file = &parquet.get_output().stdout;
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    let samples = output(&["inspect", text(root), "--samples", "2", "--generation", "2"]);
    // A table for each seed, with a column for each arm and two documents in each cell.
    assert_eq!(samples.lines().filter(|line| line.starts_with("seed ")).count(), 2);
    assert!(["control", "unanchored", "cool"].iter().all(|arm| samples.matches(arm).count() == 2));
    assert_eq!(samples.matches('•').count(), 2 * 3 * 2);
}

#[test]
fn compare_gives_one_object_per_arm_with_its_effects() {
    let (_, root, _) = finished();
    let arms = json(&["compare", text(root), "--format", "json"]);
    let names: Vec<&str> = arms.as_array().unwrap().iter().map(|arm| arm["arm"].as_str().unwrap()).collect();
    assert_eq!(names, ["unanchored", "cool"]);
    for arm in arms.as_array().unwrap() {
        assert_eq!(arm["experiment"], "small");
        assert_eq!(arm["seeds"], 2);
        let verdict = arm["verdict"].as_str().unwrap();
        assert!(["stable", "narrowing", "collapsed", "inconclusive"].contains(&verdict));
        for effect in arm["effects"].as_array().unwrap() {
            let (low, high) = (effect["ci_low"].as_f64().unwrap(), effect["ci_high"].as_f64().unwrap());
            let difference = effect["difference"].as_f64().unwrap();
            assert!(low <= difference && difference <= high, "{effect}");
        }
        // Five metrics of tokens and of words, at two generations.
        let parts = arm["attribution"].as_array().unwrap();
        assert_eq!(parts.len(), 20);
        for part in parts {
            let of = |key: &str| part[key].as_f64().unwrap();
            let sum = of("sampling") + of("decoding") + of("misfit");
            assert!((sum - of("difference")).abs() < 1e-9 * of("control").max(1.0), "{part}");
            assert!(of("misfit_ci_low") <= of("misfit") && of("misfit") <= of("misfit_ci_high"));
            // An arm with the decoder of the control has no decoding part.
            assert_eq!(of("decoding") == 0.0, arm["arm"] == "unanchored", "{part}");
        }
    }
    assert!(
        output(&["compare", text(root), "--format", "markdown"])
            .starts_with("| arm | verdict | called at | held-out loss |")
    );
    assert!(output(&["compare", text(root), "--format", "csv"]).starts_with("experiment,arm,seeds,verdict,"));
}

#[test]
fn compare_prints_a_line_and_a_sentence_per_arm_and_the_split_only_when_asked_why() {
    let (_, root, _) = finished();
    let shown = output(&["compare", text(root)]);
    for arm in ["unanchored", "cool"] {
        let lines: Vec<&str> = shown.lines().filter(|line| line.starts_with(arm)).collect();
        assert_eq!(lines.len(), 2, "{shown}");
        assert!(lines[0].chars().count() <= 100, "{}", lines[0]);
        assert!(lines[0].contains('±') && lines[1].starts_with(&format!("{arm}: ")), "{shown}");
    }
    assert!(!shown.contains("misfit"), "{shown}");
    let why = output(&["compare", text(root), "--why"]);
    assert!(why.starts_with(&shown));
    assert!(why.contains("small, cool: the parts of its differences at generation 2"), "{why}");
}

/// Runs recorded before there was a baseline have no drift.json.
#[test]
fn a_run_without_a_baseline_is_compared_and_gains_one_when_it_is_run_again() {
    let (dir, root, file) = finished();
    let before = dir.path().join("before");
    copy_tree(root, &before);
    fs::remove_file(before.join("drift.json")).unwrap();
    let arms = json(&["compare", text(&before), "--format", "json"]);
    assert!(arms[0]["attribution"].is_null());
    assert!(output(&["compare", text(&before), "--why"]).contains("`genloss run` adds it"));
    output(&["run", text(file), "--out", text(&before)]);
    assert_eq!(fs::read(before.join("drift.json")).unwrap(), fs::read(root.join("drift.json")).unwrap());
}

#[test]
fn running_a_finished_run_again_prints_what_compare_prints() {
    let (_, root, file) = finished();
    let again = output(&["run", text(file), "--out", text(root)]);
    assert_eq!(again, output(&["compare", text(root)]));
}

#[test]
fn report_writes_a_page_and_figures_and_prints_the_path() {
    let (dir, root, _) = finished();
    let out = dir.path().join("report");
    let printed = output(&["report", text(root), "--out", text(&out)]);
    assert_eq!(Path::new(printed.trim()), out.join("report.html"));
    assert!(out.join("report.html").exists());
    let figures = fs::read_dir(out.join("figures")).unwrap().count();
    assert!(figures >= 10 && figures.is_multiple_of(2), "{figures} figures");
}

#[test]
fn score_gives_every_token_a_log_probability_but_the_start_token() {
    let (dir, root, _) = finished();
    let file = dir.path().join("text.txt");
    fs::write(&file, "The river of Tamor is Belun.").unwrap();
    let model = root.join("seed-1/gen-000/model");
    let scored = json(&["score", text(&model), text(&file), "--tokens", "--format", "json"]);
    let tokens = scored["tokens"].as_u64().unwrap() as usize;
    let (ids, logprobs) =
        (scored["token_ids"].as_array().unwrap(), scored["token_logprobs"].as_array().unwrap());
    assert_eq!((ids.len(), logprobs.len()), (tokens + 1, tokens + 1));
    assert!(logprobs[0].is_null());
    let nats: f64 = logprobs[1..].iter().map(|logprob| -logprob.as_f64().unwrap()).sum();
    assert!((nats / tokens as f64 - scored["nats_per_token"].as_f64().unwrap()).abs() < 1e-6);
    // 28 bytes.
    let bits_per_byte = nats / (28.0 * std::f64::consts::LN_2);
    assert!((bits_per_byte - scored["bits_per_byte"].as_f64().unwrap()).abs() < 1e-6);
    let brief = json(&["score", text(&model), text(&file), "--format", "json"]);
    assert!(brief.get("token_ids").is_none());
}

#[test]
fn check_prints_a_summary_exact_counts_and_on_request_every_setting() {
    let (dir, _, file) = finished();
    let check = |more: &[&str]| {
        let assert =
            genloss().current_dir(dir.path()).args(["check", text(file)]).args(more).assert().success();
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    let printed = check(&[]);
    for expected in
        ["small.toml: valid", "2 seeds, generations 0 to 2", "10_000", "estimate for this machine"]
    {
        assert!(printed.contains(expected), "{expected} is not in:\n{printed}");
    }
    assert!(!printed.contains("learning_rate"), "{printed}");
    let resolved = check(&["--resolved"]);
    for expected in ["small.toml: valid", "natural_fraction = 0.5", "learning_rate = 0.001"] {
        assert!(resolved.contains(expected), "{expected} is not in:\n{resolved}");
    }
    assert!(!dir.path().join("generations").exists());
}

/// An arm that replaces and grows trains on 20 000 tokens more in each generation; the last generation, which no other
/// trains on, writes `synthesis.tokens`.
#[test]
fn check_counts_the_tokens_of_a_growing_arm() {
    let (_dir, _, file) = finished();
    let printed = output(&["check", text(file), "--set", "arm.unanchored.mixture=\"replace-multiple\""]);
    let rows = |arm: &str| -> Vec<String> {
        let lines = printed.lines().filter(|line| line.trim_start().starts_with(arm));
        lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(
        rows("unanchored"),
        ["0 20_000 0 20_000 40_000", "1 0 40_000 40_000 60_000", "2 0 60_000 60_000 20_000"]
    );
    assert_eq!(rows("control ")[0], "0 20_000 0 20_000 40_000");
}

#[test]
fn bad_input_is_reported_on_one_line_and_nothing_is_written() {
    let (dir, root, file) = finished();
    let out = dir.path().join("never");
    let latin1 = dir.path().join("latin1.txt");
    fs::write(&latin1, b"caf\xe9\n").unwrap();
    let empty = dir.path().join("empty.txt");
    fs::write(&empty, " \n\n").unwrap();
    let lines = dir.path().join("lines.jsonl");
    fs::write(&lines, "{\"text\": \"one\"}\n{\"body\": \"two\"}\n").unwrap();
    let short = dir.path().join("short.txt");
    fs::write(&short, (0..200).map(|i| format!("paragraph number {i} of few\n\n")).collect::<String>())
        .unwrap();
    let source = |path: &Path| format!("corpus.source=[\"{}\"]", path.display());
    let cases: Vec<(Vec<String>, &str)> = vec![
        (vec![source(&dir.path().join("absent.txt"))], "absent.txt"),
        (vec![source(&dir.path().join("*.nothing"))], "nothing"),
        (vec![source(&latin1)], "latin1.txt"),
        (vec![source(&empty)], "corpus: no document in 1 file (nothing but blank lines)"),
        (vec![source(&lines)], "lines.jsonl, line 2"),
        (vec![source(&short)], "tokens"),
        (
            vec!["corpus.train_tokens=lots".to_owned()],
            "--set corpus.train_tokens=lots: corpus.train_tokens: expected a whole number",
        ),
        (vec!["arm.unanchored.mixture=\"replaced\"".to_owned()], "the nearest is \"replace\""),
        (vec!["synthesis.tokens=10000".to_owned()], "raise synthesis.tokens"),
        (
            vec!["model={kind=\"transformer\", context=30000}".to_owned()],
            "longer than the 20_000 tokens of training text allow",
        ),
    ];
    for (settings, expected) in cases {
        let mut arguments = vec!["run", text(file), "--out", text(&out)];
        for setting in &settings {
            arguments.extend(["--set", setting]);
        }
        let message = error_line(&arguments);
        assert!(message.contains(expected), "{settings:?} gave: {message}");
        assert!(!out.exists(), "{settings:?} left {}", out.display());
    }
    assert!(error_line(&["run", "absent.toml"]).contains("absent.toml"));
    assert!(error_line(&["run", text(file), "--out", text(&out), "--device", "cuda:0"]).contains("cuda:0"));
    assert!(
        error_line(&["run", text(file), "--out", text(root), "--set", "generations=1"])
            .contains("generations: 2 → 1")
    );
    assert!(
        error_line(&["compare", text(dir.path())]).contains("no experiment here, but in folders below it")
    );
    assert!(error_line(&["compare", text(&root.join("seed-1"))]).contains("no experiment here"));
    assert!(
        error_line(&["compare", "generations/reference"])
            .contains("generations/reference/accumulate-or-replace")
    );
    assert!(error_line(&["inspect", text(root), "--arm", "nobody"]).contains("there is no such arm"));
    assert!(error_line(&["score", text(dir.path()), text(&latin1)]).contains("latin1.txt"));
    assert!(error_line(&["score", text(dir.path()), text(&short)]).contains("config.json is missing"));
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn a_damaged_generation_is_made_again_as_the_error_advises() {
    let (dir, root, file) = finished();
    let copy = dir.path().join("damaged");
    copy_tree(root, &copy);
    let generation = copy.join("seed-1/unanchored/gen-001");
    fs::write(generation.join("synthetic.parquet"), "PAR1").unwrap();
    let message = error_line(&["run", text(file), "--out", text(&copy)]);
    assert!(message.contains("gen-001: damaged") && message.contains("delete this folder"), "{message}");
    fs::remove_dir_all(&generation).unwrap();
    output(&["run", text(file), "--out", text(&copy)]);
    let whole = root.join("seed-1/unanchored/gen-001");
    for name in ["measurements.json", "synthetic.parquet", "manifest.json"] {
        assert!(fs::read(whole.join(name)).unwrap() == fs::read(generation.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn two_runs_of_one_name_are_told_apart_by_their_folders() {
    let (dir, root, _) = finished();
    let copy = dir.path().join("again");
    copy_tree(root, &copy);
    let arms = json(&["compare", text(root), text(&copy), "--format", "json"]);
    let names: Vec<&str> =
        arms.as_array().unwrap().iter().map(|arm| arm["experiment"].as_str().unwrap()).collect();
    assert_eq!(names, ["small", "small", "small@again", "small@again"]);
}

#[test]
fn bench_reports_the_speed_of_training_and_sampling() {
    for what in ["train", "sample"] {
        let speed = json(&["bench", "--size", "tiny", "--what", what, "--threads", "1", "--format", "json"]);
        let keys: Vec<&String> = speed.as_object().unwrap().keys().collect();
        let expected = [
            "what",
            "size",
            "precision",
            "threads",
            "tokens_per_s",
            "min",
            "max",
            "gflops",
            "peak_memory_bytes",
            "share_of_peak",
        ];
        assert_eq!(keys, expected);
        assert_eq!((&speed["what"], &speed["size"]), (&what.into(), &"tiny".into()));
        assert_eq!((&speed["precision"], &speed["threads"]), (&"f32".into(), &1.into()));
        let number = |key: &str| speed[key].as_f64().unwrap();
        assert!(number("min") > 0.0 && number("min") <= number("tokens_per_s"), "{speed}");
        assert!(number("tokens_per_s") <= number("max"), "{speed}");
        assert!(number("gflops") > 0.0 && number("share_of_peak") > 0.0, "{speed}");
        assert_eq!(speed["peak_memory_bytes"].is_null(), !cfg!(target_os = "linux"));
    }
    assert!(error_line(&["bench", "--size", "huge"]).contains("tiny, reference, medium"));
    assert!(error_line(&["bench", "--precision", "fp16"]).contains("f32, bf16"));
}

#[test]
fn bench_explains_every_set_of_instructions() {
    let explained = json(&["bench", "--explain", "--threads", "1", "--format", "json"]);
    assert_eq!(explained["threads"], 1);
    let kernels = explained["kernels"].as_array().unwrap();
    let expected: Vec<(String, &str)> = Instructions::all()
        .into_iter()
        .flat_map(|set| ["f32", "bf16"].map(|precision| (set.name(), precision)))
        .collect();
    let pairs: Vec<(String, &str)> = (kernels.iter())
        .map(|kernel| {
            (kernel["instructions"].as_str().unwrap().to_owned(), kernel["precision"].as_str().unwrap())
        })
        .collect();
    assert_eq!(pairs, expected);
    for kernel in kernels {
        assert_eq!(kernel["used"], kernel["instructions"] == Instructions::get().name().as_str());
        assert!(kernel["gflops"].as_f64().unwrap() > 0.0, "{kernel}");
        assert!(!kernel["sums"].as_str().unwrap().is_empty(), "{kernel}");
    }
    assert!(explained["memory_gbytes"].as_f64().unwrap() > 0.0);
    let text = output(&["bench", "--explain", "--threads", "1"]);
    assert!(text.contains(&format!("{} (used)", Instructions::get().name())), "{text}");
    assert!(text.contains("GB/s of memory."), "{text}");
    assert_eq!(text.contains("precision = \"bf16\""), !text.contains("keep precision = \"f32\""), "{text}");
    assert!(error_line(&["bench", "--explain", "--size", "medium"]).contains("--size"));
}

#[test]
fn a_wrong_command_line_is_reported_on_one_line() {
    assert!(error_line(&["run"]).contains("FILE"));
    assert!(error_line(&["inspect", "x", "--format", "xml"]).contains("xml"));
}

#[test]
fn a_corrupted_model_folder_is_an_error() {
    let (dir, root, _) = finished();
    let copy = dir.path().join("copy");
    fs::create_dir_all(&copy).unwrap();
    let model = root.join("seed-1/gen-000/model");
    for entry in fs::read_dir(&model).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let file = dir.path().join("any.txt");
    fs::write(&file, "any text").unwrap();
    let weights = copy.join("ngram.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    assert!(error_line(&["score", text(&copy), text(&file)]).contains("copy"));
}

#[test]
fn the_error_of_a_diverging_training_has_its_place_and_a_remedy() {
    let (dir, _, file) = finished();
    let out = dir.path().join("diverging");
    let message = error_line(&[
        "run",
        text(file),
        "--out",
        text(&out),
        "--set",
        "model={layers=1, width=16, heads=2, context=16}",
        "--set",
        "training={tokens=20000, learning_rate=10, weight_decay=10}",
    ]);
    assert!(message.contains("generation 0: training diverged at step"), "{message}");
    assert!(message.contains("try a lower training.learning_rate"), "{message}");
}

/// Two seeds that calibrate runs itself, and the same two read from a store and from a study of it.
#[test]
fn a_run_and_its_experiment_file_calibrate_to_the_same_rates() {
    let (_, root, file) = finished();
    let rates = |what: &Path| {
        let seeds: &[&str] = if what.is_dir() { &[] } else { &["--seeds", "2"] };
        let sizes = ["--per-experiment", "1,2", "--comparisons", "4", "--format", "json"];
        json(&[&["calibrate", what.to_str().unwrap()], seeds, &sizes].concat())
    };
    let found = rates(file);
    assert_eq!(found, rates(root));
    let dir = tempfile::tempdir().unwrap();
    let study = dir.path().join("study");
    output(&["export", root.to_str().unwrap(), "--out", study.to_str().unwrap()]);
    assert_eq!(found, rates(&study));
    let found = found.as_array().unwrap();
    let key = |one: &Value| (one["arm"].as_str().unwrap().to_owned(), one["seeds"].as_u64().unwrap());
    let keys: Vec<_> = found.iter().map(key).collect();
    let expected = [("unanchored", 1), ("cool", 1), ("unanchored", 2), ("cool", 2)];
    assert_eq!(keys, expected.map(|(arm, seeds)| (arm.to_owned(), seeds)));
    for one in found {
        // Of two seeds there are two experiments of one seed, and one of two.
        let different = if one["seeds"] == 1 { 2 } else { 1 };
        assert_eq!(one["comparisons"], different);
        assert_eq!(one["called"]["of"], different);
        assert_eq!(one["called_by"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn calibrating_with_fewer_seeds_than_an_experiment_has_is_an_error() {
    let (_, root, file) = finished();
    for of in [&[root.to_str().unwrap()][..], &[file.to_str().unwrap(), "--seeds", "2"]] {
        let said = error_line(&[&["calibrate"], of, &["--per-experiment", "3"]].concat());
        assert!(said.contains("--per-experiment 3") && said.contains("2 seeds"), "{said}");
    }
    let said = error_line(&["calibrate", root.to_str().unwrap(), "--seeds", "2"]);
    assert!(said.contains("--set, --seeds and --first-seed need an experiment file"), "{said}");
    let usual = json(&["calibrate", root.to_str().unwrap(), "--format", "json"]);
    assert!(usual.as_array().unwrap().iter().all(|one| one["seeds"] == 1), "{usual}");
    let said = error_line(&["calibrate", root.to_str().unwrap(), "--per-experiment", "2,1,2"]);
    assert!(said.contains("--per-experiment: 2 is given twice"), "{said}");
    let largest = i64::MAX.to_string();
    let of = [file.to_str().unwrap(), "--seeds", "2", "--first-seed", &largest, "--per-experiment", "1"];
    let said = error_line(&[&["calibrate"], &of[..]].concat());
    assert!(said.contains(&format!("--first-seed {largest}")), "{said}");
}
