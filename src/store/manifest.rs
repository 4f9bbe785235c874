//! `manifest.json`: the fingerprints of a generation, and the hash and size of each of its files.

use super::{Address, MEASUREMENTS, MODEL, SYNTHETIC, StoreError, disk};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

pub(super) const MANIFEST: &str = "manifest.json";

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

/// The generation that a manifest belongs to. It reveals a generation that was moved to the folder of another one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    seed: u64,
    /// Absent for the generation 0 that arms share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arm: Option<String>,
    generation: usize,
}

impl Place {
    fn of(address: Address) -> Self {
        Self { seed: address.seed, arm: address.arm.map(str::to_owned), generation: address.generation }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} of seed {}", self.generation, self.seed)?;
        self.arm.as_ref().map_or(Ok(()), |arm| write!(f, ", arm \"{arm}\""))
    }
}

/// The contents of `manifest.json`. A manifest that was read by [`Manifest::read`] names every file that a generation
/// must have.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Absent in manifests of versions without fingerprints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprints: Option<Fingerprints>,
    /// Absent in manifests of earlier versions, which recorded no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<Place>,
    files: FileHashes,
}

/// Size and hash of files, by their paths below a folder, with `/` on every system.
pub(super) type FileHashes = BTreeMap<String, FileHash>;

/// Size and BLAKE3 hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileHash {
    bytes: u64,
    blake3: String,
}

/// Flushes every file of `folder` to disk and writes the manifest.
pub(super) fn write(folder: &Path, address: Address, fingerprints: &Fingerprints) -> Result<(), StoreError> {
    let files = hash_files(folder)?;
    let (fingerprints, place) = (Some(fingerprints.clone()), Some(Place::of(address)));
    disk::write_record(&folder.join(MANIFEST), &Manifest { fingerprints, place, files })
}

/// Flushes every file and folder below `folder` to disk. Returns the sizes and hashes of the files.
pub(super) fn hash_files(folder: &Path) -> Result<FileHashes, StoreError> {
    let mut files = FileHashes::new();
    for path in files_below(folder)? {
        disk::sync_file(&path)?;
        files.insert(relative(folder, &path), FileHash::of(&path, None)?);
    }
    Ok(files)
}

/// Replaces address and fingerprints in the manifest of `folder`.
pub(super) fn readdress(
    folder: &Path,
    address: Address,
    fingerprints: &Fingerprints,
) -> Result<(), StoreError> {
    let path = folder.join(MANIFEST);
    let manifest: Manifest = disk::read_record(&path)?;
    let (fingerprints, place) = (Some(fingerprints.clone()), Some(Place::of(address)));
    disk::write_record(&path, &Manifest { fingerprints, place, ..manifest })
}

/// The fingerprints in the manifest of `folder`; `None` if a version without fingerprints wrote it.
pub(super) fn fingerprints(folder: &Path) -> Result<Option<Fingerprints>, StoreError> {
    Ok(disk::read_record::<Manifest>(&folder.join(MANIFEST))?.fingerprints)
}

/// Hashes every file of the generation in `folder` and compares it with the manifest.
pub(super) fn verify(folder: &Path, address: Address) -> Result<(), StoreError> {
    Manifest::read(folder, address)?.verify(folder)
}

impl Manifest {
    /// Reads the manifest of the generation in `folder`, which should be that of `address`.
    pub(super) fn read(folder: &Path, address: Address) -> Result<Self, StoreError> {
        let manifest = Self::read_anywhere(folder)?;
        match &manifest.place {
            Some(place) if *place != Place::of(address) => {
                Err(StoreError::Misplaced { folder: folder.to_owned(), found: place.to_string() })
            }
            _ => Ok(manifest),
        }
    }

    /// The same as [`Self::read`] for a generation that may lie in any folder.
    pub(super) fn read_anywhere(folder: &Path) -> Result<Self, StoreError> {
        let manifest: Self = disk::read_record(&folder.join(MANIFEST)).map_err(|error| match error {
            error @ StoreError::NewerSchema { .. } => error,
            error => unreadable(&folder.join(MANIFEST))
                .unwrap_or_else(|| damaged(folder, &format!("{MANIFEST}: {}", error.reason()))),
        })?;
        match manifest.missing(folder) {
            Some(missing) => Err(damaged(folder, &format!("{MANIFEST} does not name {missing}"))),
            None => Ok(manifest),
        }
    }

