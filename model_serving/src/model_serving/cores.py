"""How many cores this process may use: by affinity, and by the CPU quota of its control groups.

A container that may use two cores of a machine with sixty-four sees all of them; what it is limited to stands in
`cpu.max` (version 2) or `cpu.cfs_quota_us` (version 1) of its group and of the groups around that.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

Reader = Callable[[Path], float | None]


def cores_given(proc: Path = Path("/proc/self")) -> int:
    """The smaller of both, a quota rounded up; at least 1. What cannot be read limits nothing."""
    cores = len(os.sched_getaffinity(0))
    quotas = [quota for folder, read in _groups(proc) if (quota := read(folder)) is not None]
    return max(1, math.ceil(min([float(cores), *quotas])))


def _groups(proc: Path) -> Iterator[tuple[Path, Reader]]:
    """The folders of this process's groups that may hold a quota, from the inner to the outer ones."""
    try:
        mounts = (proc / "mountinfo").read_text("utf-8").splitlines()
        groups = (proc / "cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for mount in mounts:
        place, _, kind = mount.partition(" - ")
        root, mounted = place.split()[3:5]
        filesystem, _, options = kind.split(" ", 2)
        if filesystem == "cgroup2":
            controller, read = "", _version_2
        elif filesystem == "cgroup" and "cpu" in options.split(","):
            controller, read = "cpu", _version_1
        else:
            continue
        for line in groups:
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                yield from ((folder, read) for folder in _folders(Path(mounted), root, path))


def _folders(mounted: Path, root: str, path: str) -> Iterator[Path]:
    """The group's folder and those above it, down to where the file system is mounted.

    Inside a container the path may be the host's and not be there; what is mounted is the container's group then.
    """
    inner = PurePosixPath(path)
    if inner.is_relative_to(root):
        inner = inner.relative_to(root)
    parts = [part for part in inner.parts if part not in {"/", ".."}]
    for length in range(len(parts), -1, -1):
        yield mounted.joinpath(*parts[:length])


def _version_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _version_1(folder: Path) -> float | None:
    try:
        quota, period = (
            int((folder / f"cpu.cfs_{name}_us").read_text("ascii")) for name in ("quota", "period")
        )
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
