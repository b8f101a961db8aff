"""Stopping on request."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage_runtime.exits import StoppedEarly
from stage_runtime.signals import StopRequest, stop_on_sigterm


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("handlers")
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    stop = stop_on_sigterm()
    stop.check()
    os.kill(os.getpid(), number)
    assert stop.wait(5)
    with pytest.raises(StoppedEarly, match=number.name):
        stop.check()


@pytest.mark.usefixtures("handlers")
def test_a_second_interrupt_ends_at_once() -> None:
    stop = stop_on_sigterm()
    stop.request("budget")
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_the_first_reason_stays() -> None:
    stop = StopRequest()
    assert not stop.wait(0)
    stop.request("budget")
    stop.request("SIGTERM")
    assert stop.reason == "budget"


def test_a_stage_under_sigterm_ends_with_code_4(tmp_path: Path) -> None:
    script = tmp_path / "stage.py"
    script.write_text(
        "from stage_runtime.main import run_stage\n"
        "from stage_runtime.signals import stop_on_sigterm\n"
        "def main(argv):\n"
        "    stop = stop_on_sigterm()\n"
        "    print('ready', flush=True)\n"
        "    stop.wait(60)\n"
        "    stop.check()\n"
        "run_stage('trial', main)\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "Stopped early (SIGTERM)" in out


def test_sigterm_before_the_stage_listens_for_itself_closes_what_is_open(tmp_path: Path) -> None:
    script = tmp_path / "stage.py"
    script.write_text(
        "import tempfile, time\n"
        "from stage_runtime.main import run_stage\n"
        "def main(argv):\n"
        "    with tempfile.TemporaryDirectory(dir='.'):\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)  # imports\n"
        "run_stage('trial', main)\n"
    )
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "Interrupted before" in out
    assert [path.name for path in tmp_path.iterdir()] == ["stage.py"]
