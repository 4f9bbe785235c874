//! The files of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every file of a store by its path, without the lock and `provenance.json`, which contains the command line.
pub fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !name.ends_with("provenance.json") && !name.ends_with(".lock") {
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}
