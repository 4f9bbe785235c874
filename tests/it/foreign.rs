//! Tokenizers, model folders and checkpoints that are not what they seem.

pub mod base;
mod checkpoints;
mod model_folders;
mod tokenizers;

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn genloss(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genloss"));
    command.args(arguments).timeout(std::time::Duration::from_secs(120));
    command
}

/// Standard output and error of a command that succeeds.
fn said(arguments: &[&str]) -> (String, String) {
    let output = genloss(arguments).assert().success().get_output().clone();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&said(arguments).0).unwrap()
}

/// The message of a command that fails; nothing is on standard output.
fn refused(arguments: &[&str]) -> String {
    let output = genloss(arguments).assert().failure().code(1).get_output().clone();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty() && !stderr.contains("panicked at"), "{stderr}");
    stderr
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes documents as JSONL.
fn write_corpus(file: &Path, documents: impl Iterator<Item = String>) {
    let lines: String = documents.map(|text| format!("{}\n", serde_json::json!({ "text": text }))).collect();
    fs::write(file, lines).unwrap();
}
