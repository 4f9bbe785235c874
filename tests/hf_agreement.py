#!/usr/bin/env python3
"""Holds a model's log-probabilities against Hugging Face's transformers. Run by hand:

    genloss score MODEL_DIR FILE --tokens --format json > scores.json
    python tests/hf_agreement.py MODEL_DIR scores.json

Needs torch and transformers. Compares the first `max_position_embeddings` positions, which both read in the same way
(beyond them genloss slides its window), prints the largest absolute difference in nats, and exits with 1 if it is above
the tolerance. Then lets the folder's own tokenizer and a text-generation pipeline write a few tokens, and exits with 1 if
the tokenizer has tokens that the model lacks, or ends texts with another one.
"""

import argparse
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline


def fits(model, model_dir) -> bool:
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    ends = (tokenizer.eos_token_id, model.generation_config.eos_token_id)
    written = pipeline("text-generation", model=model, tokenizer=tokenizer)("A text", max_new_tokens=8)
    print(f"{len(tokenizer)} of {model.config.vocab_size} tokens, ended by {ends[0]} and {ends[1]}; {written[0]['generated_text']!r}")
    return len(tokenizer) <= model.config.vocab_size and ends[0] == ends[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir")
    parser.add_argument("scores", help="what `genloss score --tokens --format json` printed; - for standard input")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="nats")
    arguments = parser.parse_args()

    with sys.stdin if arguments.scores == "-" else open(arguments.scores, encoding="utf-8") as file:
        scores = json.load(file)
    ids, ours = scores["token_ids"], scores["token_logprobs"]
    if len(ids) != len(ours) or ours[0] is not None:
        sys.exit("token_ids and token_logprobs do not fit: the start token comes first, and has no log-probability")

    model = AutoModelForCausalLM.from_pretrained(arguments.model_dir, dtype=torch.float32).eval()
    # The window has room for so many inputs, and each predicts the token after it.
    predicted = min(len(ids) - 1, model.config.max_position_embeddings)
    if predicted == 0:
        sys.exit("there is no token to compare")
    inputs = torch.tensor([ids[:predicted]])
    with torch.no_grad():
        logprobs = model(inputs).logits[0].double().log_softmax(-1)
    targets = torch.tensor(ids[1 : predicted + 1])
    theirs = logprobs[torch.arange(predicted), targets]
    difference = (theirs - torch.tensor(ours[1 : predicted + 1], dtype=torch.float64)).abs()
    worst = int(difference.argmax())
    print(
        f"{predicted} tokens, largest difference {difference[worst]:.2e} nats at position {worst + 1}"
        f" (genloss {ours[worst + 1]:.6f}, transformers {theirs[worst]:.6f})"
    )
    return int(not (difference[worst] <= arguments.tolerance and fits(model, arguments.model_dir)))


if __name__ == "__main__":
    sys.exit(main())
