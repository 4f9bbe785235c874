//! Natural text that is scarce: it is read again, and what synthetic text adds to it is compared with that.

use crate::command::{output, text};
use crate::folder::contents;
use genloss::config;
use genloss::lineage;
use genloss::store::{self, RunRecord};
use genloss::sweep;
use genloss::units::Tokens;
use genloss::verdict;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Natural text is a quarter of the training text.
const FILE: &str = r#"
name = "wall"
seeds = [1, 2, 3]
generations = 2
corpus = { source = "world", train_tokens = 8000, natural_tokens = 2000, heldout_tokens = 1000, reference_tokens = 4000 }
tokenizer = { vocab_size = 400 }
model = { kind = "ngram", order = 3 }
synthesis = { max_document_tokens = 200 }
[[arm]]
name = "anchored"
mixture = "anchored"
[[arm]]
name = "repeat"
mixture = "repeat"
[[arm]]
name = "half"
mixture = { natural_fraction = 0.5 }
synthesis = { temperature = 0.7 }
[[arm]]
name = "half-again"
mixture = { natural_fraction = [0.5, 0.5], budget = "repeated" }
[[arm]]
name = "third"
mixture = { natural_fraction = 0.3 }
"#;

/// A finished run, made once for all tests: the folder that holds it, its file and its store.
fn finished() -> &'static (tempfile::TempDir, PathBuf, PathBuf) {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf, PathBuf)> = OnceLock::new();
    RUN.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let (file, root) = (dir.path().join("wall.toml"), dir.path().join("run"));
        fs::write(&file, FILE).unwrap();
        output(&["run", text(&file), "--out", text(&root)]);
        (dir, file, root)
    })
}

fn recorded() -> RunRecord {
    store::read(&finished().2).unwrap()
}

