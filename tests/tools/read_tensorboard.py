"""Prints what TensorBoard's own EventAccumulator reads in a log folder, as JSON: run, kind, tag, values by step."""

import json
import os
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder: str) -> dict:
    # 0: keep every value.
    accumulator = EventAccumulator(folder, size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    histogram = lambda value: {"num": value.num, "sum": value.sum, "counts": list(value.bucket)}
    texts = lambda tensor: [text.decode("utf-8") for text in tensor.string_val]
    return {
        "scalars": {tag: [[e.step, e.value] for e in accumulator.Scalars(tag)] for tag in tags["scalars"]},
        "titles": {tag: accumulator.SummaryMetadata(tag).display_name for tag in tags["scalars"]},
        "histograms": {
            tag: [[e.step, histogram(e.histogram_value)] for e in accumulator.Histograms(tag)]
            for tag in tags["histograms"]
        },
        "texts": {
            tag: [[e.step, texts(e.tensor_proto)] for e in accumulator.Tensors(tag)]
            for tag in accumulator.PluginTagToContent("text")
        },
    }


root = sys.argv[1]
runs = sorted(folder for folder, _, files in os.walk(root) if files)
json.dump({os.path.relpath(folder, root): read(folder) for folder in runs}, sys.stdout)
