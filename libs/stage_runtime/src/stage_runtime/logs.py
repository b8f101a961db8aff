"""Structured logs on stdout: JSON lines when it is no terminal, readable lines when it is.

Every line has time (UTC), level, stage, run_id (where one was given) and event. Lines of other
libraries that log through the standard library take the same way, so a Job's output is JSON
throughout.
"""

import logging
import os
import sys
import threading
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor
from tqdm import tqdm

from stage_runtime.redaction import REDACTOR

LogFormat = Literal["auto", "json", "text"]
KEYS_FIRST = ("time", "level", "stage", "run_id", "event")


# What the process logs as; None until configure_logs was called, so that building settings alone
# changes no logs.
_current: tuple[str, str | None, TextIO | None] | None = None


def _lock_of_this_process() -> None:
    """tqdm's own lock is shared with forked processes: one that is killed while it logs would hold
    it for ever, and every other process would stop at its next line.
    """
    tqdm.set_lock(threading.RLock())


_lock_of_this_process()
# A thread that logs at the moment of a fork does not exist in the child, to release it.
os.register_at_fork(after_in_child=_lock_of_this_process)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes whole lines, above a progress bar when one is on the screen."""

    def __init__(self, stream: TextIO, keys: "_StandingKeys") -> None:
        super().__init__(stream)
        self.keys = keys

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record), file=self.stream)
            self.flush()
        except Exception:  # the logging contract: a log line never ends the program
            self.handleError(record)


class _StandingKeys:
    """Adds stage and run_id to every line of the process, whatever thread or library it is from."""

    def __init__(self, stage: str, run_id: str | None) -> None:
        self.standing = {"stage": stage} | ({"run_id": run_id} if run_id else {})

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        for key, value in self.standing.items():
            event.setdefault(key, value)
        return event


def _redacted(_logger: object, _method: str, event: EventDict) -> EventDict:
    return cast(dict[str, Any], REDACTOR.value(dict(event)))


def _ordered(_logger: object, _method: str, event: EventDict) -> EventDict:
    front = {key: event[key] for key in KEYS_FIRST if key in event}
    return front | {key: value for key, value in event.items() if key not in front}


def _chain(keys: _StandingKeys) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        keys,
    ]


def configure_logs(
    stage: str,
    run_id: str | None = None,
    *,
    level: str = "INFO",
    log_format: LogFormat = "auto",
    stream: TextIO | None = None,
) -> None:
    """Set up logging for the process. run_stage does so for every stage.

    log_format "auto" means JSON unless the stream (stdout) is a terminal.
    """
    global _current
    _current = (stage, run_id, stream)
    out = stream if stream is not None else sys.stdout
    as_json = log_format == "json" or (log_format == "auto" and not out.isatty())
    keys = _StandingKeys(stage, run_id)
    shared = _chain(keys)
    # Formatting a stack trace comes before redaction: it may quote a secret.
    last: list[Processor] = (
        [
            structlog.processors.format_exc_info,
            _redacted,
            _ordered,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
        if as_json
        else [
            structlog.processors.format_exc_info,
            _redacted,
            structlog.dev.ConsoleRenderer(colors=out.isatty(), timestamp_key="time"),
        ]
    )
    formatter = ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = _Handler(out, keys)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=False,
    )


def adjust_logs(level: str, log_format: LogFormat) -> None:
    """Log from now on at this level and in this form, with stage, run_id and stream as they were
    set up.
    """
    if _current is not None:
        stage, run_id, stream = _current
        configure_logs(stage, run_id, level=level, log_format=log_format, stream=stream)


def get_logger(**values: object) -> BoundLogger:
    """A logger whose lines carry these values: get_logger(repo_name="a/b").info("page read",
    items=100).
    """
    logger: BoundLogger = structlog.stdlib.get_logger("stage", **values)
    return logger


def set_run_id(run_id: str) -> None:
    """From now on every line of the process, from any thread, carries this run_id."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            handler.keys.standing["run_id"] = run_id


def bind(**values: object) -> None:
    """Add these values to every later line of this thread (or request): bind(request_id=...)."""
    structlog.contextvars.bind_contextvars(**values)


def unbind(*keys: str) -> None:
    """Take values added by bind() away again."""
    structlog.contextvars.unbind_contextvars(*keys)
