#!/bin/bash
# genloss on a real Slurm of three nodes: whatever happens to its jobs, an experiment leaves the same files as `genloss run`
# in one process. Takes less than two minutes on two processors. Skipped, loudly, where Slurm cannot be installed.
#
#   tests/slurm.sh [GENLOSS]      default: target/debug/genloss
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. tests/slurm/cluster.sh

say() { echo "slurm test, ${SECONDS} s: $*" >&2; }

skip() {
  local line=======================================================================
  printf '%s\nSKIPPED: tests/slurm.sh: %s\n%s\n' "$line" "$1" "$line" >&2
  exit 0
}

fail() {
  say "FAILED: $*"
  squeue -r >&2
  tail -v -n 12 "$work"/*.out "$run"/.slurm/*.out "$CLUSTER"/log/slurmctld >&2
  exit 1
}

# Fails unless a job has this state, and was restarted at least so often.
check_job() { # JOB STATE RESTARTS WHAT
  local job state restarts
  job=$(scontrol show job "$1") || fail "$4 ($1) is unknown"
  state=$(sed -n 's/.*JobState=\([A-Z]*\).*/\1/p' <<<"$job")
  restarts=$(sed -n 's/.*Restarts=\([0-9]*\).*/\1/p' <<<"$job")
  [ "$state" = "$2" ] || fail "$4 ($1) is $state, not $2"
  ((restarts >= $3)) || fail "$4 ($1) was restarted $restarts times"
  [ "$2" != CANCELLED ] || [ "$restarts" = 0 ] || fail "$4 ($1) came back"
}

workers_on() { squeue -h -r -t R -w "$1" -n genloss-work-small -o %i | sort; }

all_workers_run() { [ "$(squeue -h -r -t R -n genloss-work-small | wc -l)" = 8 ]; }

# Every worker trains generation 0 of a seed, and has saved a checkpoint.
work_has_begun() { [ "$(find "$run" -name 'checkpoint-*' -path '*gen-000*' -printf '%h\n' | sort -u | wc -l)" = 8 ]; }

holds_nothing() { ! "$genloss" units "$run" --format json | grep -q "\"job\": \"$1\""; } # JOB

nothing_is_queued() { ! squeue -h | grep -q .; }

cluster_install || skip "Slurm is not installed, and cannot be without root and Debian"
cluster_is_possible || skip "nodes cannot have namespaces of their own"

genloss=$(realpath "${1:-target/debug/genloss}")
[ -x "$genloss" ] || { echo "slurm test: $genloss is missing; build it with cargo build, or give its path" >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/genloss-slurm.XXXXXX")
run="$work/a run"
trap 'cluster_stop; kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

cat >"$work/small.toml" <<'END'
name = "small"
seeds = [1, 2, 3, 4, 5, 6, 7, 8]
generations = 1
corpus = { source = "world", train_tokens = 8000, heldout_tokens = 1000, reference_tokens = 4000 }
tokenizer = { vocab_size = 300 }
model = { layers = 1, width = 32, heads = 2, context = 32 }
training = { tokens = 240000, batch = 8, checkpoint_minutes = 0.005 }
[[arm]]
name = "unanchored"
mixture = "replace"
END
# Trains for hours, and saves nothing until it is told to stop.
sed -e 's/"small"/"long"/' -e 's/240000/400000000/' -e 's/0\.005/600/' "$work/small.toml" >"$work/long.toml"

cluster_start "$work/cluster" || fail "no cluster"
say "three nodes are up"

# ---- a time limit under srun, which sends SIGTERM twice within milliseconds; Slurm needs a minute and a half for it
limited=$(sbatch --parsable --nodelist=n1 --time=1 --output="$work/limited.out" <<END
#!/bin/bash
srun nice -n 19 "$genloss" run "$work/long.toml" --out "$work/long"
END
) || fail "sbatch"

# ---- eight workers for eight seeds; arrays of three tasks at most
"$genloss" submit "$work/small.toml" --out "$run" --slurm --workers 8 >"$work/submit.out" 2>&1 || fail "submit"
arrays=$(find "$run/.slurm" -name 'work-*.sh' | wc -l)
[ "$arrays" = 3 ] || fail "$arrays arrays instead of 3"
collect=$(sed -n 's/.*job \([0-9]*\), which collects.*/\1/p' "$work/submit.out")
cluster_wait 20 "eight workers" all_workers_run || fail "workers do not run"
cluster_wait 30 "a checkpoint of every worker" work_has_begun || fail "nothing is trained"
say "eight workers train"

# ---- everything that can happen to them
mapfile -t on_n1 < <(workers_on n1)
mapfile -t on_n2 < <(workers_on n2)
mapfile -t on_n3 < <(workers_on n3)
[ "${#on_n1[@]} ${#on_n2[@]} ${#on_n3[@]}" = "2 3 3" ] || fail "workers are not where they were expected"
holds_nothing "${on_n1[1]}" && fail "genloss units does not show the unit of ${on_n1[1]}"
node_crash n2
scontrol update nodename=n2 state=down reason=crash
scancel --signal=USR1 --batch "${on_n1[0]}"
scancel "${on_n1[1]}"
scontrol requeue "${on_n3[0]}"
preempting=$(sbatch --parsable --partition=high --nodelist=n3 --exclusive --output=/dev/null --wrap 'sleep 2') || fail "sbatch"
cluster_wait 10 "the claim of a cancelled worker to be free" holds_nothing "${on_n1[1]}" || fail "its claim is not free"
node_start n2
say "a node crashed, a worker got SIGUSR1, one was cancelled, one requeued, two preempted"

# ---- the same in one process, meanwhile
"$genloss" run "$work/small.toml" --out "$work/alone" --threads 1 >"$work/alone.out" 2>&1 || fail "run"
"$genloss" report "$work/alone" >>"$work/alone.out" 2>&1 || fail "report"   # as collect does
say "one process is done"
cluster_wait 110 "the end of all jobs" nothing_is_queued || fail "jobs do not end"
say "all jobs have ended"

for job in "${on_n2[@]}"; do check_job "$job" COMPLETED 1 "a worker of the node that crashed"; done
check_job "${on_n1[0]}" COMPLETED 1 "the worker that got SIGUSR1"
check_job "${on_n1[1]}" CANCELLED 0 "the cancelled worker"
check_job "${on_n3[0]}" COMPLETED 1 "the requeued worker"
check_job "${on_n3[1]}" COMPLETED 1 "a preempted worker"
check_job "${on_n3[2]}" COMPLETED 1 "a preempted worker"
check_job "$preempting" COMPLETED 0 "the job that preempted them"
check_job "$collect" COMPLETED 0 "the job that collects"
check_job "$limited" TIMEOUT 0 "the job with a time limit"
find "$work/long" -name 'state.safetensors' | grep -q . || fail "no checkpoint after a time limit under srun"

# ---- the same files, and the same bytes but for the records of where and by which command a generation was made
files() { (cd "$1" && find . -name .slurm -prune -o -type f -print | sort); }
diff <(files "$work/alone") <(files "$run") >&2 || fail "other files than those of one process"
diff -r --exclude=.slurm --exclude=provenance.json --exclude=origin.json --exclude=report.html "$work/alone" "$run" >&2 ||
  fail "other bytes than those of one process"
page() { sed 's/<h3>Provenance.*//' "$1/report.html"; }
diff <(page "$work/alone") <(page "$run") >&2 || fail "another page than that of one process"
say "passed"
