#!/usr/bin/env bash
# Pushes the image that was tested, signs it and attaches its list of parts.
#
#   REGISTRY=registry.digitalocean.com/TEAM REGISTRY_USER=... REGISTRY_PASSWORD=... publish-image.sh STAGE FOLDER
#
# FOLDER holds image.tar.zst (stage:tested) and sbom.spdx.json. Writes reference=REGISTRY/NAME@sha256:... to
# $GITHUB_OUTPUT, or prints it. Engine: engine.sh. Without REGISTRY_USER nobody logs in. Settings: COSIGN_OPTIONS,
# further options of cosign where signatures are not keyless ("--key awskms:///...").
set -euo pipefail
stage=${1:?STAGE} folder=${2:?FOLDER}
: "${REGISTRY:?the repository variable REGISTRY names the registry and the path in it}"
: "${GITHUB_SHA:?the commit that the image was built from}"
name=$REGISTRY/${stage//_/-} host=${REGISTRY%%/*}
# shellcheck source=.github/scripts/engine.sh
. "$(dirname "${BASH_SOURCE[0]}")/engine.sh"
scratch=$(mktemp -d)
logged_in=no
finish() {
  [ "$logged_in" = no ] || "$engine" logout "$host" > /dev/null
  rm -rf "$scratch"
}
trap finish EXIT

if [ -n "${REGISTRY_USER:-}" ]; then
  # What a login says is told only when it fails: docker warns each time of the file that it keeps the password in.
  "$engine" login --username "$REGISTRY_USER" --password-stdin "$host" <<< "${REGISTRY_PASSWORD:-}" \
    > "$scratch/login" 2>&1 || { cat "$scratch/login" >&2 && exit 1; }
  logged_in=yes
fi
zstd -dc "$folder/image.tar.zst" > "$scratch/image.tar"
# A tag is for people to find the image by; everything else goes by digest.
if [ "$engine" = docker ]; then
  docker load --quiet < "$scratch/image.tar"
  docker tag stage:tested "$name:$GITHUB_SHA"
  docker push --quiet "$name:$GITHUB_SHA"
  reference=$(docker inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name:$GITHUB_SHA" | grep -F "$name@" | head -n 1)
else
  image=$(buildah pull --quiet "docker-archive:$scratch/image.tar")
  buildah push --quiet --digestfile "$scratch/digest" "$image" "docker://$name:$GITHUB_SHA"
  reference=$name@$(< "$scratch/digest")
fi
[[ $reference =~ @sha256:[0-9a-f]{64}$ ]] || { echo "publish-image: the push told no digest: '$reference'" >&2; exit 1; }
read -ra options <<< "${COSIGN_OPTIONS:-}"
cosign sign --yes "${options[@]}" "$reference"
cosign attest --yes "${options[@]}" --type spdxjson --predicate "$folder/sbom.spdx.json" "$reference"
echo "reference=$reference" | tee -a "${GITHUB_OUTPUT:-/dev/null}"
