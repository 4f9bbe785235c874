//! `manifest.json`: the fingerprints of a generation, and the hash and size of each of its files.

use super::{StoreError, disk};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "manifest.json";

/// A BLAKE3 hash, in hexadecimal, of everything that a model or a generation depends on. Equal fingerprints mean
/// bit-identical results on the same device with the same vector instructions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl From<blake3::Hash> for Fingerprint {
    fn from(hash: blake3::Hash) -> Self {
        Self(hash.to_hex().to_string())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The two fingerprints of a generation. Equal generations have equal models; the reverse need not hold, since one
/// model can write in several ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// Fingerprint of the model: its settings, training text and parents.
    pub model: Fingerprint,
    /// Fingerprint of all files of the generation: of the model, its corpus and the measurements.
    pub generation: Fingerprint,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    /// Absent in manifests of versions without fingerprints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprints: Option<Fingerprints>,
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    blake3: String,
}

/// Flushes every file of `folder` to disk and writes the manifest.
pub(super) fn write(folder: &Path, fingerprints: &Fingerprints) -> Result<(), StoreError> {
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
    let manifest = Manifest { fingerprints: Some(fingerprints.clone()), files };
    disk::write_record(&folder.join(MANIFEST), &manifest)?;
    folders.iter().try_for_each(|folder| disk::sync_dir(folder))
}

/// Replaces the fingerprints in the manifest of `folder`, if they differ.
pub(super) fn set_fingerprints(folder: &Path, fingerprints: &Fingerprints) -> Result<(), StoreError> {
    let path = folder.join(MANIFEST);
    let manifest: Manifest = disk::read_record(&path)?;
    if manifest.fingerprints.as_ref() == Some(fingerprints) {
        return Ok(());
    }
    disk::write_record(&path, &Manifest { fingerprints: Some(fingerprints.clone()), ..manifest })
}

/// The fingerprints in the manifest of `folder`; `None` if a version without fingerprints wrote it.
pub(super) fn fingerprints(folder: &Path) -> Result<Option<Fingerprints>, StoreError> {
    Ok(disk::read_record::<Manifest>(&folder.join(MANIFEST))?.fingerprints)
}

/// Hashes every file of `folder` and compares it with the manifest.
pub(super) fn verify(folder: &Path) -> Result<(), StoreError> {
    let unreadable = |error| StoreError::Unreadable { folder: folder.to_owned(), source: Box::new(error) };
    let damaged = |reason: String| StoreError::Damaged { folder: folder.to_owned(), reason };
    let manifest: Manifest = disk::read_record(&folder.join(MANIFEST)).map_err(unreadable)?;
    for (name, expected) in &manifest.files {
        let found = entry(&folder.join(name)).map_err(unreadable)?;
        if found.bytes != expected.bytes {
            return Err(damaged(format!("{name} has {} bytes instead of {}", found.bytes, expected.bytes)));
        }
        if found.blake3 != expected.blake3 {
            return Err(damaged(format!("{name} is not what was written")));
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
