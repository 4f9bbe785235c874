"""Prints what huggingface_hub reads in the cards of a folder, as JSON: the folder of each, its data, evaluations and text."""

import json
import sys
from pathlib import Path

from huggingface_hub import DatasetCard, ModelCard

kind = {"model": ModelCard, "dataset": DatasetCard}[sys.argv[1]]
root = Path(sys.argv[2])
cards = {}
for path in sorted(root.rglob("README.md")):
    card = kind.load(path)
    evaluations = getattr(card.data, "eval_results", None) or []
    cards[str(path.parent.relative_to(root))] = {
        "data": card.data.to_dict(),
        "evaluations": {one.metric_type: one.metric_value for one in evaluations},
        "text": card.text,
    }
json.dump(cards, sys.stdout)
