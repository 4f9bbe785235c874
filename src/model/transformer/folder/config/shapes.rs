//! The shape of a model of each family. Defaults are those of Hugging Face transformers.

use super::super::super::architecture::{Architecture, Biases, FeedForward, NormPlaces, Positions, Windows};
use super::super::super::parameters::Shape;
use super::ModelConfig;
use super::fields::unsupported;
use crate::model::family::Family;
use genloss_kernels::activation::Activation;
use genloss_kernels::attention::Heads;
use serde_json::Value;

/// Largest size in bytes of the rotary tables of all positions.
const MOST_ROTARY_BYTES: usize = 1 << 30;

pub fn of(config: &ModelConfig) -> Result<Shape, String> {
    let shape = match config.family {
        Family::Gpt2 => gpt2(config)?,
        Family::GptNeoX => gpt_neox(config)?,
        Family::Opt => opt(config)?,
        Family::Gemma | Family::Gemma2 | Family::Gemma3 => gemma(config)?,
        Family::Llama | Family::Mistral | Family::Olmo2 | Family::Qwen2 | Family::Qwen3 => llama(config)?,
    };
    // Longer texts are read in windows that overlap by half.
    if shape.context < 2 {
        return Err("a model that reads one token at a time (max_position_embeddings, n_positions) cannot be used; copy the file \
                    again from where the model was published"
            .to_owned());
    }
    // Each pair of elements has a cosine and a sine at every position, both f32.
    let rotary_bytes = shape.context.saturating_mul(4 * shape.heads.width);
    if matches!(shape.architecture.positions, Positions::Rotary(_)) && rotary_bytes > MOST_ROTARY_BYTES {
        return Err(format!(
            "max_position_embeddings {} would take {} MB; lower it to the longest text that is read at once",
            shape.context,
            rotary_bytes >> 20
        ));
    }
    if !(shape.norm_epsilon >= 0.0 && shape.norm_epsilon.is_finite()) {
        return Err(format!("the epsilon of the norms, {}, is out of range", shape.norm_epsilon));
    }
    Ok(shape)
}

/// Llama and the families that differ from it in little.
fn llama(config: &ModelConfig) -> Result<Shape, String> {
    let family = config.family;
    if !matches!(config.text("hidden_act", "silu")?, "silu" | "swish") {
        return Err(unsupported("an activation (hidden_act) other than silu is"));
    }
    let (width, queries) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    let keys = config.optional_size("num_key_value_heads")?.unwrap_or(queries);
    let default_head = match family {
        Family::Qwen3 => Some(128),
        _ => None,
    };
    let head = match config.optional_size("head_dim")?.or(default_head) {
        Some(head) => head,
        None => even_share(width, queries, "hidden_size")?,
    };
    let (layers, context) = (config.size("num_hidden_layers")?, config.size("max_position_embeddings")?);
    let windows = windows(config, layers)?.filter(|windows| windows.size < context);
    let attention_bias = config.flag("attention_bias", false)?;
    let feed_forward = config.flag("mlp_bias", false)?;
    let biases = match family {
        Family::Qwen2 => Biases { qkv: true, output: false, feed_forward: false },
        Family::Qwen3 | Family::Olmo2 => {
            Biases { qkv: attention_bias, output: attention_bias, feed_forward: false }
        }
        Family::Llama => Biases { qkv: attention_bias, output: attention_bias, feed_forward },
        _ => Biases::default(),
    };
    let rope = config.rope(head, ("rope_theta", 10_000.0), None)?;
    Ok(Shape {
        vocab_size: config.size("vocab_size")?,
        width,
        layers,
        heads: heads(queries, keys, head)?,
        ffn: config.size("intermediate_size")?,
        context,
        norm_epsilon: config.number("rms_norm_eps", if family == Family::Olmo2 { 1e-5 } else { 1e-6 })?,
        tied: config.flag("tie_word_embeddings", false)?,
        architecture: Architecture {
            positions: Positions::Rotary(rope),
            biases,
            windows,
            ..Architecture::of(family, width, head)
        },
    })
}

