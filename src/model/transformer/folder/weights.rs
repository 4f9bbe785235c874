//! Reads the weight files of a folder. A tensor that has no place in the model is an error that names it.

use super::{INDEX, WEIGHTS, read};
use crate::model::FolderProblem;
use crate::model::slices::with_slice;
use crate::model::transformer::architecture::{Positions, Rope, RopeScaling};
use crate::model::transformer::names::Names;
use crate::model::transformer::parameters::{Parameters, Shape, Specification};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// End of the names of tensors with rotary frequencies. Old programs saved them, although they follow from
/// `config.json`.
const FREQUENCIES: &str = ".rotary_emb.inv_freq";

/// Reads the parameters of a model whose `config.json` gives `shape`. As in Hugging Face transformers 5, a model has an
/// output matrix of its own if the files contain one that differs from the embedding, even if `config.json` says that
/// it is tied.
pub fn load(
    dir: &Path,
    mut shape: Shape,
    device: &Device,
) -> Result<(Shape, Parameters<Tensor>), FolderProblem> {
    let files = weight_files(dir)?;
    let parsed = parsed(&files)?;
    let mut tensors = named_tensors(&parsed)?;
    let names = Names::of(shape.architecture.family);
    add_base(&mut tensors, names);
    // A block has nine tensors or more. Without this check, a damaged number of layers could allocate too many names.
    if shape.layers > tensors.len() {
        let (layers, found) = (shape.layers, tensors.len());
        return Err(format!("config.json gives {layers} layers, but the weights are {found} tensors").into());
    }
    resolve_tied(&mut shape, &mut tensors, names);
    let specifications = shape.specifications();
    let parameters = specifications.try_map(|specification| assemble(specification, &tensors, device))?;
    let used: BTreeSet<&str> =
        specifications.iter().flat_map(|one| one.parts.iter().map(|part| part.0.as_str())).collect();
    match tensors
        .iter()
        .find(|(name, view)| !used.contains(name.as_str()) && !is_derived(name, view, &shape, names))
    {
        None => Ok((shape, parameters)),
        Some((name, _)) => Err(format!(
            "weight {name} has no place in the model that config.json describes ({} layers, no biases); \
             correct config.json, or remove the tensor if the model is meant to be without it",
            shape.layers
        )
        .into()),
    }
}

/// Whether the weights have an output matrix that differs from the embedding, although `config.json`, which gives `shape`,
/// says that they are one.
pub fn has_output_of_its_own(dir: &Path, mut shape: Shape) -> Result<bool, FolderProblem> {
    if !shape.tied {
        return Ok(false);
    }
    let files = weight_files(dir)?;
    let parsed = parsed(&files)?;
    let mut tensors = named_tensors(&parsed)?;
    let names = Names::of(shape.architecture.family);
    add_base(&mut tensors, names);
    resolve_tied(&mut shape, &mut tensors, names);
    Ok(!shape.tied)
}

fn parsed(files: &[(String, Vec<u8>)]) -> Result<Vec<(&str, SafeTensors<'_>)>, FolderProblem> {
    let mut parsed = Vec::new();
    for (name, bytes) in files {
        let damaged = |error| FolderProblem::caused_by(format!("{name} is damaged; copy it again"), error);
        parsed.push((name.as_str(), SafeTensors::deserialize(bytes).map_err(damaged)?));
    }
    Ok(parsed)
}

/// All tensors by name.
fn named_tensors<'a>(
    files: &'a [(&str, SafeTensors<'a>)],
) -> Result<BTreeMap<String, TensorView<'a>>, FolderProblem> {
    let mut tensors = BTreeMap::new();
    for (file, parsed) in files {
        for (name, view) in parsed.tensors() {
            if tensors.contains_key(&name) {
                return Err(format!("weight {name} is in {file} and in another file; keep one").into());
            }
            tensors.insert(name, view);
        }
    }
    Ok(tensors)
}

/// Decides whether the embedding is also the output matrix. If it is, and the files contain it under both names, one of
/// the two tensors is removed.
fn resolve_tied(shape: &mut Shape, tensors: &mut BTreeMap<String, TensorView>, names: &Names) {
    if !shape.tied {
        return;
    }
    let head_name = format!("{}.weight", names.head);
    let embedding_name = format!("{}{}.weight", names.base, names.embedding);
    let Some(head) = tensors.remove(&head_name) else { return };
    match tensors.get(&embedding_name) {
        None => {
            tensors.insert(embedding_name, head);
        }
        Some(embedding) if *embedding == head => {}
        Some(_) => {
            shape.tied = false;
            tensors.insert(head_name, head);
        }
    }
}

