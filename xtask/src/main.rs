//! Chores of the repository. `cargo xtask docs` fills in the tables and figures of the documents from
//! `generations/reference/`; `cargo xtask docs --check` fails if one of them is not current.

mod docs;

use anyhow::{Result, bail};
use std::path::Path;

const USAGE: &str = "usage: cargo xtask docs [--check]";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match arguments[..] {
        ["docs"] => docs::update(root),
        ["docs", "--check"] => docs::check(root),
        _ => bail!(USAGE),
    }
}
