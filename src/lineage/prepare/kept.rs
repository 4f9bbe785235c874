//! Text that was tokenised once is kept for later commands.
//!
//! A folder of kept texts has one folder for each text, named after everything that the text depends on: the contents of
//! its files, the settings of corpus and tokenizer, and the program itself. So a text that is found is the right one, and
//! any command may remove or write it at any time.

use super::{PreparedText, check_settings, check_text, prepare_together};
use crate::config::Experiment;
use crate::corpus;
use crate::files;
use crate::lineage::RunError;
use crate::store;
use crate::tokenizer::TokenizerSettings;
use crate::units::Tokens;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The name of the folder beside runs.
const FOLDER: &str = ".text";

const TOKENIZER: &str = "tokenizer.json";

/// Files beside a tokenizer that may name its special tokens.
const BESIDE_TOKENIZER: [&str; 3] = ["config.json", "generation_config.json", "tokenizer_config.json"];

/// A folder of texts.
pub struct KeptTexts {
    folder: PathBuf,
    /// Text of files with fewer bytes is read again, which takes a moment.
    least_bytes: u64,
}

impl KeptTexts {
    /// The texts in `folder`, each of at least this many bytes.
    #[must_use]
    pub fn new(folder: PathBuf, least_bytes: u64) -> Self {
        Self { folder, least_bytes }
    }

    /// The texts in the folder `.text` beside the folder of a run.
    #[must_use]
    pub fn beside(run: &Path) -> Self {
        Self::new(files::containing_folder(run).join(FOLDER), 32 << 20)
    }

    /// As [`prepare_together`], but takes the text from the folder if it is there, and else keeps it there if it is large.
    /// (That it cannot be kept, as in a folder that is read-only, is no error.)
    ///
    /// # Errors
    /// As [`prepare_together`].
    pub fn prepare_together(&self, experiments: &[&Experiment]) -> Result<PreparedText, RunError> {
        let reach = check_settings(experiments)?;
        let Some((folder, sources)) = self.folder_of(experiments) else {
            return prepare_together(experiments);
        };
        if let Some(found) = load(&folder, reach) {
            return found.checked(experiments);
        }
        let prepared = prepare_together(experiments)?;
        let read = prepared.record.files.iter().map(|file| [file.path.clone(), file.blake3.clone()]);
        // Files that were replaced meanwhile are not those after which the folder is named.
        if read.eq(sources) && keep(&prepared, &folder).is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        Ok(prepared)
    }

    /// The folder of the text of some experiments, and the path and hash of each of its files. None if the text is small, comes
    /// from the built-in world, or cannot be read.
    fn folder_of(&self, experiments: &[&Experiment]) -> Option<(PathBuf, Vec<[String; 2]>)> {
        let Experiment { corpus, tokenizer, .. } = experiments[0];
        let sources = corpus.files()?;
        if corpus::size_of_files(&sources).ok()? < self.least_bytes {
            return None;
        }
        let files = corpus::hashes_of_files(&sources).ok()?;
        let fills_gaps = experiments.iter().any(|experiment| experiment.fills_gaps());
        let natural = corpus.of_text();
        let program = hash_of(&std::env::current_exe().ok()?)?;
        let key = json!([program, files, natural, tokenizer, hashes_of(tokenizer), fills_gaps]);
        Some((self.folder.join(&*blake3::hash(key.to_string().as_bytes()).to_hex()), files))
    }
}

/// The hashes of the files of an existing tokenizer; empty for those that do not exist.
fn hashes_of(tokenizer: &TokenizerSettings) -> Vec<String> {
    let Some(path) = &tokenizer.path else { return Vec::new() };
    let beside = BESIDE_TOKENIZER.map(|name| files::containing_folder(path).join(name));
    std::iter::once(path).chain(&beside).map(|path| hash_of(path).unwrap_or_default()).collect()
}

fn hash_of(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| blake3::hash(&bytes).to_hex().to_string())
}

/// The text in a folder. None if there is none, if it is damaged, or if its train split has fewer than `reach` tokens.
fn load(folder: &Path, reach: Tokens) -> Option<PreparedText> {
    let tokenizer = fs::read_to_string(folder.join(TOKENIZER)).ok()?;
    PreparedText::load(folder, tokenizer).ok().filter(|text| text.train.tokens() >= reach)
}

fn keep(text: &PreparedText, folder: &Path) -> Result<(), RunError> {
    store::write_derived(&folder.join(TOKENIZER), text.tokenizer_json.as_bytes())?;
    text.save(folder)
}

impl PreparedText {
    /// Checks the settings of experiments that depend on the text, as when it is read.
    fn checked(self, experiments: &[&Experiment]) -> Result<Self, RunError> {
        let bases = check_text(experiments, &self.train, &self.tokenizer, &self.heldout_texts)?;
        Ok(Self { bases, ..self })
    }
}
