#!/usr/bin/env bash
# Builds a stage's image from its own folder alone.
#
#   .github/scripts/build-image.sh STAGE [REFERENCE] [-- further build arguments]
#
# STAGE is the folder (data_fetch, spark_preprocess, ml_training, model_serving, drift_detection, perf); REFERENCE the
# image's name, default STAGE with - for _, tagged local. Wheels of the libraries that the stage's pyproject.toml names
# are put into STAGE/wheels/ (ignored by Git), so that nothing outside the folder is read.
#
# Engine: engine.sh. Settings: BASE_IMAGE (another Python base; default: the one in .github/base-image, by digest), PYTHON
# (python3 >= 3.11). For ml_training: TORCH=cpu|cuda (default cuda, as locked); with TORCH=cpu also TORCH_INDEX, the index of
# PyTorch's CPU wheels, and where another one is wanted TORCH_REQUIREMENT.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
stage=${1:?STAGE: data_fetch, spark_preprocess, ml_training, model_serving, drift_detection or perf}
shift
reference=${stage//_/-}:local
if [ $# -gt 0 ] && [ "$1" != -- ]; then reference=$1 && shift; fi
[ "${1:-}" != -- ] || shift
folder=$root/$stage
[ -f "$folder/Dockerfile" ] || { echo "build-image: $folder has no Dockerfile" >&2; exit 2; }
python=${PYTHON:-python3}

# shellcheck source=.github/scripts/engine.sh
. "$root/.github/scripts/engine.sh"

rm -rf "$folder/wheels" && mkdir "$folder/wheels"
"$python" - "$folder/pyproject.toml" << 'LIBRARIES' | while IFS= read -r library; do
import sys, tomllib
from pathlib import Path
file = Path(sys.argv[1])
entries = tomllib.loads(file.read_text()).get("tool", {}).get("uv", {}).get("sources", {}).values()
for entry in entries:
    if "path" in entry:
        print((file.parent / entry["path"]).resolve())
LIBRARIES
  # Without isolation nothing is downloaded where the build backend is installed; else pip fetches the pinned one.
  "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheels" "$library"
done
touch "$folder/wheels/.keep" # COPY wheels/ needs a folder even for a stage without libraries

revision=$(git -C "$root" rev-parse HEAD)
[ -z "$(git -C "$root" status --porcelain -- "$stage" libs)" ] || revision=$revision-dirty
arguments=(
  --build-arg "REVISION=$revision"
  --build-arg "BASE_IMAGE=${BASE_IMAGE:-$(< "$root/.github/base-image")}"
  --label "org.opencontainers.image.revision=$revision"
  --label "org.opencontainers.image.title=${stage//_/-}"
  --tag "$reference"
)
if [ "${TORCH:-}" = cpu ] && [ -z "${TORCH_INDEX:-}" ]; then
  echo "build-image: TORCH=cpu needs TORCH_INDEX, the address of an index with PyTorch's CPU wheels" >&2 && exit 2
fi
for name in TORCH TORCH_INDEX TORCH_REQUIREMENT; do
  [ -z "${!name:-}" ] || ! grep -q "^ARG $name\b" "$folder/Dockerfile" || arguments+=(--build-arg "$name=${!name}")
done
echo "build-image: $reference with $engine at $revision"
if [ "$engine" = docker ]; then
  docker build "${arguments[@]}" "$@" "$folder"
else
  buildah build --isolation chroot "${arguments[@]}" "$@" "$folder"
fi
