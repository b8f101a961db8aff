"""Every way in which GitHub does not answer, one class a kind, with its data.

    GitHubError
    ├── NetworkFailure    no whole reply: refused, reset, timed out
    ├── BrokenReply       not the JSON that it says it is, for instance cut off
    ├── ServerFailure     5xx, or an internal error inside GraphQL's 200
    │   └── QueryTooLarge GraphQL gave the query up: ask for less
    ├── PrimaryLimit      the hour's points are used up
    ├── SecondaryLimit    too fast, "abuse"
    ├── BadCredentials    401
    │   ├── BadAppKey     a GitHub App's signature is refused
    │   └── BadInstallation  a GitHub App is given no token for an installation
    ├── Forbidden         403: scopes, single sign-on, an application's rights
    ├── NotFound          404, or not visible to this token
    ├── Moved             301, 302, 307, 308: renamed or transferred
    ├── Gone              410
    ├── Blocked           451, or access switched off by GitHub
    └── Refused           400, 422, or a GraphQL query that this server does not know
    NoCredential          no token is left that may ask

The messages hold GitHub's own sentence, cut to 200 characters, and never a header of the request.
"""

from __future__ import annotations


class GitHubError(Exception):
    """One request that brought no data. `status` is 0 where there was no reply, `server_time`
    GitHub's clock in epoch seconds where the reply had it.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.server_time: float | None = None


class NetworkFailure(GitHubError):
    """No whole reply came; asking again may work."""


class BrokenReply(GitHubError):
    """The body is not the JSON it should be; asking again may work."""


class ServerFailure(GitHubError):
    """GitHub failed; asking again may work."""


class QueryTooLarge(ServerFailure):
    """GitHub gave the query up after some ten seconds, or counts it as too large: ask for less."""


class PrimaryLimit(GitHubError):
    """No points left. `wait_seconds` until they are given anew, None where GitHub does not say."""

    def __init__(self, message: str, *, wait_seconds: float | None, status: int = 0) -> None:
        super().__init__(message, status=status)
        self.wait_seconds = wait_seconds


class SecondaryLimit(GitHubError):
    """Too many requests in a short time. `wait_seconds` is Retry-After, None where there is none."""

    def __init__(self, message: str, *, wait_seconds: float | None, status: int = 0) -> None:
        super().__init__(message, status=status)
        self.wait_seconds = wait_seconds


class BadCredentials(GitHubError):
    """The token is wrong, expired or revoked."""


class BadAppKey(BadCredentials):
    """The signature of a GitHub App is refused: its id or its private key is wrong."""


class BadInstallation(BadCredentials):
    """A GitHub App is given no token for an installation: it has none with this id, or a suspended one."""


class Forbidden(GitHubError):
    """The token may not do this. `scopes` (or permissions) are those that GitHub names as sufficient."""

    def __init__(self, message: str, *, scopes: tuple[str, ...] = (), status: int = 0) -> None:
        super().__init__(message, status=status)
        self.scopes = scopes


class NotFound(GitHubError):
    """It does not exist, or this token may not see it: GitHub does not tell the two apart."""


class Moved(GitHubError):
    """It is elsewhere now: `location`."""

    def __init__(self, message: str, *, location: str, status: int = 0) -> None:
        super().__init__(message, status=status)
        self.location = location


class Gone(GitHubError):
    """It existed and was removed."""


class Blocked(GitHubError):
    """GitHub keeps it from everybody, for legal reasons or for its terms."""


class Refused(GitHubError):
    """The request itself is wrong for this server. `undefined` says that a field is unknown to it."""

    def __init__(self, message: str, *, undefined: bool = False, status: int = 0) -> None:
        super().__init__(message, status=status)
        self.undefined = undefined


class NoCredential(Exception):
    """Every token was refused; `reasons` has one error a token, which names it."""

    def __init__(self, message: str, reasons: tuple[BadCredentials, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons
