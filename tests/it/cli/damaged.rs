//! Results that were changed after they were written are never shown: the command fails and names the file.

use super::{copy_tree, error_line, finished, genloss, output, text};
use std::fs;
use std::path::{Path, PathBuf};

/// Every file of a folder that holds results.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "model" {
            all.extend(files(&path));
        } else if path.is_file() && name != "tokenizer.json" {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// A file with one digit of a text, or one bit of a table, changed. `place` says which.
fn changed(bytes: &[u8], is_table: bool, place: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let digits: Vec<usize> = (1..bytes.len())
        .filter(|&index| bytes[index].is_ascii_digit() && !bytes[index - 1].is_ascii_alphanumeric())
        .collect();
    // An early digit, a late one, and one between.
    let nth = |count: usize| (count * place / 3 + place).min(count - 1);
    if is_table {
        changed[nth(bytes.len())] ^= 1 << place;
    } else {
        let index = digits[nth(digits.len())];
        changed[index] = b'0' + (bytes[index] - b'0' + 1 + place as u8) % 10;
    }
    changed
}

/// The commands that read a file, and fail if it is damaged.
fn assert_refused(folder: &Path, name: &str, out: &Path) -> usize {
    let report = ["report", text(folder), "--out", text(out)];
    let samples = ["inspect", text(folder), "--samples", "1"];
    let commands: &[&[&str]] = match name {
        "synthetic.parquet" => &[&report, &samples],
        _ => &[
            &report,
            &["compare", text(folder)],
            &["inspect", text(folder)],
            &["fit", text(folder)],
            &["export", text(folder), "--out", text(out)],
        ],
    };
    for command in commands {
        let message = error_line(command);
        assert!(message.contains(name) || message.contains("manifest.json"), "{command:?}: {message}");
        assert!(!out.exists(), "{command:?}");
    }
    commands.len()
}

#[test]
fn no_command_shows_results_that_were_changed() {
    let (dir, root, _) = finished();
    let work = tempfile::tempdir().unwrap();
    let (run, study, out) = (work.path().join("run"), work.path().join("study"), work.path().join("out"));
    copy_tree(root, &run);
    output(&["export", text(root), "--out", text(&study)]);
    assert!(dir.path().exists());
    let mut commands = 0;
    for folder in [&run, &study] {
        for (index, path) in files(folder).into_iter().enumerate() {
            let before = fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            // provenance.json says of a command line and hashes with few lone digits; one place is enough for the others.
            let place = index % 3;
            fs::write(&path, changed(&before, name.ends_with(".parquet"), place)).unwrap();
            commands += assert_refused(folder, name, &out);
            fs::write(&path, before).unwrap();
        }
        output(&["compare", text(folder)]);
    }
    assert!(commands > 150, "{commands} commands");
}

#[test]
fn a_manifest_vouches_for_all_files_of_its_generation_and_for_none_elsewhere() {
    let (_, root, _) = finished();
    let work = tempfile::tempdir().unwrap();
    let run = work.path().join("run");
    copy_tree(root, &run);
    let manifest = run.join("seed-1/gen-000/manifest.json");
    let before = fs::read(&manifest).unwrap();
    let with = |files: &dyn Fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut json: serde_json::Value = serde_json::from_slice(&before).unwrap();
        // As an earlier version wrote it, without hash and schema.
        for key in ["blake3", "schema"] {
            json.as_object_mut().unwrap().shift_remove(key).unwrap();
        }
        files(json["files"].as_object_mut().unwrap());
        fs::write(&manifest, json.to_string()).unwrap();
    };
    fs::write(&manifest, r#"{"files":{}}"#).unwrap();
    let message = error_line(&["compare", text(&run)]);
    assert!(message.contains("gen-000: damaged: manifest.json does not name measurements.json"), "{message}");
    for required in ["measurements.json", "synthetic.parquet"] {
        with(&|files| drop(files.shift_remove(required).unwrap()));
        assert!(error_line(&["compare", text(&run)]).contains(&format!("does not name {required}")));
    }
    let file = work.path().join("small.toml");
    fs::copy(&finished().2, &file).unwrap();
    let run_again = ["run", text(&file), "--out", text(&run)];
    for (name, expected) in [
        ("/dev/zero", "is not a path below this folder"),
        ("../gen-000/measurements.json", "is not a path below this folder"),
        ("model/absent", "model/absent: "),
    ] {
        with(&|files| {
            let hash = files["measurements.json"].clone();
            files.insert(name.to_owned(), hash);
        });
        let message = error_line(&run_again);
        assert!(message.contains("gen-000: damaged") && message.contains(expected), "{message}");
    }
    // Weights that the manifest does not name are not used.
    with(&|files| drop(files.shift_remove("model/ngram.safetensors").unwrap()));
    assert!(error_line(&run_again).contains("does not name model/ngram.safetensors"));
    fs::write(&manifest, &before).unwrap();
    genloss().args(run_again).assert().success();
}

#[cfg(unix)]
#[test]
fn a_device_a_pipe_or_a_link_in_the_place_of_a_file_is_an_error_and_is_not_read() {
    let (_, root, file) = finished();
    let work = tempfile::tempdir().unwrap();
    let run = work.path().join("run");
    copy_tree(root, &run);
    let places = [
        "seed-1/gen-000/synthetic.parquet",
        "seed-1/gen-000/measurements.json",
        "seed-1/gen-000/manifest.json",
        "drift.json",
        "provenance.json",
    ];
    for place in places {
        let path = run.join(place);
        let before = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let name = place.rsplit('/').next().unwrap();
        let samples = ["inspect", text(&run), "--samples", "1"];
        assert!(error_line(&samples).contains(name));
        assert!(error_line(&["run", text(file), "--out", text(&run)]).contains(name));
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(error_line(&samples).contains(name));
        fs::remove_file(&path).unwrap();
        fs::write(&path, before).unwrap();
    }
    genloss().args(["run", text(file), "--out", text(&run)]).assert().success();
}

#[test]
fn a_damaged_baseline_is_an_error_and_is_simulated_anew_once_it_is_deleted() {
    let (_, root, file) = finished();
    let work = tempfile::tempdir().unwrap();
    let run = work.path().join("run");
    copy_tree(root, &run);
    let drift = run.join("drift.json");
    let before = fs::read(&drift).unwrap();
    for damage in ["", "{\"replicates\": 64, \"curves\": 7}", "\u{0}"] {
        fs::write(&drift, damage).unwrap();
        for command in [&["compare", text(&run)][..], &["run", text(file), "--out", text(&run)]] {
            let message = error_line(command);
            assert!(
                message.contains("drift.json: damaged: ") && message.contains("delete this file"),
                "{message}"
            );
        }
    }
    fs::remove_file(&drift).unwrap();
    output(&["run", text(file), "--out", text(&run)]);
    assert!(fs::read(&drift).unwrap() == before);
}

/// A copy of the finished run.
fn copy() -> (tempfile::TempDir, PathBuf) {
    let work = tempfile::tempdir().unwrap();
    let run = work.path().join("run");
    copy_tree(&finished().1, &run);
    (work, run)
}

/// What a command that succeeds says on standard error.
fn said(arguments: &[&str]) -> String {
    let assert = genloss().args(arguments).assert().success();
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[test]
fn a_record_without_the_hash_that_was_written_into_it_is_refused() {
    let (_work, run) = copy();
    for place in ["drift.json", "provenance.json", "seed-1/gen-000/manifest.json", "experiment.toml"] {
        let path = run.join(place);
        let before = fs::read_to_string(&path).unwrap();
        let is_hash =
            |line: &&str| line.trim_start().starts_with("\"blake3\": \"") || line.contains("# blake3");
        let hash = before.lines().find(is_hash).unwrap();
        fs::write(&path, before.replacen(&format!("{hash}\n"), "", 1)).unwrap();
        for command in ["compare", "inspect", "fit", "report"] {
            let message = error_line(&[command, text(&run)]);
            let name = place.rsplit('/').next().unwrap();
            assert!(message.contains(name) && message.contains("removed after it was written"), "{message}");
        }
        fs::write(&path, before).unwrap();
    }
    output(&["compare", text(&run)]);
}

#[test]
fn a_run_without_its_baseline_says_which_file_is_missing_and_how_to_get_it() {
    let (_work, run) = copy();
    fs::remove_file(run.join("drift.json")).unwrap();
    for command in ["compare", "inspect", "report"] {
        let said = said(&[command, text(&run)]);
        assert!(
            said.contains("drift.json is missing") && said.contains("genloss run writes it again"),
            "{said}"
        );
    }
    output(&["run", text(&finished().2), "--out", text(&run)]);
    assert!(!said(&["compare", text(&run)]).contains("drift.json"));
    // A baseline of other settings is not one of this run.
    let record = fs::read_to_string(run.join("drift.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&record).unwrap();
    for key in ["schema", "blake3"] {
        json.as_object_mut().unwrap().shift_remove(key).unwrap();
    }
    fs::write(run.join("drift.json"), json.to_string().replace("\"unanchored\"", "\"other\"")).unwrap();
    assert!(said(&["compare", text(&run)]).contains("drift.json was computed for other settings"));
}

#[test]
fn a_text_that_was_deleted_is_missed() {
    let (_dir, root) = copy();
    let files = files(&root);
    let corpus = files.iter().rfind(|path| path.ends_with("synthetic.parquet")).unwrap();
    fs::remove_file(corpus).unwrap();
    for arguments in [&["inspect", text(&root), "--samples", "1"][..], &["report", text(&root)]] {
        let message = error_line(arguments);
        assert!(message.contains("damaged: synthetic.parquet"), "{message}");
    }
}

#[test]
fn a_run_without_its_provenance_is_refused_with_a_way_out() {
    let (work, run) = copy();
    let study = work.path().join("study");
    output(&["export", text(&run), "--out", text(&study)]);
    for folder in [&run, &study] {
        fs::remove_file(folder.join("provenance.json")).unwrap();
    }
    let commands = [&["compare", text(&run)][..], &["run", text(&finished().2), "--out", text(&run)]];
    for command in commands {
        let message = error_line(command);
        assert!(message.contains("provenance.json: this file is missing; it holds the program"), "{message}");
        assert!(message.contains("run into another --out"), "{message}");
    }
    let message = error_line(&["compare", text(&study)]);
    assert!(
        message.contains("this file is missing") && message.contains("export the runs again"),
        "{message}"
    );
    // Without a generation there is nothing to lose, and the run begins anew.
    for seed in ["seed-1", "seed-2"] {
        fs::remove_dir_all(run.join(seed)).unwrap();
    }
    output(&["run", text(&finished().2), "--out", text(&run)]);
    assert_eq!(output(&["compare", text(&run)]), output(&["compare", text(&finished().1)]));
}

#[test]
fn folders_of_seeds_arms_and_generations_that_the_experiment_does_not_have_are_noted() {
    let (_work, run) = copy();
    let before = output(&["compare", text(&run), "--format", "csv"]);
    for foreign in ["seed-9", "seed-1/warm/gen-001", "seed-2/cool/gen-003", "seed-1/.work-gen-001"] {
        fs::create_dir_all(run.join(foreign)).unwrap();
    }
    // A comparison also notes that one arm has another temperature.
    for (command, notes) in [("compare", 2), ("inspect", 1)] {
        let said = said(&[command, text(&run)]);
        let expected = "seed-1/warm, seed-2/cool/gen-003, seed-9: not of this experiment, and left out";
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), notes, "{said}");
    }
    assert_eq!(output(&["compare", text(&run), "--format", "csv"]), before);
}

/// So few tokens have fewer than 32 words, the least that metrics of words need.
#[test]
fn metrics_without_a_value_are_named_with_the_reason() {
    let work = tempfile::tempdir().unwrap();
    let run = work.path().join("run");
    let file = text(&finished().2);
    output(&["run", file, "--set", "measured_tokens=32", "--out", text(&run)]);
    let inspected = said(&["inspect", text(&run)]);
    assert!(inspected.contains("tail_coverage_words"), "{inspected}");
    assert!(
        inspected.contains("in generations 0, 1, 2 of arms \"control\", \"unanchored\", \"cool\": "),
        "{inspected}"
    );
    assert_eq!(said(&["inspect", text(&run), "--metric", "heldout_loss"]), "");
    assert!(said(&["inspect", text(&run), "--metric", "tail_coverage_words"]).lines().count() <= 2);
    let compared = said(&["compare", text(&run)]);
    assert!(
        compared.contains("arms \"unanchored\", \"cool\" cannot be compared in")
            && compared.contains("tail_coverage_words")
            && compared.contains("the control has no value at generation 2: "),
        "{compared}"
    );
    output(&["report", text(&run)]);
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("Metrics without a value") && page.contains("tail_coverage_words"));
    let unlike = said(&["compare", text(&finished().1)]);
    assert!(
        unlike.contains(
            "arm \"cool\" writes under other settings than the control (synthesis.temperature), so part"
        ),
        "{unlike}"
    );
    assert_eq!(unlike.lines().count(), 1, "{unlike}");
}

#[test]
fn generations_in_the_folder_of_another_seed_or_arm_are_noticed() {
    let (_, root, file) = finished();
    let swaps = [
        ("seed-1", "seed-2", "of seed 2"),
        ("seed-1/unanchored", "seed-1/cool", "arm \"cool\""),
        ("seed-2/cool/gen-001", "seed-2/cool/gen-002", "holds generation 2"),
    ];
    for (one, other, expected) in swaps {
        let work = tempfile::tempdir().unwrap();
        let run = work.path().join("run");
        copy_tree(root, &run);
        let aside = work.path().join("aside");
        fs::rename(run.join(one), &aside).unwrap();
        fs::rename(run.join(other), run.join(one)).unwrap();
        fs::rename(&aside, run.join(other)).unwrap();
        for command in [&["compare", text(&run)][..], &["run", text(file), "--out", text(&run)]] {
            let message = error_line(command);
            assert!(message.contains(expected) && message.contains("move the folders"), "{message}");
        }
    }
}

#[test]
fn the_same_run_under_two_paths_counts_once() {
    let (dir, root, _) = finished();
    let twice = [text(root).to_owned(), format!("{}/./run/", text(dir.path()))];
    let assert = genloss().args(["compare", &twice[0], &twice[1], "--format", "csv"]).assert().success();
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("is given twice and counts once"), "{said}");
    let once = output(&["compare", text(root), "--format", "csv"]);
    assert_eq!(String::from_utf8_lossy(&assert.get_output().stdout), once);
    let out = dir.path().join("exported-once");
    output(&["export", &twice[0], &twice[1], "--out", text(&out)]);
    assert_eq!(output(&["compare", text(&out), "--format", "csv"]), once);
}

#[test]
fn readers_tell_of_what_is_missing_in_a_run_and_refuse_one_without_generations() {
    let (_, root, _) = finished();
    let work = tempfile::tempdir().unwrap();
    let run = work.path().join("run");
    copy_tree(root, &run);
    fs::remove_dir_all(run.join("seed-2/cool/gen-001")).unwrap();
    let assert = genloss().args(["inspect", text(&run)]).assert().success();
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("not finished: 14 of 16 generations are on record"), "{said}");
    assert!(said.contains("seed 2, arm \"cool\": generation 1 is missing, so that generation 2"), "{said}");
    for seed in ["seed-1", "seed-2"] {
        fs::remove_dir_all(run.join(seed)).unwrap();
    }
    for command in ["compare", "inspect", "report"] {
        let message = error_line(&[command, text(&run)]);
        assert!(message.contains("no generation of experiment \"small\" is finished yet"), "{message}");
    }
}
