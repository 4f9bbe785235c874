//! Families of published models, against what Hugging Face transformers computes with the same weights. The folders were
//! made by `tests/tools/families.py`.

use crate::command::{json, output, text};
use crate::foreign::base::trained;
use crate::model_transformer::staged;
use crate::resume::assert_killed_run_equals_uninterrupted_run;
use candle_core::{Device, Tensor};
use genloss::decoding::DecodingStrategy;
use genloss::documents::{Documents, TokenId};
use genloss::model::family::Family;
use genloss::model::transformer::parameters::{Shape, Specification};
use genloss::model::transformer::{Network, Transformer, plain};
use genloss::model::{GenerateRequest, LanguageModel};
use genloss::seed::StreamKey;
use genloss::training::gradients::{self, Batch, Gradients};
use genloss_kernels::Precision;
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What transformers computes.
#[derive(Deserialize)]
struct Expected {
    /// The start token and a text.
    ids: Vec<TokenId>,
    /// Log-probabilities of all ids but the first, in nats.
    logprobs: Vec<f64>,
    /// Their mean, negated.
    loss: f64,
    /// The Euclidean norm of the loss's gradient with respect to all weights.
    gradient_norm: f64,
    prompt: Vec<TokenId>,
    /// The 20 most probable tokens in a row.
    greedy: Vec<TokenId>,
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/families");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Calls `check` with every model, what is expected of it, and its folder.
fn each(check: impl Fn(&Transformer, &Expected, &Path)) {
    for folder in folders() {
        let expected = fs::read(folder.join("expected.json")).unwrap();
        let model = Transformer::load(&folder, &Device::Cpu).unwrap();
        check(&model, &serde_json::from_slice(&expected).unwrap(), &folder);
    }
}

fn batch(Expected { ids, .. }: &Expected) -> Batch {
    Batch { tokens: ids[..ids.len() - 1].to_vec(), targets: ids[1..].to_vec(), time: ids.len() - 1 }
}

/// The Euclidean norm of all gradients together.
fn norm<'a>(gradients: impl Iterator<Item = &'a Vec<f32>>) -> f64 {
    gradients.flatten().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn every_family_has_three_models() {
    for family in Family::ALL {
        let name = format!("{}-", family.model_type());
        let of_family = |folder: &&PathBuf| folder.file_name().unwrap().to_string_lossy().starts_with(&name);
        assert_eq!(folders().iter().filter(of_family).count(), 3, "{name}");
    }
}

#[test]
fn log_probabilities_are_those_of_transformers() {
    each(|model, expected, folder| {
        let documents: Documents = [&expected.ids[1..]].into_iter().collect();
        let scores = staged(|stage| model.score(&documents, stage).unwrap());
        let tokens = Tensor::from_slice(&expected.ids, (1, expected.ids.len()), &Device::Cpu).unwrap();
        let network = model.network();
        let logits = plain::logits(network, &plain::hidden(network, &tokens).unwrap()).unwrap();
        let plain = candle_nn::ops::log_softmax(&logits, 2).unwrap().squeeze(0).unwrap();
        let plain = plain.to_vec2::<f32>().unwrap();
        for (i, expected_here) in expected.logprobs.iter().enumerate() {
            let found = [scores.log_probabilities[i], plain[i][expected.ids[i + 1] as usize]];
            for found in found {
                let error = f64::from(found) - expected_here;
                assert!(error.abs() < 1e-4, "{}: token {i}: {found} not {expected_here}", folder.display());
            }
        }
    });
}

#[test]
fn loss_and_gradient_of_a_step_are_those_of_pytorch() {
    each(|model, expected, folder| {
        let (network, batch) = (model.network(), batch(expected));
        let count = batch.tokens.len() as f64;
        let mut fused = Gradients::new(network);
        let fused_nats = fused.compute(network, &batch).unwrap();
        let (plain_nats, plain) = gradients::differentiate(network, &batch).unwrap();
        for (nats, norm) in [(fused_nats, norm(fused.values().iter())), (plain_nats, norm(plain.iter()))] {
            let is_close = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-3;
            let text = format!(
                "{}: loss {} and norm {norm}, not {} and {}",
                folder.display(),
                nats / count,
                expected.loss,
                expected.gradient_norm
            );
            assert!(
                is_close(nats / count, expected.loss) && is_close(norm, expected.gradient_norm),
                "{text}"
            );
        }
    });
}

/// Every gradient of the fused pass, against candle's automatic one of the plain pass; several sequences in one batch.
#[test]
fn every_gradient_is_that_of_the_plain_pass() {
    each(|model, expected, folder| {
        let network = model.network();
        let one = batch(expected);
        let batch = Batch {
            tokens: one.tokens.iter().chain(&one.targets).copied().cycle().take(9 * one.time).collect(),
            targets: one.targets.iter().chain(&one.tokens).copied().cycle().take(9 * one.time).collect(),
            time: one.time,
        };
        let mut fused = Gradients::new(network);
        fused.compute(network, &batch).unwrap();
        let (_, plain) = gradients::differentiate(network, &batch).unwrap();
        let names = network.shape.specifications();
        for ((a, b), specification) in fused.values().iter().zip(plain.iter()).zip(names.iter()) {
            let name = format!("{}: {}", folder.display(), specification.name());
            let largest = b.iter().fold(0f32, |m, x| m.max(x.abs()));
            // A bias of the keys adds the same to all scores of a query, so that its gradient is 0 but for rounding.
            assert!(largest > 0.0, "{name} has no gradient");
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 2e-4 * largest.max(1e-2), "{name}: {a} {b}");
            }
        }
    });
}

