//! Reading and writing of models as Hugging Face folders.
//!
//! Reading returns an error for every feature that is not supported (scaled rotary positions, biases, other
//! activations), because a model without it would give numbers that look right but are wrong.

use super::parameters::{Shape, Specification};
use super::{Network, Transformer};
use crate::documents::TokenId;
use crate::model::slices::with_slice;
use crate::model::{FolderProblem, ModelError, SpecialTokens};
use candle_core::{DType, Device, Tensor};
use genloss_kernels::Precision;
use genloss_kernels::attention::Heads;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The fields of `config.json` that decide what a model computes. Defaults are those of Hugging Face's `LlamaConfig`.
#[derive(Deserialize)]
struct LlamaConfig {
    #[serde(default)]
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    tie_word_embeddings: Option<bool>,
    bos_token_id: Option<TokenIds>,
    eos_token_id: Option<TokenIds>,
    quantization_config: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TokenIds {
    One(TokenId),
    Many(Vec<TokenId>),
}

impl TokenIds {
    fn first(&self) -> Option<TokenId> {
        match self {
            Self::One(id) => Some(*id),
            Self::Many(ids) => ids.first().copied(),
        }
    }
}

/// Reads a model folder.
pub fn load(dir: &Path, device: &Device) -> Result<Transformer, ModelError> {
    read_folder(dir, device).map_err(|problem| problem.of_folder(dir))
}

fn read_folder(dir: &Path, device: &Device) -> Result<Transformer, FolderProblem> {
    let text = read(dir, CONFIG)?;
    let config: LlamaConfig =
        serde_json::from_slice(&text).map_err(|error| FolderProblem::caused_by(CONFIG, error))?;
    let shape = config.shape().map_err(|reason| FolderProblem::from(reason).within(CONFIG))?;
    let special =
        config.special(shape.vocab_size).map_err(|reason| FolderProblem::from(reason).within(CONFIG))?;
    let files = weight_files(dir)?;
    let files = files
        .iter()
        .map(|(name, bytes)| {
            let parsed = SafeTensors::deserialize(bytes);
            parsed
                .map_err(|error| FolderProblem::caused_by(format!("{name} is damaged; copy it again"), error))
        })
        .collect::<Result<Vec<_>, FolderProblem>>()?;
    let mut tensors: BTreeMap<String, TensorView> = BTreeMap::new();
    for file in &files {
        tensors.extend(file.tensors());
    }
    // A block has nine tensors. Without this check, a damaged number of layers could allocate too many names.
    if shape.layers > tensors.len() {
        return Err(FolderProblem::from(format!(
            "config.json gives {} layers, but the weights are {} tensors",
            shape.layers,
            tensors.len()
        )));
    }
    let parameters =
        shape.specifications().try_map(|specification| assemble(specification, &tensors, device))?;
    let network = Network::new(shape, parameters, Precision::F32, device.clone());
    Ok(Transformer::from_network(network, special))
}

impl LlamaConfig {
    /// The shape of the model.
    ///
    /// # Errors
    /// A message about the setting that is invalid or not supported.
    fn shape(&self) -> Result<Shape, String> {
        self.check_supported()?;
        let queries = self.num_attention_heads;
        let keys = self.num_key_value_heads.unwrap_or(queries);
        if queries == 0 || keys == 0 || !queries.is_multiple_of(keys) {
            return Err(format!("{queries} attention heads cannot share {keys} key-value heads"));
        }
        let width = match self.head_dim {
            Some(width) => width,
            None if self.hidden_size.is_multiple_of(queries) => self.hidden_size / queries,
            None => {
                return Err(format!(
                    "hidden_size {} is not a multiple of the {queries} heads",
                    self.hidden_size
                ));
            }
        };
        let sizes =
            [self.vocab_size, self.hidden_size, self.intermediate_size, self.num_hidden_layers, width];
        // Larger than in any existing model, and small enough that products of sizes do not overflow.
        const LARGEST: usize = 1 << 24;
        if sizes
            .iter()
            .chain([&queries, &self.max_position_embeddings])
            .any(|&size| !(1..=LARGEST).contains(&size))
            || width % 2 != 0
            || (queries * width).saturating_mul(self.max_position_embeddings) > 1 << 40
        {
            return Err("a size is zero, odd where it must be even, or implausibly large".to_owned());
        }
        let norm_epsilon = self.rms_norm_eps.unwrap_or(1e-6);
        let rope_theta = self.theta()?;
        if !(norm_epsilon >= 0.0 && norm_epsilon.is_finite() && rope_theta > 0.0 && rope_theta.is_finite()) {
            return Err(format!("rms_norm_eps {norm_epsilon} or rope_theta {rope_theta} is out of range"));
        }
        Ok(Shape {
            vocab_size: self.vocab_size,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: Heads { queries, keys, width },
            ffn: self.intermediate_size,
            context: self.max_position_embeddings,
            rope_theta,
            norm_epsilon,
            tied: self.tie_word_embeddings.unwrap_or(false),
        })
    }

