#!/usr/bin/env bash
# Which digests were tested. A digest counts as tested when the repository holds the tag tested/STAGE/DIGEST, which the
# workflow of staging sets after every test of that very image has passed.
#
#   tested.sh record STAGE DIGEST [COMMIT]   tag COMMIT (default HEAD) and push the tag; an existing one stays
#   tested.sh verify COMMIT                  every image that COMMIT runs was tested, else exit 1
#
# What COMMIT runs is what kustomize makes of it, so kubectl is needed: argo-apps/base, alone and with the additions of
# argo-apps/components, and argo-apps/drift. The optional servers in components/ (MinIO, MLflow, MLServer) name images of
# others, which this knows nothing of. Settings: REMOTE (default origin). A tag ruleset should let only the workflows make
# tags tested/**.
set -euo pipefail
remote=${REMOTE:-origin}

tag_of() { printf 'tested/%s/%s' "$1" "${2/:/-}"; }

# rendered COMMIT FOLDER: the manifests that Argo CD would apply; FOLDER is for the commit's own files.
rendered() {
  git -C "$(git rev-parse --show-toplevel)" archive "$1" argo-apps | tar -x -C "$2"
  cd "$2/argo-apps"
  mkdir with-additions
  mapfile -t additions < <(grep -Lx 'kind: Kustomization' components/*/kustomization.yaml)
  {
    printf 'resources: [../base]\ncomponents:\n'
    printf -- '- ../%s\n' "${additions[@]%/*}"
  } > with-additions/kustomization.yaml
  for part in base with-additions drift; do kubectl kustomize "$part"; done
}

case ${1:-} in
  record)
    stage=${2:?STAGE} digest=${3:?DIGEST} commit=${4:-HEAD}
    [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "tested: expected sha256:..., found $digest" >&2; exit 2; }
    tag=$(tag_of "$stage" "$digest")
    if [ -n "$(git ls-remote --tags "$remote" "refs/tags/$tag")" ]; then
      echo "tested: $tag stands already"
    else
      git tag --force "$tag" "$commit"
      git push --quiet "$remote" "refs/tags/$tag"
      echo "tested: $tag"
    fi
    ;;
  verify)
    commit=$(git rev-parse --short --verify "${2:?COMMIT}^{commit}")
    scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
    (rendered "$commit" "$scratch") > "$scratch/rendered.yaml" # no || here: it would switch off -e inside
    # kustomize writes each field on a line of its own, whatever its source looked like. Spark's driver starts executors
    # from the image that it is told.
    sed -nE -e 's/^[ -]*image: *//p' -e '/name: SPARK_IMAGE$/{n; s/^ *value: *//p}' "$scratch/rendered.yaml" |
      sort -u > "$scratch/images"
    [ -s "$scratch/images" ] || { echo "tested: $commit runs no image" >&2; exit 1; }
    known=$(git ls-remote --tags "$remote" 'refs/tags/tested/*' | sed 's#.*refs/tags/##')
    failed=0
    while read -r image; do
      if ! [[ $image =~ ^[^@]+/([a-z-]+)@(sha256:[0-9a-f]{64})$ ]]; then
        echo "tested: $commit runs '$image', which is no digest of the release file: argo-apps/scripts/release.py set" >&2
        failed=1
      elif ! grep -Fxq "$(tag_of "${BASH_REMATCH[@]:1}")" <<< "$known"; then
        echo "tested: ${BASH_REMATCH[*]:1} was never tested in staging (no tag $(tag_of "${BASH_REMATCH[@]:1}") at $remote)" >&2
        failed=1
      fi
    done < "$scratch/images"
    [ "$failed" = 0 ] || { echo "tested: nothing is promoted. Let the workflows of staging build and test it." >&2; exit 1; }
    echo "tested: all $(wc -l < "$scratch/images") images of $commit were tested"
    ;;
  *)
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
