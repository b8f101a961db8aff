"""progress.py: the heartbeat says how far it is, how much is left of GitHub's limit and when it ends."""

from __future__ import annotations

import time
from typing import Any

import pytest

from data_fetch import progress


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    class Log:
        def info(self, event: str, **more: Any) -> None:
            found.append({"event": event, **more})

    monkeypatch.setattr(progress, "get_logger", Log)
    return found


def test_a_line_says_how_far_it_is_and_when_it_ends(
    lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = progress.FetchProgress(3, lambda: 4_812)
    shown.expect(300)
    shown.seen(50)
    now += 10.0
    shown.beat()
    assert lines == [
        {
            "event": "progress",
            "repositories": "0/3",
            "pull_requests": 50,
            "per_second": 5.0,
            "points_left": 4_812,
            "seconds_left": 50,
        }
    ]
    shown.repository_done()
    shown.seen(250)
    shown.beat()
    assert lines[-1]["repositories"] == "1/3"
    assert lines[-1]["seconds_left"] is None, "more repositories are left, nobody knows how many in them"


def test_a_long_wait_is_no_silence(lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.02)
    with progress.FetchProgress(1, lambda: 0):
        end = time.monotonic() + 30
        while len(lines) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    said = len(lines)
    assert said >= 3
    time.sleep(0.1)
    assert len(lines) == said, "it ends with the run"


def test_a_terminal_gets_a_bar_with_repositories_and_points(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with progress.FetchProgress(2, lambda: 77) as shown:
        assert shown._bar is not None
        shown._bar.delay = 0
        shown.expect(10)
        shown.seen(4)
        shown.repository_done()
        shown.beat()
        text = str(shown._bar)
    assert "1/2 repositories, 77 points left" in text
    assert "4/10" in text


def test_nothing_known_of_points_is_nothing_said() -> None:
    assert progress.FetchProgress(1, lambda: None)._text() == "0/1 repositories"
