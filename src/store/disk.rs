//! Files and folders that are written whole or not at all, and the schema of JSON records.

use super::StoreError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

const TEMPORARY: &str = ".tmp-";

/// Adds the path to an error of the file system.
pub(super) fn at<T>(path: &Path, result: std::io::Result<T>) -> Result<T, StoreError> {
    result.map_err(|source| StoreError::File { path: path.to_owned(), source })
}

/// Writes a file derived from a run, such as a figure or a page, completely or not at all, and flushes it to disk. Its
/// folder is created if necessary.
///
/// # Errors
/// If the disk fails.
pub fn write_derived(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    create_dir(containing_folder(path))?;
    write_file(path, bytes)
}

/// Writes a temporary file, flushes it to disk and renames it.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = containing_folder(path);
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

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in at(folder, fs::read_dir(folder))? {
        names.push(at(folder, entry)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Removes what a process that was killed during [`write_file`] left in a folder.
pub(super) fn remove_temporary(folder: &Path) -> Result<(), StoreError> {
    let names = names(folder)?;
    names.iter().filter(|name| is_temporary(name)).try_for_each(|name| remove_file(&folder.join(name)))
}

/// Removes a file if it exists.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    if path.exists() { at(path, fs::remove_file(path)) } else { Ok(()) }
}

/// Returns true for names that [`write_file`] gives to unfinished files.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY)
}

/// Flushes a file to disk.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    at(path, File::open(path).and_then(|file| file.sync_all()))
}

/// Flushes a folder's entries to disk.
pub(super) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    // Only Unix can open a folder as a file; elsewhere its entries are flushed with their files.
    if cfg!(unix) { sync_file(path) } else { Ok(()) }
}

/// Creates a folder and its parents.
pub(super) fn create_dir(path: &Path) -> Result<(), StoreError> {
    at(path, fs::create_dir_all(path))
}

/// Copies a folder with its contents, flushed to disk.
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

/// Removes a folder with its contents if it exists.
pub(super) fn remove_dir(path: &Path) -> Result<(), StoreError> {
    if path.exists() { at(path, fs::remove_dir_all(path)) } else { Ok(()) }
}

/// Renames a finished folder, and flushes the new name to disk.
pub(super) fn rename_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    at(to, fs::rename(from, to))?;
    sync_dir(containing_folder(to))
}

/// The folder that `path` is in: `.` for a bare name, whose [`Path::parent`] is empty.
fn containing_folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn read_text(path: &Path) -> Result<String, StoreError> {
    at(path, fs::read_to_string(path))
}

/// The version of the JSON records that this program writes, and the newest that it reads. A record without the key
/// `schema` has version 1. Raise it when a reader of the previous version would misread a record.
const SCHEMA: u64 = 1;

/// A record in a file: `{"schema": 1, …}` with the record's own keys after the first.
#[derive(Serialize)]
struct Versioned<'a, T> {
    schema: u64,
    #[serde(flatten)]
    record: &'a T,
}

#[derive(Deserialize)]
struct SchemaOnly {
    #[serde(default = "first_schema")]
    schema: u64,
}

const fn first_schema() -> u64 {
    1
}

/// Reads a JSON record of this schema or an older one.
pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let text = read_text(path)?;
    let json = |source| StoreError::Json { path: path.to_owned(), source };
    // In two passes, because serde cannot read maps with integer keys inside a flattened struct.
    let SchemaOnly { schema } = serde_json::from_str(&text).map_err(json)?;
    if schema > SCHEMA {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found: schema, known: SCHEMA });
    }
    serde_json::from_str(&text).map_err(json)
}

/// Writes a record as JSON, indented, with a final newline; see [`write_file`].
pub(super) fn write_record<T: Serialize>(path: &Path, record: &T) -> Result<(), StoreError> {
    let versioned = Versioned { schema: SCHEMA, record };
    let mut json = serde_json::to_vec_pretty(&versioned)
        .map_err(|source| StoreError::Json { path: path.to_owned(), source })?;
    json.push(b'\n');
    write_file(path, &json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Example {
        by_generation: BTreeMap<usize, f64>,
    }

    fn example() -> Example {
        Example { by_generation: [(0, 0.1), (10, 1e-300)].into() }
    }

    #[test]
    fn a_bare_name_is_in_the_working_directory() {
        assert_eq!(containing_folder(Path::new("study")), Path::new("."));
        assert_eq!(containing_folder(Path::new("studies/one")), Path::new("studies"));
    }

    #[test]
    fn a_record_starts_with_its_schema_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("example.json");
        write_record(&path, &example()).unwrap();
        assert!(read_text(&path).unwrap().starts_with("{\n  \"schema\": 1,\n"));
        assert_eq!(read_record::<Example>(&path).unwrap(), example());
    }

    #[test]
    fn a_record_without_a_schema_is_of_the_first_and_a_newer_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("example.json");
        fs::write(&path, r#"{"by_generation": {"0": 0.1, "10": 1e-300}}"#).unwrap();
        assert_eq!(read_record::<Example>(&path).unwrap(), example());
        fs::write(&path, r#"{"schema": 99, "something": "else"}"#).unwrap();
        let message = read_record::<Example>(&path).unwrap_err().to_string();
        assert!(
            message.contains("newer genloss (schema 99") && message.contains("update genloss"),
            "{message}"
        );
    }
}
