//! Model folders from elsewhere, as transformers reads them.
//!
//! Weights are `sin(1.7 i + k)` for the i-th number of the k-th tensor below. The expected log-probabilities of the
//! tokens after 0 in `IDS` are those of transformers 5.24 in float32, with a log-softmax in float64.

use super::{json, path, refused, said};
use crate::model_transformer::{SPECIAL, TINY, grouped_shape, lively, random_tokens, staged};
use candle_core::{Device, Tensor};
use genloss::decoding::{DecodingStrategy, SamplingSettings};
use genloss::documents::{Documents, TokenId};
use genloss::model::transformer::Transformer;
use genloss::model::transformer::parameters::Shape;
use genloss::model::{GenerateRequest, LanguageModel, ModelError};
use genloss::tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const IDS: [TokenId; 7] = [3, 1, 4, 1, 5, 2, 6];

/// Name and dimensions of each tensor of a Llama with a vocabulary of 8, a width of 4 and one layer.
const TENSORS: [(&str, &[usize]); 12] = [
    ("model.embed_tokens.weight", &[8, 4]),
    ("model.layers.0.input_layernorm.weight", &[4]),
    ("model.layers.0.self_attn.q_proj.weight", &[4, 4]),
    ("model.layers.0.self_attn.k_proj.weight", &[4, 4]),
    ("model.layers.0.self_attn.v_proj.weight", &[4, 4]),
    ("model.layers.0.self_attn.o_proj.weight", &[4, 4]),
    ("model.layers.0.post_attention_layernorm.weight", &[4]),
    ("model.layers.0.mlp.gate_proj.weight", &[6, 4]),
    ("model.layers.0.mlp.up_proj.weight", &[6, 4]),
    ("model.layers.0.mlp.down_proj.weight", &[4, 6]),
    ("model.norm.weight", &[4]),
    ("lm_head.weight", &[8, 4]),
];

#[expect(clippy::disallowed_types, reason = "what safetensors are written from, sorted by name")]
type Tensors = std::collections::HashMap<String, Tensor>;

fn waves(k: usize, dims: &[usize]) -> Tensor {
    let count: usize = dims.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (1.7 * i as f64 + k as f64).sin() as f32).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn tensors() -> Tensors {
    TENSORS.iter().enumerate().map(|(k, (name, dims))| ((*name).to_owned(), waves(k, dims))).collect()
}

fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8, "hidden_size": 4,
        "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
        "head_dim": 2, "max_position_embeddings": 16, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": true,
        "bos_token_id": 0, "eos_token_id": 0,
    })
}

fn folder(tensors: &Tensors, config: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    candle_core::safetensors::save(tensors, dir.path().join("model.safetensors")).unwrap();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

fn scores(dir: &Path) -> Vec<f32> {
    let model = Transformer::load(dir, &Device::Cpu).unwrap();
    let documents: Documents = [&IDS[..]].into_iter().collect();
    staged(|stage| model.score(&documents, stage)).unwrap().log_probabilities
}

fn reason(dir: &Path) -> String {
    match Transformer::load(dir, &Device::Cpu) {
        Err(ModelError::Folder { reason, .. }) => reason,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it was read"),
    }
}

fn assert_close(found: &[f32], expected: [f32; 7]) {
    assert!(
        found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4),
        "{found:?} instead of {expected:?}"
    );
}

const OWN_HEAD: [f32; 7] = [-2.052036, -2.267827, -2.134297, -2.176975, -1.983779, -2.022076, -1.948738];
const TIED: [f32; 7] = [-2.051892, -1.953631, -1.896269, -1.925495, -1.834312, -1.963827, -2.030256];
const HEAD_FOR_BOTH: [f32; 7] = [-1.874189, -2.096857, -2.292462, -2.301843, -2.677085, -2.214926, -2.35107];

#[test]
fn an_output_matrix_of_its_own_is_used_even_if_the_config_says_tied() {
    let dir = folder(&tensors(), &config());
    assert_close(&scores(dir.path()), OWN_HEAD);
    // Written again, it is what it was.
    let again = tempfile::tempdir().unwrap();
    Transformer::load(dir.path(), &Device::Cpu).unwrap().save(again.path()).unwrap();
    assert_close(&scores(again.path()), OWN_HEAD);
    // Versions of transformers differ, so that a reader of the scores is told; but not if the config says it as well.
    assert!(Transformer::notes_on(dir.path()).unwrap()[0].contains("transformers 4 ignores it"));
    assert!(Transformer::notes_on(again.path()).unwrap().is_empty());
}

