"""Copies a file store of MLflow into a database with MLflow's own tool, and prints what its client reads there, as JSON."""

import contextlib
import json
import sys
from pathlib import Path

from mlflow import MlflowClient
from mlflow.store.fs2db import migrate

source, database = Path(sys.argv[1]), f"sqlite:///{sys.argv[2]}"
with contextlib.redirect_stdout(sys.stderr):
    migrate(source, database)
    client = MlflowClient(database)

experiments = {}
for experiment in client.search_experiments(filter_string="name != 'Default'"):
    runs = {}
    for run in client.search_runs([experiment.experiment_id]):
        history = lambda key: [[m.step, m.value] for m in client.get_metric_history(run.info.run_id, key)]
        runs[run.info.run_name] = {
            "status": run.info.status,
            "params": run.data.params,
            "tags": run.data.tags,
            "metrics": {key: sorted(history(key)) for key in run.data.metrics},
            "artifacts": [one.path for one in client.list_artifacts(run.info.run_id)],
        }
    experiments[experiment.name] = runs
json.dump(experiments, sys.stdout)
