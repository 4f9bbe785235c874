//! Expanding paths and glob patterns into a sorted list of files.
//!
//! Patterns mean what they mean in a shell: `*`, `?` and `[…]` match within one name, and `**` matches any number of
//! folders. A name that begins with a dot is matched only if the pattern begins with a dot too. If a file or folder
//! with exactly the name of a pattern exists, the pattern matches only that file, even if the name has brackets.

use super::CorpusError;
use glob::Pattern;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The files that `patterns` name, sorted. A file with several names, such as `./a` and `a` or a symbolic link, counts
/// once.
pub(super) fn expand(patterns: &[String]) -> Result<Vec<PathBuf>, CorpusError> {
    let mut files = BTreeMap::new();
    for pattern in patterns {
        for path in matches(pattern)? {
            let unreadable = |source| CorpusError::Unreadable { path: path.clone(), source };
            let canonical = path.canonicalize().map_err(unreadable)?;
            let metadata = canonical.metadata().map_err(unreadable)?;
            if metadata.is_dir() {
                return Err(CorpusError::Folder { path });
            }
            if !metadata.is_file() {
                return Err(CorpusError::NotAFile { path });
            }
            if path.to_str().is_none() {
                return Err(CorpusError::NameNotUtf8 { path });
            }
            files.entry(canonical).or_insert(path);
        }
    }
    let mut paths: Vec<PathBuf> = files.into_values().collect();
    paths.sort();
    Ok(paths)
}

/// The files that one pattern names. Folders that a pattern matches are skipped.
fn matches(pattern: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let path = Path::new(pattern);
    if path.exists() || !has_wildcards(pattern) {
        return Ok(vec![path.to_owned()]);
    }
    let names: Vec<Component> = path.components().collect();
    let mut found = Vec::new();
    expand_below(PathBuf::new(), &names, pattern, &mut found)?;
    found.retain(|path| !path.is_dir());
    if found.is_empty() {
        return Err(CorpusError::NoMatch { pattern: pattern.to_owned() });
    }
    Ok(found)
}

fn has_wildcards(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Adds every path below `folder` that matches `names`, the part of a pattern that is left, with one name for each
/// level of folders. `whole` is the pattern as given, for errors.
fn expand_below(
    folder: PathBuf,
    names: &[Component],
    whole: &str,
    found: &mut Vec<PathBuf>,
) -> Result<(), CorpusError> {
    let Some((name, rest)) = names.split_first() else {
        found.push(folder);
        return Ok(());
    };
    let text = name.as_os_str().to_str().unwrap_or_default();
    let literal = folder.join(name);
    if !has_wildcards(text) || literal.exists() {
        return if literal.exists() { expand_below(literal, rest, whole, found) } else { Ok(()) };
    }
    if text == "**" {
        return expand_recursively(folder, rest, whole, found);
    }
    let pattern =
        Pattern::new(text).map_err(|source| CorpusError::Pattern { pattern: whole.to_owned(), source })?;
    for path in entries(&folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_visible = !name.starts_with('.') || text.starts_with('.');
        if is_visible && pattern.matches(&name) && (rest.is_empty() || path.is_dir()) {
            expand_below(path, rest, whole, found)?;
        }
    }
    Ok(())
}

/// As [`expand_below`], in `folder` and every folder below it that is neither hidden nor a symbolic link. A pattern
/// that ends with `**` matches all files.
fn expand_recursively(
    folder: PathBuf,
    rest: &[Component],
    whole: &str,
    found: &mut Vec<PathBuf>,
) -> Result<(), CorpusError> {
    for path in entries(&folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            expand_recursively(path, rest, whole, found)?;
        } else if rest.is_empty() {
            found.push(path);
        }
    }
    if rest.is_empty() { Ok(()) } else { expand_below(folder, rest, whole, found) }
}

/// The paths of everything in a folder, sorted. Empty if it is not a folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if !listed.is_dir() {
        return Ok(Vec::new());
    }
    let unreadable = |source| CorpusError::Unreadable { path: listed.to_owned(), source };
    let entries = std::fs::read_dir(listed).map_err(unreadable)?;
    let paths = entries.map(|entry| entry.map(|entry| folder.join(entry.file_name())));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}
