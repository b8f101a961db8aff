"""Reading one secret from Vault with the pod's own ServiceAccount.

VAULT_ADDR         address; Vault is used when it is set
VAULT_ROLE         role of the Kubernetes auth method
VAULT_PATH_AUTH    login path, default auth/kubernetes/login; the mount point is what stands between
VAULT_SECRET_PATH  KV v2 path as the HTTP API spells it: secret/data/mlops/base/data-fetch
VAULT_TOKEN_FILE   the ServiceAccount's projected token; read anew at every login, because the
                   kubelet rotates it
VAULT_CACERT       file with the certificate authority of Vault's address, where it is a private one
VAULT_WAIT_SECONDS how long a sealed or absent Vault is waited for

Endings: Vault sealed or away beyond the wait -> ServiceUnreachable (1); a refused login, a missing
secret, a policy that does not allow the path -> WrongSettings (2). No message holds a token or a
secret.
"""

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import hvac.exceptions as refused
import requests

from stage_runtime.exits import ServiceUnreachable, WrongSettings

DEFAULT_LOGIN_PATH = "auth/kubernetes/login"
DEFAULT_TOKEN_FILE = "/var/run/secrets/vault/token"  # noqa: S105 - a path, not a token
DEFAULT_WAIT_SECONDS = 120.0
REQUEST_TIMEOUT_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 10.0

# Sealed (503), not initialised (501), overloaded (429), a storage or gateway fault (500, 502) or no
# answer at all.
_AWAY = (
    refused.VaultDown,
    refused.VaultNotInitialized,
    refused.InternalServerError,
    refused.BadGateway,
    refused.RateLimitExceeded,
    requests.ConnectionError,
    requests.Timeout,
)
_NO = (refused.Forbidden, refused.Unauthorized, refused.InvalidRequest, refused.InvalidPath)


@dataclass(frozen=True)
class VaultSettings:
    """Where Vault is, who we are there and what we may read."""

    address: str
    role: str
    secret_path: str
    login_path: str = DEFAULT_LOGIN_PATH
    token_file: Path = Path(DEFAULT_TOKEN_FILE)
    ca_file: Path | None = None
    wait_seconds: float = DEFAULT_WAIT_SECONDS

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "VaultSettings | None":
        """The settings, or None where VAULT_ADDR is not set. Raises WrongSettings for a missing or
        odd one.
        """
        address = environ.get("VAULT_ADDR", "").strip()
        if not address:
            return None
        if not address.startswith(("http://", "https://")):
            raise WrongSettings(
                f"VAULT_ADDR: expected an address like https://vault.example:8200, found {address!r}"
            )
        for name in ("VAULT_ROLE", "VAULT_SECRET_PATH"):
            if not environ.get(name):
                raise WrongSettings(f"{name}: expected a value because VAULT_ADDR is set, found none")
        wait = environ.get("VAULT_WAIT_SECONDS") or str(DEFAULT_WAIT_SECONDS)
        try:
            wait_seconds = float(wait)
        except ValueError:
            raise WrongSettings(f"VAULT_WAIT_SECONDS: expected seconds, found {wait!r}") from None
        ca_file = environ.get("VAULT_CACERT")
        if ca_file:
            try:
                ssl.create_default_context(cafile=ca_file)
            except OSError as error:  # ssl.SSLError is one
                raise WrongSettings(
                    f"VAULT_CACERT: expected a file of PEM certificates, found {type(error).__name__} "
                    f"at {ca_file}. Mount the authority of {address} there."
                ) from None
        return cls(
            address=address,
            role=environ["VAULT_ROLE"],
            secret_path=environ["VAULT_SECRET_PATH"],
            login_path=environ.get("VAULT_PATH_AUTH") or DEFAULT_LOGIN_PATH,
            token_file=Path(environ.get("VAULT_TOKEN_FILE") or DEFAULT_TOKEN_FILE),
            ca_file=Path(ca_file) if ca_file else None,
            wait_seconds=wait_seconds,
        )

    @property
    def auth_mount(self) -> str:
        """kubernetes of auth/kubernetes/login."""
        parts = self.login_path.strip("/").split("/")
        if len(parts) < 3 or parts[0] != "auth" or parts[-1] != "login":
            raise WrongSettings(
                f"VAULT_PATH_AUTH: expected a login path like {DEFAULT_LOGIN_PATH}, found {self.login_path!r}"
            )
        return "/".join(parts[1:-1])

    @property
    def kv_mount_and_path(self) -> tuple[str, str]:
        """(secret, mlops/base/data-fetch) of secret/data/mlops/base/data-fetch."""
        mount, between, path = self.secret_path.strip("/").partition("/data/")
        if not (mount and between and path):
            raise WrongSettings(
                "VAULT_SECRET_PATH: expected a KV v2 path like secret/data/mlops/base/data-fetch, "
                f"found {self.secret_path!r}"
            )
        return mount, path


