//! What the fuzz targets share: a file with the fuzzed bytes, and the settings under which it is read.
//!
//! A target fails if reading panics, hangs, takes more memory than libFuzzer's limit, or succeeds with something that
//! cannot be right.

use genloss::corpus::{self, CorpusSettings, RequiredTokens};
use genloss::units::Tokens;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// A path in a folder of this process.
pub fn path(name: &str) -> PathBuf {
    let folder = |folder: &OnceCell<tempfile::TempDir>| {
        folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path().join(name)
    };
    FOLDER.with(folder)
}

/// Writes the bytes to a file with this name and returns its path.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = path(name);
    std::fs::write(&path, bytes).expect("the temporary folder can be written");
    path
}

/// Reads the bytes as a corpus file with this name. No document may be empty, and each is in one split.
pub fn read_corpus(name: &str, bytes: &[u8]) {
    let settings = corpus_of(&file(name, bytes));
    let required = RequiredTokens { train: Tokens(1), heldout: Tokens(1), reference: Tokens(1) };
    let Ok(text) = corpus::load(&settings, required) else { return };
    for texts in [&text.train, &text.heldout, &text.reference] {
        let documents = texts.first(texts.len()).expect("the temporary folder can be read");
        assert!(documents.iter().all(|document| !document.trim().is_empty()), "an empty document");
    }
}

fn corpus_of(path: &Path) -> CorpusSettings {
    let file = format!(
        "name = \"fuzz\"\nseeds = [1]\ngenerations = 1\n[corpus]\nsource = [{:?}]\ntrain_tokens = 1000\n\
         heldout_tokens = 1000\nreference_tokens = 1000\n[[arm]]\nname = \"arm\"\nmixture = \"replace\"\n",
        path.to_str().expect("a temporary path is text")
    );
    genloss::config::parse(&file, "fuzz.toml", &[]).expect("a valid experiment").corpus
}
