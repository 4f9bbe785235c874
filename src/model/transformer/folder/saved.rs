//! The configuration files of a saved model.

use super::super::Transformer;
use super::super::architecture::{FeedForward, NormPlaces, Positions, Rope, RopeScaling};
use super::super::parameters::Shape;
use crate::model::SpecialTokens;
use crate::model::family::Family;
use genloss_kernels::activation::Activation;
use serde_json::{Map, Value, json};

/// The contents of `config.json`. The number format appears under two names, because Hugging Face transformers renamed
/// it in version 5.
pub fn config(model: &Transformer) -> Value {
    let shape = &model.network.shape;
    let family = shape.architecture.family;
    let mut config = object(json!({
        "architectures": [family.class()],
        "model_type": family.model_type(),
        "vocab_size": shape.vocab_size,
        "tie_word_embeddings": shape.tied,
        "bos_token_id": model.special.start,
        "eos_token_id": model.special.end,
        "initializer_range": 0.02,
        "use_cache": true,
        "torch_dtype": "float32",
        "dtype": "float32",
    }));
    config.extend(object(match family {
        Family::Gpt2 => gpt2(shape),
        Family::GptNeoX => gpt_neox(shape),
        Family::Opt => opt(shape, model.special),
        _ => llama(shape),
    }));
    if let Positions::Rotary(rope) = &shape.architecture.positions {
        config.extend(object(rotary(rope, shape)));
    }
    Value::Object(config)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn llama(shape: &Shape) -> Value {
    let biases = &shape.architecture.biases;
    let mut config = object(json!({
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads.queries,
        "num_key_value_heads": shape.heads.keys,
        "head_dim": shape.heads.width,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_epsilon,
        "hidden_act": activation(shape),
        "attention_dropout": 0.0,
    }));
    let architecture = &shape.architecture;
    let window = architecture.windows.as_ref().map(|windows| windows.size);
    config.extend(object(match architecture.family {
        Family::Mistral => json!({ "sliding_window": window }),
        Family::Qwen2 => json!({ "use_sliding_window": window.is_some(), "sliding_window": window }),
        Family::Qwen3 => json!({
            "use_sliding_window": window.is_some(),
            "sliding_window": window,
            "attention_bias": biases.qkv,
        }),
        Family::Gemma | Family::Olmo2 => json!({ "attention_bias": biases.qkv }),
        Family::Gemma2 | Family::Gemma3 => json!({
            "attention_bias": biases.qkv,
            "hidden_activation": activation(shape),
            "query_pre_attn_scalar": architecture.query_scalar.map(whole),
            "attn_logit_softcapping": architecture.score_cap,
            "final_logit_softcapping": architecture.logit_cap,
            "sliding_window": window.unwrap_or(shape.context),
        }),
        _ => json!({ "attention_bias": biases.qkv, "mlp_bias": biases.feed_forward }),
    }));
    if architecture.windows.is_some() && architecture.family != Family::Mistral
        || matches!(architecture.family, Family::Gemma2 | Family::Gemma3)
    {
        let kind = |layer| match architecture.window(layer) {
            Some(_) => "sliding_attention",
            None => "full_attention",
        };
        config.insert("layer_types".to_owned(), (0..shape.layers).map(kind).collect());
    }
    if let Some(rope) = architecture.windows.as_ref().and_then(|windows| windows.rope) {
        config.insert("rope_local_base_freq".to_owned(), json!(rope.theta));
    }
    Value::Object(config)
}

/// A number, as an integer if it is whole: version 5 of transformers refuses others here.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 { json!(number as u64) } else { json!(number) }
}

fn gpt2(shape: &Shape) -> Value {
    json!({
        "n_embd": shape.width,
        "n_inner": shape.ffn,
        "n_layer": shape.layers,
        "n_head": shape.heads.queries,
        "n_positions": shape.context,
        "n_ctx": shape.context,
        "layer_norm_epsilon": shape.norm_epsilon,
        "activation_function": activation(shape),
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    })
}

fn gpt_neox(shape: &Shape) -> Value {
    json!({
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads.queries,
        "max_position_embeddings": shape.context,
        "layer_norm_eps": shape.norm_epsilon,
        "hidden_act": activation(shape),
        "attention_bias": shape.architecture.biases.qkv,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "use_parallel_residual": shape.architecture.parallel,
    })
}

fn opt(shape: &Shape, special: SpecialTokens) -> Value {
    let is_before = shape.architecture.places == NormPlaces::Before;
    json!({
        "hidden_size": shape.width,
        "word_embed_proj_dim": shape.architecture.projected.unwrap_or(shape.width),
        "ffn_dim": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads.queries,
        "max_position_embeddings": shape.context,
        "activation_function": activation(shape),
        "do_layer_norm_before": is_before,
        "_remove_final_layer_norm": is_before && !shape.architecture.final_norm,
        "enable_bias": shape.architecture.biases.qkv,
        "attention_dropout": 0.0,
        "dropout": 0.0,
        "layerdrop": 0.0,
        "pad_token_id": special.end,
    })
}

fn activation(shape: &Shape) -> &'static str {
    match shape.architecture.feed_forward {
        FeedForward::SwiGlu => "silu",
        FeedForward::GeGlu => "gelu_pytorch_tanh",
        FeedForward::Plain(Activation::Relu) => "relu",
        FeedForward::Plain(Activation::Gelu) => "gelu",
        FeedForward::Plain(Activation::GeluTanh) => "gelu_new",
    }
}

/// The rotary base and scaling, under their names in version 4 and in version 5 of Hugging Face transformers.
fn rotary(rope: &Rope, shape: &Shape) -> Value {
    let share = rope.columns as f64 / shape.heads.width as f64;
    let scaling = match rope.scaling {
        RopeScaling::None => json!({ "rope_type": "default" }),
        RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
        RopeScaling::Dynamic { factor } => json!({ "rope_type": "dynamic", "factor": factor }),
        RopeScaling::Yarn(yarn) => json!({
            "rope_type": "yarn",
            "factor": yarn.factor,
            "beta_fast": yarn.beta_fast,
            "beta_slow": yarn.beta_slow,
            "original_max_position_embeddings": yarn.original_context as u64,
            "attention_factor": yarn.attention_factor,
            "truncate": yarn.truncate,
        }),
        RopeScaling::Llama3 { factor, low, high, original_context } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": original_context as u64,
        }),
    };
    let mut parameters = object(scaling.clone());
    parameters.insert("rope_theta".to_owned(), json!(rope.theta));
    let mut config = Map::new();
    if shape.architecture.family == Family::GptNeoX {
        parameters.insert("partial_rotary_factor".to_owned(), json!(share));
        config.insert("rotary_pct".to_owned(), json!(share));
        config.insert("rotary_emb_base".to_owned(), json!(rope.theta));
    } else {
        config.insert("rope_theta".to_owned(), json!(rope.theta));
    }
    if rope.scaling != RopeScaling::None {
        config.insert("rope_scaling".to_owned(), scaling);
    }
    // Version 5 has rotary parameters for each kind of layer of Gemma 3, and makes them of the older fields.
    if shape.architecture.family != Family::Gemma3 {
        config.insert("rope_parameters".to_owned(), Value::Object(parameters));
    }
    Value::Object(config)
}

/// The contents of `generation_config.json`.
pub fn generation(special: SpecialTokens) -> Value {
    json!({
        "bos_token_id": special.start,
        "eos_token_id": special.end,
        "do_sample": true,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
    })
}
