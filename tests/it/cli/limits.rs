//! Extreme input is refused with one short line that gives the reason, before it takes long, fills memory or reaches a
//! terminal.

use super::{EXPERIMENT, error_line, finished, genloss, output, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// An experiment file with `from` replaced by `to`, and the folder that it is in.
fn changed(from: &str, to: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("small.toml");
    assert!(EXPERIMENT.contains(from), "{from}");
    fs::write(&file, EXPERIMENT.replace(from, to)).unwrap();
    (dir, file)
}

#[test]
fn names_that_other_programs_misread_are_refused_with_the_reason() {
    let cases = [
        ("NA", "missing"),
        ("None", "missing"),
        ("null", "missing"),
        ("nan", "missing"),
        ("1e5", "number"),
        ("0x1F", "number"),
        ("-inf", "begins with"),
        ("TRUE", "true or false"),
        ("off", "true or false"),
        ("MAR1", "date"),
        ("COM1", "device"),
        ("nul.x", "device"),
        ("cool.", "ends with"),
        ("Unanchored", "differ only in case"),
        ("CONTROL", "differ only in case"),
    ];
    for (name, reason) in cases {
        let (dir, file) = changed("\"cool\"", &format!("{name:?}"));
        let error = error_line(&["run", text(&file), "--out", text(&dir.path().join("run"))]);
        assert!(error.contains(reason) && error.contains("small.toml:"), "{name}: {error}");
        assert!(!dir.path().join("run").exists());
    }
    let (_dir, file) = changed("name = \"small\"", "name = \"None\"");
    assert!(error_line(&["check", text(&file)]).contains("missing"));
}

#[test]
fn sizes_beyond_the_memory_of_a_machine_are_refused_before_anything_is_made() {
    let transformer = |settings: &str| format!("model={{{settings}}}");
    let cases = [
        (vec!["corpus.heldout_tokens=4294967296".to_owned()], "corpus.heldout_tokens"),
        (vec!["corpus.train_tokens=100_000_000_000".to_owned()], "corpus.train_tokens"),
        (vec!["synthesis.tokens=1e12".to_owned()], "synthesis.tokens"),
        (vec![transformer("width=1_000_000")], "from 2 to 262144"),
        (vec![transformer("width=65536, heads=64, layers=1000")], "model.width"),
        (vec![transformer("layers=2"), "training={batch=65535}".to_owned()], "training.batch"),
    ];
    for (settings, expected) in cases {
        for command in ["check", "run"] {
            let (dir, file) = changed("small", "small");
            let mut arguments = vec![command, text(&file)];
            settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
            let run =
                genloss().args(&arguments).current_dir(dir.path()).timeout(Duration::from_secs(60)).assert();
            let output = run.failure().get_output().clone();
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(expected) && error.lines().count() == 1, "{settings:?}: {error}");
            let names_total = error.contains("takes about") && error.contains("takes the most, about");
            assert!(names_total || error.contains("out of range"), "{settings:?}: {error}");
        }
    }
}

#[test]
fn numbers_that_no_result_can_be_expected_from_are_refused_with_the_reason() {
    let cases = [
        ("corpus.heldout_tokens=1", "the loss on fewer"),
        ("training.beta2=0", "training diverges"),
        ("synthesis.temperature=1e308", "equally probable"),
        ("synthesis.temperature=0", "greedy = true"),
        ("training.learning_rate=1e30", "overwrite the weights"),
        ("synthesis.max_document_tokens=1", "word order"),
        ("arm.cool.synthesis.top_p=1e-9", "greedy = true"),
    ];
    let (_, _, file) = finished();
    for (setting, reason) in cases {
        let error = error_line(&["check", text(file), "--set", setting]);
        assert!(error.contains(reason) && error.contains("out of range"), "{setting}: {error}");
    }
}

#[test]
fn thousands_of_arms_or_seeds_are_refused_at_once() {
    let arms: String =
        (0..20_000).map(|arm| format!("[[arm]]\nname = \"arm-{arm}\"\nmixture = \"replace\"\n")).collect();
    let seeds: Vec<String> = (0..100_000).map(|seed| seed.to_string()).collect();
    for (from, to, expected) in [
        (
            "[[arm]]\nname = \"cool\"",
            format!("{arms}[[arm]]\nname = \"cool\""),
            "arms are more than the 1000",
        ),
        ("seeds = [1, 2]", format!("seeds = [{}]", seeds.join(",")), "give at most 1000"),
    ] {
        let (_dir, file) = changed(from, &to);
        let check = genloss().arg("check").arg(&file).timeout(Duration::from_secs(60)).assert().failure();
        let error = String::from_utf8_lossy(&check.get_output().stderr).into_owned();
        assert!(error.contains(expected), "{error}");
    }
}

fn drift(arguments: &str) -> Output {
    let words = arguments.split_whitespace();
    let run = genloss().arg("drift").args(words).timeout(Duration::from_secs(60)).assert();
    run.get_output().clone()
}

