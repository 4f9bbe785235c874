//! The documents: every link to a file or a heading of the project leads somewhere, and the book lists every page.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn markdown_below(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages.extend(markdown_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

/// Lines outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of inline links, `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .collect()
}

/// What can follow `#` in a link to this page: slugs of headings, and ids.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings =
        prose(text).filter(|line| line.starts_with('#')).map(|line| slug(line.trim_start_matches('#')));
    let ids = prose(text)
        .flat_map(|line| line.split("<a id=\"").skip(1))
        .filter_map(|rest| rest.split_once('"').map(|(id, _)| id.to_owned()));
    headings.chain(ids).collect()
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The documents outside of and in `docs/`.
fn documents() -> Vec<PathBuf> {
    let top =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benches/README.md"].map(|name| root().join(name));
    top.into_iter().chain(markdown_below(&root().join("docs"))).collect()
}

/// Paths of source files, experiments and folders that prose names in backticks.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| {
        ["src/", "crates/", "tests/", "configs/", "docs/", "benches/"].iter().any(|top| word.starts_with(top))
            && !word.contains([' ', '*', '<'])
    };
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_path)
}

#[test]
fn files_that_the_documents_name_exist() {
    for page in documents() {
        let text = fs::read_to_string(&page).unwrap();
        for path in named_paths(&text) {
            assert!(root().join(path).exists(), "{}: no file {path}", page.display());
        }
    }
}

#[test]
fn links_of_the_documents_to_files_and_headings_lead_somewhere() {
    for page in documents() {
        let text = fs::read_to_string(&page).unwrap();
        for target in links(&text).into_iter().filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: no file {target}", page.display());
            let has_anchor = || anchors(&fs::read_to_string(&path).unwrap()).contains(anchor);
            assert!(anchor.is_empty() || has_anchor(), "{}: no heading {target}", page.display());
        }
    }
}

#[test]
fn the_book_lists_every_page_once() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut listed: Vec<PathBuf> = links(&summary).into_iter().map(|target| docs.join(target)).collect();
    listed.push(docs.join("SUMMARY.md"));
    listed.sort();
    let mut pages = markdown_below(&docs);
    pages.sort();
    assert_eq!(listed, pages);
}
