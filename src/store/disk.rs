//! Writes files and folders completely or not at all, and reads and writes JSON records with their schema and hash.

use super::StoreError;
use crate::files;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

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
    create_dir(files::containing_folder(path))?;
    write_file(path, bytes)
}

/// Writes a folder completely or not at all: `fill` fills an empty folder beside it, which then gets its name.
///
/// # Errors
/// If `folder` exists and is not empty, if `fill` fails, or if the disk fails.
pub fn write_folder<E: From<StoreError>>(
    folder: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    if folder.exists() && !names(folder)?.is_empty() {
        return Err(StoreError::FolderExists { folder: folder.to_owned() }.into());
    }
    let aside = super::beside(folder, super::PARTIAL);
    remove_dir(&aside)?;
    at(folder, files::create_dirs(&aside))?;
    fill(&aside)?;
    Ok(rename_dir(&aside, folder)?)
}

/// Removes unfinished files that a process killed during [`write_derived`] left in `folder`.
///
/// # Errors
/// If the disk fails.
pub fn remove_unfinished(folder: &Path) -> Result<(), StoreError> {
    at(folder, files::remove_unfinished(folder))
}

/// Writes a file completely or not at all, and flushes it to disk.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    at(path, files::write_whole(path, bytes))
}

/// The same as [`write_file`], but does nothing if the file has these contents already.
pub(super) fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if open(path).is_ok() && fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    write_file(path, bytes)
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in at(folder, files::persistently(|| fs::read_dir(folder)))? {
        names.push(at(folder, entry)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The names in a folder, sorted; none if it does not exist.
pub(super) fn names_if_any(folder: &Path) -> Result<Vec<String>, StoreError> {
    match names(folder) {
        Err(StoreError::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        names => names,
    }
}

/// Removes unfinished files in a folder, left by a process of this or an earlier version that was killed during
/// [`write_file`].
pub(super) fn remove_temporary(folder: &Path) -> Result<(), StoreError> {
    for name in names(folder)?.iter().filter(|name| files::is_old_temporary(name)) {
        remove_file(&folder.join(name))?;
    }
    remove_unfinished(folder)
}

/// Removes a file if it exists.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    at(path, files::remove_file(path))
}

/// Flushes a file to disk.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    at(path, files::sync(path))
}

/// Flushes a folder's entries to disk.
pub(super) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    at(path, files::sync_dir(path))
}

/// Creates a folder and its parents.
pub(super) fn create_dir(path: &Path) -> Result<(), StoreError> {
    at(path, files::create_dirs(path))
}

/// Copies a folder with its contents, flushed to disk.
pub(super) fn copy_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    create_dir(to)?;
    for name in names(from)? {
        let (source, copy) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            copy_dir(&source, &copy)?;
        } else {
            at(&copy, files::copy(&source, &copy))?;
            sync_file(&copy)?;
        }
    }
    sync_dir(to)
}

/// Removes a folder with its contents if it exists.
pub(super) fn remove_dir(path: &Path) -> Result<(), StoreError> {
    at(path, files::remove_dir(path))
}

/// Renames a finished folder unless there is one of that name already, and flushes the new name to disk. Returns false if
/// there is one.
pub(super) fn rename_dir_if_absent(from: &Path, to: &Path) -> Result<bool, StoreError> {
    at(to, files::rename_if_absent(from, to))
}

/// Renames a finished folder, and flushes the new name to disk.
pub(super) fn rename_dir(from: &Path, to: &Path) -> Result<(), StoreError> {
    at(to, files::rename(from, to))
}

/// Opens a file for reading. It must be a regular file, because reading a device or a pipe might never end.
pub(super) fn open(path: &Path) -> Result<File, StoreError> {
    if !at(path, files::persistently(|| fs::metadata(path)))?.is_file() {
        return Err(StoreError::NotAFile { path: path.to_owned() });
    }
    at(path, files::persistently(|| File::open(path)))
}

pub(super) fn read_text(path: &Path) -> Result<String, StoreError> {
    open(path)?;
    at(path, files::persistently(|| fs::read_to_string(path)))
}

/// The version of the JSON records that this program writes, and the newest that it reads. A record without the key
/// `schema` has version 1. Raise the version when a reader of the previous one would misread a record.
const SCHEMA: u64 = 2;

/// The first version in which every record has a hash. Some versions of the program wrote records of schema 1 with a
/// hash, earlier ones without.
const FIRST_WITH_HASH: u64 = 2;

/// A record in a file: `{"schema": 2, "blake3": "…", …}` with the record's own keys after these.
#[derive(Serialize)]
struct Versioned<'a, T> {
    schema: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
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

/// Reads a JSON record of this schema or an older one, and compares it with the hash that it holds. Only records of
/// schema 1 may lack the hash.
pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let text = read_text(path)?;
    let json = |source| StoreError::Json { path: path.to_owned(), source };
    // The record is parsed in several passes, because serde cannot read maps with integer keys inside a flattened
    // struct.
    let SchemaOnly { schema } = serde_json::from_str(&text).map_err(json)?;
    if schema > SCHEMA {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found: schema, known: SCHEMA });
    }
    let mut content: Map<String, Value> = serde_json::from_str(&text).map_err(json)?;
    match content.shift_remove("blake3") {
        None if schema >= FIRST_WITH_HASH => return Err(StoreError::HashMissing { path: path.to_owned() }),
        Some(recorded) if recorded != hash_of(content) => {
            return Err(StoreError::Altered { path: path.to_owned() });
        }
        _ => {}
    }
    serde_json::from_str(&text).map_err(json)
}

