"""Fixtures and options of all tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent
SECONDS = 600
# Half a minute is what a stage may take to save its state.
STOP_SECONDS = 45


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="a skipped test fails the run: for CI, where everything that tests need is installed",
    )


def pytest_configure() -> None:
    # How long one example takes depends on what else the machine does.
    settings.register_profile("tests", deadline=None)
    settings.load_profile("tests")
    # A shell starts background jobs with SIGINT ignored, and so would be every process that the tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--fail-on-skip") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def pr_data() -> Path:
    """The folder of real pull requests and recorded replies, which is never part of this repository."""
    folder = os.environ.get("PR_DATA_DIR")
    if not folder:
        pytest.skip("PR_DATA_DIR is not set: no real pull requests to test with")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.fail(f"PR_DATA_DIR={folder} is not a folder")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return REPOSITORY


# --- one machine: the runner as people start it, over a folder of its own -------------------------


@dataclass
class Outcome:
    """How one command ended."""

    code: int
    output: str


@dataclass
class Machine:
    """An OUT folder and the runner's commands over it."""

    out: Path
    environ: dict[str, str]

    def start(
        self, *arguments: str, output: IO[str] | int = subprocess.PIPE, **settings: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "local_setup.runner", *arguments, "--out", str(self.out)],
            cwd=REPOSITORY,
            env={**self.environ, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **settings: str) -> Outcome:
        process = self.start(*arguments, **settings)
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except BaseException:
            self.interrupt(process)
            raise
        return Outcome(process.returncode, output)

    def interrupt(self, process: subprocess.Popen[str]) -> None:
        """Ctrl-C."""
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_SECONDS)

    @contextmanager
    def serving(self, *arguments: str, **settings: str) -> Iterator[str]:
        """`make serve` for the length of a block: the address of the service, which is ready."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        # A file and no pipe: nobody reads while requests are answered.
        with (self.out / "service.log").open("w+") as log:
            process = self.start("serve", "--port", str(port), *arguments, output=log, **settings)
            try:
                self._wait_until_ready(url, process)
                yield url
            finally:
                self.interrupt(process)

    def _wait_until_ready(self, url: str, process: subprocess.Popen[str], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            with suppress(OSError), urlopen(f"{url}/ready", timeout=5):
                return
            time.sleep(0.1)
        raise AssertionError((self.out / "service.log").read_text("utf-8"))

    def assert_nothing_runs(self, seconds: float = 10) -> None:
        """A killed stage's own children need a moment to notice."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        assert not left, f"left behind: {left}"

    def succeed(self, *arguments: str, **settings: str) -> str:
        outcome = self.run(*arguments, **settings)
        assert outcome.code == 0, outcome.output[-4000:]
        return outcome.output

    def scores(self) -> dict[tuple[str, int], float]:
        lines = (self.out / "scores.jsonl").read_text("utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        return {(score["repo_name"], score["number"]): score["reconstruction_error"] for score in found}

    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.out / "summary.json").read_text("utf-8")))

    def published(self) -> list[Path]:
        return sorted((self.out / "data" / "preprocess-runs").glob("*/manifest.json"))

    def processes(self) -> dict[int, str]:
        """Living processes that work on this folder, by their command line or environment."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            try:
                command = (folder / "cmdline").read_bytes()
                environ = (folder / "environ").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if str(self.out).encode() in command + environ and state != "Z":
                found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found

    def wait_for(self, fragment: str, seconds: float = 120) -> int:
        """The process id of the stage whose command line ends with `-m FRAGMENT...`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for pid, command in self.processes().items():
                if f"-m {fragment}" in command:
                    return pid
            time.sleep(0.05)
        raise AssertionError(f"no process {fragment}; there are: {self.processes()}")


MakeMachine = Callable[[str], Machine]


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeMachine]:
    """A factory of machines. Each gets a temporary folder of its own, which must be empty at the end."""
    made: list[Machine] = []

    def make(name: str) -> Machine:
        folder = tmp_path_factory.mktemp(name)
        temporary = folder / "tmp"
        temporary.mkdir()
        # The settings of whoever runs the tests must not reach the stages.
        environ = {key: os.environ[key] for key in ("PATH", "HOME", "JAVA_HOME", "LANG") if key in os.environ}
        made.append(Machine(folder / "out", {**environ, "TMPDIR": str(temporary)}))
        return made[-1]

    yield make
    for machine in made:
        machine.assert_nothing_runs()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generated corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    command = [sys.executable, "-m", "local_setup.corpus", "--pulls", "600", "--seed", "11"]
    command += ["--out", str(folder / "corpus.jsonl.gz"), "--labels", str(folder / "labels.jsonl")]
    subprocess.run(command, check=True, cwd=REPOSITORY, timeout=SECONDS)
    return folder / "corpus.jsonl.gz"


@pytest.fixture(scope="session")
def undisturbed(machines: MakeMachine, corpus: Path) -> Machine:
    """A machine on which the whole pipeline ran once over the generated corpus."""
    machine = machines("undisturbed")
    machine.output = machine.succeed("pipeline", "--corpus", str(corpus))  # type: ignore[attr-defined]
    return machine
