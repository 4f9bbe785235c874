//! Maintenance tasks of the repository. `cargo xtask docs` fills in the tables and figures of the documents from
//! `generations/reference/` and from the explanations of metrics and verdicts, and writes `docs/SETTINGS.md` and
//! `configs/schema.json` from the settings structs.
//! `cargo xtask docs --check` fails if any of these files is out of date.

mod docs;
mod settings;

use anyhow::{Result, bail};
use std::path::Path;

const USAGE: &str = "usage: cargo xtask docs [--check]";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match arguments[..] {
        ["docs"] => settings::update(root).and_then(|()| docs::update(root)),
        ["docs", "--check"] => settings::check(root).and_then(|()| docs::check(root)),
        _ => bail!(USAGE),
    }
}
