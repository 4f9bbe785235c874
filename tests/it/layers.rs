//! The order of the modules: each may use those above it in `src/lib.rs`, never those below.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules in the order in which `src/lib.rs` declares them.
fn modules(source: &Path) -> Vec<String> {
    let text = fs::read_to_string(source.join("lib.rs")).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The modules that a file names after `crate::`, tests at its end left out.
fn uses(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or("");
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for line in lines {
        for rest in line.split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !name.is_empty() {
                found.push(name);
            }
        }
    }
    found
}

#[test]
fn no_module_uses_one_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let order = modules(&source);
    let place = |name: &str| order.iter().position(|module| module == name);
    let basics = place("units").expect("units is a basic module");
    let mut checked = 0;
    for file in rust_files(&source) {
        let below = file.strip_prefix(&source).unwrap();
        let first = below.iter().next().unwrap().to_string_lossy();
        let Some(own) = place(first.trim_end_matches(".rs")) else { continue };
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            let Some(used_place) = place(&used) else { continue };
            checked += 1;
            let allowed = used_place <= own || used_place <= basics;
            assert!(allowed, "{} uses {used}, which stands below {first} in src/lib.rs", below.display());
        }
    }
    assert!(checked > 50, "only {checked} uses found: the test no longer reads what it should");
}
