"""Who asks: a token, or an installation of a GitHub App whose token lasts an hour.

`authorization` gives the header's value; `renewal` the request that has to be sent first, which is
None while the token is good. The installation signs a JWT with the App's private key (RS256), valid
for nine minutes and dated a minute back, as GitHub asks, because clocks differ.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import jwt

from github_client.errors import BrokenReply
from github_client.messages import Api, Request

_RENEW_BEFORE_SECONDS = 300.0
_JWT_SECONDS = 540
_NEW_SECONDS = 60.0


class Credential(Protocol):
    """One identity with a rate limit of its own. `name` is safe to log."""

    name: str

    def renewal(self, now: float) -> Request | None:
        """The request to send first, None when the token is good."""

    def renewed(self, content: Any) -> None:
        """Take the answer of that request."""

    def expired(self, now: float) -> bool:
        """GitHub refused it: True when a renewal may help."""

    def authorization(self) -> str:
        """The value of the header `Authorization`."""


class Token:
    """A personal access token, or one that a workflow was given."""

    def __init__(self, token: str, name: str = "token") -> None:
        self._token = token
        self.name = name

    def __repr__(self) -> str:
        return f"Token({self.name})"

    def renewal(self, now: float) -> Request | None:
        """A token is never renewed."""
        return None

    def renewed(self, content: Any) -> None:
        """Nothing to take."""

    def expired(self, now: float) -> bool:
        """A refused token stays refused."""
        return False

    def authorization(self) -> str:
        """The header's value."""
        return f"Bearer {self._token}"


class AppInstallation:
    """One installation of a GitHub App.

    `on_secret` hears each new token, so that logs can hide it. Raises ValueError for a key that is
    no RSA private key in PEM.
    """

    def __init__(
        self,
        api: Api,
        app_id: str,
        private_key: str,
        installation_id: int,
        on_secret: Callable[[str], None] = lambda secret: None,
    ) -> None:
        self.name = f"installation {installation_id}"
        self._api = api
        self._app_id = app_id
        self._private_key = private_key
        self._installation_id = installation_id
        self._on_secret = on_secret
        self._token = ""
        self._expires = 0.0
        self._renewed = 0.0
        _sign(app_id, private_key, 0.0)  # a wrong key is found at the start, not in an hour

    def __repr__(self) -> str:
        return f"AppInstallation({self.name})"

    def renewal(self, now: float) -> Request | None:
        """The request for a new token, from five minutes before the old one ends."""
        if now < self._expires - _RENEW_BEFORE_SECONDS:
            return None
        self._renewed = now
        request = self._api.post(f"/app/installations/{self._installation_id}/access_tokens", {})
        signed = _sign(self._app_id, self._private_key, now)
        self._on_secret(signed)
        headers = {**request.headers, "Authorization": f"Bearer {signed}"}
        return Request(request.method, request.url, headers, request.body, "app")

    def renewed(self, content: Any) -> None:
        """Take the new token. Raises BrokenReply where there is none."""
        try:
            token, expires = content["token"], datetime.fromisoformat(content["expires_at"]).timestamp()
        except (KeyError, TypeError, ValueError):
            raise BrokenReply(f"{self.name}: expected a token and its end, found neither") from None
        self._on_secret(token)
        self._token, self._expires = token, expires

    def expired(self, now: float) -> bool:
        """Forget a token that ended early, but not one that was refused as soon as it was made."""
        if now - self._renewed < _NEW_SECONDS:
            return False
        self._expires = 0.0
        return True

    def authorization(self) -> str:
        """The header's value."""
        return f"Bearer {self._token}"


def _sign(app_id: str, private_key: str, now: float) -> str:
    claims = {"iat": int(now) - 60, "exp": int(now) + _JWT_SECONDS, "iss": app_id}
    try:
        return jwt.encode(claims, private_key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        # The library's message could quote the key.
        raise ValueError(
            f"the App's private key: expected an RSA key in PEM, found {type(error).__name__}"
        ) from None
