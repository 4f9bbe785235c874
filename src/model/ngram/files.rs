//! A model folder: `config.json` says what it is, `ngram.safetensors` holds the counts.
//!
//! Everything else follows from the counts and is computed again. A folder is trusted only after every number in it
//! has been checked, so that no damaged file can lead to a wrong prediction or an index out of range later.

use super::counts::{Counts, Level};
use super::{MAX_ORDER, Ngram};
use crate::documents::TokenId;
use crate::model::{ModelError, SpecialTokens};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::path::Path;

const ARCHITECTURE: &str = "GenlossNgram";
const CONFIG: &str = "config.json";
const TENSORS: &str = "ngram.safetensors";

#[derive(Serialize, Deserialize)]
struct Config {
    architectures: Vec<String>,
    order: usize,
    vocab_size: usize,
    bos_token_id: TokenId,
    eos_token_id: TokenId,
    /// BLAKE3 of the tensors' file.
    tensors_hash: String,
}

/// Writes `model` into `dir`.
pub(super) fn save(model: &Ngram, dir: &Path) -> Result<(), ModelError> {
    let damaged = |reason: String| ModelError::Folder { dir: dir.to_owned(), reason };
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
        .map_err(|error| damaged(error.to_string()))?;
    let tensors = safetensors::serialize(views, None).map_err(|error| damaged(error.to_string()))?;
    let config = Config {
        architectures: vec![ARCHITECTURE.into()],
        order: model.order(),
        vocab_size: model.vocab_size(),
        bos_token_id: model.special.start,
        eos_token_id: model.special.end,
        tensors_hash: blake3::hash(&tensors).to_hex().to_string(),
    };
    let config = serde_json::to_string_pretty(&config).map_err(|error| damaged(error.to_string()))?;
    write(&dir.join(TENSORS), &tensors)?;
    write(&dir.join(CONFIG), config.as_bytes())
}

/// Whether `dir` holds the file that only an n-gram model has.
pub(super) fn is_folder(dir: &Path) -> bool {
    dir.join(TENSORS).exists()
}

/// Reads a model from `dir`.
pub(super) fn load(dir: &Path) -> Result<Ngram, ModelError> {
    let bad = |reason: String| ModelError::Folder { dir: dir.to_owned(), reason };
    let config: Config = serde_json::from_slice(&read(&dir.join(CONFIG))?)
        .map_err(|error| bad(format!("{CONFIG} does not describe an n-gram model: {error}")))?;
    let tensors = read(&dir.join(TENSORS))?;
    check_config(&config, &tensors).map_err(bad)?;
    let tensors = SafeTensors::deserialize(&tensors).map_err(|error| bad(format!("{TENSORS}: {error}")))?;
    let counts = read_counts(&config, &tensors).map_err(|reason| bad(format!("{TENSORS}: {reason}")))?;
    check_counts(&counts).map_err(|reason| bad(format!("{TENSORS}: {reason}")))?;
    let special = SpecialTokens { start: config.bos_token_id, end: config.eos_token_id };
    Ok(Ngram::from_counts(counts, special))
}

/// The arrays of a level that are saved: all but those that every model shares.
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

fn check_config(config: &Config, tensors: &[u8]) -> Result<(), String> {
    let Config { architectures, order, vocab_size, bos_token_id, eos_token_id, tensors_hash } = config;
    if architectures.as_slice() != [ARCHITECTURE] {
        return Err(format!("{CONFIG} names the architecture {architectures:?}, not {ARCHITECTURE:?}"));
    }
    if !(1..=MAX_ORDER).contains(order) {
        return Err(format!("{CONFIG} gives an order of {order}; it can be 1 to {MAX_ORDER}"));
    }
    if *vocab_size >= u32::MAX as usize || (*bos_token_id).max(*eos_token_id) as usize >= *vocab_size {
        return Err(format!("{CONFIG} gives a vocabulary of {vocab_size} and special tokens outside of it"));
    }
    if *tensors_hash != blake3::hash(tensors).to_hex().as_str() {
        return Err(format!(
            "{TENSORS} is not the file that was saved (its hash differs); write the model again"
        ));
    }
    Ok(())
}

fn read_counts(config: &Config, tensors: &SafeTensors) -> Result<Counts, String> {
    let root = Level {
        tokens: vec![0],
        cumulative: vec![0, 0],
        suffixes: vec![0],
        children: vec![0, config.vocab_size as u32],
    };
    // One array of order 1, three of every other, and the children of all but the highest.
    if tensors.len() != 4 * config.order - 3 {
        return Err(format!(
            "there are {} arrays, which is not what order {} has",
            tensors.len(),
            config.order
        ));
    }
    let mut levels = vec![root];
    for order in 1..=config.order {
        let array = |field: &str| read_array(tensors, &tensor_name(order, field));
        let mut level = Level { cumulative: array("cumulative")?, ..Level::default() };
        if order == 1 {
            if level.cumulative.len() != config.vocab_size + 1 {
                return Err("the counts of order 1 are not those of the vocabulary".into());
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
    Ok(Counts { levels })
}

fn read_array(tensors: &SafeTensors, name: &str) -> Result<Vec<u32>, String> {
    let view = tensors.tensor(name).map_err(|error| error.to_string())?;
    if view.dtype() != Dtype::U32 || view.shape().len() != 1 {
        return Err(format!("{name} is not a row of unsigned 32-bit integers"));
    }
    let (numbers, _) = view.data().as_chunks::<4>();
    Ok(numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

/// Whether the arrays are what counting a text could have given.
fn check_counts(counts: &Counts) -> Result<(), String> {
    for (order, level) in counts.levels.iter().enumerate().skip(1) {
        let nodes = level.len();
        if level.cumulative.len() != nodes + 1 || level.suffixes.len() != nodes || level.cumulative[0] != 0 {
            return Err(format!("the arrays of order {order} differ in length"));
        }
        // Order 1 also holds the tokens that were not seen.
        let least = u32::from(order > 1);
        if !level
            .cumulative
            .windows(2)
            .all(|pair| pair[1].checked_sub(pair[0]).is_some_and(|count| count >= least))
        {
            return Err(format!("an n-gram of order {order} has no count"));
        }
        if order > 1 {
            check_followers(&counts.levels[order - 2..=order], counts.vocab_size())
                .map_err(|reason| format!("order {order}: {reason}"))?;
        }
    }
    Ok(())
}

/// Checks the highest of three neighbouring levels against the two below it, which have been checked.
fn check_followers(levels: &[Level], vocab_size: usize) -> Result<(), String> {
    let [shorter, contexts, level] = levels else { return Err("a level is missing".into()) };
    let ends_well = contexts.children.last().is_some_and(|&end| end as usize == level.len());
    if contexts.children.len() != contexts.len() + 1 || contexts.children[0] != 0 || !ends_well {
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
    std::fs::write(path, bytes).map_err(|source| ModelError::File { path: path.to_owned(), source })
}