#[test]
fn bf16_is_close_to_f32_in_both_passes() {
    each(|model, expected, folder| {
        let network: &Network = &model.network().in_precision(Precision::Bf16);
        let batch = batch(expected);
        let mut fused = Gradients::new(network);
        let fused_nats = fused.compute(network, &batch).unwrap();
        let (plain_nats, plain) = gradients::differentiate(network, &batch).unwrap();
        let exact = expected.loss * batch.tokens.len() as f64;
        for nats in [fused_nats, plain_nats] {
            assert!((nats / exact - 1.0).abs() < 0.02, "{}: {nats} not {exact}", folder.display());
        }
        assert!(
            (fused_nats / plain_nats - 1.0).abs() < 5e-3,
            "{}: {fused_nats} {plain_nats}",
            folder.display()
        );
        let (fused, plain) = (norm(fused.values().iter()), norm(plain.iter()));
        assert!((fused / plain - 1.0).abs() < 0.05, "{}: {fused} {plain}", folder.display());
    });
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    each(|model, expected, folder| {
        let prompts: Documents = [expected.prompt.as_slice()].into_iter().collect();
        let request = GenerateRequest {
            prompts: &prompts,
            max_document_tokens: expected.greedy.len(),
            decoding: &DecodingStrategy::GREEDY,
            item: &|index| index as u64,
        };
        let written = staged(|stage| model.generate(&request, stage).unwrap());
        let written = written.get(0);
        // genloss ends a document at the end token.
        let end = expected.greedy.iter().position(|&token| token == model.special().end);
        let until = end.map_or(expected.greedy.len(), |at| at + 1);
        assert_eq!(written, &expected.greedy[..until], "{}", folder.display());
    });
}

/// The saved weights are bit for bit those that were read, under the same names, and the configuration describes the same
/// model.
#[test]
fn a_saved_model_is_the_one_that_was_read() {
    each(|model, _, folder| {
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path()).unwrap();
        let tensors =
            |dir: &Path| candle_core::safetensors::load(dir.join("model.safetensors"), &Device::Cpu).unwrap();
        let (read, saved) = (tensors(folder), tensors(dir.path()));
        for (name, tensor) in &saved {
            let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let original = read.get(name).unwrap_or_else(|| panic!("{}: {name} is new", folder.display()));
            assert_eq!(tensor.dims(), original.dims(), "{name}");
            assert_eq!(flat(tensor), flat(original), "{}: {name}", folder.display());
        }
        assert_eq!(read.len(), saved.len(), "{}", folder.display());
        let again = Transformer::load(dir.path(), &Device::Cpu).unwrap();
        assert_eq!(again.network().shape, model.network().shape, "{}", folder.display());
        assert_eq!(again.special(), model.special());
    });
}

