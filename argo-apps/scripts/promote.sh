#!/usr/bin/env bash
# Moves main to a commit of staging: the same manifests, the same digests, nothing built anew.
#
#   promote.sh [COMMIT]    default: the newest commit of REMOTE/staging
#
# Only ever forward, only what the guard lets through. Settings: REMOTE (default origin).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
remote=${REMOTE:-origin}
git fetch --quiet "$remote" staging main
commit=$(git rev-parse --verify "${1:-$remote/staging}^{commit}")
old=$(git rev-parse "$remote/main")
if [ "$commit" = "$old" ]; then
  echo "promote: main is at $(git rev-parse --short "$commit") already"
  exit
fi
if ! git merge-base --is-ancestor "$old" "$commit"; then
  echo "promote: main ($(git rev-parse --short "$old")) is no ancestor of $(git rev-parse --short "$commit")." >&2
  echo "promote: to go back, revert on staging and promote that: history only moves forward." >&2
  exit 1
fi
"$here/guard.sh" "$commit"
git push --quiet "$remote" "$commit:refs/heads/main"
[ -z "$(git diff --name-only "$commit" "$remote/staging" -- argo-apps/base)" ] ||
  echo "promote: staging has newer manifests than the promoted commit"
echo "promote: main moved from $(git rev-parse --short "$old") to $(git rev-parse --short "$commit")"
