//! Files written so that they are either whole or not there.

use super::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Names the file in an error.
pub(super) fn at<T>(path: &Path, result: std::io::Result<T>) -> Result<T, StoreError> {
    result.map_err(|source| StoreError::File { path: path.to_owned(), source })
}

/// Writes a file aside, flushes it to disk and renames it.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // Readable by others as far as the user's umask allows, like every other file of a run.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = at(path, builder.tempfile_in(folder))?;
    at(path, file.write_all(bytes))?;
    at(path, file.as_file().sync_all())?;
    let file = file.persist(path).map_err(|error| error.error);
    at(path, file)?;
    sync_dir(folder)
}

const TEMPORARY: &str = ".tmp-";

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in at(folder, fs::read_dir(folder))? {
        names.push(at(folder, entry)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Removes what a kill left of [`write_file`].
pub(super) fn remove_temporary(folder: &Path) -> Result<(), StoreError> {
    let names = names(folder)?;
    let left = names.iter().filter(|name| is_temporary(name));
    left.map(|name| folder.join(name)).try_for_each(|path| remove_file(&path))
}

/// Removes a file, if it is there.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    if path.exists() { at(path, fs::remove_file(path)) } else { Ok(()) }
}

/// Whether a name is one that [`write_file`] gives what it has not finished.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Flushes a file to disk.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    at(path, File::open(path).and_then(|file| file.sync_all()))
}

/// Flushes a folder's entries to disk.
pub(super) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    // Elsewhere than on Unix a folder cannot be opened as a file; its entries are flushed with their files.
    if cfg!(unix) { sync_file(path) } else { Ok(()) }
}

/// Makes a folder and those above it.
pub(super) fn create_dir(path: &Path) -> Result<(), StoreError> {
    at(path, fs::create_dir_all(path))
}

/// Copies a folder with all it holds, flushed to disk.
pub(super) fn copy_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    create_dir(to)?;
    for name in names(from)? {
        let (source, copy) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            copy_dir(&source, &copy)?;
        } else {
            at(&source, fs::copy(&source, &copy))?;
            sync_file(&copy)?;
        }
    }
    sync_dir(to)
}

/// Removes a folder with all it holds, if it is there.
pub(super) fn remove_dir(path: &Path) -> Result<(), StoreError> {
    if path.exists() { at(path, fs::remove_dir_all(path)) } else { Ok(()) }
}

/// Gives a finished folder its final name, and flushes that to disk.
pub(super) fn rename_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    at(to, fs::rename(from, to))?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// A file's text.
pub(super) fn read_text(path: &Path) -> Result<String, StoreError> {
    at(path, fs::read_to_string(path))
}

/// What a JSON file holds.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    serde_json::from_str(&read_text(path)?)
        .map_err(|error| StoreError::Content { path: path.to_owned(), reason: error.to_string() })
}

/// A value as JSON, indented, with a final newline.
pub(super) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(value).expect("records hold nothing that JSON cannot");
    json.push(b'\n');
    json
}
