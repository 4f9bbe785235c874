#!/usr/bin/env python3
"""The other side of the comparison: a model of the same size in PyTorch and Hugging Face's transformers.

    pip install torch transformers numpy
    python benches/pytorch.py --what train|sample --size reference|medium|gpt2 [--precision bf16|f32] [--eager]

Prints one JSON object with the keys of `genloss bench` that make sense here. Training is the forward and backward pass,
the gradient cut to norm 1 and a fused AdamW, compiled unless --eager; sampling is `generate` with a key-value cache,
temperature 1, 256 documents (64 of gpt2) of context - 1 tokens.
"""
import argparse
import json
import resource
import statistics
import time

import torch
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

#            vocabulary, width, layers, heads, ffn, context, batch
SIZES = {"reference": (4096, 256, 4, 4, 704, 128, 16), "medium": (8192, 512, 8, 8, 1408, 256, 8),
         "gpt2": (50257, 768, 12, 12, 3072, 256, 4)}


def model_of(size):
    vocabulary, width, layers, heads, ffn, context, batch = SIZES[size]
    torch.manual_seed(1)
    if size == "gpt2":
        config = GPT2Config(n_positions=context, bos_token_id=0, eos_token_id=None, pad_token_id=None,
                            attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, attn_implementation="sdpa")
        return GPT2LMHeadModel(config), vocabulary, context, batch
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=ffn, max_position_embeddings=context, tie_word_embeddings=True,
        bos_token_id=0, eos_token_id=None, pad_token_id=None, attn_implementation="sdpa")
    return LlamaForCausalLM(config), vocabulary, context, batch


def rates_of(round_of_tokens, warmup, rounds):
    rates = []
    for i in range(warmup + rounds):
        before = time.perf_counter()
        tokens = round_of_tokens()
        if i >= warmup:
            rates.append(tokens / (time.perf_counter() - before))
    return rates


def train(size, precision, eager, rounds):
    model, vocabulary, context, batch = model_of(size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def loss_of(ids):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = model(ids[:, :-1], use_cache=False).logits
            return cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())

    forward = loss_of if eager else torch.compile(loss_of)

    def step():
        loss = forward(torch.randint(0, vocabulary, (batch, context + 1)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return batch * context

    return rates_of(step, 3, rounds)


def sample(size, precision, rounds):
    model, _, context, _ = model_of(size)
    model = model.eval().to(torch.bfloat16 if precision == "bf16" else torch.float32)
    documents = 64 if size == "gpt2" else 256
    start = torch.zeros((documents, 1), dtype=torch.long)

    @torch.inference_mode()
    def write():
        model.generate(start, attention_mask=torch.ones_like(start), do_sample=True, temperature=1.0, top_k=0,
                       top_p=1.0, min_new_tokens=context - 1, max_new_tokens=context - 1, use_cache=True)
        return documents * (context - 1)

    return rates_of(write, 1, rounds)


parser = argparse.ArgumentParser()
parser.add_argument("--what", choices=["train", "sample"], default="train")
parser.add_argument("--size", choices=SIZES, default="reference")
parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16")
parser.add_argument("--eager", action="store_true")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=8)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
if arguments.what == "train":
    rates = train(arguments.size, arguments.precision, arguments.eager, arguments.rounds)
else:
    rates = sample(arguments.size, arguments.precision, min(arguments.rounds, 3))
print(json.dumps({
    "what": arguments.what, "size": arguments.size, "precision": arguments.precision, "threads": arguments.threads,
    "tokens_per_s": statistics.median(rates), "min": min(rates), "max": max(rates),
    "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "torch": torch.__version__,
}))
