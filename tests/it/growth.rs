//! Seeds, arms and generations that are added to a run. The result is, to the bit, the run that had them from the start.

use crate::folder::contents;
use crate::resume::run_with_kills;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// The last generation writes less than the others, because fewer tokens are measured than trained on.
const NGRAM: &str = r#"
name = "grows"
seeds = [1, 2]
generations = 4
measured_tokens = 1500
corpus = { source = "SOURCE", train_tokens = 4000, heldout_tokens = 1000, reference_tokens = 3000 }
tokenizer = { vocab_size = 300 }
model = { kind = "ngram", order = 2 }
[[arm]]
name = "unanchored"
mixture = "replace"
[[arm]]
name = "anchored"
mixture = "anchored"
"#;

fn small(file: &str) -> String {
    let (without_arm, _) = file.split_once("[[arm]]\nname = \"anchored\"").unwrap();
    without_arm.replace("seeds = [1, 2]", "seeds = [1]").replace("generations = 4", "generations = 2")
}

fn transformer(file: &str) -> String {
    let model = "model = { layers = 1, width = 16, heads = 2, context = 16 }\ntraining = { tokens = 8000, batch = 8, init = \"chained\" }";
    file.replace("model = { kind = \"ngram\", order = 2 }", model)
}

fn run(folder: &Path, text: &str) -> Output {
    let file = folder.join("grows.toml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
    command.arg("run").arg(&file).arg("--out").arg(folder.join("run")).args(["--threads", "2"]);
    command.output().unwrap()
}

fn assert_runs(folder: &Path, text: &str) {
    let done = run(folder, text);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn refusal(folder: &Path, text: &str) -> String {
    let done = run(folder, text);
    assert_eq!(done.status.code(), Some(1));
    String::from_utf8(done.stderr).unwrap()
}

/// The files of a run that was made at once. Fingerprints of a generation name what it was asked for.
fn made_at_once(text: &str) -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    assert_runs(dir.path(), text);
    contents(&dir.path().join("run"))
}

fn assert_equal(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (name, bytes) in one {
        assert!(other[name] == *bytes, "{name} differs");
    }
}

#[test]
fn a_run_that_grows_equals_one_that_was_large_from_the_start() {
    for file in [NGRAM.to_owned(), transformer(NGRAM)] {
        let large = file.replace("SOURCE", "world");
        let dir = tempfile::tempdir().unwrap();
        assert_runs(dir.path(), &small(&large));
        let model = dir.path().join("run/seed-1/unanchored/gen-002/model");
        let before = contents(&model);
        assert_runs(dir.path(), &large);
        assert_equal(&before, &contents(&model));
        assert_equal(&made_at_once(&large), &contents(&dir.path().join("run")));
    }
}

/// The model of an outgrown generation is not trained again, also if the run is killed.
#[test]
fn a_run_that_is_killed_while_it_grows_ends_alike() {
    let large = transformer(NGRAM).replace("SOURCE", "world");
    let dir = tempfile::tempdir().unwrap();
    assert_runs(dir.path(), &small(&large));
    let (file, out) = (dir.path().join("grows.toml"), dir.path().join("run"));
    fs::write(&file, &large).unwrap();
    let kills = run_with_kills("run", &file, &out, Duration::from_millis(60), 1.2);
    assert!(kills >= 3, "only {kills} kills");
    assert_equal(&made_at_once(&large), &contents(&out));
}

#[test]
fn what_committed_generations_depend_on_may_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let large = NGRAM.replace("SOURCE", "world");
    assert_runs(dir.path(), &large);
    let before = contents(&dir.path().join("run"));
    for (from, to, reason) in [
        ("generations = 4", "generations = 3", "generations: 4 → 3"),
        ("seeds = [1, 2]", "seeds = [2, 3]", "seeds: [1, 2] → [2, 3]"),
        ("mixture = \"anchored\"", "mixture = \"accumulate-subsample\"", "arm.anchored.mixture"),
        ("name = \"anchored\"", "name = \"other\"", "arm.anchored: (present) → (absent)"),
    ] {
        let refused = refusal(dir.path(), &large.replace(from, to));
        assert!(refused.contains(reason), "{refused}");
    }
    // Generation 0, which arms share, is written for the one that needs most of it.
    let hungry = format!("{large}[[arm]]\nname = \"hungry\"\nmixture = \"replace-multiple\"\n");
    let refused = refusal(dir.path(), &hungry);
    assert!(refused.contains("in generation 0 instead of"), "{refused}");
    assert_equal(&before, &contents(&dir.path().join("run")));
}

/// A file of words that no two documents share in this order.
fn write_text(path: &Path, last: &str) {
    let words = ["river", "stone", "north", "seven", "quiet", "open", "long", "green"];
    let document = |number: usize| {
        let word = |place: usize| words[(number * (place + 3) + place * place) % words.len()];
        (0..12).map(word).collect::<Vec<_>>().join(" ") + &format!(" {number}")
    };
    let documents: Vec<String> = (0..3000).map(document).collect();
    fs::write(path, format!("{}\n\n{last}\n", documents.join("\n\n"))).unwrap();
}

#[test]
fn a_corpus_may_be_elsewhere_if_it_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (before, after) = (dir.path().join("before.txt"), dir.path().join("after.txt"));
    write_text(&before, "the end");
    let file = |path: &Path| NGRAM.replace("\"SOURCE\"", &format!("[{:?}]", path.display().to_string()));
    assert_runs(dir.path(), &small(&file(&before)));
    fs::rename(&before, &after).unwrap();
    assert_runs(dir.path(), &file(&after));
    let recorded = fs::read_to_string(dir.path().join("run/experiment.toml")).unwrap();
    assert!(recorded.contains("after.txt") && !recorded.contains("before.txt"));
    write_text(&after, "another end");
    let refused = refusal(dir.path(), &file(&after));
    assert!(refused.contains("split has changed"), "{refused}");
    write_text(&before, "another end");
    let refused = refusal(dir.path(), &file(&before));
    assert!(refused.contains("corpus.source") && refused.contains("split has changed"), "{refused}");
}
