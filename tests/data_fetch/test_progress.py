"""progress.py: the heartbeat says how far it is, how much is left of GitHub's limit and when it ends."""

from __future__ import annotations

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


def test_a_line_every_ten_seconds(lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.FetchProgress(3, lambda: 4_812) as shown:
        shown.expect(300)
        for _ in range(21):
            now += 1.0
            shown.seen(5)
        shown.repository_done()
    assert len(lines) == 2
    assert lines[0] == {
        "event": "progress",
        "repositories": "0/3",
        "pull_requests": 50,
        "per_second": 5.0,
        "points_left": 4_812,
        "seconds_left": 50,
    }


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
        text = str(shown._bar)
    assert "1/2 repositories, 77 points left" in text
    assert "4/10" in text


def test_nothing_known_of_points_is_nothing_said(lines: list[dict[str, Any]]) -> None:
    with progress.FetchProgress(1, lambda: None) as shown:
        assert shown._text() == "0/1 repositories"
        shown.seen(0)
    assert lines == []
