"""Running a stage: its ending becomes one log line and an exit code."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from stage_runtime.exits import ExitCode, StageError
from stage_runtime.logs import configure_logs, get_logger
from stage_runtime.redaction import redact

Main = Callable[[Sequence[str]], ExitCode | int | None]
"""Takes the arguments after the program's name; None means done."""

_counts: dict[str, object] = {}


def closing_counts(**counts: object) -> None:
    """Put these counts into the stage's closing line: closing_counts(fetched=120, rejected=1)."""
    _counts.update(counts)


def ending(stage: str, main: Main, argv: Sequence[str]) -> int:
    """Run main, log how it ended and return the exit code. Nothing but SystemExit(0) for --help is
    raised.
    """
    configure_logs(stage)
    _counts.clear()
    start = time.monotonic()
    log = get_logger()
    try:
        code = int(main(argv) or ExitCode.DONE)
    except StageError as error:
        code = int(error.exit_code)
        cause = f"{type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ else None
        details = {"cause": redact(cause)[:500]} if cause else {}
        # Stopping on request is what was asked for, not a fault.
        say = log.warning if code == ExitCode.STOPPED_EARLY else log.error
        say(str(error), error=type(error).__name__, **details)
    except KeyboardInterrupt:
        code = int(ExitCode.STOPPED_EARLY)
        log.warning("Interrupted before anything could be saved, or a second time. Run again to go on.")
    except Exception as error:  # the last resort of the process
        code = int(ExitCode.UNEXPECTED)
        log.exception(
            "Unexpected error: this is a fault of the program or of a service it uses. "
            "Run again; if it comes back, report it with this line.",
            error=type(error).__name__,
        )
    seconds = round(time.monotonic() - start, 3)
    log.info("finished", exit_code=code, ending=_name(code), seconds=seconds, **_counts)
    return code


def _name(code: int) -> str:
    return ExitCode(code).name.lower() if code in set(ExitCode) else str(code)


def run_stage(stage: str, main: Main, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a stage to its end and leave the process with its exit code.

    main gets the arguments (default: those of the command line) and returns an ExitCode or None for
    done. A StageError ends with its code and one clear line, anything else with code 1 and a stack
    trace in the log.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # Until the stage listens for itself (imports take seconds), SIGTERM is as Ctrl-C: what is open gets closed.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = ending(stage, main, list(sys.argv[1:] if argv is None else argv))
    sys.stdout.flush()
    raise SystemExit(code)
