#!/usr/bin/env bash
# Checks one built image as it is, in ephemeral containers: hardened as the cluster runs it, right exit codes, nothing
# in it that does not belong there.
#
#   .github/scripts/test-image.sh STAGE REFERENCE
#
# STAGE is the folder's name. What the stage does is tested by the system test against a container of the same image.
set -euo pipefail
stage=${1:?STAGE} image=${2:?REFERENCE}
# As the pod: no privileges, no capabilities, a read-only root with a writable /tmp, no network unless asked for.
inside() { docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network none "$@"; }
fail() { echo "test-image: $image: $*" >&2; exit 1; }
module="python -m $stage"

revision=$(docker inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$image")
[[ $revision =~ ^[0-9a-f]{40}(-dirty)?$ ]] || fail "label org.opencontainers.image.revision: expected a commit, found '$revision'"
[ "$(docker inspect --format '{{json .Config.Healthcheck}}' "$image")" = null ] || fail "has a HEALTHCHECK: probes are Kubernetes' matter"
user=$(inside --entrypoint python "$image" -c 'import os; print(os.getuid())')
[ "$user" = 10001 ] || fail "runs as user $user, expected 10001"

# shellcheck disable=SC2086 # two words on purpose
inside --entrypoint "" "$image" $module --help > /dev/null || fail "$module --help fails on a read-only root"
code=0
# shellcheck disable=SC2086
inside --entrypoint "" "$image" $module --no-such-flag > /dev/null || code=$?
[ "$code" = 2 ] || fail "an unknown flag ends with $code, expected 2"

for tool in gcc cc make git curl pytest; do
  ! inside --entrypoint sh "$image" -c "command -v $tool" > /dev/null || fail "holds $tool"
done
if [ "$stage" = model_serving ]; then
  inside --entrypoint python "$image" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is not None)' ||
    fail "holds torch"
fi
secrets=$(docker history --no-trunc --format '{{.CreatedBy}}' "$image" | grep -ciE 'token=|password=|secret=' || true)
[ "$secrets" = 0 ] || fail "its history names a token, password or secret"
echo "test-image: $image: hardened, revision $revision, $(docker inspect --format '{{.Size}}' "$image" | awk '{printf "%.0f MB", $1/1e6}')"