/// The mean over seeds of a metric at generation 2.
fn mean(recorded: &RunRecord, arm: &str, metric: &str) -> f64 {
    let of_arm = recorded.lineages.iter().filter(|lineage| lineage.arm == arm);
    let values: Vec<f64> = of_arm.map(|lineage| lineage.generations[2].value(metric).unwrap()).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of 8 000 tokens, the control has 2 000 four times; half are 4 000, those 2 000 twice; a tenth are 800, and repeated ten
/// times they are 8 000.
#[test]
fn natural_text_is_read_again_until_the_budget_is_full() {
    let recorded = recorded();
    let expected = [
        ("control", 8000, Some(2000), 0),
        ("anchored", 800, None, 7200),
        ("repeat", 8000, Some(800), 0),
        ("half", 4000, Some(2000), 4000),
        ("half-again", 8000, Some(2000), 0),
        ("third", 2400, Some(2000), 5600),
    ];
    for lineage in &recorded.lineages {
        let (_, natural, distinct, synthetic) =
            expected.iter().find(|(arm, ..)| *arm == lineage.arm).copied().unwrap();
        let first = &lineage.generations[0].mixture;
        assert_eq!((first.natural_tokens, first.distinct_natural_tokens), (Tokens(8000), Some(Tokens(2000))));
        for generation in &lineage.generations[1..] {
            let mixture = &generation.mixture;
            assert_eq!(mixture.natural_tokens, Tokens(natural), "{}", lineage.arm);
            assert_eq!(mixture.distinct_natural_tokens, distinct.map(Tokens), "{}", lineage.arm);
            assert_eq!(mixture.synthetic_tokens.values().map(|tokens| tokens.0).sum::<u64>(), synthetic);
        }
    }
    let repeat = recorded.lineages.iter().find(|lineage| lineage.arm == "repeat").unwrap();
    assert_eq!(repeat.generations[1].mixture.natural, "fixed, repeated without synthetic text");
    assert_eq!(repeat.generations[1].mixture.natural_repetitions(), 10.0);
}

#[test]
fn a_run_that_lost_generations_and_workers_that_share_the_run_make_the_same() {
    let (dir, file, root) = finished();
    let whole = contents(root);
    let (resumed, worked) = (dir.path().join("resumed"), dir.path().join("worked"));
    output(&["prepare", text(file), "--out", text(&worked)]);
    output(&["work", text(&worked)]);
    output(&["prepare", text(file), "--out", text(&resumed)]);
    output(&["work", text(&resumed)]);
    for arm in ["repeat", "half"] {
        fs::remove_dir_all(resumed.join("seed-2").join(arm).join("gen-002")).unwrap();
    }
    output(&["run", text(file), "--out", text(&resumed)]);
    for other in [resumed, worked] {
        let other = contents(&other);
        for (name, bytes) in whole.iter().filter(|(name, _)| name.contains("gen-")) {
            assert!(other.get(name) == Some(bytes), "{name}");
        }
    }
}

#[test]
fn compare_has_the_difference_of_an_arm_from_the_one_that_repeats_its_natural_part() {
    let recorded = recorded();
    let arms: Value =
        serde_json::from_str(&output(&["compare", text(&finished().2), "--format", "json"])).unwrap();
    let of = |name: &str| arms.as_array().unwrap().iter().find(|arm| arm["arm"] == name).unwrap();
    let effects = |name: &str| of(name)["synthetic_text"]["effects"].as_array().unwrap().clone();
    assert_eq!(of("anchored")["synthetic_text"]["repeat_arm"], "repeat");
    assert_eq!(of("half")["synthetic_text"]["repeat_arm"], "half-again");
    // No arm repeats 30 %, and an arm that repeats has no synthetic text.
    assert!(["third", "repeat", "half-again"].iter().all(|arm| of(arm).get("synthetic_text").is_none()));
    // "half" writes at another temperature than "half-again", so only what is measured on fixed text can be compared.
    let metrics = |name: &str| -> BTreeSet<String> {
        effects(name).iter().map(|effect| effect["metric"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(metrics("anchored").len(), verdict::headline_metrics().len());
    assert!(metrics("half").contains("heldout_loss") && !metrics("half").contains("tail_coverage"));
    let effect = &effects("anchored")[1];
    assert_eq!((&effect["metric"], &effect["generation"]), (&"heldout_loss".into(), &2.into()));
    let difference = mean(&recorded, "anchored", "heldout_loss") - mean(&recorded, "repeat", "heldout_loss");
    assert!((effect["difference"].as_f64().unwrap() - difference).abs() < 1e-12);
    // The interval is that of a comparison with the repeat arm as the control.
    let mut observations = recorded.observations();
    observations.retain(|one| ["anchored", "repeat"].contains(&one.arm.as_str()));
    let direct = verdict::compare("", &observations, "repeat", &recorded.catalogue());
    let direct = direct.iter().find(|comparison| comparison.arm == "anchored").unwrap();
    let direct =
        direct.effects.iter().find(|one| one.metric_and_generation() == ("heldout_loss", 2)).unwrap();
    for (end, expected) in [("ci_low", direct.ci_low), ("ci_high", direct.ci_high)] {
        assert!((effect[end].as_f64().unwrap() - expected).abs() < 1e-12, "{effect} {expected}");
    }
}

#[test]
fn table_rows_and_page_say_what_the_synthetic_text_adds() {
    let (dir, _, root) = finished();
    let shown = output(&["compare", text(root)]);
    let (_, effects) = shown.split_once("The effect of synthetic text").unwrap();
    assert!(
        effects.lines().skip(1).filter(|line| !line.contains(": ")).all(|line| line.chars().count() <= 100)
    );
    let sentence = effects.lines().find(|line| line.starts_with("anchored: ")).unwrap();
    assert!(
        sentence.contains("Its synthetic text ") && sentence.contains(" at generation 2, held-out loss is ")
    );
    assert!(sentence.contains("what its natural part alone, repeated, gives (95 % interval "), "{sentence}");
    let csv = output(&["compare", text(root), "--format", "csv"]);
    let header = "repeat_arm,repeat_value,over_repeat,over_repeat_ci_low,over_repeat_ci_high";
    assert!(csv.lines().next().unwrap().ends_with(header));
    // Two generations of every headline metric.
    let of_anchored =
        csv.lines().filter(|line| line.starts_with("wall,anchored,") && line.contains(",repeat,"));
    assert_eq!(of_anchored.count(), 2 * verdict::headline_metrics().len());
    let markdown = output(&["compare", text(root), "--format", "markdown"]);
    assert!(markdown.contains("| anchored | repeat |"), "{markdown}");
    let page = dir.path().join("page");
    output(&["report", text(root), "--out", text(&page)]);
    let html = fs::read_to_string(page.join("report.html")).unwrap();
    assert!(html.contains("Its synthetic text ") && html.contains("(compared with repeat)"));
    assert!(html.contains("fixed, repeated without synthetic text; 800 tokens, 10.00 times"));
}

#[test]
fn check_says_how_often_natural_text_is_read_and_which_arm_would_show_the_effect() {
    let (_, file, _) = finished();
    let shown = output(&["check", text(file)]);
    let line = "natural text: at most 2_000 tokens for each seed; the control's training text has it 4.0 times, and \
                training reads it 4.0 times";
    assert!(shown.contains(line), "{shown}");
    assert!(shown.contains("8_000 of 800"), "{shown}");
    assert!(
        shown.contains("note: arm \"third\": an arm with the same natural_fraction and budget"),
        "{shown}"
    );
    let grid = format!("{FILE}[grid]\n\"corpus.train_tokens\" = [2000, 16000]\n");
    let sweep = file.with_file_name("sweep.toml");
    fs::write(&sweep, grid).unwrap();
    let shown = output(&["check", text(&sweep)]);
    assert!(shown.contains("the control's training text has it 1.0 to 8.0 times"), "{shown}");
}

/// The lines of all measurements, without those of wall-clock time and place.
fn measured(root: &Path) -> Vec<(String, Vec<u8>)> {
    contents(root).into_iter().filter(|(name, _)| name.ends_with("measurements.json")).collect()
}

#[test]
fn a_limit_that_no_mixture_reaches_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let roots = ["natural_tokens = 8000, ", ""].map(|limit| {
        let name = if limit.is_empty() { "without" } else { "with" };
        let (file, root) = (dir.path().join(name).with_extension("toml"), dir.path().join(name));
        let changed = FILE.replace("natural_tokens = 2000, ", limit).replace("[1, 2, 3]", "[1]");
        fs::write(&file, changed).unwrap();
        output(&["run", text(&file), "--out", text(&root)]);
        root
    });
    let [with, without] = roots.each_ref().map(|root| measured(root));
    assert!(with.len() > 10 && with == without);
}

/// Token edit that draws nothing again copies its sources: a text of 8 000 tokens then has those of the 500 tokens that
/// exist sixteen times.
#[test]
fn what_is_rewritten_is_only_the_natural_text_that_exists() {
    let dir = tempfile::tempdir().unwrap();
    let (file, root) = (dir.path().join("edit.toml"), dir.path().join("run"));
    let (head, _) = FILE.split_once("[[arm]]").unwrap();
    let edit = "synthesis = { method = \"token-edit\", sharpness = 1000 }\n[[arm]]\nname = \"edited\"\nmixture = \"replace\"\n";
    let changed = head.replace("natural_tokens = 2000", "natural_tokens = 500").replace("[1, 2, 3]", "[1]");
    let changed = changed.replace("synthesis = { max_document_tokens = 200 }\n", edit);
    fs::write(&file, changed).unwrap();
    output(&["run", text(&file), "--out", text(&root)]);
    let recorded = store::read(&root).unwrap();
    let samples = store::samples(&root, &recorded, usize::MAX).unwrap();
    let first = samples.iter().find(|sample| sample.arm == "edited" && sample.generation == 1).unwrap();
    let distinct: BTreeSet<&String> = first.documents.iter().collect();
    assert!(first.documents.len() > 10 * distinct.len(), "{} of {}", distinct.len(), first.documents.len());
}

#[test]
fn experiments_that_read_natural_text_differently_often_share_tokenizer_and_held_out_text() {
    let file = format!(
        "{FILE}[grid]\n\"corpus.train_tokens\" = [2000, 6000]\n\"corpus.natural_tokens\" = [1000, 2000]\n"
    );
    let experiments = config::parse_sweep(&file, "wall.toml", &[]).unwrap().unwrap().experiments;
    let prepared = sweep::prepare(&experiments).unwrap();
    assert_eq!(experiments.len(), 4);
    assert!((1..4).all(|index| std::ptr::eq(prepared.text(0), prepared.text(index))));
    // Experiments of which the first reads text again that the second does not may not be taken for each other.
    let texts: BTreeSet<String> = experiments
        .iter()
        .map(|one| lineage::planned_natural_text(one, one.control(), 0, one.corpus.train_tokens))
        .collect();
    assert_eq!(texts.len(), 4);
}

#[test]
fn fresh_text_beyond_the_limit_is_an_error_before_any_text_is_read() {
    let changed = FILE.replace("mixture = \"anchored\"", "mixture = \"fresh-data-loop\"");
    let experiment = config::parse(&changed, "wall.toml", &[]).unwrap();
    let error = lineage::check_settings(&[&experiment]).unwrap_err();
    let message = genloss::progress::error_chain(&error);
    assert!(message.contains("takes more than the 2_000 tokens of corpus.natural_tokens"), "{message}");
    // 8 000 tokens and two tenths of them are 9 600; documents that are cut waste a little.
    let enough = changed.replace("natural_tokens = 2000", "natural_tokens = 10000");
    let experiment = config::parse(&enough, "wall.toml", &[]).unwrap();
    assert_eq!(lineage::check_settings(&[&experiment]).unwrap(), Tokens(9600));
}
