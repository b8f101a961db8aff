"""Starting real servers as processes on loopback, waiting until they answer, ending them by their pid."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent


class ServerError(Exception):
    """A server is missing, did not start or did not answer; the message says what to do."""


def versions() -> dict[str, str]:
    """What versions.env pins."""
    lines = (HERE / "versions.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def server_folder(name: str) -> Path:
    """The cache folder of a server, with its binaries and files. Raises ServerError where it was not built."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pr-anomaly" / "servers"
    pinned = versions()
    cache = Path(os.environ.get("SERVERS_CACHE") or default)
    folder = cache / f"{name}-{pinned[name.upper()]}-r{pinned['RECIPE']}"
    if not (folder / "COMPLETE").exists():
        raise ServerError(f"{name} {pinned[name.upper()]} is not built: run tests/servers/build {name}")
    return folder


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Process:
    """One server process with its log file; stop() ends it by its pid."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log_folder: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        log_folder.mkdir(parents=True, exist_ok=True)
        self.log = log_folder / f"{name}.log"
        with self.log.open("ab") as out:
            # A group of its own: Ctrl-C reaches the tests alone, which then stop their servers in order.
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until ready() is true. Raises ServerError with the end of the log when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.running:
                raise ServerError(f"{self.name} ended with status {self._process.returncode}:\n{self.tail()}")
            if ready():
                return
            time.sleep(0.2)
        raise ServerError(f"{self.name} did not answer within {seconds:g} s:\n{self.tail()}")

    def tail(self, lines: int = 25) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def wait(self, seconds: float) -> int:
        """Wait for its own end; its exit status. Raises ServerError with the end of its log when it takes too long."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.name} did not end within {seconds:g} s:\n{self.tail()}") from None

    def stop(self, seconds: float = 10.0) -> None:
        """End it: SIGTERM, after some seconds SIGKILL."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def kill(self) -> None:
        """End it at once, as a lost machine would."""
        self._process.kill()
        self._process.wait()


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def eventually(check: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Wait until check() returns something true; its last AssertionError or a readable one ends the wait."""
    deadline = time.monotonic() + seconds
    last: AssertionError | None = None
    while True:
        try:
            if check():
                return
            last = None
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise last or AssertionError(f"not within {seconds:g} s: {what or check}")
        time.sleep(0.3)


def needs(program: str) -> str:
    """The path of a program of the machine. Raises ServerError naming it."""
    found = shutil.which(program)
    if found is None:
        raise ServerError(f"{program} is needed for the cluster tests: install it")
    return found