    /// A file that every generation must have but this manifest does not name; `None` if the manifest names them all.
    /// (Runs that were published by earlier versions lack their synthetic text.)
    fn missing(&self, folder: &Path) -> Option<&'static str> {
        let has_model = || self.files.keys().any(|name| name.starts_with(&format!("{MODEL}/")));
        let may_lack_text = || self.place.is_none() && !folder.join(SYNTHETIC).exists();
        if !self.files.contains_key(MEASUREMENTS) {
            Some(MEASUREMENTS)
        } else if !self.files.contains_key(SYNTHETIC) && !may_lack_text() {
            Some(SYNTHETIC)
        } else {
            (!has_model()).then_some(MODEL)
        }
    }

    /// Compares every file with its hash.
    pub(super) fn verify(&self, folder: &Path) -> Result<(), StoreError> {
        self.files.keys().try_for_each(|name| self.check(folder, name))?;
        let model = files_below(&folder.join(MODEL))?;
        let is_unknown = |name: &String| !self.files.contains_key(name);
        match model.iter().map(|path| relative(folder, path)).find(is_unknown) {
            Some(unknown) => Err(damaged(folder, &format!("{MANIFEST} does not name {unknown}"))),
            None => Ok(()),
        }
    }

    /// Whether a file belongs to the generation.
    pub(super) fn names(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Compares one file with its hash.
    pub(super) fn check(&self, folder: &Path, name: &str) -> Result<(), StoreError> {
        check_file(folder, name, &self.files)
            .map_err(|reason| unreadable(&folder.join(name)).unwrap_or_else(|| damaged(folder, &reason)))
    }
}

/// The error for a file that this user may not read, which says nothing about its contents.
fn unreadable(path: &Path) -> Option<StoreError> {
    let is_denied = |error: &StoreError| matches!(error, StoreError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied);
    disk::open(path).err().filter(is_denied)
}

fn damaged(folder: &Path, reason: &str) -> StoreError {
    StoreError::Damaged { folder: folder.to_owned(), reason: reason.to_owned() }
}

/// Compares the file `name` below `folder` with its hash in `files`. The error is a sentence without the folder.
pub(super) fn check_file(folder: &Path, name: &str, files: &FileHashes) -> Result<(), String> {
    let expected = files.get(name).ok_or_else(|| format!("{name} has no hash on record"))?;
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(format!("{name:?} is not a path below this folder"));
    }
    let path = folder.join(name);
    // The target of a link could be outside the folder.
    let is_link = |path: &&Path| path.starts_with(folder) && *path != folder && path.is_symlink();
    if path.ancestors().find(is_link).is_some() {
        return Err(format!("{name} is a symbolic link"));
    }
    let found =
        FileHash::of(&path, Some(expected.bytes)).map_err(|error| format!("{name}: {}", error.reason()))?;
    if found.bytes != expected.bytes {
        return Err(format!("{name} has {} bytes instead of {}", found.bytes, expected.bytes));
    }
    if found.blake3 != expected.blake3 {
        return Err(format!("{name} is not what was written"));
    }
    Ok(())
}

impl FileHash {
    /// Hashes a file; the hash stays empty if the file is not of the expected size.
    fn of(path: &Path, expected_bytes: Option<u64>) -> Result<Self, StoreError> {
        let file = disk::open(path)?;
        let bytes = disk::at(path, file.metadata())?.len();
        if expected_bytes.is_some_and(|expected| bytes != expected) {
            return Ok(Self { bytes, blake3: String::new() });
        }
        let mut hasher = blake3::Hasher::new();
        disk::at(path, hasher.update_reader(file.take(bytes)))?;
        Ok(Self { bytes: hasher.count(), blake3: hasher.finalize().to_hex().to_string() })
    }
}

/// The files in `folder` and in all folders below it, sorted.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut files = Vec::new();
    for name in disk::names(folder)? {
        let path = folder.join(name);
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// The path below the generation's folder, with `/` on every system.
fn relative(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}