/// Folders of the bare model, such as the one of GPT-2 on the hub, lack the first part of the names, and have the masks of
/// attention.
#[test]
fn a_bare_model_with_masks_is_read() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/families/gpt2-plain");
    let dir = tempfile::tempdir().unwrap();
    fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let tensors = candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    let mask = Tensor::ones((1, 1, 32, 32), candle_core::DType::U8, &Device::Cpu).unwrap();
    #[expect(clippy::disallowed_types, reason = "what safetensors are written from, sorted by name")]
    let bare: std::collections::HashMap<String, Tensor> = tensors
        .into_iter()
        .map(|(name, tensor)| (name.trim_start_matches("transformer.").to_owned(), tensor))
        .chain([("h.0.attn.bias".to_owned(), mask)])
        .collect();
    candle_core::safetensors::save(&bare, dir.path().join("model.safetensors")).unwrap();
    let read = Transformer::load(dir.path(), &Device::Cpu).unwrap();
    let whole = Transformer::load(&from, &Device::Cpu).unwrap();
    for (a, b) in read.network().parameters.iter().zip(whole.network().parameters.iter()) {
        assert_eq!(
            a.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            b.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        );
    }
}

/// Two generations of models that all start from a random one with every feature of its family, with the tokenizer of
/// another run.
#[test]
fn a_killed_run_that_starts_from_a_base_resumes_to_the_same_bits_in_every_family() {
    let whole = Family::ALL.map(|family| (family, ""));
    for (family, lora) in whole.into_iter().chain([(Family::Gpt2, "lora = { rank = 4 }, ")]) {
        let from = format!("{}-features", family.model_type());
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/families").join(from);
        let shape = Transformer::load(&from, &Device::Cpu).unwrap().into_network().shape;
        let shape = Shape { vocab_size: 300, ..shape };
        let Shape { layers, width, heads, ffn, context, .. } = shape.clone();
        // A shorter context than that of the base.
        let (heads, context) = (heads.queries, context - 8);
        let mut stream = StreamKey::new(1, "test", 0, "weights").stream(0);
        let draw = |specification: &Specification| specification.draw(&mut stream, &Device::Cpu);
        let parameters = shape.specifications().try_map(draw).unwrap();
        let base = tempfile::tempdir().unwrap();
        let (special, _) = Transformer::special_tokens_of(trained()).unwrap();
        let network = Network::new(shape, parameters, Precision::F32, Device::Cpu);
        Transformer::from_network(network, special).save(base.path()).unwrap();
        fs::copy(trained().join("tokenizer.json"), base.path().join("tokenizer.json")).unwrap();
        let experiment = format!(
            r#"
name = "based"
seeds = [1]
generations = 1
corpus = {{ source = "world", train_tokens = 6000, heldout_tokens = 1000, reference_tokens = 3000 }}
tokenizer = {{ path = {:?} }}
model = {{ layers = {layers}, width = {width}, heads = {heads}, ffn = {ffn}, context = {context} }}
training = {{ tokens = 30000, batch = 8, init = "base", base = {:?}, {lora}checkpoint_minutes = 0.0005 }}
synthesis = {{ max_document_tokens = 64 }}
[[arm]]
name = "unanchored"
mixture = "replace"
"#,
            base.path().join("tokenizer.json"),
            base.path()
        );
        let first = Duration::from_millis(200);
        let kills = assert_killed_run_equals_uninterrupted_run("run", &experiment, first, 1.5);
        assert!(kills > 0, "{}: the run finished before it could be killed", family.model_type());
    }
}

/// A folder of models of this directory with other settings.
fn changed<const N: usize>(name: &str, settings: [(&str, Value); N]) -> tempfile::TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/families").join(name);
    let dir = tempfile::tempdir().unwrap();
    fs::copy(from.join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(from.join("config.json")).unwrap()).unwrap();
    settings.into_iter().for_each(|(key, value)| config[key] = value);
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

