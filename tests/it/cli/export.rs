//! `genloss export`: a study says what the runs say that it was exported from.

use super::{error_line, finished, genloss, output, text};
use genloss::store;
use std::fs;
use std::path::{Path, PathBuf};

/// A study of the finished run.
fn study(dir: &Path) -> PathBuf {
    let (_, root, _) = finished();
    let out = dir.join("study");
    assert_eq!(output(&["export", text(root), "--out", text(&out)]).trim(), text(&out));
    out
}

#[test]
fn a_study_has_the_same_records_as_its_run() {
    let dir = tempfile::tempdir().unwrap();
    let (_, root, _) = finished();
    let [read] = &store::read_study(&study(dir.path())).unwrap()[..] else { panic!("one experiment") };
    let run = store::read(root).unwrap();
    assert_eq!(read.experiment_toml, run.experiment_toml);
    assert_eq!(read.experiment.to_toml(), run.experiment.to_toml());
    assert_eq!(read.provenance, run.provenance);
    assert_eq!(read.baseline, run.baseline);
    assert!(run.baseline.is_some());
    assert_eq!(read.lineages.len(), run.lineages.len());
    for (read, run) in read.lineages.iter().zip(&run.lineages) {
        assert_eq!((read.seed, &read.arm), (run.seed, &run.arm));
        assert_eq!(read.generations, run.generations);
    }
}

#[test]
fn commands_print_the_same_of_a_study_as_of_its_run() {
    let dir = tempfile::tempdir().unwrap();
    let (_, root, _) = finished();
    let study = study(dir.path());
    for command in [
        &["compare"][..],
        &["compare", "--format", "csv"],
        &["compare", "--format", "json"],
        &["inspect", "--format", "csv"],
        &["inspect", "--arm", "cool", "--metric", "heldout_loss"],
    ] {
        let of = |folder: &Path| output(&[&command[..1], &[text(folder)], &command[1..]].concat());
        assert_eq!(of(&study), of(root), "{command:?}");
    }
}

#[test]
fn a_study_of_several_runs_keeps_them_apart_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (_, root, file) = finished();
    let other = dir.path().join("other");
    let settings = ["--set", "name=\"another\"", "--set", "seeds=[3]", "--set", "generations=1"];
    genloss().arg("run").arg(file).args(settings).arg("--out").arg(&other).assert().success();
    let out = dir.path().join("both");
    output(&["export", text(root), text(&other), "--out", text(&out)]);
    let names: Vec<String> =
        store::read_study(&out).unwrap().into_iter().map(|one| one.experiment.name).collect();
    assert_eq!(names, ["small", "another"]);
    let of_both = output(&["compare", text(&out), "--format", "csv"]);
    assert_eq!(of_both, output(&["compare", text(root), text(&other), "--format", "csv"]));
    let page = output(&["report", text(&out), "--out", text(&dir.path().join("page"))]);
    assert!(fs::read_to_string(page.trim()).unwrap().contains("not kept in this copy"));
}

#[test]
fn a_study_has_no_texts_and_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (_, root, _) = finished();
    let study = study(dir.path());
    let samples = error_line(&["inspect", text(&study), "--samples", "1"]);
    assert!(samples.contains("a study") && samples.contains("no text"), "{samples}");
    let again = error_line(&["export", text(root), "--out", text(&study)]);
    assert!(again.contains("not empty") && again.contains("--out"), "{again}");
}

#[test]
fn a_damaged_study_is_named_and_nothing_is_read_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let study = study(dir.path());
    let table = study.join("generations.parquet");
    let bytes = fs::read(&table).unwrap();
    fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    let cut = error_line(&["compare", text(&study)]);
    assert!(cut.contains("generations.parquet"), "{cut}");
    // The measurements of a study are no generations.
    fs::copy(study.join("measurements.parquet"), &table).unwrap();
    let swapped = error_line(&["compare", text(&study)]);
    assert!(swapped.contains("generations.parquet"), "{swapped}");
}
