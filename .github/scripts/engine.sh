# Sourced by the scripts beside it: sets `engine` to what builds and runs images here.
# ENGINE=docker|buildah decides; else docker where its daemon answers, else buildah, which needs root and no daemon:
# chroot isolation, so containers share the machine's network and have no read-only root.
# shellcheck shell=bash
engine=${ENGINE:-}
if [ -z "$engine" ]; then
  if docker info > /dev/null 2>&1; then engine=docker
  elif command -v buildah > /dev/null; then engine=buildah
  else echo "images need docker with a running daemon, or buildah: apt-get install buildah" >&2 && exit 2; fi
fi
buildah() { command buildah --storage-driver "${STORAGE_DRIVER:-vfs}" "$@"; }
