#!/usr/bin/env bash
# A pushed image becomes what staging runs: its digest counts as tested, and the branch gets it.
#
#   .github/scripts/release-image.sh STAGE REGISTRY/NAME@sha256:DIGEST
#
# STAGE is the folder. Run in a checkout of the commit that the image was built from. When staging has newer source of
# that stage by now, the digest is not entered: the newer commit's own run does that, whichever of the two ends first.
# Settings: REMOTE (origin), BRANCH (staging), PYTHON.
set -euo pipefail
stage=${1:?STAGE} reference=${2:?REFERENCE}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) && cd "$root"
remote=${REMOTE:-origin} branch=${BRANCH:-staging} name=${stage//_/-}
built=$(git rev-parse HEAD)
argo-apps/scripts/tested.sh record "$name" "${reference#*@}"
git fetch --quiet "$remote" "$branch"
if [ "$("${PYTHON:-python3}" .github/scripts/affected.py "$stage" "$built" FETCH_HEAD)" = true ]; then
  echo "release-image: $branch has newer source of $stage than $(git rev-parse --short "$built"): its own run enters its digest"
  exit
fi
argo-apps/scripts/update-digests.sh "$name=$reference"
