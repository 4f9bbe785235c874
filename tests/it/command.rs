//! The program as a user starts it.

use assert_cmd::Command;
use serde_json::Value;
use std::path::Path;

pub fn genloss() -> Command {
    Command::new(env!("CARGO_BIN_EXE_genloss"))
}

/// The standard output of a command that should succeed.
pub fn output(arguments: &[&str]) -> String {
    let assert = genloss().args(arguments).assert().success();
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// The standard output of a command that should succeed, read as JSON.
pub fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&output(arguments)).unwrap()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
