//! `genloss compare --pairs`: all pairs of arms of an experiment.

use super::{error_line, finished, genloss, output, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn study(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("generations/reference").join(name)
}

/// Five arms are ten pairs, in one metric or in two.
#[test]
fn every_arm_is_compared_with_the_control_and_with_every_other_arm() {
    let study = study("wikitext-2");
    let pairs = |option: &str| -> Vec<Value> {
        serde_json::from_str(&output(&["compare", text(&study), option, "--format", "json"])).unwrap()
    };
    let one = pairs("--pairs");
    assert_eq!(one.len(), 10);
    assert!(one[..4].iter().all(|pair| pair["other"] == "control"));
    assert!(one[4..].iter().all(|pair| pair["arm"] != "control" && pair["other"] != "control"));
    assert!(one.iter().all(|pair| pair["metric"] == "heldout_loss" && pair["judged_together"] == 10));
    let two = pairs("--pairs=heldout_loss,tail_coverage");
    assert_eq!(two.len(), 20);
    for (alone, together) in one.iter().zip(&two) {
        assert_eq!(together["judged_together"], 20);
        assert_eq!(
            (&alone["difference"], &alone["p_value"]),
            (&together["difference"], &together["p_value"])
        );
        let width = |pair: &Value| pair["ci_high"].as_f64().unwrap() - pair["ci_low"].as_f64().unwrap();
        assert!(width(together) > width(alone), "more pairs, wider intervals");
    }
}

#[test]
fn pairs_are_printed_as_a_table_of_at_most_100_columns_as_csv_and_as_markdown() {
    let study = study("kang-generations");
    let table = output(&["compare", text(&study), "--pairs"]);
    let (rows, legend) = table.split_once("\n\n").unwrap();
    // A title, a header, and 45 pairs of ten arms.
    assert_eq!(rows.lines().count(), 2 + 45);
    assert!(rows.lines().all(|line| line.chars().count() <= 100), "{rows}");
    assert!(rows.contains("cannot be told") && legend.contains("Holm"), "{table}");
    let csv = output(&["compare", text(&study), "--pairs", "--format", "csv"]);
    assert!(csv.starts_with("experiment,metric,unit,generation,arm,other,seeds,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 45);
    let markdown = output(&["compare", text(&study), "--pairs", "--format", "markdown"]);
    assert_eq!(markdown.lines().count(), 2 + 45);
}

#[test]
fn pairs_of_one_seed_are_an_error_that_asks_for_two() {
    let dir = tempfile::tempdir().unwrap();
    let (_, _, file) = finished();
    let root = dir.path().join("one");
    let settings = ["--set", "seeds=[3]", "--set", "generations=1"];
    genloss().arg("run").arg(file).args(settings).arg("--out").arg(&root).assert().success();
    let error = error_line(&["compare", text(&root), "--pairs"]);
    assert!(error.contains("in two seeds") && error.contains("seeds = [1, 2, 3]"), "{error}");
}

#[test]
fn pairs_are_compared_in_headline_metrics_only() {
    let (_, root, _) = finished();
    let assert = genloss().args(["compare", text(root), "--pairs=self_bleu"]).assert().failure();
    let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(error.contains("heldout_loss_tail"), "{error}");
    let error = error_line(&["compare", text(root), "--pairs=heldout_loss,heldout_loss"]);
    assert!(error.contains("heldout_loss is given twice"), "{error}");
}

/// A committed study was measured before these metrics existed.
#[test]
fn a_study_without_the_newest_metrics_says_that_they_were_not_measured() {
    let study = study("quiet-collapse");
    let error = error_line(&["inspect", text(&study), "--metric", "loss_on_own_text"]);
    assert!(error.contains("not measured here"), "{error}");
    assert!(!output(&["inspect", text(&study), "--format", "csv"]).contains("self_bleu"));
    assert!(!output(&["compare", text(&study), "--format", "csv"]).contains("loss_on_own_text"));
}
