//! Reading and writing of models as Hugging Face folders.
//!
//! Reading returns an error for every feature that is not supported (such as projected embeddings and other
//! activations), because a model read without that feature would give plausible but wrong numbers.

use super::parameters::Shape;
use super::{Network, Transformer};
use crate::input_files;
use crate::model::group;
use crate::model::tensors::{self, NamedTensor, Numbers};
use crate::model::{FolderProblem, ModelError, SpecialTokens};
use crate::tokenizer::SpecialSources;
use candle_core::Device;
use config::ModelConfig;
use genloss_kernels::Precision;
use serde_json::Value;
use std::path::Path;

mod config;
mod saved;
mod special;
mod weights;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Largest size of a file that is read into memory.
const MOST_BYTES: u64 = 1 << 40;

/// Reads a model folder.
pub fn load(dir: &Path, device: &Device) -> Result<(Transformer, SpecialSources), ModelError> {
    read_folder(dir, device).map_err(|problem| problem.of_folder(dir))
}

fn read_folder(dir: &Path, device: &Device) -> Result<(Transformer, SpecialSources), FolderProblem> {
    let config = read_config(dir)?;
    let in_config = |reason: String| FolderProblem::from(reason).within(CONFIG);
    let shape = config.shape().map_err(in_config)?;
    let (special, sources) = special::of_folder(dir, &config, shape.vocab_size)?;
    let (shape, parameters) = weights::load(dir, shape, device)?;
    let network = Network::new(shape, parameters, Precision::F32, device.clone());
    Ok((Transformer::from_network(network, special), sources))
}

/// The tokens that start and end the documents of the model in `dir`, and where they were found, without reading its weights.
pub fn special_tokens(dir: &Path) -> Result<(SpecialTokens, SpecialSources), ModelError> {
    let read = || {
        let config = read_config(dir)?;
        let shape = config.shape().map_err(|reason| FolderProblem::from(reason).within(CONFIG))?;
        Ok(special::of_folder(dir, &config, shape.vocab_size)?)
    };
    read().map_err(|problem: FolderProblem| problem.of_folder(dir))
}

/// Shape of the model in `dir`, as `config.json` describes it.
pub fn shape(dir: &Path) -> Result<Shape, ModelError> {
    let read = || {
        let shape = read_config(dir)?.shape();
        shape.map_err(|reason| FolderProblem::from(reason).within(CONFIG))
    };
    read().map_err(|problem: FolderProblem| problem.of_folder(dir))
}

/// What a user should know about the model in `dir`.
pub fn notes(dir: &Path) -> Result<Vec<String>, ModelError> {
    let read = || {
        let shape = read_config(dir)?.shape().map_err(|reason| FolderProblem::from(reason).within(CONFIG))?;
        weights::has_output_of_its_own(dir, shape)
    };
    let has_output_of_its_own = read().map_err(|problem: FolderProblem| problem.of_folder(dir))?;
    let note = format!(
        "{}: config.json says that the output matrix is the embedding, but the weights have another one, which is used, as \
         by transformers 5; transformers 4 ignores it",
        dir.display()
    );
    Ok(has_output_of_its_own.then_some(note).into_iter().collect())
}

fn read_config(dir: &Path) -> Result<ModelConfig, FolderProblem> {
    ModelConfig::read(&read(dir, CONFIG)?).map_err(|problem| problem.within(CONFIG))
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, FolderProblem> {
    input_files::read(&dir.join(name), MOST_BYTES).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            FolderProblem::from(format!("{name} is missing; {}", instead(dir, name)))
        }
        _ => FolderProblem::caused_by(name, error),
    })
}

/// What to give in place of a folder that lacks a file.
fn instead(dir: &Path, name: &str) -> String {
    let model = dir.join("model");
    let first = group::folder(dir, 0);
    if name == CONFIG && first.join(CONFIG).exists() {
        format!(
            "this is a group of several writers: give the folder of one of them, such as {}",
            first.display()
        )
    } else if name == CONFIG && model.join(CONFIG).exists() {
        format!("the model of this generation is in {}", model.display())
    } else if name == WEIGHTS && dir.join("pytorch_model.bin").exists() {
        "save the model in pytorch_model.bin again as safetensors, with save_pretrained of transformers"
            .to_owned()
    } else {
        "a Hugging Face model folder with safetensors weights is needed".to_owned()
    }
}

/// Writes a folder without its tokenizer, which is not part of the model.
pub fn save(model: &Transformer, dir: &Path) -> Result<(), ModelError> {
    let shape = &model.network.shape;
    let mut parts = Vec::new();
    for (specification, tensor) in shape.specifications().iter().zip(model.network.parameters.iter()) {
        let mut first = 0;
        for (name, rows) in &specification.parts {
            let part = specification.stored.tensor_of(&tensor.narrow(0, first, *rows)?)?;
            let dims = part.dims().to_vec();
            parts.push(NamedTensor { name: name.clone(), dims, numbers: Numbers::Tensor(part) });
            first += rows;
        }
    }
    write(dir, CONFIG, pretty(&saved::config(model)).as_bytes())?;
    write(dir, "generation_config.json", pretty(&saved::generation(model.special)).as_bytes())?;
    let path = dir.join(WEIGHTS);
    let format = [("format".to_owned(), "pt".to_owned())];
    tensors::write(&path, parts, format.into()).map_err(|source| ModelError::File { path, source })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), ModelError> {
    let path = dir.join(name);
    crate::files::write(&path, bytes).map_err(|source| ModelError::File { path, source })
}
