#!/usr/bin/env bash
# Pushes the image that was tested, signs it and attaches its list of parts.
#
#   REGISTRY=registry.digitalocean.com/TEAM REGISTRY_USER=... REGISTRY_PASSWORD=... publish-image.sh STAGE FOLDER
#
# FOLDER holds image.tar.zst (stage:tested) and sbom.spdx.json. Writes reference=REGISTRY/NAME@sha256:... to
# $GITHUB_OUTPUT, or prints it.
set -euo pipefail
stage=${1:?STAGE} folder=${2:?FOLDER}
: "${REGISTRY:?the repository variable REGISTRY names the registry and the path in it}"
name=$REGISTRY/${stage//_/-}
zstd -dc "$folder/image.tar.zst" | docker load --quiet
docker login --username "$REGISTRY_USER" --password-stdin "${REGISTRY%%/*}" <<< "$REGISTRY_PASSWORD" 2> /dev/null
trap 'docker logout "${REGISTRY%%/*}" > /dev/null' EXIT
# A tag is for people to find the image by; everything else goes by digest.
docker tag stage:tested "$name:$GITHUB_SHA"
docker push --quiet "$name:$GITHUB_SHA"
reference=$(docker inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name:$GITHUB_SHA" | grep -F "$name@" | head -n 1)
[[ $reference =~ @sha256:[0-9a-f]{64}$ ]] || { echo "publish-image: the push told no digest: '$reference'" >&2; exit 1; }
cosign sign --yes "$reference"
cosign attest --yes --type spdxjson --predicate "$folder/sbom.spdx.json" "$reference"
echo "reference=$reference" | tee -a "${GITHUB_OUTPUT:-/dev/null}"
