"""An embedded MongoDB: a small JVM that speaks MongoDB's wire protocol over one H2 file.

    with embedded_mongodb(Path("var/demo/mongo")) as uri: ...
    python -m local_setup.mongodb --data var/demo/mongo --port 27017

Answers on 127.0.0.1 only, without authentication. A write that was acknowledged survives SIGKILL of
the JVM or of Python (not of the machine: nothing waits for the disk). The JVM never outlives the
Python process that started it.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from local_setup.errors import LocalSetupError, ServerFailed
from local_setup.jars import MAIN_CLASS, class_path
from local_setup.java_runtime import find_java

START_SECONDS = 60.0
STOP_SECONDS = 20.0
FILE_NAME = "database.h2"
LOG_NAME = "mongodb.log"


class EmbeddedMongo:
    """The running JVM. ``uri`` is its address, ``pid`` its process id."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port
        self.uri = f"mongodb://127.0.0.1:{port}"
        self.pid = process.pid

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the JVM to end by itself; its exit status."""
        return self._process.wait(timeout)

    def stop(self) -> None:
        """Close the database and end the JVM; safe to call twice."""
        _close(self._process.stdin)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _close(self._process.stdout)


def start(data_dir: Path, port: int = 0, *, heap: str = "2g") -> EmbeddedMongo:
    """Start the JVM over ``data_dir`` (made if missing) and wait until it answers.

    ``port`` 0 takes any free one; ``heap`` is Java's -Xmx. Raises JavaMissing, JarsUnavailable, or
    ServerFailed with what the JVM said (port taken, data folder in use, ...).
    """
    java = find_java()
    jars = class_path(java)
    data_dir.mkdir(parents=True, exist_ok=True)
    log_path = data_dir / LOG_NAME
    # Out of memory it ends at once: what it acknowledged is safe, and an error beats a silence.
    command = [java, f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    # The quick compiler alone: 40,000 upserts cost half the processor time of both, and so does a start.
    command += ["-XX:TieredStopAtLevel=1"]
    command += ["-Djava.awt.headless=true", "-cp", os.pathsep.join(map(str, jars)), MAIN_CLASS]
    command += [str(data_dir / FILE_NAME), str(port), str(os.getpid())]
    with log_path.open("wb") as log:
        # A session of its own: Ctrl-C reaches Python, which then closes the database in order.
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        word, _, rest = _first_line(process.stdout, START_SECONDS).partition(" ")
        if word != "LISTENING":
            said = rest or log_path.read_text(errors="replace")[-2000:] or "nothing"
            raise ServerFailed(
                f"the embedded MongoDB over {data_dir} (port {port or 'any'}) did not start; "
                f"it said: {said.strip()}{_advice(said)}"
            )
    except BaseException:
        process.kill()
        process.wait()
        _close(process.stdin)
        _close(process.stdout)
        raise
    return EmbeddedMongo(process, int(rest))


def _close(stream: IO[bytes] | None) -> None:
    if stream is None:
        return
    try:
        stream.close()
    except BrokenPipeError:
        pass  # the JVM was quicker


def _first_line(stream: IO[bytes], seconds: float) -> str:
    """The first line of ``stream``, or '' when none comes within ``seconds``."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        return lines.get(timeout=seconds).decode(errors="replace").strip()
    except queue.Empty:
        return ""


def _advice(said: str) -> str:
    if "locked" in said:
        return ". Another process uses that data folder: end it, or choose another --data"
    if "in use" in said:
        return ". Choose another --port, or 0 for any free one"
    return ""


@contextmanager
def embedded_mongodb(data_dir: Path, port: int = 0, *, heap: str = "2g") -> Iterator[str]:
    """Start it, give its URI, close it at the end. Raises as ``start`` does."""
    server = start(data_dir, port, heap=heap)
    try:
        yield server.uri
    finally:
        server.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: run until Ctrl-C, SIGTERM or the JVM's end."""
    parser = argparse.ArgumentParser(prog="python -m local_setup.mongodb", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="folder of the database")
    parser.add_argument("--port", type=int, default=27017, help="port, 0 = any (default 27017)")
    parser.add_argument("--heap", default="2g", help="the JVM's -Xmx (default 2g)")
    options = parser.parse_args(argv)

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        server = start(options.data, options.port, heap=options.heap)
    except LocalSetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    try:
        print(f"MongoDB listens on {server.uri}, data in {options.data}. Ctrl-C ends it.", flush=True)
        status = server.wait()
        print(f"error: the embedded MongoDB ended by itself (status {status})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
