#!/usr/bin/env bash
# One stage's image from nothing where no engine runs: built by buildah, checked, put to work, and for the service also
# put under load by the perf image. What `make test-image` runs.
#
#   .github/scripts/engineless-image.sh [STAGE]     default model_serving
#
# Needs root, buildah, debootstrap and `make setup`. The storage of images is a new folder each time, so nothing that was
# built before is found, and it is gone when the script ends, whatever happened. What the stages wrote is kept when
# something failed. Settings: STEP_SECONDS (longest time for one step, 1200), BASE_IMAGE, STORAGE_DRIVER (overlay where the
# kernel mounts it, else vfs, which works everywhere and copies every layer whole: three times as slow).
set -euo pipefail
stage=${1:-model_serving}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) && cd "$root"
# Not in the checkout: below /root the image's user would not reach it.
image=${stage//_/-}:local out=$(mktemp -d /var/tmp/image-test.XXXXXX)
export ENGINE=buildah

# In var, not in /tmp: there /tmp may be memory, and each layer is a whole copy.
mkdir -p "$root/var" && storage=$(mktemp -d "$root/var/images.XXXXXX")
running=""
finish() {
  local code=$?
  trap - EXIT
  [ -z "$running" ] || { kill "$running" 2> /dev/null && wait "$running" || true; }
  # What an interrupted build left mounted, the deepest first; what stays would be emptied with the folder.
  findmnt --raw --noheadings --output TARGET | { grep -F "$storage/" || true; } | sort -r | xargs -r umount 2> /dev/null || true
  if grep -qF " $storage" /proc/self/mountinfo; then
    echo "engineless-image: something is still mounted under $storage; remove both by hand" >&2
    exit 1
  fi
  # A build that was interrupted may write for some seconds more.
  for _ in {1..20}; do
    rm -rf --one-file-system "$storage" "$root"/{"$stage",perf}/wheels 2> /dev/null && break
    sleep 3
  done
  [ ! -e "$storage" ] || { echo "engineless-image: $storage could not be removed: do it by hand" >&2 && code=1; }
  if [ "$code" = 0 ]; then rm -rf "$out"; else echo "engineless-image: logs are in $out/log" >&2; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
overlay_mounts() {
  local layers=$storage/try && mkdir -p "$layers"/{lower,upper,work,merged}
  mount -t overlay overlay -o "lowerdir=$layers/lower,upperdir=$layers/upper,workdir=$layers/work" "$layers/merged" \
    2> /dev/null && umount "$layers/merged"
}
STORAGE_DRIVER=${STORAGE_DRIVER:-$(overlay_mounts && echo overlay || echo vfs)}
printf '[storage]\ndriver = "%s"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' \
  "$STORAGE_DRIVER" "$storage" "$storage" > "$storage/storage.conf"
export STORAGE_DRIVER CONTAINERS_STORAGE_CONF=$storage/storage.conf OUT=$out
[ -z "$(buildah images --quiet)" ] || { echo "engineless-image: $storage is not empty" >&2 && exit 1; }

step() { # NAME COMMAND...
  local name=$1 start=$SECONDS && shift
  # In the background and waited for, so that a signal ends the script at once; timeout hands it on to the step.
  timeout --kill-after=30 "${STEP_SECONDS:-1200}" "$@" &
  running=$!
  wait "$running" || {
    echo "engineless-image: $stage: $name ended with $? after $((SECONDS - start)) s" >&2
    running=""
    exit 1
  }
  running=""
  echo "engineless-image: $stage: $name: $((SECONDS - start)) s"
}
if [ -z "${BASE_IMAGE:-}" ]; then
  BASE_IMAGE=$(.github/scripts/base-image.sh)
  export BASE_IMAGE
fi
step build .github/scripts/build-image.sh "$stage" "$image"
step checks .github/scripts/test-image.sh "$stage" "$image"
if [ "$stage" != perf ]; then step "system test" .github/scripts/system-test-image.sh "$stage" "$image"; fi
# The candidate of the system test is what is loaded.
if [ "$stage" = model_serving ]; then step "load test" .github/scripts/load-test-image.sh "$image" "$out"; fi
echo "engineless-image: $stage: $SECONDS s in all, $(du -sm "$storage" | cut -f1) MB of layers"
