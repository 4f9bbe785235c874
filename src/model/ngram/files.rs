//! The model folder: `config.json` with the architecture and the sizes, and `ngram.safetensors` with the counts.
//!
//! Everything else is computed from the counts. Reading checks every number, so a damaged file cannot cause wrong
//! predictions or an index out of range later.

use super::counts::{Level, NgramCounts};
use super::{MAX_ORDER, Ngram};
use crate::documents::TokenId;
use crate::model::{FolderProblem, ModelError, SpecialTokens};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::path::Path;

const ARCHITECTURE: &str = "GenlossNgram";
const CONFIG: &str = "config.json";
const TENSORS: &str = "ngram.safetensors";

#[derive(Serialize, Deserialize)]
struct NgramConfig {
    architectures: Vec<String>,
    order: usize,
    vocab_size: usize,
    bos_token_id: TokenId,
    eos_token_id: TokenId,
    /// BLAKE3 of `ngram.safetensors`.
    tensors_hash: String,
}

/// Writes `model` to the existing folder `dir`.
pub(super) fn save(model: &Ngram, dir: &Path) -> Result<(), ModelError> {
    let mut arrays = Vec::new();
    for (order, level) in model.counts.levels.iter().enumerate().skip(1) {
        for (name, numbers) in fields(level, order, model.order()) {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            arrays.push((tensor_name(order, name), numbers.len(), bytes));
        }
    }
    let views = arrays
        .iter()
        .map(|(name, len, bytes)| Ok((name.as_str(), TensorView::new(Dtype::U32, vec![*len], bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| FolderProblem::caused_by(TENSORS, error).of_folder(dir))?;
    let tensors = safetensors::serialize(views, None)
        .map_err(|error| FolderProblem::caused_by(TENSORS, error).of_folder(dir))?;
    let config = NgramConfig {
        architectures: vec![ARCHITECTURE.into()],
        order: model.order(),
        vocab_size: model.vocab_size(),
        bos_token_id: model.special.start,
        eos_token_id: model.special.end,
        tensors_hash: blake3::hash(&tensors).to_hex().to_string(),
    };
    let config = serde_json::to_string_pretty(&config)
        .map_err(|error| FolderProblem::caused_by(CONFIG, error).of_folder(dir))?;
    write(&dir.join(TENSORS), &tensors)?;
    write(&dir.join(CONFIG), config.as_bytes())
}

/// Whether `dir` contains the file that only n-gram models have.
pub(super) fn is_folder(dir: &Path) -> bool {
    dir.join(TENSORS).exists()
}

/// Reads a model from `dir`.
pub(super) fn load(dir: &Path) -> Result<Ngram, ModelError> {
    let (config, tensors) = (read(&dir.join(CONFIG))?, read(&dir.join(TENSORS))?);
    parse(&config, &tensors).map_err(|problem| problem.of_folder(dir))
}

/// Parses the contents of `config.json` and `ngram.safetensors`.
fn parse(config: &[u8], tensors: &[u8]) -> Result<Ngram, FolderProblem> {
    let config: NgramConfig = serde_json::from_slice(config).map_err(|error| {
        FolderProblem::caused_by(format!("{CONFIG} does not describe an n-gram model"), error)
    })?;
    check_config(&config, tensors)?;
    let tensors =
        SafeTensors::deserialize(tensors).map_err(|error| FolderProblem::caused_by(TENSORS, error))?;
    let counts = read_counts(&config, &tensors).map_err(|problem| problem.within(TENSORS))?;
    check_counts(&counts).map_err(|reason| FolderProblem::from(reason).within(TENSORS))?;
    let special = SpecialTokens { start: config.bos_token_id, end: config.eos_token_id };
    Ok(Ngram::from_counts(counts, special))
}

/// The arrays of a level that are saved: all that cannot be derived from the vocabulary size.
fn fields(level: &Level, order: usize, highest: usize) -> Vec<(&'static str, &[u32])> {
    let mut fields: Vec<(&'static str, &[u32])> = vec![("cumulative", &level.cumulative)];
    if order > 1 {
        fields.push(("tokens", &level.tokens));
        fields.push(("suffixes", &level.suffixes));
    }
    if order < highest {
        fields.push(("children", &level.children));
    }
    fields
}

fn tensor_name(order: usize, field: &str) -> String {
    format!("order_{order}.{field}")
}

fn check_config(config: &NgramConfig, tensors: &[u8]) -> Result<(), String> {
    let NgramConfig { architectures, order, vocab_size, bos_token_id, eos_token_id, tensors_hash } = config;
    if architectures.as_slice() != [ARCHITECTURE] {
        return Err(format!("{CONFIG} names the architecture {architectures:?}, not {ARCHITECTURE:?}"));
    }
    if !(1..=MAX_ORDER).contains(order) {
        return Err(format!("{CONFIG} gives an order of {order}; it must be from 1 to {MAX_ORDER}"));
    }
    if *vocab_size >= u32::MAX as usize || (*bos_token_id).max(*eos_token_id) as usize >= *vocab_size {
        return Err(format!(
            "{CONFIG} gives a vocabulary of {vocab_size} that is too large, or special tokens outside it"
        ));
    }
    if *tensors_hash != blake3::hash(tensors).to_hex().as_str() {
        return Err(format!(
            "{TENSORS} is not the file that was saved (its hash differs); copy or train the model again"
        ));
    }
    Ok(())
}

fn read_counts(config: &NgramConfig, tensors: &SafeTensors) -> Result<NgramCounts, FolderProblem> {
    let root = Level {
        tokens: vec![0],
        cumulative: vec![0, 0],
        suffixes: vec![0],
        children: vec![0, config.vocab_size as u32],
    };
    // One array for order 1, three for every other order, and the children of all orders except the highest.
    if tensors.len() != 4 * config.order - 3 {
        let (found, expected) = (tensors.len(), 4 * config.order - 3);
        return Err(format!("has {found} arrays instead of {expected}").into());
    }
    let mut levels = vec![root];
    for order in 1..=config.order {
        let array = |field: &str| read_array(tensors, &tensor_name(order, field));
        let mut level = Level { cumulative: array("cumulative")?, ..Level::default() };
        if order == 1 {
            if level.cumulative.len() != config.vocab_size + 1 {
                return Err("the counts of order 1 do not match the vocabulary".into());
            }
            level.tokens = (0..config.vocab_size as u32).collect();
            level.suffixes = vec![0; config.vocab_size];
        } else {
            level.tokens = array("tokens")?;
            level.suffixes = array("suffixes")?;
        }
        if order < config.order {
            level.children = array("children")?;
        }
        levels.push(level);
    }
    Ok(NgramCounts { levels })
}

fn read_array(tensors: &SafeTensors, name: &str) -> Result<Vec<u32>, FolderProblem> {
    let view = tensors.tensor(name).map_err(|error| FolderProblem::caused_by(name, error))?;
    if view.dtype() != Dtype::U32 || view.shape().len() != 1 {
        return Err(format!("{name} is not a one-dimensional array of unsigned 32-bit integers").into());
    }
    let (numbers, _) = view.data().as_chunks::<4>();
    Ok(numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

/// Returns an error if no text can have these counts.
fn check_counts(counts: &NgramCounts) -> Result<(), String> {
    for (order, level) in counts.levels.iter().enumerate().skip(1) {
        let nodes = level.len();
        if level.cumulative.len() != nodes + 1 || level.suffixes.len() != nodes || level.cumulative[0] != 0 {
            return Err(format!("the arrays of order {order} differ in length"));
        }
        // Order 1 also has the tokens that were not seen, so a count of 0 is valid there.
        let least = u32::from(order > 1);
        if !level
            .cumulative
            .windows(2)
            .all(|pair| pair[1].checked_sub(pair[0]).is_some_and(|count| count >= least))
        {
            return Err(format!("an n-gram of order {order} has a count of zero or less"));
        }
        if order > 1 {
            check_followers(&counts.levels[order - 2..=order], counts.vocab_size())
                .map_err(|reason| format!("order {order}: {reason}"))?;
        }
    }
    Ok(())
}

/// Checks the highest of three consecutive levels. The two lower ones must have been checked before.
fn check_followers(levels: &[Level], vocab_size: usize) -> Result<(), String> {
    let [shorter, contexts, level] = levels else { return Err("a level is missing".into()) };
    let is_complete = contexts.children.last().is_some_and(|&end| end as usize == level.len());
    if contexts.children.len() != contexts.len() + 1 || contexts.children[0] != 0 || !is_complete {
        return Err("the followers do not belong to the contexts".into());
    }
    if !contexts.children.is_sorted() {
        return Err("the contexts are out of order".into());
    }
    for context in 0..contexts.len() {
        let range = contexts.children_of(context);
        let tokens = &level.tokens[range.clone()];
        if !tokens.is_sorted_by(|a, b| a < b)
            || tokens.last().is_some_and(|&last| last as usize >= vocab_size)
        {
            return Err("the followers of a context are out of order".into());
        }
        let siblings = shorter.children_of(contexts.suffixes[context] as usize);
        for node in range {
            let suffix = level.suffixes[node] as usize;
            if !siblings.contains(&suffix) || contexts.tokens[suffix] != level.tokens[node] {
                return Err("an n-gram does not end with its suffix".into());
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| ModelError::File { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ModelError> {
    crate::files::write(path, bytes).map_err(|source| ModelError::File { path: path.to_owned(), source })
}
