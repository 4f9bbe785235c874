//! Expanding paths and glob patterns into a sorted list of files.

use super::CorpusError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files that `patterns` name, sorted and without duplicates.
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

/// The files that one pattern names. An existing path is not treated as a pattern, even if its name has a bracket. Folders
/// that a pattern matches are skipped.
fn matches(pattern: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let path = Path::new(pattern);
    if path.exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let found =
        glob::glob(pattern).map_err(|source| CorpusError::Pattern { pattern: pattern.to_owned(), source })?;
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
