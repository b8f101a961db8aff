#!/usr/bin/env bash
# Enters new digests into the release file of a branch and pushes that one file; safe beside other workflows.
#
#   update-digests.sh STAGE=REGISTRY/NAME@sha256:DIGEST [...]
#
# A push that another workflow beat is done again on top of that one: the file is written anew, never merged.
# Settings: REMOTE (origin), BRANCH (staging), PYTHON (python3, with PyYAML), DIGEST_AUTHOR ("Name <mail>").
set -euo pipefail
remote=${REMOTE:-origin} branch=${BRANCH:-staging} python=${PYTHON:-python3}
author=${DIGEST_AUTHOR:-delivery <delivery@users.noreply.github.com>}
release=argo-apps/base/release/kustomization.yaml
[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
if [ -n "$(git status --porcelain)" ]; then
  echo "update-digests: the working tree has changes: commit them first" >&2
  exit 2
fi
top=$(git rev-parse --show-toplevel) && cd "$top"
for _ in 1 2 3 4 5 6 7 8 9 10; do
  git fetch --quiet "$remote" "$branch"
  git checkout --quiet --detach FETCH_HEAD
  "$python" argo-apps/scripts/release.py set "$@"
  if git diff --quiet -- "$release"; then
    echo "update-digests: $branch has these digests already"
    exit
  fi
  stages=$(printf '%s\n' "$@" | cut -d= -f1 | paste -sd, | sed 's/,/, /g')
  mail=${author#*<}
  git -c user.name="${author%% <*}" -c user.email="${mail%>}" \
    commit --quiet -m "Run the tested image of $stages" -- "$release"
  if git push --quiet "$remote" "HEAD:refs/heads/$branch"; then
    echo "update-digests: $branch is at $(git rev-parse --short HEAD)"
    exit
  fi
  sleep $((1 + RANDOM % 5)) # the others wait too
done
echo "update-digests: ten pushes to $branch were refused" >&2
exit 1
