//! `genloss fit` on runs of n-grams.

use super::{error_line, finished, genloss, json, output, text};
use genloss::training::Init;
use genloss::{fit, store};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs of one generation on 5 000 to 40 000 tokens, all in the tokens of the finished run.
fn grown(dir: &Path) -> Vec<PathBuf> {
    let (_, root, file) = finished();
    let tokenizer = format!("tokenizer={{path=\"{}\"}}", root.join("tokenizer.json").display());
    let run = |tokens: u64| {
        let (out, amount) = (dir.join(tokens.to_string()), format!("corpus.train_tokens={tokens}"));
        let settings = ["--set", &tokenizer, "--set", &amount, "--set", "generations=1"];
        genloss().arg("run").arg(file).args(settings).arg("--out").arg(&out).assert().success();
        out
    };
    [5_000, 10_000, 20_000, 40_000].map(run).to_vec()
}

#[test]
fn runs_of_several_sizes_of_text_are_fitted_together() {
    let dir = tempfile::tempdir().unwrap();
    let folders = grown(dir.path());
    let folders: Vec<&str> = folders.iter().map(|folder| text(folder)).collect();
    let arguments = |more: &[&'static str]| [&["fit"], &folders[..], more].concat();
    let fitted = json(&arguments(&["--resamples", "100", "--format", "json"]));
    let fits = fitted["fits"].as_array().unwrap();
    let blends: Vec<(&str, u64)> = fits
        .iter()
        .map(|fit| &fit["blend"])
        .map(|b| (b["source"].as_str().unwrap(), b["synthetic_percent"].as_u64().unwrap()))
        .collect();
    let [plain, cool] = ["textbook, temperature 1", "textbook, temperature 0.7"];
    assert_eq!(blends, [("natural", 0), (cool, 50), (plain, 100)]);
    for fit in fits {
        assert_eq!((&fit["form"], &fit["points"]), (&"L(D)".into(), &8.into()), "{fit}");
        assert_eq!(fit["size"], serde_json::json!({ "ngram_order": 3 }));
        // Twice the text of the largest run fitted to: foreseen, but not exactly.
        let error = fit["heldout"]["relative_error"].as_f64().unwrap();
        assert!(error > 0.0 && error < 0.1, "{fit}");
    }
    // More natural text is better than any share of an n-gram's own.
    for optimum in fitted["optima"].as_array().unwrap() {
        assert_eq!((&optimum["share"], &optimum["reading"]), (&0.0.into(), &"at_least".into()), "{optimum}");
    }
    assert!(fitted["notes"][0].as_str().unwrap().contains("only L(D) is fitted"), "{}", fitted["notes"]);
    assert_eq!(fitted["at"]["tokens"], 40_000);
    let shown = output(&arguments(&["--resamples", "40"]));
    for expected in ["n-gram of order 3", "Best share of synthetic text: 0 %", "Note: n-grams have no N"] {
        assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
    }
    assert!(
        output(&arguments(&["--resamples", "40", "--format", "markdown"]))
            .starts_with("| trained on | law |")
    );
    let csv = output(&arguments(&["--resamples", "40", "--format", "csv"]));
    assert!(
        csv.starts_with("source,synthetic_percent,form,size,tokens,quantity,value,ci_low,ci_high,points\n")
    );
    // Three constants and an error of three laws; two and one shares with natural text, and the best; two of two blends.
    assert_eq!(csv.lines().count(), 1 + 3 * 4 + 2 * (2 + 1) + 2 * 2);
}

#[test]
fn a_fit_is_written_and_drawn_into_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (folders, out) = (grown(dir.path()), dir.path().join("fit"));
    let mut command = genloss();
    command.arg("fit").args(&folders).args(["--resamples", "40", "--format", "json", "--out"]).arg(&out);
    let assert = command.assert().success();
    assert_eq!(
        fs::read_to_string(out.join("fit.json")).unwrap() + "\n",
        String::from_utf8_lossy(&assert.get_output().stdout)
    );
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for name in ["loss_by_tokens", "loss_by_share", "tail_left"] {
        let svg = fs::read_to_string(out.join(format!("figures/{name}.svg"))).unwrap();
        assert!(svg.contains("natural") || name == "loss_by_share");
        assert!(out.join(format!("figures/{name}.png")).exists());
        assert!(page.contains(&format!("figures/{name}.svg")), "{name}");
    }
    // A table for the laws, one for each kind of text, and the speed-ups.
    assert_eq!(page.matches("<table").count(), 1 + 2 + 1);
    assert!(page.contains("Best share of synthetic text: 0 %"));
    // There is no N to draw a law of.
    assert!(!out.join("figures/loss_by_parameters.svg").exists());
}