#[test]
fn simulations_that_would_not_end_or_fit_are_refused_in_one_line() {
    for arguments in [
        "gaussian --samples 10 --replicates 1e19",
        "gaussian --samples 10 --replicates 9e15",
        "gaussian --samples 10 --replicates 1e9",
        "gaussian --samples 1e6 --generations 1e6",
        "gaussian --samples 18446744073709551615 --dims 18446744073709551615",
        "categorical --samples 1e6 --types 1e9",
        "categorical --samples 1e6 --types 1e6 --generations 1e6",
        "categorical --samples 4000 --types 10 --generations 1e6 --mixture anchored",
        "regression --rows 10000 --columns 9000",
        "regression --rows 100 --columns 18446744073709551615",
        "regression --rows 100 --columns 10 --generations 900000",
    ] {
        let output = drift(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {error}");
        assert!(error.starts_with("genloss: ") && error.lines().count() == 1, "{arguments}: {error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn more_natural_fractions_than_generations_are_refused_with_both_numbers() {
    let (_dir, file) = changed("natural_fraction = 0.5", "natural_fraction = [0.5, 0.4, 0.3, 0.2]");
    for command in ["check", "run"] {
        let error = error_line(&[command, text(&file)]);
        assert!(error.contains("natural_fraction: 4 numbers for 2 generations"), "{error}");
        assert!(error.contains("small.toml:"), "{error}");
    }
    let mixture = "{ natural_fraction = [0.5, 0.2, 0.1] }";
    let drift = ["drift", "categorical", "--samples", "50", "--mixture", mixture, "--generations"];
    let error = error_line(&[&drift[..], &["2"]].concat());
    assert!(error.contains("natural_fraction: 3 numbers for 2 generations"), "{error}");
    output(&[&drift[..], &["3"]].concat());
    // The last number repeats.
    output(&[&drift[..], &["9"]].concat());
}

#[test]
fn arms_with_the_same_remark_share_a_note() {
    let (_dir, file) = changed("max_document_tokens = 300", "max_document_tokens = 20");
    let shown = output(&["check", text(&file)]);
    let remark = "documents are written up to";
    assert_eq!(shown.matches(remark).count(), 1, "{shown}");
    let arms = "arms \"control\", \"unanchored\", \"cool\", seed 1: documents are written";
    assert!(shown.replace("\n  ", " ").contains(arms), "{shown}");
}

#[test]
fn an_error_stays_short_whatever_is_echoed_in_it() {
    let long = "x".repeat(5000);
    let (dir, file) = changed("\"cool\"", &format!("\"{long}\""));
    let words = "a b ".repeat(1000);
    let errors = [
        error_line(&["check", text(&file)]),
        error_line(&["check", &long]),
        error_line(&["check", text(&finished().2), "--set", &format!("{long}=1")]),
        error_line(&["check", text(&finished().2), "--set", &format!("corpus.{words}")]),
        error_line(&["inspect", text(&finished().1), "--metric", &long]),
        error_line(&["drift", "categorical", "--samples", &long]),
        error_line(&[&long]),
    ];
    for error in errors {
        assert!(error.chars().count() <= 400, "{} characters: {error}", error.chars().count());
    }
    drop(dir);
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            drop(fs::copy(entry.path(), target));
        }
    }
}

/// ESC can clear the screen, and U+202E reverses the direction of text.
#[cfg(unix)]
#[test]
fn control_and_direction_characters_of_folder_names_never_reach_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let folders = [dir.path().join("plain"), dir.path().join("\u{1b}[2J\u{202e}red")];
    folders.iter().for_each(|folder| copied(&finished().1, folder));
    for format in ["table", "json", "csv", "markdown"] {
        let shown = output(&["compare", text(&folders[0]), text(&folders[1]), "--format", format]);
        assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{format}");
        let escape = if format == "json" { "\\u202e" } else { "\\u{202e}" };
        assert!(shown.contains(escape), "{format}: {shown}");
    }
    let page = dir.path().join("page");
    output(&["report", text(&folders[0]), text(&folders[1]), "--out", text(&page)]);
    let html = fs::read_to_string(page.join("report.html")).unwrap();
    assert!(!html.contains(['\u{1b}', '\u{202e}']) && html.contains("\\u{1b}[2J\\u{202e}red"));
    let error = error_line(&["compare", text(&dir.path().join("\u{1b}[2J\u{202e}absent"))]);
    assert!(!error.contains(['\u{1b}', '\u{202e}']) && error.contains("\\u{1b}"), "{error}");
}

#[test]
fn messages_say_what_there_is() {
    let (_, root, _) = finished();
    let error = error_line(&["inspect", text(root), "--metric", "heldout_los"]);
    assert!(error.contains("the nearest is heldout_loss") && error.contains("distinct_1"), "{error}");
    let error = error_line(&["inspect", text(root), "--samples", "0"]);
    assert!(error.contains("give at least 1"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    copied(root, &dir.path().join("order=2"));
    let error = error_line(&["compare", text(dir.path())]);
    assert!(error.contains("in folders below it") && error.contains("order=2"), "{error}");
    let bare = genloss().assert().code(2);
    let shown = String::from_utf8_lossy(&bare.get_output().stderr).into_owned();
    assert!(shown.contains("Usage: genloss <COMMAND>") && !shown.contains("genloss: "), "{shown}");
}