/// Gemma 1, 2 and 3.
fn gemma(config: &ModelConfig) -> Result<Shape, String> {
    let family = config.family;
    let name = if family == Family::Gemma { "hidden_act" } else { "hidden_activation" };
    if config.text(name, "gelu_pytorch_tanh")? != "gelu_pytorch_tanh" {
        return Err(format!("{name} is not gelu_pytorch_tanh, with which Gemma was trained; set it to that"));
    }
    config.only("use_bidirectional_attention", false, false)?;
    let (width, queries) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    let keys = config.optional_size("num_key_value_heads")?.unwrap_or(queries);
    let head = config.optional_size("head_dim")?.unwrap_or(256);
    let layers = config.size("num_hidden_layers")?;
    let bias = config.flag("attention_bias", false)?;
    let is_first = family == Family::Gemma;
    let theta = if family == Family::Gemma3 { 1_000_000.0 } else { 10_000.0 };
    let cap = |name: &str, default: f64| {
        let default = (family == Family::Gemma2).then_some(default);
        Ok::<_, String>(config.number_or_null(name, default)?.map(|cap| cap as f32).filter(|_| !is_first))
    };
    let windows = if is_first { None } else { windows(config, layers)? };
    let local = || config.rope_of_layers(head, ("rope_local_base_freq", 10_000.0), None, "sliding_attention");
    let windows = windows.map(|windows| {
        let rope = if family == Family::Gemma3 { Some(local()?) } else { None };
        Ok::<_, String>(Windows { rope, ..windows })
    });
    Ok(Shape {
        vocab_size: config.size("vocab_size")?,
        width,
        layers,
        heads: heads(queries, keys, head)?,
        ffn: config.size("intermediate_size")?,
        context: config.size("max_position_embeddings")?,
        norm_epsilon: config.number("rms_norm_eps", 1e-6)?,
        tied: config.flag("tie_word_embeddings", true)?,
        architecture: Architecture {
            positions: Positions::Rotary(config.rope(head, ("rope_theta", theta), None)?),
            biases: Biases { qkv: bias, output: bias, feed_forward: false },
            query_scalar: if is_first {
                None
            } else {
                Some(config.positive("query_pre_attn_scalar", 256.0)?)
            },
            score_cap: cap("attn_logit_softcapping", 50.0)?,
            logit_cap: cap("final_logit_softcapping", 30.0)?,
            windows: windows.transpose()?,
            ..Architecture::of(family, width, head)
        },
    })
}

/// The layers that read a sliding window.
fn windows(config: &ModelConfig, layers: usize) -> Result<Option<Windows>, String> {
    let family = config.family;
    let is_qwen = matches!(family, Family::Qwen2 | Family::Qwen3);
    let is_used = match family {
        Family::Mistral | Family::Gemma2 | Family::Gemma3 => true,
        _ => is_qwen && config.flag("use_sliding_window", false)?,
    };
    let size = match config.optional_size("sliding_window")? {
        Some(size) if is_used => size,
        None if matches!(family, Family::Gemma2 | Family::Gemma3) => 4096,
        _ => return Ok(None),
    };
    let pattern = config.optional_size("sliding_window_pattern")?.unwrap_or(6);
    let first = if is_qwen { config.count("max_window_layers", 28)? } else { 0 };
    let is_windowed = |layer: usize| match family {
        Family::Gemma2 => layer.is_multiple_of(2),
        Family::Gemma3 => !(layer + 1).is_multiple_of(pattern),
        _ => layer >= first,
    };
    let layers: Vec<bool> = match config.value("layer_types") {
        None => (0..layers).map(is_windowed).collect(),
        Some(kinds) => kinds
            .as_array()
            .filter(|kinds| kinds.len() == layers)
            .and_then(|kinds| kinds.iter().map(is_sliding).collect())
            .ok_or("layer_types is not full_attention or sliding_attention for each layer")?,
    };
    if family == Family::Mistral && layers.contains(&false) {
        return Err("layer_types has full_attention, but transformers gives every layer of Mistral the sliding_window; set \
                    that to null if no layer has one"
            .to_owned());
    }
    Ok(layers.contains(&true).then_some(Windows { size, layers, rope: None }))
}

fn is_sliding(kind: &Value) -> Option<bool> {
    match kind.as_str()? {
        "sliding_attention" => Some(true),
        "full_attention" => Some(false),
        _ => None,
    }
}

