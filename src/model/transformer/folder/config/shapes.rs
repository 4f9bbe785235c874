//! The shape of a model of each family. Defaults are those of Hugging Face transformers.

use super::super::super::architecture::{Architecture, Biases, Family, FeedForward, Norm, Positions};
use super::super::super::parameters::Shape;
use super::ModelConfig;
use super::fields::unsupported;
use genloss_kernels::activation::Activation;
use genloss_kernels::attention::Heads;

/// Largest size in bytes of the rotary tables of all positions.
const MOST_ROTARY_BYTES: usize = 1 << 30;

pub fn of(config: &ModelConfig) -> Result<Shape, String> {
    let shape = match config.family {
        Family::Gpt2 => gpt2(config)?,
        Family::GptNeoX => gpt_neox(config)?,
        Family::Opt => opt(config)?,
        Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 => llama(config)?,
    };
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
    let context = config.size("max_position_embeddings")?;
    check_windows(config, context)?;
    let attention_bias = config.flag("attention_bias", false)?;
    let feed_forward = config.flag("mlp_bias", false)?;
    let biases = match family {
        Family::Qwen2 => Biases { qkv: true, output: false, feed_forward: false },
        Family::Qwen3 => Biases { qkv: attention_bias, output: attention_bias, feed_forward: false },
        Family::Llama => Biases { qkv: attention_bias, output: attention_bias, feed_forward },
        _ => Biases::default(),
    };
    let rope = config.rope(head, ("rope_theta", 10_000.0), None)?;
    Ok(Shape {
        vocab_size: config.size("vocab_size")?,
        width,
        layers: config.size("num_hidden_layers")?,
        heads: heads(queries, keys, head)?,
        ffn: config.size("intermediate_size")?,
        context,
        norm_epsilon: config.number("rms_norm_eps", 1e-6)?,
        tied: config.flag("tie_word_embeddings", false)?,
        architecture: Architecture {
            family,
            biases,
            head_norm: family == Family::Qwen3,
            ..Architecture::llama(rope)
        },
    })
}

fn gpt2(config: &ModelConfig) -> Result<Shape, String> {
    config.only("scale_attn_weights", true, true)?;
    config.only("scale_attn_by_inverse_layer_idx", false, false)?;
    config.only("add_cross_attention", false, false)?;
    let (width, queries) = (config.size("n_embd")?, config.size("n_head")?);
    let activation = activation(config.text("activation_function", "gelu_new")?)?;
    Ok(Shape {
        vocab_size: config.size("vocab_size")?,
        width,
        layers: config.size("n_layer")?,
        heads: heads(queries, queries, even_share(width, queries, "n_embd")?)?,
        ffn: config.optional_size("n_inner")?.unwrap_or(4 * width),
        context: config.size("n_positions")?,
        norm_epsilon: config.number("layer_norm_epsilon", 1e-5)?,
        tied: config.flag("tie_word_embeddings", true)?,
        architecture: Architecture {
            family: Family::Gpt2,
            norm: Norm::Layer,
            positions: Positions::Learned { offset: 0 },
            feed_forward: FeedForward::Plain(activation),
            biases: Biases::ALL,
            head_norm: false,
            parallel: false,
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
            family: Family::GptNeoX,
            norm: Norm::Layer,
            positions: Positions::Rotary(rope),
            feed_forward: FeedForward::Plain(activation),
            biases: Biases { qkv: attention_bias, output: attention_bias, feed_forward: true },
            head_norm: false,
            parallel: config.flag("use_parallel_residual", true)?,
        },
    })
}

fn opt(config: &ModelConfig) -> Result<Shape, String> {
    config.only("do_layer_norm_before", true, true)?;
    config.only("_remove_final_layer_norm", false, false)?;
    config.only("layer_norm_elementwise_affine", true, true)?;
    let (width, queries) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    if config.optional_size("word_embed_proj_dim")?.is_some_and(|projected| projected != width) {
        return Err(unsupported("word_embed_proj_dim differs from hidden_size: projected embeddings are"));
    }
    let has_biases = config.flag("enable_bias", true)?;
    let activation = activation(config.text("activation_function", "relu")?)?;
    Ok(Shape {
        vocab_size: config.size("vocab_size")?,
        width,
        layers: config.size("num_hidden_layers")?,
        heads: heads(queries, queries, even_share(width, queries, "hidden_size")?)?,
        ffn: config.size("ffn_dim")?,
        context: config.size("max_position_embeddings")?,
        norm_epsilon: 1e-5,
        tied: config.flag("tie_word_embeddings", true)?,
        architecture: Architecture {
            family: Family::Opt,
            norm: Norm::Layer,
            positions: Positions::Learned { offset: 2 },
            feed_forward: FeedForward::Plain(activation),
            biases: Biases { qkv: has_biases, output: has_biases, feed_forward: has_biases },
            head_norm: false,
            parallel: false,
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

/// Attention over a sliding window is attention over everything where the window is as long as the context.
fn check_windows(config: &ModelConfig, context: usize) -> Result<(), String> {
    let is_used = config.flag("use_sliding_window", config.family == Family::Mistral)?;
    match config.optional_size("sliding_window")? {
        Some(window) if is_used && window < context => Err(format!(
            "sliding_window {window} is not supported; lower max_position_embeddings from {context} to {window}, which \
             computes the same for texts up to that length"
        )),
        _ => Ok(()),
    }
}
