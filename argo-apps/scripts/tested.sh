#!/usr/bin/env bash
# Which digests were tested. A digest counts as tested when the repository holds the tag tested/STAGE/DIGEST, which the
# workflow of staging sets after every test of that very image has passed.
#
#   tested.sh record STAGE DIGEST [COMMIT]   tag COMMIT (default HEAD) and push the tag; an existing one stays
#   tested.sh verify COMMIT                  every image in COMMIT's release file was tested, else exit 1
#
# Settings: REMOTE (default origin). A tag ruleset should let only the workflows make tags tested/**.
set -euo pipefail
remote=${REMOTE:-origin}
release=argo-apps/base/release/kustomization.yaml

tag_of() { printf 'tested/%s/%s' "$1" "${2/:/-}"; }

# "STAGE DIGEST" lines of a release file on standard input, as release.py writes it.
images() { awk '$1 == "-" && $2 == "name:" { name = $3 } $1 == "digest:" { print name, $2 }'; }

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
    commit=${2:?COMMIT}
    git cat-file -e "$commit:$release" 2> /dev/null || { echo "tested: $commit has no $release" >&2; exit 2; }
    known=$(git ls-remote --tags "$remote" 'refs/tags/tested/*' | sed 's#.*refs/tags/##')
    failed=0 seen=0
    while read -r stage digest; do
      seen=$((seen + 1))
      tag=$(tag_of "$stage" "$digest")
      if ! grep -Fxq "$tag" <<< "$known"; then
        echo "tested: $stage $digest was never tested in staging (no tag $tag at $remote)" >&2
        failed=1
      fi
    done < <(git show "$commit:$release" | images)
    [ "$seen" -gt 0 ] || { echo "tested: $commit names no image in $release" >&2; exit 1; }
    [ "$failed" = 0 ] || { echo "tested: nothing is promoted. Let the workflows of staging build and test it." >&2; exit 1; }
    echo "tested: all $seen images of $(git rev-parse --short "$commit") were tested"
    ;;
  *)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
