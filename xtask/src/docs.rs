//! Generates the tables and figures of the documents, from the studies in `generations/reference/` and from the texts by
//! which metrics and verdicts explain themselves.
//!
//! A marker in a document names the block that follows it; all text between the marker and its end is replaced:
//!
//! ```text
//! <!-- table: effects wikitext-2 | verdict: verdict | heldout_loss: held-out loss, nats -->
//! <!-- end -->
//! <!-- figure: wikitext-2/trajectories_tail | Rare tokens still written, by generation and arm -->
//! <!-- end -->
//! … by <!-- value: contrast kang-generations rephrase-25 textbook heldout_loss@5 --><!-- end --> nats …
//! ```
//!
//! Markers inside fenced code stay as they are. [`tables`] lists what a table can show.

mod budgets;
mod explanations;
mod figures;
mod markers;
mod statistics;
mod studies;
mod tables;

use anyhow::{Context, Result, ensure};
use figures::Figures;
use markers::Block;
use std::fs;
use std::path::{Path, PathBuf};
use studies::Studies;

/// Fills in every block of every document, and writes the figures that they show.
pub fn update(root: &Path) -> Result<()> {
    for file in generate(root)? {
        if !file.is_current() {
            if let Some(folder) = file.path.parent() {
                fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            fs::write(&file.path, &file.content).with_context(|| file.path.display().to_string())?;
        }
    }
    Ok(())
}

/// Returns an error that names the documents and figures that [`update`] would change.
pub fn check(root: &Path) -> Result<()> {
    let files = generate(root)?;
    let stale: Vec<String> =
        files.iter().filter(|file| !file.is_current()).map(|file| file.path.display().to_string()).collect();
    ensure!(stale.is_empty(), "not current: {}; run `cargo xtask docs`", stale.join(", "));
    Ok(())
}

/// A file and the content that it should have.
struct Generated {
    path: PathBuf,
    content: String,
}

impl Generated {
    fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|found| found == self.content)
    }
}

/// Every document with its blocks filled in, and every figure that they show.
fn generate(root: &Path) -> Result<Vec<Generated>> {
    let studies = Studies::new(root.join("generations/reference"));
    let mut figures = Figures::new(book_source(root).join("figures"));
    let mut files = Vec::new();
    for path in documents(root)? {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let content = markers::fill(&text, |block| content(block, &path, &studies, &mut figures));
        let content = content.with_context(|| path.display().to_string())?;
        files.push(Generated { path, content });
    }
    files.extend(figures.into_files().map(|(path, content)| Generated { path, content }));
    Ok(files)
}

/// The text between the markers of `block`.
fn content(block: Block, document: &Path, studies: &Studies, figures: &mut Figures) -> Result<String> {
    match block {
        Block::Table(table) => tables::table(table, studies),
        Block::Value(value) => tables::value(value, studies),
        Block::Figure(figure) => figures.image(figure, document, studies),
    }
}

/// README.md and all Markdown files below docs/, sorted.
fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The folder that mdBook copies into the book.
fn book_source(root: &Path) -> PathBuf {
    let nested = root.join("docs/src");
    if nested.join("SUMMARY.md").exists() { nested } else { root.join("docs") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo xtask docs --check`, with the build of the other tests.
    #[test]
    fn the_documents_are_current() {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository");
        crate::settings::check(root).unwrap();
        check(root).unwrap();
    }
}