    /// Returns an error if the model is not a plain Llama.
    fn check_supported(&self) -> Result<(), String> {
        if self.model_type != "llama" {
            return Err(format!("model_type is {:?}; only \"llama\" is supported", self.model_type));
        }
        if self.hidden_act.as_deref().is_some_and(|act| act != "silu") {
            return Err("hidden_act is not silu".to_owned());
        }
        if self.attention_bias == Some(true) || self.mlp_bias == Some(true) {
            return Err("biases are not supported".to_owned());
        }
        if self.quantization_config.is_some() {
            return Err(
                "quantised weights are not supported; use the model in float32 or bfloat16".to_owned()
            );
        }
        Ok(())
    }

    /// The base of the rotary frequencies; newer folders have it under `rope_parameters`.
    fn theta(&self) -> Result<f64, String> {
        for settings in [&self.rope_scaling, &self.rope_parameters].into_iter().flatten() {
            let kind = settings.get("rope_type").or_else(|| settings.get("type"));
            if kind.is_some_and(|kind| kind != "default") {
                return Err("scaled rotary positions are not supported".to_owned());
            }
        }
        let nested = self
            .rope_parameters
            .as_ref()
            .and_then(|settings| settings.get("rope_theta"))
            .and_then(Value::as_f64);
        Ok(nested.or(self.rope_theta).unwrap_or(10_000.0))
    }

