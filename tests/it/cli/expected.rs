//! Numbers that an experiment expects, beside those that were measured.

use super::{EXPERIMENT, error_line, finished, genloss, output, text};
use crate::folder::contents;
use genloss::store;
use std::fs;
use std::path::Path;

/// A row of an experiment file.
fn row(metric: &str, arm: &str, generation: usize, value: f64, tolerance: f64) -> String {
    format!(
        "[[expect]]\nmetric = \"{metric}\"\narm = \"{arm}\"\ngeneration = {generation}\nvalue = {value:?}\n\
         tolerance = {tolerance:?}\nsource = \"a paper, Table 1\"\n"
    )
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in contents(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::copy(from.join("provenance.json"), to.join("provenance.json")).unwrap();
}

#[test]
fn compare_says_which_expected_numbers_are_reproduced() {
    let (_, finished, _) = finished();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    copy(finished, &root);
    let recorded = store::read(&root).unwrap();
    let of_arm = recorded.lineages.iter().filter(|lineage| lineage.arm == "unanchored");
    let seen: Vec<f64> = of_arm.map(|one| one.generations[2].value("heldout_loss").unwrap()).collect();
    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
    let rows = [
        row("heldout_loss", "unanchored", 2, mean + 0.09, 0.1),
        row("heldout_loss", "unanchored", 2, mean + 0.11, 0.1),
        row("tail_coverage", "control", 0, 1e6, 1.0),
    ];
    let file = dir.path().join("expect.toml");
    fs::write(&file, format!("{EXPERIMENT}{}", rows.join(""))).unwrap();
    // Nothing is made again: no result depends on what is expected.
    let run = genloss().arg("run").arg(&file).arg("--out").arg(&root).assert().success();
    let summary = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let shown = output(&["compare", text(&root)]);
    assert_eq!(summary, shown);
    assert!(shown.contains("1 of 3 expected numbers are reproduced"), "{shown}");
    let words: Vec<&str> = shown
        .lines()
        .filter(|line| line.contains(", n = "))
        .map(|line| line.split_whitespace().next_back().unwrap())
        .collect();
    assert_eq!(words, ["inside", "outside", "outside"], "{shown}");
    assert!(shown.contains(format!("{mean:.4}").trim_end_matches('0')), "{shown}");
    assert!(shown.contains("Expected by: a paper, Table 1."), "{shown}");
    assert!(output(&["compare", text(&root), "--format", "markdown"]).contains("| inside |"));
}

#[test]
fn what_an_experiment_cannot_have_is_not_expected_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("expect.toml");
    for (row, reason) in [
        (
            row("heldout_los", "control", 1, 1.0, 1.0),
            "there is no metric \"heldout_los\"; the nearest is \"heldout_loss\"",
        ),
        (
            row("heldout_loss", "unanchord", 1, 1.0, 1.0),
            "there is no arm \"unanchord\"; the nearest is \"unanchored\"",
        ),
        (
            row("heldout_loss", "control", 7, 1.0, 1.0),
            "generation 7 of arm \"control\" is beyond generations = 2",
        ),
        (row("heldout_loss", "control", 1, f64::NAN, 1.0), "nan"),
        (row("heldout_loss", "control", 1, 1.0, -0.5), "-0.5 is out of range"),
        (row("heldout_loss", "control", 1, 1.0, 1.0).replace("source", "sauce"), "sauce"),
    ] {
        fs::write(&file, format!("{EXPERIMENT}{row}")).unwrap();
        let said = error_line(&["check", text(&file)]);
        assert!(said.to_lowercase().contains(reason) || said.contains(reason), "{said}");
        assert!(said.contains("expect"), "{said}");
    }
}
