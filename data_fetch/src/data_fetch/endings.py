"""How a run ends that could not finish everything."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from github_client.errors import (
    BadAppKey,
    BadCredentials,
    BadInstallation,
    Blocked,
    Forbidden,
    Gone,
    NoCredential,
    NotFound,
    Refused,
)
from stage_runtime.exits import ServiceUnreachable, StageError, WrongSettings

_LISTED = 5
_UNREADABLE = (NotFound, Gone, Blocked, Forbidden)


def raise_for(failed: Mapping[str, Exception], configured: Collection[str], repositories: int) -> None:
    """Raise when a repository could not be finished.

    `configured` are the names in small letters that the user gave: one that a search or an owner
    gave and that is gone by now is no error. What another run may cure comes first: its exit code
    lets a Job try again.
    """
    failed = {
        name: error
        for name, error in failed.items()
        if name.lower() in configured or not isinstance(error, _UNREADABLE)
    }
    lasting = {name: error for name, error in failed.items() if isinstance(error, (*_UNREADABLE, Refused))}
    passing = {name: error for name, error in failed.items() if name not in lasting}
    if passing:
        raise ServiceUnreachable(
            f"{len(passing)} of {repositories} repositories could not be finished: {_list(passing)}. "
            "Their state is saved; run again."
        )
    if lasting:
        raise WrongSettings(
            f"GITHUB_REPOS: expected repositories that the token may read, found {len(lasting)} that it "
            f"may not or that do not exist: {_list(lasting)}. All others were fetched."
        )


def refused(error: NoCredential) -> StageError:
    """The ending when no token is accepted."""
    found = "; ".join(map(wrong_setting, error.reasons)) or f"no credential may be used: {error}"
    return WrongSettings(f"{found}. Give what GitHub accepts, then run again.")


def wrong_setting(error: BadCredentials) -> str:
    """Which setting a refused credential came from, and what was expected of it."""
    if isinstance(error, BadInstallation):
        expected = "GITHUB_APP_INSTALLATIONS: expected installations of the App that GITHUB_APP_ID names"
        return f"{expected}, found one for which GitHub gives it no token ({error})"
    if isinstance(error, BadAppKey):
        expected = "GITHUB_APP_PRIVATE_KEY: expected the key of the App that GITHUB_APP_ID names"
        return f"{expected}, found one whose signature GitHub refuses ({error})"
    return f"GITHUB_TOKEN: expected a token that GitHub accepts, found one that it refuses ({error})"


def _list(failed: Mapping[str, Exception]) -> str:
    shown = [f"{name} ({type(error).__name__}: {error})" for name, error in list(failed.items())[:_LISTED]]
    more = len(failed) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
