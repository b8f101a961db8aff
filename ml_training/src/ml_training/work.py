"""Files on their way: a folder of this process's own, gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def work_folder(parent: str) -> Iterator[Path]:
    """A new folder in ``parent``, removed at the end; those of processes that were killed go too."""
    os.makedirs(parent, exist_ok=True)
    for left in Path(parent).glob("process-*-*"):
        if not _alive(left.name.split("-")[1]):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"process-{os.getpid()}-", dir=parent) as folder:
        yield Path(folder)


def _alive(pid: str) -> bool:
    """Whether another process of that number runs; in a container every start has the same number."""
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
