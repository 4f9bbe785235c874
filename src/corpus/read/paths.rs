//! Paths and globs into a sorted list of files.

use super::CorpusError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files that `patterns` name: sorted, and each once however often it is named.
pub(super) fn expand(patterns: &[String]) -> Result<Vec<PathBuf>, CorpusError> {
    let mut files = BTreeMap::new();
    for pattern in patterns {
        for path in matches(pattern)? {
            let canonical = path
                .canonicalize()
                .map_err(|source| CorpusError::Unreadable { path: path.clone(), source })?;
            if canonical.is_dir() {
                return Err(CorpusError::Folder { path });
            }
            files.entry(canonical).or_insert(path);
        }
    }
    let mut paths: Vec<PathBuf> = files.into_values().collect();
    paths.sort();
    Ok(paths)
}

/// A path that exists is taken at its word, also with a bracket in its name. Folders that a glob matches are no
/// files and are passed over.
fn matches(pattern: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let path = Path::new(pattern);
    if path.exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let found = glob::glob(pattern)
        .map_err(|error| CorpusError::Pattern { pattern: pattern.to_owned(), reason: error.to_string() })?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| CorpusError::Unreadable {
            path: error.path().to_owned(),
            source: error.into(),
        })?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(CorpusError::NoMatch { pattern: pattern.to_owned() });
    }
    Ok(files)
}
