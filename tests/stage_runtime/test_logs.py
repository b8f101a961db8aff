"""Form and content of log lines."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from stage_runtime.logs import bind, configure_logs, get_logger, set_run_id, unbind
from stage_runtime.redaction import REDACTOR, Redactor, register_secret


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("trial", "run-1", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_lines_are_json_with_the_fixed_keys_first(out: io.StringIO) -> None:
    get_logger(repo_name="a/b").info('page "read"\nwell', items=100)
    (line,) = lines(out)
    assert list(line)[:5] == ["time", "level", "stage", "run_id", "event"]
    assert line["time"].endswith("Z")
    assert (line["level"], line["stage"], line["run_id"]) == ("info", "trial", "run-1")
    assert (line["event"], line["repo_name"], line["items"]) == ('page "read"\nwell', "a/b", 100)


def test_other_libraries_lines_take_the_same_form(out: io.StringIO) -> None:
    logging.getLogger("urllib3").warning("retry %s", 3, extra={"host": "h"})
    (line,) = lines(out)
    assert (line["event"], line["stage"], line["host"]) == ("retry 3", "trial", "h")


def test_the_run_id_may_come_later_and_more_values_be_bound(out: io.StringIO) -> None:
    set_run_id("run-2")
    bind(request_id="r")
    get_logger().info("one")
    unbind("request_id")
    get_logger().info("two")
    one, two = lines(out)
    assert (one["run_id"], one["request_id"]) == ("run-2", "r")
    assert "request_id" not in two


def test_debug_is_left_out_by_default(out: io.StringIO) -> None:
    get_logger().debug("detail")
    assert out.getvalue() == ""


def test_text_is_readable_and_redacted_too() -> None:
    stream = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    configure_logs("trial", log_format="text", stream=stream)
    register_secret("text-secret")
    get_logger().info("page read", url="https://u:text-secret@h/x")
    logging.getLogger().handlers[:] = handlers
    assert "page read" in stream.getvalue()
    assert "text-secret" not in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_secrets_are_taken_out_wherever_they_stand(out: io.StringIO) -> None:
    register_secret("ghp_0123456789")
    register_secret("mongodb://user:p%40ss-word@db.test:27017/x")
    get_logger().info(
        "got ghp_0123456789",
        nested={"key": ["ghp_0123456789", ("p@ss-word",)]},
        uri="mongodb://user:p%40ss-word@db.test:27017/x",
        other=ValueError("ghp_0123456789"),
        count=7,
    )
    try:
        raise RuntimeError("with ghp_0123456789")
    except RuntimeError:
        get_logger().exception("failed")
    text = out.getvalue()
    for secret in ("ghp_0123456789", "p%40ss-word", "p@ss-word"):
        assert secret not in text
    assert "mongodb://user:***@db.test:27017/x" in text
    assert lines(out)[0]["count"] == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mongodb+srv://u:pw@h/db", "mongodb+srv://u:***@h/db"),
        ("two http://a:b@c and s3://d:e@f", "two http://a:***@c and s3://d:***@f"),
        ("postgres://u:p@ss@h/db", "postgres://u:***@h/db"),
        ("redis://:pw@h", "redis://:***@h"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("time 12:30 a@b", "time 12:30 a@b"),
    ],
)
def test_a_password_in_a_uri_is_hidden_though_nobody_registered_it(text: str, expected: str) -> None:
    assert Redactor().text(text) == expected


def test_an_address_without_password_stays_readable() -> None:
    redactor = Redactor()
    redactor.register("mongodb://127.0.0.1:27017")
    assert redactor.text("mongodb://127.0.0.1:27017 is up") == "mongodb://127.0.0.1:27017 is up"


def test_too_short_a_secret_does_not_blank_the_log() -> None:
    redactor = Redactor()
    redactor.register("a")
    redactor.register("")
    assert redactor.text("a banana") == "a banana"


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    redactor = Redactor()
    redactor.register("token")
    redactor.register("token-and-more")
    assert redactor.text("token-and-more") == "***"


def test_the_process_has_one_redactor() -> None:
    register_secret("shared-secret")
    assert REDACTOR.text("shared-secret") == "***"


KILLED_WHILE_IT_LOGS = """
import io, os, signal
from stage_runtime.logs import configure_logs, get_logger

class Deadly(io.StringIO):
    def write(self, text):
        os.kill(os.getpid(), signal.SIGKILL)

configure_logs("arbiter")
get_logger().info("before")
if (child := os.fork()) == 0:
    configure_logs("worker", stream=Deadly())
    get_logger().info("last words")
os.waitpid(child, 0)
get_logger().info("after")
"""

FORKED_WHILE_A_THREAD_LOGS = """
import io, os, sys, threading
from stage_runtime.logs import configure_logs, get_logger

begun, go = threading.Event(), threading.Event()

class Slow(io.StringIO):
    def write(self, text):
        begun.set()
        go.wait(60)

configure_logs("arbiter", stream=Slow())
threading.Thread(target=get_logger().info, args=("slow",)).start()
begun.wait(60)
if (child := os.fork()) == 0:
    configure_logs("worker")
    get_logger().info("after")
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
go.set()
"""


@pytest.mark.parametrize("program", [KILLED_WHILE_IT_LOGS, FORKED_WHILE_A_THREAD_LOGS])
def test_no_process_waits_for_the_log_lines_of_another(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "after"
