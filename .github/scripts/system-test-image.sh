#!/usr/bin/env bash
# One stage does its real work from a built image, with the other parts of the one-machine set-up around it.
#
#   .github/scripts/system-test-image.sh STAGE IMAGE      the stage in a container of the image, hardened as its pod
#   .github/scripts/system-test-image.sh STAGE process    the same from the stage's own environment, without an engine
#
# The service is asked the same questions by tests/system/service_check.py: first as a process, then from its image.
# Without docker (engine.sh) containers share the machine's loopback and have no read-only root.
# Stages before it run from their environments (make setup). Everything lies under OUT (var/image-test) and is made anew.
set -euo pipefail
stage=${1:?STAGE: data_fetch, spark_preprocess, ml_training, model_serving or drift_detection} image=${2:?IMAGE or process}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) && cd "$root"
out=${OUT:-$root/var/image-test} pulls=${PULLS:-500}
[ "$image" = process ] || [[ $out != /root/* ]] ||
  { echo "system-test-image: $out: the image's user does not reach what lies below /root: set OUT to another folder" >&2; exit 2; }
rm -rf "$out" && mkdir -p "$out/data" "$out/mlflow" "$out/log"
fail() { echo "system-test-image: $stage: $*" >&2; exit 1; }

engine=none
if [ "$image" != process ]; then
  # shellcheck source=.github/scripts/engine.sh
  . .github/scripts/engine.sh
fi
container=""
started=()
finish() {
  [ -z "$container" ] || buildah rm "$container" > /dev/null 2>&1 || true
  [ "$engine" != docker ] || docker rm --force "image-test-$$" > /dev/null 2>&1 || true
  for pid in "${started[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait
}
trap finish EXIT
free_port() { .venv/local/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
until_true() { # SECONDS COMMAND...
  local deadline=$((SECONDS + $1)) && shift
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited in vain for: $*"
    sleep 1
  done
}
background() { # NAME COMMAND...
  local log=$out/log/$1.log && shift
  "$@" > "$log" 2>&1 &
  started+=($!)
}

mongo=$(free_port) github=$(free_port) port=$(free_port)
.venv/local/bin/python -m local_setup.corpus --out "$out/corpus.jsonl.gz" --pulls "$pulls" --seed 7
background mongodb .venv/local/bin/python -m local_setup.mongodb --data "$out/mongo" --port "$mongo"
background github .venv/local/bin/python -m local_setup.github_standin --corpus "$out/corpus.jsonl.gz" --port "$github"
until_true 90 bash -c "exec 3<> /dev/tcp/127.0.0.1/$mongo"
until_true 60 bash -c "exec 3<> /dev/tcp/127.0.0.1/$github"
repositories=$(zcat "$out/corpus.jsonl.gz" | .venv/local/bin/python -c '
import json, sys
print(",".join(sorted({json.loads(line)["base"]["repo"]["full_name"] for line in sys.stdin})))')
settings=(
  "MONGO_URI=mongodb://127.0.0.1:$mongo" "GITHUB_API_URL=http://127.0.0.1:$github" "GITHUB_TOKEN=local-token"
  "GITHUB_REPOS=$repositories" "DATA_ROOT=$out/data" "MLFLOW_TRACKING_URI=sqlite:///$out/mlflow/mlflow.db"
  "MLFLOW_ARTIFACT_ROOT=$out/mlflow/artifacts" "MAX_EPOCHS=3" "SCORES_FILE=$out/scores.jsonl"
  "MODEL_ALIAS=candidate" "HOST=127.0.0.1" "PORT=$port"
)

from_process() { # STAGE ARGUMENTS...
  local name=$1 && shift
  exec env "${settings[@]}" WORK_DIR="$out/work" MODEL_CACHE_DIR="$out/models" \
    SPARK_JARS="$root/var/cache/jars/spark_preprocess" ".venv/$name/bin/python" -m "$name" "$@"
}
from_image() { # STAGE ARGUMENTS...: in both cases its process is replaced, so that a signal reaches the container
  local name=$1 options=(--volume "$out:$out" --env HOME=/tmp --env WORK_DIR=/tmp/training) one && shift
  for one in "${settings[@]}" MODEL_CACHE_DIR=/tmp/models; do options+=(--env "$one"); done
  # The image's user is nobody of this machine, and goes on in folders that the stages before it made.
  chmod -R a+rwX "$out"
  if [ "$engine" = buildah ]; then
    # A name that resolves: Spark asks for the address of its own host.
    exec "$(type -P buildah)" --storage-driver "${STORAGE_DRIVER:-vfs}" run --isolation chroot --cap-drop all \
      --hostname localhost \
      "${options[@]}" "$container" -- python -m "$name" "$@"
  fi
  exec docker run --rm --name "image-test-$$" --network host --read-only --tmpfs /tmp --cap-drop ALL \
    --security-opt no-new-privileges "${options[@]}" --entrypoint python "$image" -m "$name" "$@"
}
run() { # the stage under test from the image, any other from its environment
  if [ "$1" = "$stage" ] && [ "$image" != process ]; then (from_image "$@"); else (from_process "$@"); fi
}
if [ "$engine" = buildah ]; then container=$(buildah from "$image"); fi
registered() {
  .venv/local/bin/python - "$out/mlflow/mlflow.db" << 'SQL'
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute("select alias from registered_model_aliases").fetchall()
sys.exit(0 if ("candidate",) in rows else 1)
SQL
}

run data_fetch > "$out/log/data_fetch.log" || fail "data_fetch ended with $?: $(tail -n 3 "$out/log/data_fetch.log")"
if [ "$stage" = data_fetch ]; then
  count=$(.venv/data_fetch/bin/python -c "
import pymongo
print(pymongo.MongoClient('mongodb://127.0.0.1:$mongo')['mlops_db']['pull_requests'].count_documents({}))")
  [ "$count" = "$pulls" ] || fail "stored $count pull requests, expected $pulls"
  echo "system-test-image: $stage: $count pull requests stored" && exit
fi
run spark_preprocess > "$out/log/spark_preprocess.log" || fail "spark_preprocess ended with $?: $(tail -n 3 "$out/log/spark_preprocess.log")"
compgen -G "$out/data/preprocess-runs/*/manifest.json" > /dev/null || fail "no manifest in $out/data/preprocess-runs"
[ "$stage" != spark_preprocess ] || { echo "system-test-image: $stage: a run with its manifest" && exit; }
run ml_training train > "$out/log/ml_training.log" || fail "ml_training ended with $?: $(tail -n 3 "$out/log/ml_training.log")"
registered || fail "the registry has no model with the alias candidate"
[ "$stage" != ml_training ] || { echo "system-test-image: $stage: a registered candidate" && exit; }

# What the cluster would signal: the container's first process. buildah, above it, would kill it; docker passes it on.
first_python() { # PID
  local pid=$1
  [ "$engine" = buildah ] || { echo "$pid" && return; }
  until [[ $(< "/proc/$pid/comm") == python* ]]; do pid=$(pgrep --parent "$pid" | head -n 1); done
  echo "$pid"
}
ask() { # HOW: the service started so answers as every service must
  local log=$out/log/model_serving-$1.log service
  ("from_$1" model_serving) > "$log" 2>&1 &
  service=$! && started+=("$service")
  .venv/local/bin/python tests/system/service_check.py "http://127.0.0.1:$port" "$out/corpus.jsonl.gz" \
    "$out/scores.jsonl" > "$out/log/$1.said" || fail "as $1: $(tail -n 5 "$log")"
  kill "$(first_python "$service")" && { wait "$service" || fail "as $1: SIGTERM ended it with $?"; }
  echo "system-test-image: $stage as $1: $(< "$out/log/$1.said")"
}
ask process
if [ "$stage" = model_serving ]; then
  if [ "$image" != process ]; then ask image; fi
  exit
fi
# drift_detection: judges the traffic that the service has just recorded.
run drift_detection detect > "$out/log/drift_detection.log" ||
  fail "drift_detection ended with $?: $(tail -n 3 "$out/log/drift_detection.log")"
compgen -G "$out/data/drift-runs/*/report.html" > /dev/null || fail "no page in $out/data/drift-runs"
.venv/local/bin/python - "$out/data/drift-runs/latest.json" "$pulls" << 'REPORT' || fail "no verdict, or one on other rows"
import json, sys
report, pulls = json.load(open(sys.argv[1])), int(sys.argv[2])
rows = report["window"]["rows"]
print(f"system-test-image: drift_detection: {report['state']} on {rows} rows, score {report['drift_score']}")
# service_check.py asks for one of them alone as well.
sys.exit(0 if rows == pulls + 1 and report["state"] in {"drift", "no drift"} else 1)
REPORT
