"""The heartbeat that replaces a progress bar in a Job's log."""

import io
import json
import logging

from stage_runtime.logs import configure_logs
from stage_runtime.progress import Heartbeat, progress


def test_a_line_at_most_every_ten_seconds_with_rate_and_rest() -> None:
    now = [0.0]
    stream = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    configure_logs("trial", stream=stream)
    beat = Heartbeat(1000, "pull requests", "documents", clock=lambda: now[0])
    for second in range(1, 26):
        now[0] = float(second)
        beat.update(20)
    logging.getLogger().handlers[:] = handlers
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["done"] for line in lines] == [200, 400]
    assert lines[0]["per_second"] == 20.0
    assert lines[0]["seconds_left"] == 40
    assert (lines[0]["event"], lines[0]["what"], lines[0]["total"]) == ("progress", "pull requests", 1000)


def test_an_unknown_total_has_no_rest() -> None:
    with progress(None, "things") as bar:
        bar.update(3)
        bar.update()
    assert isinstance(bar, Heartbeat)
    assert bar.done == 4
