//! Natural text as token ids, read once by `genloss prepare` and shared by all that work on a run.
//!
//! ```text
//! text/
//!   train.ids   train.ends     token ids as u32, and where each document ends among them as u64, little-endian
//!   …                          the same for other splits
//!   text.json                  a record, with the hash of each of these files
//! ```
//!
//! The record is written last, and the other files are never changed, so that they can be mapped into memory.

use super::{StoreError, UNITS, disk};
use crate::documents::Documents;
use crate::files;
use genloss_kernels::mapped::{Mapped, Number, to_bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const RECORD: &str = "text.json";

/// Numbers of a file that are in memory at a time while it is written or checked.
const PIECE: usize = 4 << 20;

#[derive(Serialize, Deserialize)]
struct TextFile<T> {
    /// BLAKE3 of the other files, by their names.
    files: BTreeMap<String, String>,
    content: T,
}

/// The folder of the text in that of a run.
#[must_use]
pub fn text_folder(root: &Path) -> PathBuf {
    root.join(UNITS).join("text")
}

/// Equal for folders with the same text.
///
/// # Errors
/// If there is no text.
pub fn text_identity(folder: &Path) -> Result<String, StoreError> {
    let record = disk::read_text(&folder.join(RECORD))?;
    Ok(blake3::hash(record.as_bytes()).to_hex().to_string())
}

/// Writes `splits`, each with its name, and a record about them to a folder.
///
/// # Errors
/// If the disk fails.
pub fn write_text<T: Serialize>(
    folder: &Path,
    splits: &[(&str, &Documents)],
    content: &T,
) -> Result<(), StoreError> {
    disk::create_dir(folder)?;
    disk::remove_temporary(folder)?;
    disk::remove_file(&folder.join(RECORD))?;
    let mut files = BTreeMap::new();
    for (split, documents) in splits {
        let [ids, ends] = names_of(split);
        let release = || documents.release();
        files.insert(ids.clone(), write_numbers(&folder.join(ids), documents.flat(), release)?);
        files.insert(ends.clone(), write_numbers(&folder.join(ends), documents.ends(), || ())?);
    }
    disk::write_record(&folder.join(RECORD), &TextFile { files, content })
}

/// Maps the splits with these names, which [`write_text`] wrote to a folder, and reads the record.
///
/// # Errors
/// If a file is missing, or is not what was written.
pub fn read_text<T: DeserializeOwned, const N: usize>(
    folder: &Path,
    splits: [&str; N],
) -> Result<([Documents; N], T), StoreError> {
    let path = folder.join(RECORD);
    let record: TextFile<T> = disk::read_record(&path).map_err(|error| match error {
        newer @ StoreError::NewerSchema { .. } => newer,
        error => unusable(&path, error.reason()),
    })?;
    let mut read = [const { None }; N];
    for (split, documents) in splits.into_iter().zip(&mut read) {
        let [ids, ends] = names_of(split);
        let (ids, ends) = (mapped(folder, &ids, &record.files)?, mapped(folder, &ends, &record.files)?);
        *documents = Documents::mapped(ids, ends);
        if documents.is_none() {
            return Err(unusable(&path, format!("the documents of the {split} split do not fit its ids")));
        }
    }
    Ok((read.map(Option::unwrap_or_default), record.content))
}

/// Makes the text in the folder `from` available in the folder `to` as well, as links to the same files if possible.
///
/// # Errors
/// If the disk fails, or if there is no text in `from`.
pub fn share_text(from: &Path, to: &Path) -> Result<(), StoreError> {
    disk::remove_dir(to)?;
    disk::create_dir(to)?;
    let mut names = disk::names(from)?;
    names.retain(|name| !files::is_temporary(name));
    // The record comes last, because it makes the folder a text.
    names.sort_by_key(|name| name == RECORD);
    for name in names {
        let copy = to.join(&name);
        disk::at(&copy, files::link_or_copy(&from.join(&name), &copy))?;
    }
    Ok(())
}

/// Writes a file of numbers, which may be larger than memory; `release` is called after each piece of them. Returns the
/// BLAKE3 of the file.
fn write_numbers<T: Number>(path: &Path, numbers: &[T], release: impl Fn()) -> Result<String, StoreError> {
    let written = files::write_whole_pieces(path, size_of_val(numbers) as u64, |file| {
        numbers.chunks(PIECE).try_for_each(|piece| {
            file.write_all(&to_bytes(piece))?;
            release();
            Ok(())
        })
    });
    disk::at(path, written)?;
    Ok(hash_of_numbers(numbers, release))
}

/// BLAKE3 of a file of numbers.
fn hash_of_numbers<T: Number>(numbers: &[T], release: impl Fn()) -> String {
    let mut hasher = blake3::Hasher::new();
    for piece in numbers.chunks(PIECE) {
        hasher.update_rayon(&to_bytes(piece));
        release();
    }
    hasher.finalize().to_hex().to_string()
}

/// The names of the files with the ids and the ends of a split.
fn names_of(split: &str) -> [String; 2] {
    ["ids", "ends"].map(|kind| format!("{split}.{kind}"))
}

fn mapped<T: Number>(
    folder: &Path,
    name: &str,
    hashes: &BTreeMap<String, String>,
) -> Result<Mapped<T>, StoreError> {
    let path = folder.join(name);
    let file = disk::open(&path).map_err(|error| unusable(&path, error.reason()))?;
    let mapped = Mapped::<T>::new(&file).map_err(|error| unusable(&path, error.to_string()))?;
    if hashes.get(name) != Some(&hash_of_numbers(&mapped, || mapped.release())) {
        return Err(unusable(&path, "was changed after it was written".to_owned()));
    }
    Ok(mapped)
}

fn unusable(path: &Path, reason: String) -> StoreError {
    StoreError::Text { path: PathBuf::from(path), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn documents() -> Documents {
        [&[5, 7, 0][..], &[8, 0]].into_iter().collect()
    }

    fn read(folder: &Path) -> Result<([Documents; 2], String), StoreError> {
        read_text(folder, ["train", "none"])
    }

    fn written() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let splits = [("train", &documents()), ("none", &Documents::new())];
        write_text(&dir.path().join("text"), &splits, &"a record").unwrap();
        dir
    }

    #[test]
    fn a_text_is_read_back_and_shared_with_another_folder() {
        let dir = written();
        let [text, other] = ["text", "run/other"].map(|name| dir.path().join(name));
        let expected = ([documents(), Documents::new()], "a record".to_owned());
        assert_eq!(read(&text).unwrap(), expected);
        share_text(&text, &other).unwrap();
        share_text(&text, &other).unwrap();
        fs::remove_dir_all(&text).unwrap();
        assert_eq!(read(&other).unwrap(), expected);
    }

    #[test]
    fn a_file_that_is_damaged_or_missing_is_named_with_what_to_do() {
        type Damage = fn(&[u8]) -> Option<Vec<u8>>;
        let damages: [(&str, Damage, &str); 6] = [
            ("train.ids", |bytes| Some([&[9], &bytes[1..]].concat()), "was changed after it was written"),
            ("train.ids", |bytes| Some(bytes[..8].to_vec()), "was changed after it was written"),
            ("train.ends", |bytes| Some(bytes[..9].to_vec()), "has 9 bytes, which is not a multiple of 8"),
            ("none.ids", |_| None, "No such file"),
            ("text.json", |_| None, "No such file"),
            ("text.json", |bytes| Some(bytes.to_ascii_uppercase()), "missing field `files`"),
        ];
        for (name, damage, reason) in damages {
            let dir = written();
            let path = dir.path().join("text").join(name);
            match damage(&fs::read(&path).unwrap()) {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let message = read(&dir.path().join("text")).unwrap_err().to_string();
            let parts = [name, reason, "run genloss prepare"];
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }
}
