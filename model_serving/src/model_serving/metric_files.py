"""The files that prometheus_client keeps a worker's counts in, with the room on the disk that they say they have.

The library makes them sparse: on a full disk the first write into a hole of the mapped file is a SIGBUS, which no code
can catch, and every worker that replaces the dead one dies the same way. Here a file's room is taken from the disk
before it is mapped. Where there is none, the worker counts in its own memory from then on: the others' sums lack what
it counts, and it serves as before.

Import this after PROMETHEUS_MULTIPROC_DIR is set: the library decides on multiprocess mode when it is imported.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

from prometheus_client import mmap_dict, values
from stage_runtime.logs import get_logger

# All that a worker counts takes a tenth of it.
ROOM_BYTES = 256 * 1024
# What a number needs beyond its key: length, padding, value and time.
BEYOND_KEY_BYTES = 32


class AllocatedDict(mmap_dict.MmapedDict):
    """A file of numbers, by key."""

    _f: Any
    _m: Any
    _capacity: int
    _used: int

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not os.path.exists(filename):
            try:
                _allocate(filename)
            except OSError as error:
                _say(error)
                # A name under which the library can open it; it lasts as long as this process.
                filename = f"/proc/self/fd/{os.memfd_create('metrics')}"
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        while self._used + len(key.encode()) + BEYOND_KEY_BYTES > self._capacity:
            try:
                os.posix_fallocate(self._f.fileno(), self._capacity, self._capacity)
            except OSError as error:
                _say(error)
                self._move_to_memory()
            self._capacity *= 2
            self._f.truncate(self._capacity)
            self._m = mmap.mmap(self._f.fileno(), self._capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _move_to_memory(self) -> None:
        # The file stays as it is: what was counted until now.
        file = os.fdopen(os.memfd_create("metrics"), "r+b")
        file.write(self._m[:])
        file.flush()
        self._f.close()
        self._f = file


def install() -> None:
    """Use these files from now on."""
    values.MmapedDict = AllocatedDict  # type: ignore[attr-defined]


def _allocate(filename: str) -> None:
    # Under another name until it has its size: who adds the files up cannot read an empty one.
    unfinished = f"{filename}.new"
    try:
        with open(unfinished, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
        os.replace(unfinished, filename)
    except OSError:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
        raise


def _say(error: OSError) -> None:
    get_logger().warning(
        "No room for metrics: what this worker counts from now on is not shown", error=str(error)
    )
