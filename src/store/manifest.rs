//! `manifest.json`: the hash and size of every file of a generation.

use super::{StoreError, disk};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "manifest.json";

#[derive(Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    blake3: String,
}

/// Flushes every file of `folder` to disk and writes the manifest.
pub(super) fn write(folder: &Path) -> Result<(), StoreError> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    let mut next = 0;
    while next < folders.len() {
        for path in entries(&folders[next])? {
            if path.is_dir() {
                folders.push(path);
            } else {
                disk::sync_file(&path)?;
                files.insert(relative(folder, &path), entry(&path)?);
            }
        }
        next += 1;
    }
    disk::write_file(&folder.join(MANIFEST), &disk::to_json(&Manifest { files }))?;
    folders.iter().try_for_each(|folder| disk::sync_dir(folder))
}

/// Checks every file of `folder` against the manifest.
pub(super) fn verify(folder: &Path) -> Result<(), StoreError> {
    let damaged = |reason: String| StoreError::Damaged { folder: folder.to_owned(), reason };
    let manifest: Manifest =
        disk::read_json(&folder.join(MANIFEST)).map_err(|error| damaged(error.to_string()))?;
    for (name, expected) in &manifest.files {
        match entry(&folder.join(name)) {
            Ok(found) if found == *expected => {}
            Ok(found) if found.bytes != expected.bytes => {
                return Err(damaged(format!(
                    "{name} has {} bytes instead of {}",
                    found.bytes, expected.bytes
                )));
            }
            Ok(_) => return Err(damaged(format!("{name} is not what was written"))),
            Err(error) => return Err(damaged(error.to_string())),
        }
    }
    Ok(())
}

fn entry(path: &Path) -> Result<Entry, StoreError> {
    let mut hasher = blake3::Hasher::new();
    let file = disk::at(path, File::open(path))?;
    disk::at(path, hasher.update_reader(file))?;
    Ok(Entry { bytes: hasher.count(), blake3: hasher.finalize().to_hex().to_string() })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let listed = disk::at(folder, fs::read_dir(folder))?;
    listed.map(|entry| disk::at(folder, entry).map(|entry| entry.path())).collect()
}

/// The path below the generation's folder, with `/` on every system.
fn relative(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