#[test]
fn a_folder_that_holds_the_model_elsewhere_says_where() {
    let outer = tempfile::tempdir().unwrap();
    fs::rename(folder(&tensors(), &config()).keep(), outer.path().join("model")).unwrap();
    assert!(reason(outer.path()).contains(&format!("is in {}", outer.path().join("model").display())));
    let old = folder(&tensors(), &config());
    fs::rename(old.path().join("model.safetensors"), old.path().join("pytorch_model.bin")).unwrap();
    assert!(reason(old.path()).contains("save the model in pytorch_model.bin again as safetensors"));
}

#[test]
fn a_tied_model_may_save_one_matrix_under_either_name_or_both() {
    let (embedding, head) = ("model.embed_tokens.weight", "lm_head.weight");
    let mut one = tensors();
    one.remove(head);
    assert_close(&scores(folder(&one, &config()).path()), TIED);
    one.insert(head.to_owned(), one[embedding].clone());
    assert_close(&scores(folder(&one, &config()).path()), TIED);
    let mut other = tensors();
    other.remove(embedding);
    assert_close(&scores(folder(&other, &config()).path()), HEAD_FOR_BOTH);
}

#[test]
fn a_tensor_that_has_no_place_is_refused_by_its_name() {
    let cases: [(&str, &[usize]); 5] = [
        ("model.layers.0.self_attn.q_proj.bias", &[4]),
        ("model.layers.0.mlp.down_proj.bias", &[4]),
        ("model.layers.1.input_layernorm.weight", &[4]),
        ("score.weight", &[2, 4]),
        ("model.layers.0.self_attn.q_norm.weight", &[2]),
    ];
    for (name, dims) in cases {
        let mut more = tensors();
        more.insert(name.to_owned(), waves(20, dims));
        let reason = reason(folder(&more, &config()).path());
        assert!(reason.contains(&format!("weight {name} has no place")), "{reason}");
    }
}

/// transformers ignores frequencies in a file. Those of another θ are a sign that the config is not the model's.
#[test]
fn rotary_frequencies_are_read_over_only_if_they_agree_with_the_config() {
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    let with = |frequency: f32, head: usize| {
        let mut more = tensors();
        let frequencies: Vec<f32> = (0..head / 2).map(|pair| frequency.powi(pair as i32)).collect();
        more.insert(name.to_owned(), Tensor::from_vec(frequencies, head / 2, &Device::Cpu).unwrap());
        folder(&more, &config())
    };
    assert_close(&scores(with(1.0, 2).path()), OWN_HEAD);
    assert!(reason(with(1.0, 4).path()).contains(name));
}

