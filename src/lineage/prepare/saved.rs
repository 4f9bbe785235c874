//! Prepared text in a folder, from which any number of processes take it.

use super::PreparedText;
use crate::config::Arm;
use crate::corpus::{CorpusSplit, TextRecord};
use crate::lineage::RunError;
use crate::lineage::bases::Base;
use crate::measure::{Fact, Reference};
use crate::model;
use crate::store::{self, StoreError};
use crate::tokenizer::{Coverage, SpecialSources, SpecialTokens, Tokenizer};
use crate::units::Tokens;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const SPLITS: [CorpusSplit; 3] = [CorpusSplit::Train, CorpusSplit::Heldout, CorpusSplit::Reference];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything about a prepared text that neither its token ids nor the tokenizer tell.
#[derive(PartialEq, Serialize, Deserialize)]
struct SavedText {
    /// Of the program. Another version may make other numbers of the same text.
    version: String,
    tokenizer_hash: String,
    special_tokens: SpecialTokens,
    special_sources: SpecialSources,
    evaluation_hash: String,
    hashes: BTreeMap<String, String>,
    split_tokens: BTreeMap<String, Tokens>,
    coverage: BTreeMap<String, Coverage>,
    record: TextRecord,
    encoding_note: Option<String>,
    heldout_floor_nats: Option<f64>,
    bases: BTreeMap<String, Base>,
    facts: Vec<Fact>,
    heldout_texts: Vec<String>,
}

impl PreparedText {
    /// Writes the text to a folder, for [`Self::load`]. The tokenizer is left out, because the store keeps it.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn save(&self, folder: &Path) -> Result<(), RunError> {
        let documents = [&self.train, &self.heldout, &self.reference_documents];
        let splits: Vec<_> = SPLITS.map(CorpusSplit::name).into_iter().zip(documents).collect();
        Ok(store::write_text(folder, &splits, &self.to_saved())?)
    }

    /// Returns true if a folder has exactly this text, undamaged.
    #[must_use]
    pub fn is_saved_in(&self, folder: &Path) -> bool {
        let found = store::read_text::<SavedText, 3>(folder, SPLITS.map(CorpusSplit::name));
        // The hashes among the contents are those of all texts and of the tokenizer.
        found.is_ok_and(|(_, found)| found == self.to_saved())
    }

    fn to_saved(&self) -> SavedText {
        SavedText {
            version: VERSION.to_owned(),
            tokenizer_hash: self.tokenizer_hash.clone(),
            special_tokens: self.tokenizer.special(),
            special_sources: self.tokenizer.special_sources().clone(),
            evaluation_hash: self.evaluation_hash.clone(),
            hashes: self.hashes.clone(),
            split_tokens: self.split_tokens.clone(),
            coverage: self.coverage.clone(),
            record: self.record.clone(),
            encoding_note: self.encoding_note.clone(),
            heldout_floor_nats: self.heldout_floor_nats,
            bases: self.bases.clone(),
            facts: self.facts.clone(),
            heldout_texts: self.heldout_texts.clone(),
        }
    }

    /// The text that [`Self::save`] wrote to a folder, with the tokenizer that the store keeps. Its token ids are mapped
    /// into memory, so that processes of one machine share them. Base models are not looked at: see
    /// [`Self::check_base`].
    ///
    /// # Errors
    /// If a file of the folder is missing or damaged, or if the text was not written with this tokenizer.
    pub fn load(folder: &Path, tokenizer_json: String) -> Result<Self, RunError> {
        let (documents, saved) = store::read_text::<SavedText, 3>(folder, SPLITS.map(CorpusSplit::name))?;
        let [train, heldout, reference] = documents;
        if saved.version != VERSION {
            let reason = format!(
                "was prepared by genloss {}, and this is {VERSION}: use the same version on every machine",
                saved.version
            );
            return Err(StoreError::Text { path: folder.to_owned(), reason }.into());
        }
        if blake3::hash(tokenizer_json.as_bytes()).to_hex().as_str() != saved.tokenizer_hash {
            let reason = "belongs to another tokenizer than the one on record".to_owned();
            return Err(StoreError::Text { path: folder.to_owned(), reason }.into());
        }
        let tokenizer = Tokenizer::from_json(&tokenizer_json, saved.special_tokens, saved.special_sources)?;
        let reference_texts = tokenizer.decode_documents(&reference);
        Ok(Self {
            reference: Reference::new(&reference, &reference_texts, &heldout, &saved.heldout_texts)?,
            reference_documents: reference,
            tokenizer,
            tokenizer_json,
            train,
            heldout,
            heldout_texts: saved.heldout_texts,
            record: saved.record,
            encoding_note: saved.encoding_note,
            facts: saved.facts,
            heldout_floor_nats: saved.heldout_floor_nats,
            tokenizer_hash: saved.tokenizer_hash,
            evaluation_hash: saved.evaluation_hash,
            hashes: saved.hashes,
            bases: saved.bases,
            split_tokens: saved.split_tokens,
            coverage: saved.coverage,
        })
    }

    /// Checks that the model folder that `arm` starts its training from, if any, is the one that the text was prepared
    /// with. On another machine the same path may lead to another folder, or to none.
    ///
    /// # Errors
    /// If the folder cannot be read, or has other contents.
    pub fn check_base(&self, arm: &Arm) -> Result<(), RunError> {
        let Some(base) = &arm.training.base else { return Ok(()) };
        let folder = base.display();
        let refused = |difference: String| RunError::Setting {
            key: "training.base".to_owned(),
            message: format!(
                "{folder} {difference}; put the model folder that genloss prepare read there on this machine too, or \
                 give one that all machines see and run genloss prepare again"
            ),
        };
        let recorded = self.base_hash(base).ok_or_else(|| refused("was not prepared".to_owned()))?;
        let found = model::folder_hash(base)
            .map_err(|error| refused(format!("cannot be read on this machine ({})", with_source(&error))))?;
        if found != recorded {
            let [recorded, found] = [recorded, &found].map(|hash| &hash[..16]);
            return Err(refused(format!(
                "holds another model on this machine than when the text was prepared (its hash is {found}…, not \
                 {recorded}…)"
            )));
        }
        Ok(())
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