#[test]
fn runs_that_no_law_can_be_fitted_to_are_an_error_that_names_what_to_run() {
    let (_, root, _) = finished();
    let said = error_line(&["fit", text(root)]);
    for expected in ["natural: 1 size, 1 number of tokens", "L(D) needs 4 different", "pass all run folders"]
    {
        assert!(said.contains(expected), "{said}");
    }
    assert!(error_line(&["fit", text(root), "--generation", "3"]).contains("generations 1 to 2 in common"));
    assert!(error_line(&["fit", text(root), "--generation", "0"]).contains("--generation 0"));
}

/// Selected text, and text by a model of another size, are sources of their own.
#[test]
fn selection_and_writer_distinguish_blends() {
    let dir = tempfile::tempdir().unwrap();
    let (_, root, file) = finished();
    let run = |name: &str, more: &[&str]| {
        let out = dir.path().join(name);
        let name = format!("name=\"{name}\"");
        let tokenizer = format!("tokenizer={{path=\"{}\"}}", root.join("tokenizer.json").display());
        let settings = ["--set", &name, "--set", &tokenizer, "--set", "generations=1"];
        genloss().arg("run").arg(file).args(settings).args(more).arg("--out").arg(&out).assert().success();
        store::read(&out).unwrap()
    };
    let runs = [
        run("plain", &[]),
        run("chosen", &["--set", "synthesis.selection.max_repetition=0.9"]),
        run("written", &["--set", "writer.model.order=2"]),
    ];
    let points = fit::points(&runs, 1).unwrap();
    let sources: BTreeSet<&str> =
        points.iter().filter(|p| p.blend.synthetic_percent == 100).map(|p| p.blend.source.as_str()).collect();
    let has = |wanted: &str| sources.iter().any(|source| source.ends_with(wanted));
    assert!(
        has("max_repetition = 0.9")
            && has("temperature 1")
            && sources.iter().any(|s| s.contains("by a writer"))
    );
}

#[test]
fn a_fit_never_overwrites_runs() {
    let (_, root, _) = finished();
    for out in [text(root), text(root.parent().unwrap())] {
        let said = error_line(&["fit", text(root), "--out", out]);
        assert!(said.contains("contains runs; give a separate folder"), "{said}");
    }
    let said = error_line(&["fit", text(root), "--tokens", "0"]);
    assert!(said.contains("give at least 1"), "{said}");
}

#[test]
fn models_that_start_from_earlier_weights_cannot_be_fitted() {
    let (_, root, _) = finished();
    let mut recorded = store::read(root).unwrap();
    recorded.experiment.arms[1].training.init = Init::Chained;
    let refused = fit::points(&[recorded], 1).unwrap_err().to_string();
    assert!(refused.starts_with("small: its models continue from weights"), "{refused}");
}

/// The built-in world makes more text for a larger run, and a tokenizer learnt from that is another one.
#[test]
fn runs_in_other_tokens_are_not_fitted_together() {
    let (_, root, file) = finished();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("other");
    let settings =
        ["--set", "tokenizer={vocab_size=300}", "--set", "name=\"other\"", "--set", "generations=1"];
    genloss().arg("run").arg(file).args(settings).arg("--out").arg(&out).assert().success();
    let said = error_line(&["fit", text(root), text(&out)]);
    assert!(said.contains("small and other: their tokenizer differs"), "{said}");
}
