#!/usr/bin/env bash
# Checks one built image as it is, in ephemeral containers: hardened as the cluster runs it, right exit codes, nothing
# in it that does not belong there.
#
#   .github/scripts/test-image.sh STAGE REFERENCE
#
# STAGE is the folder's name. What the stage does is tested by the system test against a container of the same image.
# Without docker (engine.sh) a read-only root and the absence of a network are not part of it.
set -euo pipefail
stage=${1:?STAGE} image=${2:?REFERENCE}
# shellcheck source=.github/scripts/engine.sh
. "$(dirname "${BASH_SOURCE[0]}")/engine.sh"
fail() { echo "test-image: $image: $*" >&2; exit 1; }

if [ "$engine" = docker ]; then
  # As the pod: no privileges, no capabilities, a read-only root with a writable /tmp, no network.
  inside() {
    docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network none \
      --entrypoint "" "$image" "$@"
  }
  described() { docker inspect --format '{{json .Config}}' "$image"; }
  history_of() { docker history --no-trunc --format '{{.CreatedBy}}' "$image"; }
  size=$(docker inspect --format '{{.Size}}' "$image")
else
  container=$(buildah from "$image") && trap 'buildah rm "$container" > /dev/null' EXIT
  inside() { buildah run --isolation chroot --cap-drop all "$container" -- "$@"; }
  described() { buildah inspect --type image "$image"; }
  history_of() { buildah inspect --type image --format '{{range .OCIv1.History}}{{println .CreatedBy}}{{end}}' "$image"; }
  # buildah prints sizes for people only ("475 MB").
  size=$(buildah images --format '{{.Size}}' "$image" | head -n 1)
fi

# What the image says of itself, the same from either engine: revision, user, whether there is a health check.
read -r revision user healthcheck < <(described | python3 -c '
import json, sys
found = json.load(sys.stdin)
config = found.get("Docker", {}).get("config", found)
revision = (config.get("Labels") or {}).get("org.opencontainers.image.revision", "none")
print(revision, config.get("User") or "none", bool(config.get("Healthcheck")))')
[[ $revision =~ ^[0-9a-f]{40}(-dirty)?$ ]] || fail "label org.opencontainers.image.revision: expected a commit, found '$revision'"
[ "$healthcheck" = False ] || fail "has a HEALTHCHECK: probes are Kubernetes' matter"
[ "$user" = 10001:10001 ] || fail "its user is '$user', expected 10001:10001"
ids=$(inside python -c 'import os; print(os.getuid(), os.getgid())')
[ "$ids" = "10001 10001" ] || fail "runs as user and group $ids, expected 10001 10001"
inside python -c 'import os, sys; sys.exit(os.access("/opt/venv", os.W_OK))' || fail "its user may write /opt/venv"

inside python -m "$stage" --help > /dev/null || fail "python -m $stage --help fails"
code=0
inside python -m "$stage" --no-such-flag > /dev/null 2>&1 || code=$?
[ "$code" = 2 ] || fail "an unknown flag ends with $code, expected 2"

unwanted=(gcc cc make git curl)
[ "$stage" = perf ] || unwanted+=(pytest) # Locust itself depends on it
for tool in "${unwanted[@]}"; do
  ! inside sh -c "command -v $tool" > /dev/null 2>&1 || fail "holds $tool"
done
if [ "$stage" = model_serving ]; then
  inside python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is not None)' || fail "holds torch"
fi
# Into a variable first: grep -q would close the pipe early.
layers=$(history_of)
! grep -qiE '(token|password|secret)=' <<< "$layers" || fail "its history names a token, password or secret"
[[ ! $size =~ ^[0-9]+$ ]] || size="$((size / 1000000)) MB"
echo "test-image: $image with $engine: hardened, revision $revision, $size"