#[test]
fn what_is_not_supported_is_named() {
    let newer = serde_json::json!({ "rope_type": "linear", "factor": 2.0, "rope_theta": 500.0 });
    let cases: [(&str, &str, Value, &str); 18] = [
        (
            "qwen2-features",
            "layer_types",
            serde_json::json!(["full_attention"]),
            "layer_types is not full_attention",
        ),
        (
            "llama-plain",
            "rope_scaling",
            serde_json::json!({ "rope_type": "longrope", "factor": 4.0 }),
            "of the type \"longrope\"",
        ),
        ("llama-plain", "rope_scaling", serde_json::json!({ "factor": 4.0 }), "no rope_type"),
        ("llama-plain", "rope_scaling", serde_json::json!("linear"), "is not an object"),
        (
            "llama-plain",
            "rope_parameters",
            newer.clone(),
            "rope_theta 10000 and rope_theta 500 of rope_parameters differ",
        ),
        ("gpt_neox-plain", "rope_parameters", newer, "differ"),
        (
            "mistral-features",
            "layer_types",
            serde_json::json!(["full_attention", "full_attention"]),
            "every layer of Mistral",
        ),
        (
            "gemma2-plain",
            "query_pre_attn_scalar",
            serde_json::json!(-4),
            "query_pre_attn_scalar -4 is not above 0",
        ),
        (
            "gemma3_text-plain",
            "query_pre_attn_scalar",
            serde_json::json!(0),
            "query_pre_attn_scalar 0 is not above 0",
        ),
        (
            "llama-plain",
            "rope_scaling",
            serde_json::json!({ "type": "linear", "factor": -2 }),
            "factor of the rotary scaling, -2, is not a number above 0",
        ),
        (
            "llama-plain",
            "rope_scaling",
            serde_json::json!({ "type": "linear" }),
            "factor of the rotary scaling is missing",
        ),
        ("opt-plain", "word_embed_proj_dim", serde_json::json!(8), "embed_tokens"),
        (
            "opt-plain",
            "eos_token_id",
            serde_json::json!(99),
            "99 (eos_token_id of config.json) is not below vocab_size 37",
        ),
        ("opt-plain", "eos_token_id", serde_json::json!("two"), "eos_token_id \"two\" is no token id"),
        (
            "gpt2-plain",
            "scale_attn_by_inverse_layer_idx",
            serde_json::json!(true),
            "scale_attn_by_inverse_layer_idx = true",
        ),
        ("gpt2-plain", "activation_function", serde_json::json!("gelu_10"), "the activation \"gelu_10\""),
        ("gpt_neox-plain", "rotary_pct", serde_json::json!(0.4), "even number"),
        (
            "qwen2-plain",
            "model_type",
            serde_json::json!("mamba"),
            "known are gemma, gemma2, gemma3_text, gpt2, gpt_neox, llama, mistral, olmo2, opt, qwen2, qwen3",
        ),
    ];
    for (name, key, value, expected) in cases {
        let dir = changed(name, [(key, value)]);
        let error = Transformer::load(dir.path(), &Device::Cpu).err().expect(key).to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{key}: {error}");
    }
}

/// From scratch, a family learns: the loss falls a nat below that of guessing, and what is saved is a
/// folder of the family.
#[test]
fn every_layer_of_a_qwen_may_read_a_sliding_window() {
    let changes = [
        ("use_sliding_window", serde_json::json!(true)),
        ("sliding_window", serde_json::json!(2)),
        ("max_window_layers", serde_json::json!(0)),
        ("layer_types", Value::Null),
    ];
    let dir = changed("qwen2-plain", changes);
    let model = Transformer::load(dir.path(), &Device::Cpu).unwrap();
    let shape = &model.network().shape;
    assert!((0..shape.layers).all(|layer| shape.architecture.window(layer) == Some(2)));
}

#[test]
fn every_family_is_trained_from_scratch() {
    for family in Family::ALL {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("scratch.toml");
        let experiment = format!(
            r#"
name = "scratch"
seeds = [1]
generations = 1
corpus = {{ source = "world", train_tokens = 6000, heldout_tokens = 1000, reference_tokens = 3000 }}
tokenizer = {{ vocab_size = 300 }}
model = {{ family = "{}", layers = 1, width = 32, heads = 2, context = 16 }}
training = {{ tokens = 60000, batch = 8, learning_rate = 0.01 }}
synthesis = {{ max_document_tokens = 64 }}
[[arm]]
name = "unanchored"
mixture = "replace"
"#,
            family.model_type()
        );
        fs::write(&file, experiment).unwrap();
        let root = dir.path().join("out");
        output(&["run", text(&file), "--out", text(&root)]);
        let folder = root.join("seed-1/unanchored/gen-001/model");
        let model = Transformer::load(&folder, &Device::Cpu).unwrap();
        assert_eq!(model.network().shape.architecture.family, family);
        let rows = json(&["inspect", text(&root), "--metric", "heldout_loss", "--format", "json"]);
        let losses: Vec<f64> =
            rows.as_array().unwrap().iter().map(|row| row["value"].as_f64().unwrap()).collect();
        assert!(
            losses.len() >= 3 && losses.iter().all(|loss| *loss < 300f64.ln() - 1.0),
            "{family:?}: {losses:?}"
        );
    }
}
