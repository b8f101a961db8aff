#!/usr/bin/env bash
# Is production what staging was, with nothing untested in it? Run on every push to main and before each promotion.
#
#   guard.sh [COMMIT]    COMMIT: what main is or would be (default: REMOTE/main)
#
# Holds when COMMIT is a commit of staging, argo-apps/base is therefore the same in both, and every image that it names
# was tested. Exit 0 holds, 1 does not. Settings: REMOTE (default origin).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
remote=${REMOTE:-origin}
git fetch --quiet "$remote" staging main
staging=$(git rev-parse "$remote/staging")
commit=$(git rev-parse --verify "${1:-$remote/main}^{commit}")
if ! git merge-base --is-ancestor "$commit" "$staging"; then
  echo "guard: $(git rev-parse --short "$commit") is no commit of $remote/staging. main only ever moves to a commit that" >&2
  echo "guard: staging already has: argo-apps/scripts/promote.sh does that, a merge commit or a squash does not." >&2
  exit 1
fi
"$here/tested.sh" verify "$commit"
echo "guard: $(git rev-parse --short "$commit") is a commit of staging"
