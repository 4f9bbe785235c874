//! The committed results: README, docs/RESULTS.md and the pages say of them what the present code does.

use genloss::config::CONTROL;
use genloss::fit;
use genloss::store::{self, RunRecord};
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
    verdict::compare(&recorded.experiment.name, &recorded.observations(), CONTROL, &recorded.catalogue())
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
            continue;
        }
        for comparison in comparisons {
            let spelled_out = match comparison.arm.split_once('-') {
                Some((arm, percent)) if percent.parse::<u32>().is_ok() => format!("{arm} at {percent} %"),
                _ => comparison.arm.clone(),
            };
            let rows =
                [&comparison.arm, &spelled_out].map(|arm| format!("| {arm} | {} |", in_words(&comparison)));
            let stands = rows.iter().any(|row| readme.contains(row) || results.contains(row));
            assert!(stands, "{}: {rows:?}", run.display());
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

/// Mean and 95 % interval of values of three seeds, as the tables have them; t = 4.303 at two degrees of freedom.
fn with_interval(values: &[f64]) -> String {
    let [a, b, c] = values[..] else { panic!("three seeds, not {values:?}") };
    let mean = (a + b + c) / 3.0;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0;
    let half = 4.302_653 * (variance / 3.0).sqrt();
    format!("{mean:+.3} [{:+.3}, {:+.3}]", mean - half, mean + half).replace('-', "−")
}

/// Does rephrased text stay safe when it is repeated? The rows of that section, figure by figure.
#[test]
fn the_rows_of_repeated_rephrasing_are_those_of_the_committed_runs() {
    let results = fs::read_to_string(root().join("docs/RESULTS.md")).unwrap();
    let section = repeated(&results);
    let (world, reviews) = section.split_once(" On movie reviews, where it is").unwrap();
    for (name, table) in [("kang-generations", world), ("kang-generations-reviews", reviews)] {
        let run = root().join("generations/reference").join(name);
        let recorded = store::read(&run).unwrap();
        for comparison in comparisons(&run) {
            let arm = comparison.arm.as_str();
            let difference = |metric, generation| -> Vec<f64> {
                let of_seed = |&seed: &u64| {
                    value(&recorded, seed, arm, generation, metric)
                        - value(&recorded, seed, CONTROL, generation, metric)
                };
                recorded.experiment.seeds.iter().map(of_seed).collect()
            };
            let loss = [1, 3, 5].map(|generation| difference("heldout_loss", generation));
            let grown: Vec<f64> = loss[2].iter().zip(&loss[1]).map(|(last, before)| last - before).collect();
            let [rare_tokens, rare_words] =
                ["heldout_loss_tail", "tail_coverage_words"].map(|metric| difference(metric, 5));
            let columns = [&loss[0], &loss[1], &loss[2], &grown, &rare_tokens, &rare_words];
            let cells = columns.map(|values| with_interval(values)).join(" | ");
            let row = format!("| {arm} | {} | {cells} |", in_words(&comparison));
            assert!(table.contains(&row), "{name}, {arm}: {row}");
        }
    }
}

/// What the same section says of two arms, or of an arm and the control, at a generation or between two.
#[test]
fn the_contrasts_of_repeated_rephrasing_are_those_of_the_committed_runs() {
    let results = fs::read_to_string(root().join("docs/RESULTS.md")).unwrap();
    let section = repeated(&results);
    let (world, reviews) = ("kang-generations", "kang-generations-reviews");
    let loss = "heldout_loss";
    let contrasts = [
        (world, "rephrase-25", "textbook", loss, None, 5),
        (reviews, "rephrase-25", "textbook", loss, None, 5),
        (world, "rephrase-75", "rephrase-90", loss, Some(2), 5),
        (world, "rephrase-50", "rephrase-75", loss, Some(3), 5),
        (world, "rephrase-50-67", "textbook-67", loss, None, 5),
        (reviews, "rephrase-50-67", "textbook-67", loss, None, 5),
        (reviews, "rephrase-25", CONTROL, "tail_coverage", None, 2),
        (reviews, "rephrase-90", CONTROL, "bigram_entropy", None, 5),
        (world, "rephrase-90", CONTROL, "fact_recall_torso", None, 5),
    ];
    for (run, arm, other, metric, from, to) in contrasts {
        let recorded = store::read(&root().join("generations/reference").join(run)).unwrap();
        let at = |seed, generation| {
            value(&recorded, seed, arm, generation, metric)
                - value(&recorded, seed, other, generation, metric)
        };
        let grown = |&seed: &u64| at(seed, to) - from.map_or(0.0, |from| at(seed, from));
        let said = with_interval(&recorded.experiment.seeds.iter().map(grown).collect::<Vec<_>>());
        assert!(section.contains(&said), "{run}, {arm} against {other}: {said}");
    }
}

/// The section on repeated rephrasing, with lines joined.
fn repeated(results: &str) -> String {
    let mut sections = results.split("\n## ");
    let section = sections.find(|section| section.starts_with("Does rephrased text stay safe")).unwrap();
    section.split_whitespace().collect::<Vec<_>>().join(" ").replace("nats [", "[")
}

fn value(recorded: &RunRecord, seed: u64, arm: &str, generation: usize, metric: &str) -> f64 {
    let lineage = recorded.lineages.iter().find(|l| l.seed == seed && l.arm == arm).unwrap();
    lineage.generations[generation].value(metric).unwrap()
}
