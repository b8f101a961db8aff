#!/usr/bin/env bash
# The serving image under load from the perf image, each in a container that ends with this script.
#
#   .github/scripts/load-test-image.sh IMAGE [OUT]
#
# The model is the candidate in OUT, default var/demo, which `make demo` trains where it is missing. Fails when the gate
# of the perf image does: the golden request's score, the 95th percentile, the share of failures, the flag rate.
set -euo pipefail
image=${1:?IMAGE}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) && cd "$root"
# shellcheck source=.github/scripts/engine.sh
. .github/scripts/engine.sh
out=$(realpath -m "${2:-var/demo}")
[ -e "$out/mlflow/mlflow.db" ] || [ -n "${2:-}" ] || make demo
[ -e "$out/mlflow/mlflow.db" ] || { echo "load-test-image: $out holds no registry" >&2; exit 2; }
.github/scripts/build-image.sh perf perf:local
# MLflow's file database names its artifacts by absolute path: mounted where it was written.
volume=(--volume "$out:$out")
variables=(MLFLOW_TRACKING_URI="sqlite:///$out/mlflow/mlflow.db" MODEL_ALIAS=candidate MODEL_CACHE_DIR=/tmp/models)
gate=(python -m perf gate --host)
# Asked from inside a container: true once the service is ready.
ready='import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/ready", timeout=5)'
until_ready() { # COMMAND...
  for _ in {1..120}; do
    if "$@" 2> /dev/null; then return; fi
    sleep 1
  done
  echo "load-test-image: the service was not ready within two minutes" >&2 && exit 1
}

if [ "$engine" = docker ]; then
  network=load-test-$$ service=service-$$
  finish() {
    docker logs --tail 30 "$service" >&2 || true
    docker rm --force "$service" > /dev/null 2>&1 || true
    docker network rm "$network" > /dev/null 2>&1 || true
  }
  trap finish EXIT
  docker network create "$network" > /dev/null
  options=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network "$network" "${volume[@]}")
  for one in "${variables[@]}"; do options+=(--env "$one"); done
  docker run --detach --name "$service" "${options[@]}" "$image" > /dev/null
  until_ready docker exec "$service" python -c "$ready" http://127.0.0.1:8080
  docker run --rm "${options[@]}" perf:local "${gate[@]}" "http://$service:8080"
else
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  served=$(buildah from "$image") load=$(buildah from perf:local) log=$(mktemp)
  service=""
  finish() {
    [ -z "$service" ] || { kill "$service" 2> /dev/null && wait "$service" || true; }
    tail -n 30 "$log" >&2 && rm "$log"
    buildah rm "$served" "$load" > /dev/null
  }
  trap finish EXIT
  inside() { # CONTAINER COMMAND...: replaces its process, so that a signal reaches the container
    local container=$1 options=() one && shift
    for one in "${variables[@]}" HOME=/tmp HOST=127.0.0.1 PORT="$port"; do options+=(--env "$one"); done
    exec "$(type -P buildah)" --storage-driver "${STORAGE_DRIVER:-vfs}" run --isolation chroot --cap-drop all \
      "${volume[@]}" "${options[@]}" "$container" -- "$@"
  }
  (inside "$served" python -m model_serving) > "$log" 2>&1 &
  service=$!
  until_ready python3 -c "$ready" "http://127.0.0.1:$port"
  (inside "$load" "${gate[@]}" "http://127.0.0.1:$port")
fi
echo "load-test-image: $image with $engine: passed"
