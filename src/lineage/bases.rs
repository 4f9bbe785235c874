//! Checks the model folders that training starts from: they must fit the experiment and have its tokenizer.
//!
//! To a model, token 65 means what it meant in its own training. With another tokenizer, even one of the same size, its
//! weights are worse than random ones, and no other check would reveal this.

use super::{RunError, learner};
use crate::config::{Arm, Experiment};
use crate::model::transformer::Transformer;
use crate::model::{self, SpecialTokens};
use crate::progress::Silent;
use crate::seed::{SHARED, StreamKey, streams};
use crate::stage::Stage;
use crate::tokenizer::Tokenizer;
use crate::training::Start;
use crate::training::lora::Adapters;
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Maximum number of texts that two tokenizers are compared on.
const MOST_TEXTS: usize = 200;

/// A model folder that training starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    /// BLAKE3 of its files.
    pub(super) hash: String,
    /// Number of its embeddings, which may be more than the tokenizer has tokens.
    pub(super) vocab_size: usize,
    /// Notes for the user.
    pub(super) notes: Vec<String>,
}

/// Every model folder that training starts from, with the arm that starts from it. The arm has the settings of the
/// generation that starts from the folder.
pub(super) fn bases(experiment: &Experiment) -> impl Iterator<Item = (Cow<'_, Arm>, PathBuf)> {
    let all = experiment.arms.iter().flat_map(|arm| [experiment.at(arm, 0), Cow::Borrowed(arm)]);
    all.filter_map(|arm| arm.training.base.clone().map(|base| (arm, base)))
}

/// Checks every model folder that training starts from. `texts` are encoded by both tokenizers. The result has an entry
/// for each path.
pub(super) fn check(
    experiment: &Experiment,
    tokenizer: &Tokenizer,
    texts: &[String],
) -> Result<BTreeMap<String, Base>, RunError> {
    let mut checked = BTreeMap::new();
    let interrupt = AtomicBool::new(false);
    for (arm, base) in bases(experiment) {
        let own = own_tokenizer(&base)?;
        if let Some(own) = &own {
            check_tokenizer(tokenizer, own, &base, texts)?;
        }
        let start = Start::Base(base.clone());
        let key = StreamKey::new(0, SHARED, 0, streams::CHECK);
        learner(&arm, tokenizer, start, &Device::Cpu).check_start(&Stage::new(key, &Silent, &interrupt))?;
        let shape = Transformer::shape_of(&base)?;
        let found: &mut Base = match checked.entry(base.display().to_string()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Base {
                hash: model::folder_hash(&base)?,
                vocab_size: shape.vocab_size,
                notes: notes(&base, tokenizer, own.is_some())?,
            }),
        };
        if let Some(lora) = &arm.training.lora
            && let Ok(described) = Adapters::described(&shape, lora)
            && !found.notes.contains(&described)
        {
            found.notes.push(described);
        }
    }
    Ok(checked)
}

/// The tokenizer of a model folder, if it has a `tokenizer.json`.
fn own_tokenizer(base: &Path) -> Result<Option<Tokenizer>, RunError> {
    let path = base.join("tokenizer.json");
    if !path.exists() {
        return Ok(None);
    }
    let (special, sources) = Transformer::special_tokens_of(base)?;
    Ok(Some(Tokenizer::of_model(&path, special, sources)?))
}

/// Returns an error if the experiment's tokenizer is not that of the model folder.
fn check_tokenizer(
    tokenizer: &Tokenizer,
    own: &Tokenizer,
    base: &Path,
    texts: &[String],
) -> Result<(), RunError> {
    let folder = base.display();
    let refused = |difference: String| {
        let message = format!(
            "the model in {folder} was trained with another tokenizer: {difference}; set it to \"{}\"",
            base.join("tokenizer.json").display()
        );
        Err(RunError::Setting { key: "tokenizer.path".to_owned(), message })
    };
    if let Some(difference) = own.first_difference(tokenizer) {
        let is_sentinel = tokenizer.sentinels().is_some_and(|sentinels| sentinels.contain(difference.id));
        if is_sentinel && difference.left.is_none() {
            let message = format!("the model in {folder} has not learnt to fill gaps; leave this out");
            return Err(RunError::Setting { key: "training.fim_share".to_owned(), message });
        }
        return refused(difference.between("the model's", "the experiment's"));
    }
    for text in texts.iter().take(MOST_TEXTS) {
        if own.encode(text)? != tokenizer.encode(text)? {
            let beginning: String = text.chars().take(40).collect();
            return refused(format!("tokens are the same, but {beginning:?} is split into different ones"));
        }
    }
    Ok(())
}

fn notes(base: &Path, tokenizer: &Tokenizer, has_tokenizer: bool) -> Result<Vec<String>, RunError> {
    let folder = base.display();
    let mut notes = Transformer::notes_on(base)?;
    if !has_tokenizer {
        notes.push(format!(
            "{folder} has no tokenizer.json, so it is unknown whether its model was trained with this tokenizer"
        ));
    }
    let (SpecialTokens { start, end }, _) = Transformer::special_tokens_of(base)?;
    let ours = tokenizer.special();
    if (start, end) != (ours.start, ours.end) {
        notes.push(format!(
            "the model in {folder} starts documents with token {start} and ends them with {end}; the experiment's \
             tokenizer uses {} and {}, which the model must still learn",
            ours.start, ours.end
        ));
    }
    Ok(notes)
}
