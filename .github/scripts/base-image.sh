#!/usr/bin/env bash
# A Python base image without an engine and without a registry: Debian by debootstrap, imported by buildah.
#
#   .github/scripts/base-image.sh          prints the image's name, localhost/python-base:bookworm-r2
#
# For machines that reach Debian's packages and no image registry. Release builds use the official image by digest
# (BASE_IMAGE of build-image.sh). Needs root, debootstrap and buildah. The tar is kept in the cache of the test servers.
set -euo pipefail
name=localhost/python-base:bookworm-r2
cache=${SERVERS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pr-anomaly/servers}
tar=$cache/python-base-bookworm-r2.tar
mkdir -p "$cache"
ENGINE=buildah
# shellcheck source=.github/scripts/engine.sh
. "$(dirname "${BASH_SOURCE[0]}")/engine.sh"
if [ ! -f "$tar" ]; then
  root=$(mktemp -d) && trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv bookworm "$root/os" >&2
  ln -s python3 "$root/os/usr/bin/python"
  # Behind a proxy of its own the machine's certificates and pip's settings are what makes downloads work. As files of
  # their own, so that a Java installed later trusts them too.
  cp /usr/local/share/ca-certificates/*.crt "$root/os/usr/local/share/ca-certificates/" 2> /dev/null || true
  chroot "$root/os" update-ca-certificates >&2
  [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/os/etc/pip.conf"
  rm -rf "$root"/os/var/cache/apt/archives/*.deb "$root"/os/var/lib/apt/lists/*
  tar -C "$root/os" --exclude ./dev --exclude ./proc --exclude ./sys -cf "$tar.new" . && mv "$tar.new" "$tar"
fi
if ! buildah inspect --type image "$name" > /dev/null 2>&1; then
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$tar" / >&2
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit --quiet "$container" "$name" >&2
  buildah rm "$container" > /dev/null
fi
echo "$name"