#[test]
fn weights_in_files_that_are_not_read_are_refused_by_the_name_of_the_file() {
    for (name, expected) in
        [("adapter_model.safetensors", "merge"), ("model-00001-of-00002.safetensors", "move")]
    {
        let dir = folder(&tensors(), &config());
        fs::copy(dir.path().join("model.safetensors"), dir.path().join(name)).unwrap();
        let reason = reason(dir.path());
        assert!(reason.starts_with(name) && reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let dir = folder(&tensors(), &config());
    fs::rename(dir.path().join("model.safetensors"), dir.path().join("a.safetensors")).unwrap();
    fs::copy(dir.path().join("a.safetensors"), dir.path().join("b.safetensors")).unwrap();
    let index =
        json!({"weight_map": {"lm_head.weight": "a.safetensors", "model.norm.weight": "b.safetensors"}});
    fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert!(reason(dir.path()).contains("is in b.safetensors and in another file"));
}

#[test]
fn a_config_of_another_kind_of_model_is_told_by_its_type() {
    let t5 =
        json!({"model_type": "t5", "d_model": 512, "num_layers": 6, "num_heads": 8, "vocab_size": 32128});
    assert!(
        reason(folder(&tensors(), &t5).path())
            .contains("model_type is \"t5\"; known are gemma, gemma2, gemma3_text, gpt2")
    );
    let nameless = json!({"n_embd": 768});
    assert!(reason(folder(&tensors(), &nameless).path()).contains("model_type is missing"));
}

#[test]
fn sizes_that_no_model_has_are_refused_before_memory_is_reserved() {
    for (key, value, expected) in [
        (
            "num_hidden_layers",
            json!(1_000_000_000),
            "num_hidden_layers 1000000000 is larger than in any known model",
        ),
        ("num_hidden_layers", json!(0), "num_hidden_layers is 0"),
        ("num_attention_heads", json!(0), "num_attention_heads is 0"),
        ("head_dim", json!(3), "even number"),
        ("max_position_embeddings", json!(1 << 24), ""),
        ("vocab_size", json!(1 << 23), "config.json makes it"),
        ("intermediate_size", json!(u64::MAX), "intermediate_size"),
        ("hidden_size", json!(-4), ""),
    ] {
        let mut changed = config();
        changed[key] = value;
        if key == "max_position_embeddings" {
            changed["head_dim"] = json!(1 << 20);
        }
        let reason = reason(folder(&tensors(), &changed).path());
        assert!(reason.contains(expected), "{key}: {reason}");
    }
}

#[test]
fn a_pointer_of_git_lfs_is_told_as_such() {
    let dir = folder(&tensors(), &config());
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 138816\n";
    fs::write(dir.path().join("model.safetensors"), pointer).unwrap();
    let error = Transformer::load(dir.path(), &Device::Cpu).err().unwrap();
    assert!(genloss::progress::error_chain(&error).contains("git lfs pull"));
}

/// A folder that the program scores text with, after changes.
fn scored_folder(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let texts = ["the old dog sees the other dog".to_owned()];
    let tokenizer = Tokenizer::learn(&texts, 260).unwrap();
    let shape = Shape::new(&TINY, tokenizer.vocab_size());
    lively(shape).save(dir.path()).unwrap();
    tokenizer.save(&dir.path().join("tokenizer.json")).unwrap();
    change(dir.path());
    dir
}

fn change_json(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut json = fs::read(file).map_or_else(|_| json!({}), |bytes| serde_json::from_slice(&bytes).unwrap());
    change(&mut json);
    fs::write(file, json.to_string()).unwrap();
}

#[test]
fn score_reads_a_text_as_a_corpus_does() {
    let dir = scored_folder(|_| {});
    let file = dir.path().join("text.txt");
    let score = |text: &str| {
        fs::write(&file, text).unwrap();
        json(&["score", path(dir.path()), path(&file), "--tokens", "--format", "json"])
    };
    let plain = score("the old dog\nsees the other\ndog\n");
    for same in
        ["\u{FEFF}the old dog\r\nsees the other\r\ndog\r\n", "the old dog\rsees the other\u{2028}dog\n"]
    {
        assert_eq!(score(same), plain);
    }
}

/// The order in which transformers finds the token before a text.
#[test]
fn the_start_token_of_score_is_that_of_transformers_and_told_with_its_source() {
    let without = |value: Option<Value>| {
        move |dir: &Path| {
            fs::remove_file(dir.join("generation_config.json")).unwrap();
            change_json(&dir.join("config.json"), |config| match value {
                Some(value) => config["bos_token_id"] = value,
                None => drop(config.as_object_mut().unwrap().remove("bos_token_id")),
            });
        }
    };
    let template = |dir: &Path| {
        change_json(&dir.join("tokenizer.json"), |json| {
            json["post_processor"] = json!({"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "b", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"b": {"id": "b", "ids": [66], "tokens": ["b"]}}});
        });
    };
    let named = |dir: &Path| {
        change_json(&dir.join("tokenizer_config.json"), |json| json["bos_token"] = json!({"content": "c"}));
    };
    let cases: [(tempfile::TempDir, u64, &str); 7] = [
        (scored_folder(|_| {}), 0, "bos_token_id of config.json"),
        (scored_folder(without(Some(json!([5, 6])))), 5, "bos_token_id of config.json"),
        (
            scored_folder(|dir| {
                without(None)(dir);
                template(dir);
                named(dir);
            }),
            66,
            "post_processor",
        ),
        (
            scored_folder(|dir| {
                without(Some(Value::Null))(dir);
                named(dir);
            }),
            67,
            "bos_token of tokenizer_config",
        ),
        (
            scored_folder(|dir| {
                without(None)(dir);
                change_json(&dir.join("generation_config.json"), |config| config["bos_token_id"] = json!(68));
                template(dir);
            }),
            68,
            "bos_token_id of generation_config",
        ),
        (scored_folder(without(None)), 1, "the default of transformers"),
        (scored_folder(without(Some(Value::Null))), 0, "the end token"),
    ];
    for (dir, token, source) in cases {
        let file = dir.path().join("text.txt");
        fs::write(&file, "the old dog").unwrap();
        let scored = json(&["score", path(dir.path()), path(&file), "--tokens", "--format", "json"]);
        assert_eq!(
            (scored["start_token"].as_u64(), scored["token_ids"][0].as_u64()),
            (Some(token), Some(token))
        );
        assert!(scored["start_token_source"].as_str().unwrap().starts_with(source), "{scored}");
        let (table, _) = said(&["score", path(dir.path()), path(&file)]);
        assert!(table.contains(&format!("start token: {token} ")), "{table}");
    }
}

#[test]
fn score_takes_the_end_token_of_the_config_where_its_name_is_unusual() {
    let dir = scored_folder(|dir| {
        change_json(&dir.join("config.json"), |config| config["eos_token_id"] = json!(65));
        change_json(&dir.join("tokenizer.json"), |json| {
            json["added_tokens"] = json!([]);
            let vocab = json["model"]["vocab"].as_object_mut().unwrap();
            let end = vocab.remove("<|endoftext|>").unwrap();
            vocab.insert("<|fin|>".to_owned(), end);
        });
    });
    let file = dir.path().join("text.txt");
    fs::write(&file, "the old dog").unwrap();
    assert!(
        json(&["score", path(dir.path()), path(&file), "--format", "json"])["tokens"].as_u64().unwrap() > 3
    );
}

/// Finite weights of 1e30: their products overflow.
fn overflowing() -> Transformer {
    let mut network = lively(Shape::new(&TINY, 260)).into_network();
    for block in &mut network.parameters.blocks {
        block.up.weight = (&block.up.weight * 1e30).unwrap();
        block.down.weight = (&block.down.weight * 1e30).unwrap();
    }
    Transformer::from_network(network, SPECIAL)
}

#[test]
fn a_prediction_that_is_not_a_number_is_an_error_that_names_the_token_and_the_largest_weight() {
    let dir = scored_folder(|dir| overflowing().save(dir).unwrap());
    let file = dir.path().join("text.txt");
    fs::write(&file, "the old dog").unwrap();
    for format in ["json", "table"] {
        let error = refused(&["score", path(dir.path()), path(&file), "--format", format]);
        assert!(error.contains("token 1 of document 1: the model's prediction is not a number"), "{error}");
        assert!(error.contains("e30, in model.layers."), "{error}");
    }
}

#[test]
fn nothing_is_written_redrawn_or_scored_from_predictions_that_are_not_numbers() {
    let model = overflowing();
    let tokens = random_tokens(12, 260, 1);
    let documents: Documents = [&tokens[..]].into_iter().collect();
    let not_finite = |error: ModelError| matches!(error, ModelError::NotFinite { .. });
    let sampling = SamplingSettings::default();
    let uniforms = vec![0.5; 12];
    staged(|stage| {
        assert!(not_finite(model.score(&documents, stage).unwrap_err()));
        assert!(not_finite(model.score_decoded(&documents, &sampling, stage).unwrap_err()));
        assert!(not_finite(model.redraw(&documents, &sampling, &uniforms, stage).unwrap_err()));
        for decoding in decoders() {
            let request = GenerateRequest {
                prompts: &documents,
                max_document_tokens: 5,
                decoding: &decoding,
                item: &|i| i as u64,
            };
            assert!(not_finite(model.generate(&request, stage).unwrap_err()), "{decoding:?}");
        }
    });
}

fn decoders() -> [DecodingStrategy; 3] {
    ["", "beams = 3", "contrastive_k = 3\ncontrastive_alpha = 0.5"]
        .map(|text| DecodingStrategy::read(text.parse().unwrap()).unwrap())
}

/// A vocabulary of 37 of which the tokenizer has 20.
#[test]
fn tokens_beyond_the_tokenizer_are_never_written_but_count_in_losses() {
    let whole = lively(grouped_shape());
    let cut = whole.clone().writing_below(20);
    let tokens = random_tokens(200, 20, 1);
    let documents: Documents = [&tokens[..]].into_iter().collect();
    let prompts: Documents = (0..40).map(|_| &[][..]).collect();
    let sampling = SamplingSettings::default();
    let uniforms: Vec<f64> = (0..200).map(|i| f64::from(i) / 200.0).collect();
    staged(|stage| {
        assert_eq!(cut.score(&documents, stage).unwrap(), whole.score(&documents, stage).unwrap());
        let drawn = cut.redraw(&documents, &sampling, &uniforms, stage).unwrap();
        assert!(drawn.iter().all(|drawn| drawn.token < 20));
        for decoding in decoders() {
            let request = GenerateRequest {
                prompts: &prompts,
                max_document_tokens: 10,
                decoding: &decoding,
                item: &|i| i as u64,
            };
            let written = |model: &Transformer| model.generate(&request, stage).unwrap();
            assert!(written(&cut).flat().iter().all(|&token| token < 20), "{decoding:?}");
            assert!(written(&whole).flat().iter().any(|&token| token >= 20), "{decoding:?}");
        }
        // Under a decoder the 20 tokens share all of the probability.
        let decoded = cut.score_decoded(&documents, &sampling, stage).unwrap();
        let plain = cut.score(&documents, stage).unwrap().log_probabilities;
        assert!(decoded.iter().zip(&plain).all(|(decoded, plain)| decoded >= plain));
    });
}
