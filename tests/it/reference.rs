//! The committed results: README, docs/RESULTS.md and the pages say of them what the present code does.

use genloss::config::CONTROL;
use genloss::fit;
use genloss::store;
use genloss::verdict::{self, ArmComparison, Verdict};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn runs() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("generations/reference")).unwrap();
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // Those of a sweep lie a folder deeper.
    runs.retain(|path| store::is_store(path));
    runs.sort();
    assert!(runs.len() >= 4, "{runs:?}");
    runs
}

fn comparisons(run: &Path) -> Vec<ArmComparison> {
    let recorded = store::read(run).unwrap();
    assert!(recorded.baseline.is_some(), "{}: nothing of drift", run.display());
    verdict::compare(&recorded.experiment.name, &recorded.observations(), CONTROL)
}

/// A verdict as the README's tables have it.
fn in_words(comparison: &ArmComparison) -> String {
    let word = comparison.verdict.word();
    match (comparison.called_at_generation, comparison.seeds_needed) {
        (Some(generation), _) => format!("{word}, called at {generation}"),
        (None, Some(seeds)) => format!("{word} ({seeds} seeds)"),
        (None, None) => word.to_owned(),
    }
}

#[test]
fn the_documents_have_the_verdicts_of_the_committed_results() {
    let [readme, results] =
        ["README.md", "docs/RESULTS.md"].map(|file| fs::read_to_string(root().join(file)).unwrap());
    for run in runs() {
        let comparisons = comparisons(&run);
        if comparisons.iter().all(|comparison| comparison.verdict == Verdict::Inconclusive) {
            assert!(readme.contains("None of the three arms is\ncalled"));
            continue;
        }
        for comparison in comparisons {
            let arm = match comparison.arm.split_once('-') {
                Some((arm, percent)) if percent.parse::<u32>().is_ok() => format!("{arm} at {percent} %"),
                _ => comparison.arm.clone(),
            };
            let row = format!("| {arm} | {} |", in_words(&comparison));
            assert!(readme.contains(&row) || results.contains(&row), "{}: {row}", run.display());
        }
    }
}

#[test]
fn the_committed_pages_say_what_is_said_of_their_arms_now() {
    for run in runs() {
        let page = fs::read_to_string(run.join("report.html")).unwrap();
        for comparison in comparisons(&run) {
            assert!(page.contains(&comparison.explanation), "{}: {}", run.display(), comparison.explanation);
        }
    }
}

/// Of a sweep the committed fit is made of the committed runs.
#[test]
fn the_committed_fits_are_of_the_committed_runs() {
    for name in ["world", "reviews"] {
        let folder = root().join("generations/reference/kang");
        let runs = fs::read_dir(folder.join(name)).unwrap();
        let recorded: Vec<_> = runs.map(|run| store::read(&run.unwrap().path()).unwrap()).collect();
        let points = serde_json::to_value(fit::points(&recorded, 1).unwrap()).unwrap();
        let fitted = fs::read_to_string(folder.join(format!("{name}-fit/fit.json"))).unwrap();
        let fitted: serde_json::Value = serde_json::from_str(&fitted).unwrap();
        // 7 blends, 4 sizes, 5 numbers of tokens, 3 seeds.
        assert_eq!(points.as_array().unwrap().len(), 7 * 4 * 5 * 3);
        assert!(fitted["points"] == points, "{name}");
    }
}
