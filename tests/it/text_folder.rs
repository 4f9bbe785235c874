//! Folders of text files to read a corpus from.

use genloss::corpus::{CorpusError, CorpusSettings, RequiredTokens, TextRecord, Texts, load};
use genloss::settings;
use genloss::units::Tokens;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tempfile::TempDir;

/// A natural text with all its documents in memory.
#[derive(Debug)]
pub struct Loaded {
    pub train: Vec<String>,
    pub heldout: Vec<String>,
    pub reference: Vec<String>,
    pub hashes: BTreeMap<String, String>,
    pub record: TextRecord,
}

/// A folder of text files.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
        std::fs::write(path, bytes).expect("writes");
        self
    }

    /// Loads with `settings` besides the source.
    pub fn load_with(&self, patterns: &[&str], settings: &str) -> Result<Loaded, CorpusError> {
        let paths: Vec<PathBuf> = patterns.iter().map(|pattern| self.path(pattern)).collect();
        let table = format!("source = {paths:?}\n{SIZES}\n{settings}");
        let corpus: CorpusSettings =
            settings::read(table.parse().expect("a table")).expect("settings of a corpus");
        let text = load(&corpus, NOTHING_REQUIRED)?;
        let hashes = text.hashes();
        let all = |texts: &Texts| texts.first(texts.len()).expect("reads again");
        let [train, heldout, reference] = [&text.train, &text.heldout, &text.reference].map(all);
        Ok(Loaded { train, heldout, reference, hashes, record: text.record })
    }

    pub fn load(&self, patterns: &[&str]) -> Result<Loaded, CorpusError> {
        self.load_with(patterns, "split = \"line\"")
    }

    /// The record of a text that can be read.
    pub fn record(&self, patterns: &[&str]) -> TextRecord {
        self.load(patterns).expect("reads").record
    }

    pub fn names(&self, patterns: &[&str]) -> Vec<String> {
        let below = |path: &str| path.replace(&format!("{}/", self.0.path().display()), "");
        self.record(patterns).files.iter().map(|file| below(&file.path)).collect()
    }

    pub fn error(&self, patterns: &[&str]) -> String {
        self.error_with(patterns, "split = \"line\"")
    }

    pub fn error_with(&self, patterns: &[&str], settings: &str) -> String {
        let error = self.load_with(patterns, settings).expect_err("an error");
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
        text.replace(&self.0.path().display().to_string(), "DIR")
    }
}

const SIZES: &str = "train_tokens = 1\nheldout_tokens = 1\nreference_tokens = 1";

const NOTHING_REQUIRED: RequiredTokens =
    RequiredTokens { train: Tokens(0), heldout: Tokens(0), reference: Tokens(0) };