/// Whether a JSON record contains its hash. Only records of earlier versions do not.
pub(super) fn has_hash(path: &Path) -> Result<bool, StoreError> {
    let json = |source| StoreError::Json { path: path.to_owned(), source };
    let content: Map<String, Value> = serde_json::from_str(&read_text(path)?).map_err(json)?;
    Ok(content.contains_key("blake3"))
}

/// Writes a record with its schema and hash as JSON, indented, with a final newline; see [`write_file`].
pub(super) fn write_record<T: Serialize>(path: &Path, record: &T) -> Result<(), StoreError> {
    let json = |source| StoreError::Json { path: path.to_owned(), source };
    let versioned = Versioned { schema: SCHEMA, blake3: None, record };
    let content = serde_json::to_vec(&versioned).and_then(|text| serde_json::from_slice(&text));
    let blake3 = Some(hash_of(content.map_err(json)?));
    let mut text = serde_json::to_vec_pretty(&Versioned { blake3, ..versioned }).map_err(json)?;
    text.push(b'\n');
    write_file(path, &text)
}

/// The hash of a record's keys and values, which does not depend on the white space between them.
fn hash_of(content: Map<String, Value>) -> String {
    blake3::hash(Value::Object(content).to_string().as_bytes()).to_hex().to_string()
}

/// The first line of a sealed text, before the BLAKE3 hash of the lines after it.
const SEAL: &str = "# blake3 of the lines below: ";

/// A TOML text below a comment with its hash.
pub(super) fn sealed(text: &str) -> String {
    format!("{SEAL}{}\n{text}", blake3::hash(text.as_bytes()).to_hex())
}

/// Whether a TOML text is below a comment with its hash.
pub(super) fn is_sealed(path: &Path) -> Result<bool, StoreError> {
    Ok(read_text(path)?.starts_with(SEAL))
}

/// The text that was passed to [`sealed`]. A text without a hash was written by an earlier version, which stored none.
///
/// # Errors
/// If the text was changed after it was sealed, or if the file cannot be read.
pub(super) fn read_sealed(path: &Path) -> Result<String, StoreError> {
    let text = read_text(path)?;
    let Some((hash, content)) = text.strip_prefix(SEAL).and_then(|rest| rest.split_once('\n')) else {
        return Ok(text);
    };
    if hash.trim_end() != blake3::hash(content.as_bytes()).to_hex().as_str() {
        return Err(StoreError::Altered { path: path.to_owned() });
    }
    Ok(content.to_owned())
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
    fn a_record_starts_with_its_schema_and_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("example.json");
        write_record(&path, &example()).unwrap();
        assert!(read_text(&path).unwrap().starts_with("{\n  \"schema\": 2,\n  \"blake3\": "));
        assert_eq!(read_record::<Example>(&path).unwrap(), example());
    }

    #[test]
    fn a_record_in_which_a_number_was_changed_is_an_error_and_one_with_other_white_space_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("example.json");
        write_record(&path, &example()).unwrap();
        let text = read_text(&path).unwrap();
        fs::write(&path, text.replace([' ', '\n'], "")).unwrap();
        assert_eq!(read_record::<Example>(&path).unwrap(), example());
        fs::write(&path, text.replace("0.1", "0.2")).unwrap();
        let message = read_record::<Example>(&path).unwrap_err().to_string();
        assert!(message.contains("example.json: was changed after it was written"), "{message}");
    }

    #[test]
    fn a_record_without_its_hash_is_an_error_unless_it_is_of_the_first_schema() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("example.json");
        for hash in ["", r#""blake3": null,"#, r#""blake3": "","#] {
            fs::write(&path, format!(r#"{{"schema": 2, {hash} "by_generation": {{"0": 0.1}}}}"#)).unwrap();
            let message = read_record::<Example>(&path).unwrap_err().to_string();
            assert!(
                message.contains("example.json: ") && message.contains("after it was written"),
                "{message}"
            );
        }
        for schema in [r#""schema": 1,"#, ""] {
            fs::write(&path, format!(r#"{{{schema} "by_generation": {{"0": 0.1, "10": 1e-300}}}}"#)).unwrap();
            assert_eq!(read_record::<Example>(&path).unwrap(), example());
        }
    }

    #[test]
    fn a_sealed_text_is_read_back_and_a_changed_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("experiment.toml");
        fs::write(&path, sealed("seeds = [1, 2]\n")).unwrap();
        assert_eq!(read_sealed(&path).unwrap(), "seeds = [1, 2]\n");
        fs::write(&path, sealed("seeds = [1, 2]\n").replace("2]", "3]")).unwrap();
        assert!(matches!(read_sealed(&path), Err(StoreError::Altered { .. })));
        fs::write(&path, "seeds = [1]\n").unwrap();
        assert_eq!(read_sealed(&path).unwrap(), "seeds = [1]\n");
    }

    #[test]
    fn a_record_without_a_schema_has_the_first_one_and_a_newer_schema_is_an_error() {
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
