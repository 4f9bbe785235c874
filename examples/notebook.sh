#!/usr/bin/env bash
# Makes the run of examples/results.toml and executes examples/results.ipynb on it; the output stays in the notebook.
# Needs Python with nbconvert, ipykernel, pandas, pyarrow and matplotlib; GENLOSS_PYTHON names another one than python3.
#
#   examples/notebook.sh [PROGRAM]      PROGRAM is target/release/genloss if left out
set -euo pipefail
program=$(realpath "${1:-$(dirname "$0")/../target/release/genloss}")
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$program" run results.toml --out "$scratch/run" > "$scratch/comparison"
GENLOSS="$program" GENLOSS_RUN="$scratch/run" "${GENLOSS_PYTHON:-python3}" -m nbconvert --to notebook --execute --inplace \
  --ExecutePreprocessor.record_timing=False results.ipynb
