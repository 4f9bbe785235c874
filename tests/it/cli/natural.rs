//! The natural text that was read, as shown by `genloss check`, `provenance.json` and the page.

use super::{error_line, genloss, output, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// An experiment on `files/*.jsonl` in a folder: `a.jsonl` with 600 texts, one of them blank and one null, and `b.jsonl`
/// with a copy of the first, sixty times. A hidden folder has another copy of `a.jsonl`.
fn experiment(dir: &Path) -> PathBuf {
    let files = dir.join("files");
    fs::create_dir_all(files.join(".ipynb_checkpoints")).unwrap();
    let line =
        |i: usize| format!("{{\"text\": \"The fox of hill {i} lost coin {} by the river.\"}}\n", i * 7);
    let many: String = (0..600).map(line).collect();
    fs::write(files.join("a.jsonl"), many.clone() + "{\"text\": \" \"}\n{\"text\": null}\n").unwrap();
    fs::write(files.join("b.jsonl"), line(0).repeat(60)).unwrap();
    fs::write(files.join(".ipynb_checkpoints/a-checkpoint.jsonl"), many).unwrap();
    let file = dir.join("copies.toml");
    let experiment = format!(
        "name = \"copies\"\nseeds = [1]\ngenerations = 1\n\
         corpus = {{ source = [\"{}/**/*.jsonl\"], train_tokens = 2000, heldout_tokens = 500, reference_tokens = 1000 }}\n\
         tokenizer = {{ vocab_size = 300 }}\nmodel = {{ kind = \"ngram\", order = 3 }}\n\
         [[arm]]\nname = \"replace\"\nmixture = \"replace\"\n",
        files.display()
    );
    fs::write(&file, experiment).unwrap();
    file
}

#[test]
fn check_provenance_and_page_list_the_files_with_what_was_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = experiment(dir.path());
    let checked = output(&["check", text(&file)]);
    assert!(checked.contains("660 documents in 2 files, 600 distinct texts"), "{checked}");
    assert!(checked.contains("the most frequent one occurs 61 times"), "{checked}");
    assert!(checked.contains("note: one text makes up 9.2 % of the documents (61 of 660)"), "{checked}");
    assert!(!checked.contains("checkpoint"), "{checked}");
    let (root, page) = (dir.path().join("run"), dir.path().join("page"));
    genloss().arg("run").arg(&file).arg("--out").arg(&root).assert().success();
    let provenance: Value = serde_json::from_slice(&fs::read(root.join("provenance.json")).unwrap()).unwrap();
    let record = &provenance["text"];
    let counts = |file: usize, what: &str| record["files"][file][what].as_u64().unwrap();
    assert_eq!(["documents", "copies", "blanks", "nulls"].map(|what| counts(0, what)), [600, 0, 1, 1]);
    assert_eq!(["documents", "copies", "blanks", "nulls"].map(|what| counts(1, what)), [60, 60, 0, 0]);
    let hash = blake3::hash(&fs::read(dir.path().join("files/b.jsonl")).unwrap()).to_hex().to_string();
    assert_eq!(record["files"][1]["blake3"], hash);
    let documents: u64 = ["train", "heldout", "reference"]
        .map(|split| record["splits"][split]["documents"].as_u64().unwrap())
        .iter()
        .sum();
    assert!(documents <= 600, "{documents}");
    genloss().arg("report").arg(&root).arg("--out").arg(&page).assert().success();
    let html = fs::read_to_string(page.join("report.html")).unwrap();
    assert!(html.contains(&hash) && html.contains("60 documents, 60 copies"));
}

/// A page of 5 MB in one document, encoded whole, took 710 MB.
#[cfg(target_os = "linux")]
#[test]
fn one_document_of_many_megabytes_takes_little_more_memory_than_its_text_and_check_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let file = experiment(dir.path());
    let long: String =
        (0..100_000).map(|i| format!("the fox of hill {i} lost a coin {} by the river ", i * 7)).collect();
    let json = serde_json::json!({ "text": long }).to_string() + "\n";
    fs::write(dir.path().join("files/long.jsonl"), &json).unwrap();
    let checked = output(&["check", text(&file)]);
    let (_, rest) = checked.split_once("; ").unwrap_or_default();
    let memory = rest.lines().find_map(|line| line.split_once(" MiB of memory")).map(|(before, _)| before);
    let mebibytes: usize = memory.and_then(|before| before.rsplit(' ').next()?.parse().ok()).unwrap();
    assert!(mebibytes < 64 + 40 * (json.len() >> 20), "{mebibytes} MiB for {} MiB", json.len() >> 20);
}

#[test]
fn a_text_in_one_piece_is_said_to_have_too_few_documents() {
    let dir = tempfile::tempdir().unwrap();
    let file = experiment(dir.path());
    let one = dir.path().join("one.txt");
    fs::write(&one, "The fox lost a coin by the river. ".repeat(1000)).unwrap();
    let source = format!("corpus.source={:?}", text(&one));
    let error = error_line(&["check", text(&file), "--set", &source]);
    assert!(error.contains("too few documents to be split by hash (1 distinct text):"), "{error}");
    assert!(error.contains("corpus.split (now \"paragraph\""), "{error}");
}
