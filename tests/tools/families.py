#!/usr/bin/env python3
"""Makes small models with random weights of every family, and what Hugging Face transformers computes with them.

    python tests/tools/families.py [FOLDER]      # tests/it/families by default

Needs torch and transformers 4.57. Each folder has a model as `save_pretrained` writes it, and `expected.json`: the ids of a
text, the log-probability of each but the first, the loss and the global norm of its gradient, and 20 tokens written greedily.
"""

import json
import os
import sys
import warnings

import torch
import transformers as hf

VOCABULARY, START, END = 37, 1, 2
# Without a padding token: PyTorch gives its embedding no gradient.
SPECIAL = dict(vocab_size=VOCABULARY, bos_token_id=START, eos_token_id=END, pad_token_id=None)


def llama_like(config, **changes):
    sizes = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32)
    return config(**{**SPECIAL, **sizes, **changes})


LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
LINEAR = dict(rope_type="linear", factor=2.0)
DYNAMIC = dict(rope_type="dynamic", factor=2.0)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=8)
ODD = dict(hidden_size=15, intermediate_size=13, num_hidden_layers=1, num_attention_heads=3, num_key_value_heads=1, head_dim=6)

MODELS = {
    "llama-plain": llama_like(hf.LlamaConfig, num_key_value_heads=4),
    "llama-features": llama_like(
        hf.LlamaConfig, num_key_value_heads=2, attention_bias=True, mlp_bias=True, rope_scaling=LLAMA3, rope_theta=500.0,
        tie_word_embeddings=True, rms_norm_eps=1e-5,
    ),
    "llama-odd": llama_like(hf.LlamaConfig, **ODD, rope_scaling=LINEAR),
    "mistral-plain": llama_like(hf.MistralConfig, num_key_value_heads=2, sliding_window=None),
    "mistral-features": llama_like(hf.MistralConfig, num_key_value_heads=1, head_dim=8, sliding_window=7, rope_theta=1e6),
    "mistral-odd": llama_like(hf.MistralConfig, **ODD, sliding_window=None, tie_word_embeddings=True, rope_scaling=DYNAMIC),
    "qwen2-plain": llama_like(hf.Qwen2Config, num_key_value_heads=4),
    "qwen2-features": llama_like(
        hf.Qwen2Config, num_key_value_heads=2, tie_word_embeddings=True, rope_theta=1e6, use_sliding_window=True, sliding_window=9,
        max_window_layers=1,
    ),
    "qwen2-odd": llama_like(hf.Qwen2Config, hidden_size=18, intermediate_size=13, num_hidden_layers=1, num_attention_heads=3, num_key_value_heads=1),
    "qwen3-plain": llama_like(hf.Qwen3Config, num_key_value_heads=4, head_dim=4),
    "qwen3-features": llama_like(
        hf.Qwen3Config, num_key_value_heads=2, head_dim=8, attention_bias=True, tie_word_embeddings=True, rope_theta=1e4,
        rope_scaling=YARN,
    ),
    "qwen3-odd": llama_like(hf.Qwen3Config, **ODD),
    "gemma-plain": llama_like(hf.GemmaConfig, num_key_value_heads=4, head_dim=4),
    "gemma-features": llama_like(
        hf.GemmaConfig, num_key_value_heads=1, head_dim=8, attention_bias=True, tie_word_embeddings=False, rope_theta=500.0
    ),
    "gemma-odd": llama_like(hf.GemmaConfig, **ODD),
    "gemma2-plain": llama_like(hf.Gemma2Config, num_key_value_heads=4, head_dim=4, sliding_window=32),
    "gemma2-features": llama_like(
        hf.Gemma2Config, num_key_value_heads=2, head_dim=8, sliding_window=6, query_pre_attn_scalar=5, attn_logit_softcapping=4.0,
        final_logit_softcapping=8.0,
    ),
    "gemma2-odd": llama_like(hf.Gemma2Config, **ODD, sliding_window=5, attn_logit_softcapping=None, final_logit_softcapping=None),
    "gemma3_text-plain": llama_like(hf.Gemma3TextConfig, num_key_value_heads=4, head_dim=4, sliding_window=32),
    "gemma3_text-features": llama_like(
        hf.Gemma3TextConfig, num_key_value_heads=2, head_dim=8, sliding_window=6, query_pre_attn_scalar=5, rope_scaling=LINEAR,
        rope_theta=500.0, rope_local_base_freq=50.0, layer_types=["sliding_attention", "full_attention"],
    ),
    "gemma3_text-odd": llama_like(hf.Gemma3TextConfig, **ODD, sliding_window=5, tie_word_embeddings=False),
    "olmo2-plain": llama_like(hf.Olmo2Config, num_key_value_heads=4),
    "olmo2-features": llama_like(
        hf.Olmo2Config, num_key_value_heads=2, attention_bias=True, tie_word_embeddings=True, rope_theta=500.0
    ),
    "olmo2-odd": llama_like(
        hf.Olmo2Config, hidden_size=18, intermediate_size=13, num_hidden_layers=1, num_attention_heads=3, num_key_value_heads=1
    ),
    "gpt2-plain": hf.GPT2Config(**SPECIAL, n_embd=12, n_layer=2, n_head=2, n_positions=32),
    "gpt2-features": hf.GPT2Config(
        **SPECIAL, n_embd=16, n_layer=2, n_head=2, n_positions=32, n_inner=20, tie_word_embeddings=False,
        activation_function="gelu", layer_norm_epsilon=1e-3,
    ),
    "gpt2-odd": hf.GPT2Config(**SPECIAL, n_embd=15, n_layer=1, n_head=3, n_positions=32, n_inner=13),
    "opt-plain": hf.OPTConfig(
        **SPECIAL, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32,
        word_embed_proj_dim=16,
    ),
    "opt-features": hf.OPTConfig(
        **SPECIAL, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32,
        word_embed_proj_dim=10, do_layer_norm_before=False, enable_bias=False, activation_function="gelu",
        tie_word_embeddings=False,
    ),
    "opt-odd": hf.OPTConfig(
        **SPECIAL, hidden_size=15, ffn_dim=13, num_hidden_layers=1, num_attention_heads=3, max_position_embeddings=32,
        word_embed_proj_dim=7,
    ),
    "gpt_neox-plain": llama_like(hf.GPTNeoXConfig, num_attention_heads=2),
    "gpt_neox-features": llama_like(
        hf.GPTNeoXConfig, num_attention_heads=2, use_parallel_residual=False, rotary_pct=1.0, tie_word_embeddings=True,
        rotary_emb_base=500, hidden_act="gelu_new",
    ),
    "gpt_neox-odd": llama_like(
        hf.GPTNeoXConfig, hidden_size=21, intermediate_size=13, num_hidden_layers=1, num_attention_heads=3, rotary_pct=0.6
    ),
}


