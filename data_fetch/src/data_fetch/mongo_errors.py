"""MongoDB's errors as endings of the stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dns.exception import DNSException
from pymongo import errors
from stage_runtime.exits import ServiceUnreachable, WrongSettings

_CREDENTIAL_CODES = {13, 18}  # Unauthorized, AuthenticationFailed


@contextmanager
def mongo_errors() -> Iterator[None]:
    """MongoDB's errors as endings of the stage; no message repeats the address with its password."""
    try:
        yield
    except (errors.ConnectionFailure, errors.WaitQueueTimeoutError) as error:
        raise ServiceUnreachable(
            f"MongoDB did not answer ({type(error).__name__}). Check that it runs and that MONGO_URI is right, "
            "then run again."
        ) from error
    except (errors.ConfigurationError, errors.InvalidURI) as error:
        if isinstance(error.__cause__, DNSException):  # mongodb+srv:// is looked up at the start
            raise ServiceUnreachable(
                f"MongoDB's servers could not be looked up in DNS ({type(error.__cause__).__name__}). Check the "
                "host in MONGO_URI and the network, then run again."
            ) from None
        raise WrongSettings(
            f"MONGO_URI: expected an address such as mongodb://host:27017, found one that "
            f"{type(error).__name__} refuses"
        ) from None
    except errors.OperationFailure as error:
        if error.code in _CREDENTIAL_CODES:
            raise WrongSettings(
                "MongoDB refused the login or the right to write: check the user and password in MONGO_URI "
                "and the user's roles."
            ) from None
        raise