class VaultClient:
    """Keeps one Vault token alive and reads the stage's secret with it; safe to share between
    threads.

    Nothing runs in the background: each read first looks at the token's lease. With less than a
    third of it left the token is renewed, expired or not renewable any more it is replaced by
    exactly one new login.
    """

    def __init__(
        self,
        settings: VaultSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._lease_seconds = 0.0
        self._expires = float("-inf")
        self._renewable = False
        self._auth_mount = settings.auth_mount
        self._kv_mount, self._kv_path = settings.kv_mount_and_path
        self._client = hvac.Client(
            url=settings.address,
            # Without this hvac takes a person's ~/.vault-token or VAULT_TOKEN.
            token="",
            verify=str(settings.ca_file) if settings.ca_file else True,
            timeout=REQUEST_TIMEOUT_SECONDS,
        )

    def read(self) -> dict[str, str]:
        """The secret's keys and values, its newest version. Raises ServiceUnreachable or
        WrongSettings.
        """
        with self._lock:
            return self._waiting(self._read_once)

    def _waiting(self, step: Callable[[], dict[str, str]]) -> dict[str, str]:
        deadline = self._clock() + self.settings.wait_seconds
        pause = 0.5
        while True:
            try:
                return step()
            except _AWAY as error:
                left = deadline - self._clock()
                if left <= 0:
                    raise ServiceUnreachable(
                        f"Vault at {self.settings.address} is {_state(error)} and stayed so for "
                        f"{self.settings.wait_seconds:g} s (VAULT_WAIT_SECONDS). "
                        "Unseal or start it, or correct VAULT_ADDR; then run again."
                    ) from None
                self._sleep(min(pause, left))
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _read_once(self) -> dict[str, str]:
        fresh = self._ensure_token()
        try:
            return self._read_secret()
        except (refused.Forbidden, refused.Unauthorized):
            # A token can be gone before its time (revoked, Vault restored). One new login tells
            # that from a policy that does not allow the path.
            if fresh:
                raise self._not_allowed() from None
            self._login()
        try:
            return self._read_secret()
        except (refused.Forbidden, refused.Unauthorized):
            raise self._not_allowed() from None

    def _read_secret(self) -> dict[str, str]:
        try:
            answer = self._client.secrets.kv.v2.read_secret_version(
                path=self._kv_path, mount_point=self._kv_mount, raise_on_deleted_version=True
            )
        except refused.InvalidPath:
            raise WrongSettings(
                f"Vault has no secret at {self.settings.secret_path} (VAULT_SECRET_PATH). "
                f"Write it (vault kv put -mount={self._kv_mount} {self._kv_path} ...), "
                "or correct the path."
            ) from None
        except refused.InvalidRequest as error:
            raise WrongSettings(
                f"Vault does not accept the path {self.settings.secret_path} "
                f"(VAULT_SECRET_PATH): {_first(error)}"
            ) from None
        values: dict[str, Any] = answer["data"]["data"]
        return {key: str(value) for key, value in values.items() if value is not None}

    def _not_allowed(self) -> WrongSettings:
        return WrongSettings(
            f"Vault's role {self.settings.role} may not read {self.settings.secret_path} "
            "(VAULT_SECRET_PATH). "
            "Compare the path with the role's policy."
        )

    def _ensure_token(self) -> bool:
        """Make sure that there is a token with lease left; True when it comes from a login just
        now.
        """
        left = self._expires - self._clock()
        if left > 0 and left < self._lease_seconds / 3:
            left = self._renew()
        if left <= 0:
            self._login()
            return True
        return False

    def _renew(self) -> float:
        """Renew the token; seconds of lease that it then has, 0 where only a login helps."""
        if not self._renewable:
            return 0.0
        try:
            answer = self._client.auth.token.renew_self()
        except _NO:
            return 0.0
        first_lease = self._lease_seconds
        self._take(answer["auth"])
        # Near the role's token_max_ttl a renewal gives hardly more than what was left.
        return self._lease_seconds if self._lease_seconds >= first_lease / 3 else 0.0

    def _login(self) -> None:
        jwt = self._service_account_token()
        self._client.token = ""
        try:
            answer = self._client.auth.kubernetes.login(
                role=self.settings.role, jwt=jwt, use_token=True, mount_point=self._auth_mount
            )
        except _NO as error:
            raise WrongSettings(
                f"Vault at {self.settings.address} refused the login as role "
                f"{self.settings.role} (VAULT_ROLE) at {self.settings.login_path} "
                f"(VAULT_PATH_AUTH): {_first(error)}. "
                "Compare the pod's ServiceAccount, its namespace and its token's audience "
                "with the role."
            ) from None
        self._take(answer["auth"])

    def _service_account_token(self) -> str:
        try:
            jwt = self.settings.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongSettings(
                "VAULT_TOKEN_FILE: expected the ServiceAccount's projected token in "
                f"{self.settings.token_file}, found {type(error).__name__}. "
                "Mount a serviceAccountToken volume there."
            ) from None
        if not jwt:
            raise WrongSettings(f"VAULT_TOKEN_FILE: {self.settings.token_file} is empty")
        return jwt

    def _take(self, auth: Mapping[str, Any]) -> None:
        self._client.token = auth["client_token"]
        self._lease_seconds = float(auth["lease_duration"])
        self._renewable = bool(auth["renewable"])
        # A lease of 0 means a token without end.
        endless = self._lease_seconds == 0
        self._expires = float("inf") if endless else self._clock() + self._lease_seconds


def _state(error: BaseException) -> str:
    if isinstance(error, refused.VaultDown):
        return "sealed"
    if isinstance(error, refused.VaultNotInitialized):
        return "not initialised"
    if isinstance(error, requests.exceptions.SSLError):
        return "out of reach by TLS (VAULT_CACERT: is its certificate of that authority?)"
    if isinstance(error, requests.RequestException):
        return "out of reach"
    return f"failing ({type(error).__name__})"


def _first(error: refused.VaultError) -> str:
    errors = getattr(error, "errors", None) or [type(error).__name__]
    return str(errors[0])[:200]