fn gpt2(config: &ModelConfig) -> Result<Shape, String> {
    config.only("scale_attn_weights", true, true)?;
    config.only("scale_attn_by_inverse_layer_idx", false, false)?;
    config.only("add_cross_attention", false, false)?;
    let (width, queries) = (config.size("n_embd")?, config.size("n_head")?);
    let head = even_share(width, queries, "n_embd")?;
    let activation = activation(config.text("activation_function", "gelu_new")?)?;
    Ok(Shape {
        vocab_size: config.size("vocab_size")?,
        width,
        layers: config.size("n_layer")?,
        heads: heads(queries, queries, head)?,
        ffn: config.optional_size("n_inner")?.unwrap_or(4 * width),
        context: config.size("n_positions")?,
        norm_epsilon: config.number("layer_norm_epsilon", 1e-5)?,
        tied: config.flag("tie_word_embeddings", true)?,
        architecture: Architecture {
            feed_forward: FeedForward::Plain(activation),
            ..Architecture::of(Family::Gpt2, width, head)
        },
    })
}

fn gpt_neox(config: &ModelConfig) -> Result<Shape, String> {
    let (width, queries) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    let head = even_share(width, queries, "hidden_size")?;
    let activation = activation(config.text("hidden_act", "gelu")?)?;
    let rope = config.rope(head, ("rotary_emb_base", 10_000.0), Some(("rotary_pct", 0.25)))?;
    let attention_bias = config.flag("attention_bias", true)?;
    Ok(Shape {
        vocab_size: config.size("vocab_size")?,
        width,
        layers: config.size("num_hidden_layers")?,
        heads: heads(queries, queries, head)?,
        ffn: config.size("intermediate_size")?,
        context: config.size("max_position_embeddings")?,
        norm_epsilon: config.number("layer_norm_eps", 1e-5)?,
        tied: config.flag("tie_word_embeddings", false)?,
        architecture: Architecture {
            positions: Positions::Rotary(rope),
            feed_forward: FeedForward::Plain(activation),
            biases: Biases { qkv: attention_bias, output: attention_bias, feed_forward: true },
            parallel: config.flag("use_parallel_residual", true)?,
            ..Architecture::of(Family::GptNeoX, width, head)
        },
    })
}

fn opt(config: &ModelConfig) -> Result<Shape, String> {
    config.only("layer_norm_elementwise_affine", true, true)?;
    let (width, queries) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    let is_before = config.flag("do_layer_norm_before", true)?;
    let final_norm = is_before && !config.flag("_remove_final_layer_norm", false)?;
    let head = even_share(width, queries, "hidden_size")?;
    let has_biases = config.flag("enable_bias", true)?;
    let activation = activation(config.text("activation_function", "relu")?)?;
    Ok(Shape {
        vocab_size: config.size("vocab_size")?,
        width,
        layers: config.size("num_hidden_layers")?,
        heads: heads(queries, queries, head)?,
        ffn: config.size("ffn_dim")?,
        context: config.size("max_position_embeddings")?,
        norm_epsilon: 1e-5,
        tied: config.flag("tie_word_embeddings", true)?,
        architecture: Architecture {
            feed_forward: FeedForward::Plain(activation),
            biases: if has_biases { Biases::ALL } else { Biases::default() },
            places: if is_before { NormPlaces::Before } else { NormPlaces::OfSum },
            projected: config.optional_size("word_embed_proj_dim")?.filter(|&projected| projected != width),
            final_norm,
            ..Architecture::of(Family::Opt, width, head)
        },
    })
}

fn heads(queries: usize, keys: usize, width: usize) -> Result<Heads, String> {
    match queries.is_multiple_of(keys) {
        true => Ok(Heads { queries, keys, width }),
        false => Err(format!("{queries} attention heads cannot share {keys} key-value heads")),
    }
}

fn even_share(width: usize, heads: usize, name: &str) -> Result<usize, String> {
    match width.is_multiple_of(heads) {
        true => Ok(width / heads),
        false => Err(format!("{name} {width} is not a multiple of the {heads} heads")),
    }
}

fn activation(name: &str) -> Result<Activation, String> {
    match name {
        "relu" => Ok(Activation::Relu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
        other => {
            let other: String = other.chars().take(40).collect();
            Err(unsupported(&format!("the activation {other:?} is")))
        }
    }
}
