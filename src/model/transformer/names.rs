//! The names of a family's weights in a Hugging Face folder, and the form in which they are stored there.

use crate::model::family::Family;
use candle_core::{Result, Tensor};

/// Names of tensors, without `.weight` and `.bias`. Those of a block follow [`block`](Self::block) and its number.
pub struct Names {
    /// What the names of all tensors but the output matrix begin with. Folders of the bare model lack it.
    pub base: &'static str,
    pub embedding: &'static str,
    /// The table of learned positions.
    pub positions: &'static str,
    /// The projection of embeddings to the hidden size, where there is one.
    pub project_in: &'static str,
    /// The projection of hidden states before the output matrix, where there is one.
    pub project_out: &'static str,
    /// What the names of a block's tensors begin with.
    pub block: &'static str,
    pub attention_norm: &'static str,
    /// One name for each of queries, keys and values, or one for all.
    pub qkv: &'static [&'static str],
    pub query_norm: &'static str,
    pub key_norm: &'static str,
    pub output: &'static str,
    /// The norm of what attention adds.
    pub attention_post_norm: &'static str,
    pub ffn_norm: &'static str,
    /// The norm of what the feed-forward layer adds.
    pub ffn_post_norm: &'static str,
    /// The first product of the feed-forward layer: gate and up, or one name.
    pub up: &'static [&'static str],
    pub down: &'static str,
    pub norm: &'static str,
    /// The output matrix of a model whose embedding is not tied.
    pub head: &'static str,
    /// Ends of the names of tensors that only repeat what follows from the configuration: masks and frequencies.
    pub derived: &'static [&'static str],
}

/// How a matrix is stored in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// As it is multiplied: a row for each output.
    ByRows,
    /// Transposed (GPT-2).
    Transposed,
    /// The rows of queries, keys and values follow each other within each head (GPT-NeoX).
    ByHead {
        /// Number of heads.
        heads: usize,
    },
}

impl Stored {
    /// A tensor as a folder has it, from the rows that are multiplied.
    pub fn tensor_of(self, rows: &Tensor) -> Result<Tensor> {
        match self {
            Self::ByRows => Ok(rows.clone()),
            Self::Transposed => rows.t()?.contiguous(),
            Self::ByHead { heads } => swap_leading(rows, 3, heads),
        }
    }

    /// The rows that are multiplied, from a tensor as a folder has it.
    pub fn rows_of(self, stored: &Tensor) -> Result<Tensor> {
        match self {
            Self::ByRows => Ok(stored.clone()),
            Self::Transposed => stored.t()?.contiguous(),
            Self::ByHead { heads } => swap_leading(stored, heads, 3),
        }
    }

    /// The dimensions in a folder of a tensor with these rows and columns.
    pub fn dims(self, rows: usize, columns: Option<usize>) -> Vec<usize> {
        match (self, columns) {
            (Self::Transposed, Some(columns)) => vec![columns, rows],
            _ => std::iter::once(rows).chain(columns).collect(),
        }
    }
}

/// Splits the rows into `first` groups of `second` groups, and puts those of the same place in every group together.
fn swap_leading(rows: &Tensor, first: usize, second: usize) -> Result<Tensor> {
    let dims = rows.dims().to_vec();
    rows.reshape((first, second, ()))?.transpose(0, 1)?.contiguous()?.reshape(dims)
}

impl Names {
    /// The names of a family's weights.
    pub fn of(family: Family) -> &'static Self {
        match family {
            Family::Gpt2 => &GPT2,
            Family::GptNeoX => &GPT_NEOX,
            Family::Opt => &OPT,
            Family::Gemma | Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 => &LLAMA,
            Family::Gemma2 | Family::Gemma3 => &GEMMA,
            Family::Olmo2 => &OLMO,
        }
    }
}

const LLAMA: Names = Names {
    base: "model.",
    embedding: "embed_tokens",
    positions: "",
    project_in: "",
    project_out: "",
    block: "layers.",
    attention_norm: "input_layernorm",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    query_norm: "self_attn.q_norm",
    key_norm: "self_attn.k_norm",
    output: "self_attn.o_proj",
    attention_post_norm: "",
    ffn_norm: "post_attention_layernorm",
    ffn_post_norm: "",
    up: &["mlp.gate_proj", "mlp.up_proj"],
    down: "mlp.down_proj",
    norm: "norm",
    head: "lm_head",
    derived: &[".self_attn.rotary_emb.inv_freq"],
};

/// Gemma 2 and 3.
const GEMMA: Names = Names {
    attention_post_norm: "post_attention_layernorm",
    ffn_norm: "pre_feedforward_layernorm",
    ffn_post_norm: "post_feedforward_layernorm",
    ..LLAMA
};

/// OLMo 2, whose only norms follow the halves of a block.
const OLMO: Names = Names {
    attention_post_norm: "post_attention_layernorm",
    ffn_post_norm: "post_feedforward_layernorm",
    ..LLAMA
};

const GPT2: Names = Names {
    base: "transformer.",
    embedding: "wte",
    positions: "wpe",
    project_in: "",
    project_out: "",
    block: "h.",
    attention_norm: "ln_1",
    qkv: &["attn.c_attn"],
    query_norm: "",
    key_norm: "",
    output: "attn.c_proj",
    attention_post_norm: "",
    ffn_norm: "ln_2",
    ffn_post_norm: "",
    up: &["mlp.c_fc"],
    down: "mlp.c_proj",
    norm: "ln_f",
    head: "lm_head",
    derived: &[".attn.bias", ".attn.masked_bias"],
};

const GPT_NEOX: Names = Names {
    base: "gpt_neox.",
    embedding: "embed_in",
    positions: "",
    project_in: "",
    project_out: "",
    block: "layers.",
    attention_norm: "input_layernorm",
    qkv: &["attention.query_key_value"],
    query_norm: "",
    key_norm: "",
    output: "attention.dense",
    attention_post_norm: "",
    ffn_norm: "post_attention_layernorm",
    ffn_post_norm: "",
    up: &["mlp.dense_h_to_4h"],
    down: "mlp.dense_4h_to_h",
    norm: "final_layer_norm",
    head: "embed_out",
    derived: &[".attention.rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"],
};

const OPT: Names = Names {
    base: "model.",
    embedding: "decoder.embed_tokens",
    positions: "decoder.embed_positions",
    project_in: "decoder.project_in",
    project_out: "decoder.project_out",
    block: "decoder.layers.",
    attention_norm: "self_attn_layer_norm",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    query_norm: "",
    key_norm: "",
    output: "self_attn.out_proj",
    attention_post_norm: "",
    ffn_norm: "final_layer_norm",
    ffn_post_norm: "",
    up: &["fc1"],
    down: "fc2",
    norm: "decoder.final_layer_norm",
    head: "lm_head",
    derived: &[],
};
