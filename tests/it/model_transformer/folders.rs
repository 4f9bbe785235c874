//! Model folders: written, read back, and errors.

use super::*;
use serde_json::{Value, json};

fn saved(model: &Transformer) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    dir
}

fn reason(dir: &Path) -> String {
    match Transformer::load(dir, &Device::Cpu) {
        Err(ModelError::Folder { reason, .. }) => reason,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was read"),
    }
}

/// The reason of the error for a saved model with `change` made to its configuration.
fn reason_after(change: impl FnOnce(&mut Value)) -> String {
    let dir = saved(&tiny());
    let path = dir.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    // It names the special tokens too.
    std::fs::remove_file(dir.path().join("generation_config.json")).unwrap();
    reason(dir.path())
}

#[test]
fn a_saved_model_is_read_back_to_the_bit() {
    for model in [tiny(), lively(grouped_shape())] {
        let dir = saved(&model);
        let read = Transformer::load(dir.path(), &Device::Cpu).unwrap();
        assert_eq!(read.network().shape, model.network().shape);
        assert_eq!(bits(&read), bits(&model));
        assert_eq!(read.special(), model.special());
        let again = saved(&read);
        for name in ["config.json", "generation_config.json", "model.safetensors"] {
            let file = |dir: &Path| std::fs::read(dir.join(name)).unwrap();
            assert_eq!(file(dir.path()), file(again.path()));
        }
    }
}

/// Halves and bf16 values are exact in f32.
#[test]
fn half_precision_and_sharded_weights_are_read() {
    let model = lively(grouped_shape());
    let dir = saved(&model);
    let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let mut weight_map = serde_json::Map::new();
    let mut names: Vec<_> = tensors.keys().collect();
    names.sort();
    for (index, name) in names.into_iter().enumerate() {
        let file = format!("model-{index}.safetensors");
        let dtype = if index % 2 == 0 { candle_core::DType::BF16 } else { candle_core::DType::F16 };
        let tensor = tensors[name].to_dtype(dtype).unwrap();
        tensor.save_safetensors(name, dir.path().join(&file)).unwrap();
        weight_map.insert(name.clone(), json!(file));
    }
    let index = json!({ "weight_map": weight_map }).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    let read = Transformer::load(dir.path(), &Device::Cpu).unwrap();
    for (a, b) in read.network().parameters.iter().zip(model.network().parameters.iter()) {
        assert!(values(a).iter().zip(values(b)).all(|(a, b)| (a - b).abs() <= b.abs() / 200.0));
    }
    std::fs::remove_file(dir.path().join("model-0.safetensors")).unwrap();
    assert!(
        reason(dir.path())
            .starts_with("model-0.safetensors is missing, which model.safetensors.index.json names")
    );
    let outside = json!({ "weight_map": { "a": "../model.safetensors" } }).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), outside).unwrap();
    assert!(reason(dir.path()).contains("not a file of this folder"));
}

#[test]
fn unsupported_features_are_errors() {
    let cases: [(&str, Value, &str); 13] = [
        ("model_type", json!("t5"), "known are gemma, gemma2, gemma3_text, gpt2"),
        ("hidden_act", json!("gelu"), "other than silu"),
        ("attention_bias", json!(true), "self_attn.q_proj.bias is missing"),
        ("quantization_config", json!({ "bits": 4 }), "quantised"),
        ("rope_parameters", json!({ "rope_type": "longrope", "rope_theta": 1e4 }), "scaled rotary"),
        ("num_key_value_heads", json!(3), "cannot share"),
        ("num_hidden_layers", json!(9_000_000), "9000000 layers"),
        ("max_position_embeddings", json!(1), "one token at a time"),
        ("hidden_size", json!(1u64 << 40), "larger than in any known model"),
        ("vocab_size", json!(51), "is [50, 16], but config.json makes it [51, 16]"),
        ("eos_token_id", Value::Null, "documents would not end"),
        ("eos_token_id", json!([50, 1]), "not below vocab_size"),
        ("tie_word_embeddings", json!(false), "weight lm_head.weight is missing"),
    ];
    for (key, value, expected) in cases {
        let reason = reason_after(|config| config[key] = value);
        assert!(reason.contains(expected), "{key}: {reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }
}

#[test]
fn a_weight_that_is_not_finite_is_an_error() {
    let mut network = tiny().into_network();
    let width = network.shape.width;
    let norm: Vec<f32> = (0..width).map(|i| if i == 3 { f32::NAN } else { 1.0 }).collect();
    network.parameters.norm.as_mut().unwrap().weight = Tensor::from_vec(norm, width, &Device::Cpu).unwrap();
    let model = Transformer::from_network(network, SPECIAL);
    assert_eq!(reason(saved(&model).path()), "weight model.norm.weight: contains a value that is not finite");
}

#[test]
fn an_empty_folder_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(reason(dir.path()).starts_with("config.json is missing"));
    std::fs::copy(saved(&tiny()).path().join("config.json"), dir.path().join("config.json")).unwrap();
    assert!(reason(dir.path()).starts_with("model.safetensors is missing"));
}

#[test]
fn no_damage_to_a_file_makes_reading_panic() {
    let dir = saved(&tiny());
    let mut stream = place("damage").stream(0);
    for name in ["model.safetensors", "config.json"] {
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for cut in (0..40).map(|i| whole.len() * i / 40) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(!reason(dir.path()).is_empty());
        }
        for _ in 0..200 {
            let mut damaged = whole.clone();
            for _ in 0..3 {
                // The header of the weights is where damage can do something.
                let at = stream.random_range(0..whole.len().min(2000));
                damaged[at] = stream.random();
            }
            std::fs::write(&path, &damaged).unwrap();
            // A changed digit may still be a model; a panic is what must not be.
            let _ = Transformer::load(dir.path(), &Device::Cpu);
        }
        std::fs::write(&path, &whole).unwrap();
    }
}
