//! The files of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the checkpoints of a generation in training, if there is one: `.work-gen-001.CLAIM` for `gen-001`.
pub fn checkpoints(lineage: &Path, generation: &str) -> Option<PathBuf> {
    let beginning = format!(".work-{generation}.");
    let names = fs::read_dir(lineage).into_iter().flatten().flatten().map(|entry| entry.path());
    names.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with(&beginning))
}

/// Every file of a store by its path, without those that record where it was made: `provenance.json` and `origin.json`.
pub fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !["provenance.json", "origin.json"].iter().any(|other| name.ends_with(other)) {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}
