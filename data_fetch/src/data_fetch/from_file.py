"""Pull requests from files of JSON lines in GitHub's REST form, by the same shaping and writer."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from stage_runtime.exits import UnusableInput, WrongSettings
from stage_runtime.logs import get_logger
from stage_runtime.progress import progress
from stage_runtime.signals import StopRequest

from data_fetch.shaping import Document, Rejection, Shaper
from data_fetch.store import Store

_BATCH = 500
_MAX_LINE = 64 << 20
_LOGGED = 20


@dataclass
class Imported:
    """Lines by what became of them; `superseded` were older than what is stored."""

    lines: int = 0
    written: int = 0
    same: int = 0
    superseded: int = 0
    rejected: int = 0


def import_files(
    names: str, store: Store, shaper: Shaper, stop: StopRequest, *, max_rejected_share: float
) -> Imported:
    """Import every file. Running again changes nothing.

    Raises WrongSettings for a file that cannot be opened, UnusableInput for one that breaks off, for
    no lines at all and for too many unusable ones; StoppedEarly between two batches.
    """
    files = [Path(name.strip()) for name in names.split(",") if name.strip()]
    for file in files:
        if not file.is_file():
            raise WrongSettings(f"--from-file: expected a file of JSON lines, found no file {file}")
    done = Imported()
    with progress(None, "importing", "pull requests") as bar:
        for file in files:
            for batch in _batches(file, shaper):
                stop.check()
                _write(batch, store, done)
                bar.update(len(batch))
    if done.lines == 0:
        raise UnusableInput(f"--from-file: expected pull requests in {names}, found no line")
    if done.rejected > max_rejected_share * done.lines:
        raise UnusableInput(
            f"--from-file: {done.rejected} of {done.lines} lines are no pull request in GitHub's REST form; the "
            "reasons are in the collection `rejected`. Expected one object a line, as "
            "GET /repos/OWNER/NAME/pulls/NUMBER gives it."
        )
    return done


def _write(batch: list[Document | Rejection], store: Store, done: Imported) -> None:
    documents = [one for one in batch if isinstance(one, dict)]
    rejections = [one for one in batch if isinstance(one, Rejection)]
    written = store.write(documents)
    store.reject(rejections)
    for rejection in rejections[: max(0, _LOGGED - done.rejected)]:
        get_logger().warning("rejected", what=rejection.place, reason=rejection.reason)
    done.lines += len(batch)
    done.written += written.inserted + written.replaced
    done.same += written.same
    done.superseded += written.superseded
    done.rejected += len(rejections)


def _batches(file: Path, shaper: Shaper) -> Iterator[list[Document | Rejection]]:
    batch: list[Document | Rejection] = []
    for number, line in _lines(file):
        batch.append(_shaped(file, number, line, shaper))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line). A file that breaks off gives what came before, then the error."""
    try:
        with cast(IO[bytes], gzip.open(file) if file.suffix == ".gz" else file.open("rb")) as lines:
            number = 0
            while line := lines.readline(_MAX_LINE):
                number += 1
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise UnusableInput(
            f"--from-file: {file} cannot be read to its end ({type(error).__name__}); what came before is "
            "stored. Get the file anew, then run again."
        ) from error


def _shaped(file: Path, number: int, line: bytes, shaper: Shaper) -> Document | Rejection:
    # Named by its content: the same line is rejected once, wherever it stands.
    key = "line:" + hashlib.sha256(line.strip()).hexdigest()[:32]
    place = f"{file.name} line {number}"
    try:
        pull = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = f"expected a JSON object, found {type(error).__name__}"
        return Rejection(key, None, None, "line", reason, "file", place)
    return shaper.line(pull, place, key)
