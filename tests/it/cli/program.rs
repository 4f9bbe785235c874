//! The program itself: help, completions, manual pages, and the experiment file to start from.

use super::{error_line, genloss, output, text};
use std::fs;

#[test]
fn help_groups_the_commands_and_fits_80_columns() {
    let help = output(&["--help"]);
    for expected in ["Run experiments:", "Read results:", "genloss demo", "Usage: genloss <COMMAND>"] {
        assert!(help.contains(expected), "{expected} is not in:\n{help}");
    }
    // The first line, the description, is wrapped to the terminal.
    assert!(help.lines().skip(1).all(|line| line.chars().count() <= 80), "{help}");
}

#[test]
fn init_writes_a_valid_file_and_never_overwrites_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    genloss().arg("init").arg(&file).assert().success();
    let settings = ["--set", "model={kind=\"ngram\", order=2}", "--set", "training={}"];
    let checked = output(&[&["check", text(&file)][..], &settings].concat());
    assert!(checked.contains("arms control, replace, anchored, accumulate"), "{checked}");
    let written = fs::read(&file).unwrap();
    assert!(error_line(&["init", text(&file)]).contains("mine.toml: already exists"));
    assert_eq!(fs::read(&file).unwrap(), written);
}

#[test]
fn init_says_what_to_do_next_and_why_a_file_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let spaced = genloss().current_dir(&dir).args(["init", "a b.toml"]).output().unwrap();
    assert!(String::from_utf8_lossy(&spaced.stderr).contains("genloss check 'a b.toml'"));
    genloss().current_dir(&dir).arg("init").assert().success();
    // A folder with a file `experiment.toml` is a run.
    assert!(dir.path().join("my-experiment.toml").exists() && !dir.path().join("experiment.toml").exists());
    assert!(error_line(&["init", "-"]).contains("give the name of a file"));
    assert!(
        error_line(&["init", "no-folder/x.toml"]).contains("the folder no-folder does not exist; create it")
    );
}

#[test]
fn a_misspelt_command_is_told_the_nearest_one() {
    let line = error_line(&["cmpare"]);
    assert!(line.contains("unrecognized subcommand 'cmpare'; the nearest is 'compare'"), "{line}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let script = output(&["completions", "bash"]);
    let dir = tempfile::tempdir().unwrap();
    genloss().args(["man", "--out"]).arg(dir.path()).assert().success();
    for command in ["run", "compare", "init", "completions"] {
        assert!(script.contains(&format!("genloss__{command}")) || script.contains(command), "{command}");
        assert!(dir.path().join(format!("genloss-{command}.1")).exists(), "{command}");
    }
    assert!(dir.path().join("genloss.1").exists());
}
