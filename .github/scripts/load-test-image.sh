#!/usr/bin/env bash
# The serving image under load from the perf image, each in a container that ends with this script.
#
#   .github/scripts/load-test-image.sh IMAGE
#
# The model is one that `make demo` has trained in this checkout (var/demo). Fails when the gate of the perf image does:
# the golden request's score, the 95th percentile, the share of failures, the flag rate.
set -euo pipefail
image=${1:?IMAGE}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) && cd "$root"
[ -e var/demo/mlflow/mlflow.db ] || make demo
"$root/.github/scripts/build-image.sh" perf perf:local
network=load-test-$$ service=service-$$
finish() {
  docker logs --tail 30 "$service" >&2 || true
  docker rm --force "$service" > /dev/null 2>&1 || true
  docker network rm "$network" > /dev/null 2>&1 || true
}
trap finish EXIT
docker network create "$network" > /dev/null
hardened=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network "$network")
# MLflow's file database names its artifacts by absolute path: mounted where it was written.
registry=(--volume "$root/var/demo:$root/var/demo" --env "MLFLOW_TRACKING_URI=sqlite:///$root/var/demo/mlflow/mlflow.db")
docker run --detach --name "$service" "${hardened[@]}" "${registry[@]}" \
  --env HOST=0.0.0.0 --env MODEL_ALIAS=candidate --env MODEL_CACHE_DIR=/tmp/models "$image" > /dev/null
docker run --rm "${hardened[@]}" "${registry[@]}" --env MODEL_ALIAS=candidate \
  perf:local python -m perf gate --host "http://$service:8080"
