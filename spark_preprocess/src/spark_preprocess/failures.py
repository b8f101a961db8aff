"""Spark's exceptions as one sentence and the exit code that fits."""

from __future__ import annotations

import re

from stage_runtime.exits import ServiceUnreachable, StageError, WrongSettings

_CAUSED = re.compile(r"^(?:: |Caused by: )?([\w.$]+(?:Exception|Error))(?::|$)", re.MULTILINE)
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Status Code: 403")
_AWAY = (
    "com.mongodb.Mongo",
    "ConnectException",
    "UnknownHostException",
    "SocketTimeoutException",
    "ConnectTimeoutException",
    "SdkClientException",
)


class SparkFailed(StageError):
    """A Spark job failed for a reason that is not one of the foreseen; worth one more try."""


def plain(text: str) -> StageError:
    """The error to end with for the text of an exception out of Spark."""
    kinds = list(dict.fromkeys(name.rpartition(".")[2] for name in _CAUSED.findall(text)))
    shown = ", ".join(kinds[-3:]) or "without a word"
    if any(word in text for word in _REFUSED):
        return WrongSettings(
            f"The object store refused access ({shown}). Correct DO_SPACES_ACCESS_KEY, DO_SPACES_SECRET_KEY "
            "or the bucket's policy."
        )
    if "NoSuchBucket" in text or "UnknownStoreException" in text:
        return WrongSettings("The bucket of DATA_ROOT does not exist. Create it, or correct DATA_ROOT.")
    if any(word in text for word in _AWAY):
        return ServiceUnreachable(f"MongoDB or the object store stopped answering ({shown}). Run again.")
    return SparkFailed(f"Spark failed ({shown}). Run again; if it comes back, report it with the cause.")