    fn special(&self, vocab_size: usize) -> Result<SpecialTokens, String> {
        let Some(end) = self.eos_token_id.as_ref().and_then(TokenIds::first) else {
            return Err("eos_token_id is missing, so documents would not end".to_owned());
        };
        let start = self.bos_token_id.as_ref().and_then(TokenIds::first).unwrap_or(end);
        if start.max(end) as usize >= vocab_size {
            return Err(format!(
                "bos_token_id {start} or eos_token_id {end} is not below vocab_size {vocab_size}"
            ));
        }
        Ok(SpecialTokens { start, end })
    }
}

/// Names and contents of the weight files of a folder.
fn weight_files(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, FolderProblem> {
    if dir.join(WEIGHTS).exists() || !dir.join(INDEX).exists() {
        return Ok(vec![(WEIGHTS.to_owned(), read(dir, WEIGHTS)?)]);
    }
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(&read(dir, INDEX)?).map_err(|error| FolderProblem::caused_by(INDEX, error))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    names
        .into_iter()
        .map(|name| {
            if Path::new(&name).file_name() != Some(name.as_ref()) {
                return Err(format!("{INDEX} names {name:?}, which is not a file of this folder").into());
            }
            let bytes = read(dir, &name)?;
            Ok((name, bytes))
        })
        .collect()
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, FolderProblem> {
    std::fs::read(dir.join(name)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => FolderProblem::from(format!(
            "{name} is missing; a Hugging Face model folder with safetensors weights is needed"
        )),
        _ => FolderProblem::caused_by(name, error),
    })
}

/// Joins the tensors of the folder that make up a parameter.
fn assemble(
    specification: &Specification,
    tensors: &BTreeMap<String, TensorView>,
    device: &Device,
) -> Result<Tensor, FolderProblem> {
    let parts = specification.parts.iter().map(|(name, rows)| {
        let dims: Vec<usize> = std::iter::once(*rows).chain(specification.columns).collect();
        let Some(view) = tensors.get(name) else { return Err(format!("weight {name} is missing").into()) };
        if view.shape() != dims {
            return Err(
                format!("weight {name} is {:?}, but config.json makes it {dims:?}", view.shape()).into()
            );
        }
        to_f32(view).map_err(|problem| problem.within(&format!("weight {name}")))
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let joined = Tensor::cat(&parts, 0).and_then(|joined| joined.to_device(device));
    joined.map_err(|error| FolderProblem::caused_by(format!("weight {}", specification.name()), error))
}

fn to_f32(view: &TensorView) -> Result<Tensor, FolderProblem> {
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => {
            return Err(format!("{other:?} is not supported; save the model in float32 or bfloat16").into());
        }
    };
    let tensor = Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)
        .and_then(|tensor| tensor.to_dtype(DType::F32))
        .map_err(|error| FolderProblem::caused_by("cannot be converted", error))?;
    let is_finite = with_slice(&tensor, |values| values.iter().all(|value| value.is_finite()));
    match is_finite {
        Ok(true) => Ok(tensor),
        Ok(false) => Err("contains a value that is not finite".into()),
        Err(error) => Err(FolderProblem::caused_by("cannot be read", error)),
    }
}

/// Writes the model folder, without a tokenizer.
pub fn save(model: &Transformer, dir: &Path) -> Result<(), ModelError> {
    let shape = &model.network.shape;
    let mut parts = Vec::new();
    for (specification, tensor) in shape.specifications().iter().zip(model.network.parameters.iter()) {
        let mut first = 0;
        for (name, rows) in &specification.parts {
            let dims: Vec<usize> = std::iter::once(*rows).chain(specification.columns).collect();
            let values = tensor.narrow(0, first, *rows)?.flatten_all()?.to_vec1::<f32>()?;
            parts.push((name.clone(), dims, bytes(&values)));
            first += rows;
        }
    }
    let views = parts
        .iter()
        .map(|(name, dims, bytes)| Ok((name, TensorView::new(Dtype::F32, dims.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
    let format = [("format".to_owned(), "pt".to_owned())];
    let weights = views
        .and_then(|views| safetensors::serialize(views, Some(format.into_iter().collect())))
        .map_err(|error| FolderProblem::caused_by(WEIGHTS, error).of_folder(dir))?;
    write(dir, CONFIG, pretty(&config_json(model)).as_bytes())?;
    write(dir, "generation_config.json", pretty(&generation_json(model.special)).as_bytes())?;
    write(dir, WEIGHTS, &weights)
}

/// The values as little-endian bytes.
fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), ModelError> {
    let path = dir.join(name);
    crate::files::write(&path, bytes).map_err(|source| ModelError::File { path, source })
}

/// The contents of `config.json`. The rotary base and the number format appear under two names each, because Hugging
/// Face transformers renamed both in version 5.
fn config_json(model: &Transformer) -> Value {
    let shape = &model.network.shape;
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads.queries,
        "num_key_value_heads": shape.heads.keys,
        "head_dim": shape.heads.width,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": shape.rope_theta,
        "rope_parameters": { "rope_type": "default", "rope_theta": shape.rope_theta },
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "attention_dropout": 0.0,
        "tie_word_embeddings": shape.tied,
        "bos_token_id": model.special.start,
        "eos_token_id": model.special.end,
        "initializer_range": 0.02,
        "use_cache": true,
        "torch_dtype": "float32",
        "dtype": "float32",
    })
}

fn generation_json(special: SpecialTokens) -> Value {
    json!({
        "bos_token_id": special.start,
        "eos_token_id": special.end,
        "do_sample": true,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
    })
}
