"""Stages as child processes that never outlive the runner."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from local_setup.errors import LocalSetupError
from local_setup.runner.workspace import stage_python

STOP_SECONDS = 40.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class StageFailed(LocalSetupError):
    """A stage ended with another code than 0; the runner ends with the same one."""

    def __init__(self, stage: str, code: int) -> None:
        super().__init__(f"{stage} ended with exit code {code}; its own message stands above")
        self.exit_code = code if code > 0 else 1


def _die_with_parent() -> None:
    # Linux only, and best effort elsewhere: a SIGKILL of the runner must not leave a stage running.
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def start(
    stage: str, arguments: Sequence[str], environ: Mapping[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """`python -m STAGE ARGUMENTS` in the stage's environment, in a session of its own.

    A session of its own: Ctrl-C reaches the runner alone, which then ends the stages in order. output: file
    for what it prints; None is the runner's own.
    """
    return subprocess.Popen(
        [str(stage_python(stage)), "-m", stage, *arguments],
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, the time a stage has to save its state, then SIGKILL."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running(
    stage: str, arguments: Sequence[str], environ: Mapping[str, str], output: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The stage for the length of a block."""
    process = start(stage, arguments, environ, output)
    try:
        yield process
    finally:
        stop(process)


def run(stage: str, arguments: Sequence[str], environ: Mapping[str, str]) -> float:
    """Run to the end; returns seconds, raises StageFailed."""
    started = time.monotonic()
    with running(stage, arguments, environ) as process:
        code = process.wait()
    if code:
        raise StageFailed(" ".join([stage, *arguments[:1]]), code)
    return time.monotonic() - started