def make(name, config, folder):
    torch.manual_seed(sum(map(ord, name)))
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    # Weights far larger than initial ones, so that every part of the model matters.
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(0.35 * noise if parameter.dim() > 1 else parameter + 0.2 * noise)
    model.save_pretrained(folder)
    ids = [START] + torch.randint(0, VOCABULARY, (31,)).tolist()
    inputs = torch.tensor([ids])
    logits = model(inputs).logits[0, :-1]
    logprobs = logits.double().log_softmax(-1)[range(31), ids[1:]]
    loss = torch.nn.functional.cross_entropy(logits, inputs[0, 1:])
    loss.backward()
    norm = torch.sqrt(sum((p.grad.double() ** 2).sum() for p in model.parameters() if p.grad is not None))
    written = ids[:4]
    for _ in range(20):
        written.append(model(torch.tensor([written])).logits[0, -1].argmax().item())
    expected = dict(
        ids=ids, logprobs=[round(x, 7) for x in logprobs.tolist()], loss=loss.item(), gradient_norm=norm.item(),
        prompt=written[1:4], greedy=written[4:],
    )
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump(expected, file)
    for other in os.listdir(folder):
        if other not in ("config.json", "model.safetensors", "expected.json"):
            os.remove(os.path.join(folder, other))
    print(name, sum(p.numel() for p in model.parameters()), "parameters, loss", round(loss.item(), 3))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "it", "families")
    for name, config in MODELS.items():
        make(name, config, os.path.join(root, name))
