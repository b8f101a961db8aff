"""Exit codes and the exceptions that carry them.

The codes are a contract with the Jobs' pod failure policy: 2, 3 and 5 fail the Job at once, because
the same pod would fail the same way again; 1 and 4 count against its backoff limit.

    StageError            1, unless the subclass says otherwise
    ├── ServiceUnreachable  1  a service is out of reach: a later try may work
    ├── WrongSettings       2  settings, flags or credentials: somebody has to change something
    ├── UnusableInput       3  no rows, too many rejected, a run without manifest
    ├── StoppedEarly        4  on purpose, state saved: run again
    └── GateRefused         5  the candidate model was refused
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """How a stage ended; the number is the process's exit status."""

    DONE = 0
    UNEXPECTED = 1
    WRONG_SETTINGS = 2
    UNUSABLE_INPUT = 3
    STOPPED_EARLY = 4
    GATE_REFUSED = 5


class StageError(Exception):
    """An ending with a sentence for a person: what object, what was expected, what was found, what
    to do next.

    The message is logged as one line without a stack trace, so it must stand alone and hold no
    secret.
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED


class ServiceUnreachable(StageError):
    """A service did not answer in the time allowed; running again may work."""


class WrongSettings(StageError):
    """A setting, flag or credential is wrong; running again changes nothing until somebody corrects
    it.
    """

    exit_code = ExitCode.WRONG_SETTINGS


class UnusableInput(StageError):
    """The data to work on cannot be used as a whole."""

    exit_code = ExitCode.UNUSABLE_INPUT


class StoppedEarly(StageError):
    """Stopped on purpose (budget, SIGTERM) with the state saved; run again to go on."""

    exit_code = ExitCode.STOPPED_EARLY


class GateRefused(StageError):
    """The gate refused the candidate model; the champion stays."""

    exit_code = ExitCode.GATE_REFUSED


@contextmanager
def reaching(service: str, *errors: type[BaseException]) -> Iterator[None]:
    """Turn a client library's connection errors into ServiceUnreachable, with the cause chained.

    service names what was called and where ("MongoDB at db.example:27017"), without credentials;
    errors are the library's classes (pymongo.errors.ConnectionFailure, requests.ConnectionError).
    The library's own message is not repeated, because some clients put the whole URI with its
    password into it.
    """
    try:
        yield
    except errors as error:
        raise ServiceUnreachable(
            f"{service} did not answer ({type(error).__name__}). "
            "Check that it runs and that its address is right, then run again."
        ) from error
