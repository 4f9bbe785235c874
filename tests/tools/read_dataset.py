"""Prints what Hugging Face datasets loads from a folder, as JSON: configuration, split, rows."""

import json
import sys

from datasets import get_dataset_config_names, load_dataset

root = sys.argv[1]
names = get_dataset_config_names(root)
loaded = {name: {split: rows.to_list() for split, rows in load_dataset(root, name).items()} for name in names}
json.dump({"configurations": loaded, "default": sorted(load_dataset(root))}, sys.stdout)