/// Adds what the names of a family begin with, in a folder of the bare model that lacks it.
fn add_base(tensors: &mut BTreeMap<String, TensorView>, names: &Names) {
    let embedding = format!("{}.weight", names.embedding);
    if tensors.contains_key(&embedding) {
        let head = format!("{}.weight", names.head);
        let bare = std::mem::take(tensors);
        tensors.extend(bare.into_iter().map(|(name, view)| match name == head {
            true => (name, view),
            false => (format!("{}{name}", names.base), view),
        }));
    }
}

/// Whether a tensor only repeats what follows from `config.json`: masks, and rotary frequencies if they are the ones that
/// it gives.
fn is_derived(name: &str, view: &TensorView, shape: &Shape, names: &Names) -> bool {
    let is_of_block = name.strip_prefix(names.base).is_some_and(|rest| rest.starts_with(names.block));
    if !is_of_block || !names.derived.iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let Positions::Rotary(rope) = &shape.architecture.positions else { return true };
    if !name.ends_with(FREQUENCIES) {
        return true;
    }
    let expected = Rope { scaling: RopeScaling::None, ..*rope }.frequencies();
    let is_close = |(found, expected): (&f32, &f32)| (found / expected - 1.0).abs() < 0.01;
    let agrees =
        |values: &[f32]| values.len() == expected.len() && values.iter().zip(&expected).all(is_close);
    let values = || with_slice(&to_f32(view).ok()?.flatten_all().ok()?, agrees).ok();
    values() == Some(true)
}

/// Names and contents of the weight files of a folder.
fn weight_files(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, FolderProblem> {
    let names: BTreeSet<String> = if dir.join(WEIGHTS).exists() || !dir.join(INDEX).exists() {
        [WEIGHTS.to_owned()].into()
    } else {
        shards(dir)?
    };
    check_no_other_weights(dir, &names)?;
    names.into_iter().map(|name| Ok((name.clone(), read(dir, &name)?))).collect()
}

/// The files that the index names.
fn shards(dir: &Path) -> Result<BTreeSet<String>, FolderProblem> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let damaged =
        |error| FolderProblem::caused_by(format!("{INDEX} is no index of weights; copy it again"), error);
    let index: Index = serde_json::from_slice(&read(dir, INDEX)?).map_err(damaged)?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if let Some(name) = names.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
        return Err(format!("{INDEX} names {name:?}, which is not a file of this folder").into());
    }
    match names.iter().find(|name| !dir.join(name).exists()) {
        Some(name) => Err(format!("{name} is missing, which {INDEX} names; copy it too").into()),
        None => Ok(names),
    }
}

/// Returns an error for weights that would not be read: an adapter, or files left over from another model.
fn check_no_other_weights(dir: &Path, read: &BTreeSet<String>) -> Result<(), FolderProblem> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut others: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".safetensors") && !read.contains(name))
        .collect();
    others.sort();
    match others.first() {
        None => Ok(()),
        Some(name) if name.starts_with("adapter_") => {
            Err(format!("{name} is an adapter of the weights, which is not supported; merge it into them").into())
        }
        Some(name) if name.contains("-of-") && !dir.join(INDEX).exists() && !dir.join(WEIGHTS).exists() => {
            Err(format!("{INDEX} is missing, which says what {name} and the other parts have; copy it too").into())
        }
        Some(name) => Err(format!(
            "{name} has weights that belong to no model of this folder: only {} would be read; move it elsewhere",
            read.iter().next().map_or(WEIGHTS, String::as_str)
        )
        .into()),
    }
}

/// Joins the tensors of the folder that make up a parameter.
fn assemble(
    specification: &Specification,
    tensors: &BTreeMap<String, TensorView>,
    device: &Device,
) -> Result<Tensor, FolderProblem> {
    let parts = specification.parts.iter().map(|(name, rows)| {
        let dims = specification.stored.dims(*rows, specification.columns);
        let Some(view) = tensors.get(name) else { return Err(missing(name)) };
        if view.shape() != dims {
            return Err(format!(
                "weight {name} is {:?}, but config.json makes it {dims:?}; one of the two is of another model",
                view.shape()
            )
            .into());
        }
        let within = |problem: FolderProblem| problem.within(&format!("weight {name}"));
        let stored = to_f32(view).map_err(within)?;
        let rows = specification.stored.rows_of(&stored);
        rows.map_err(|error| within(FolderProblem::caused_by("cannot be read", error)))
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let joined = Tensor::cat(&parts, 0).and_then(|joined| joined.to_device(device));
    joined.map_err(|error| FolderProblem::caused_by(format!("weight {}", specification.name()), error))
}

fn missing(weight: &str) -> FolderProblem {
    format!("weight {weight} is missing; copy the weights again, or the config.json that belongs to them")
        .into()
}

fn to_f32(view: &TensorView) -> Result<Tensor, FolderProblem> {
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => {
            return Err(format!(
                "{other:?} is not supported; save the model in float32, float16 or bfloat16"
            )
            .into());
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
