"""The client of one run, made from the settings."""

from __future__ import annotations

from github_client.client import Client
from github_client.clock import Clock
from github_client.credentials import AppInstallation, Credential, Token
from github_client.errors import BadCredentials, GitHubError, PrimaryLimit, SecondaryLimit
from github_client.messages import Api
from github_client.pool import TokenPool
from github_client.transport import HttpTransport, Transport
from github_client.waits import WaitPolicy
from stage_runtime.exits import WrongSettings
from stage_runtime.logs import get_logger
from stage_runtime.redaction import register_secret

from data_fetch.budget import Budget
from data_fetch.endings import wrong_setting
from data_fetch.settings import Settings


def credentials(settings: Settings, api: Api) -> list[Credential]:
    """Tokens and App installations. Raises WrongSettings."""
    texts = settings.github_token.get_secret_value().split(",")
    found: list[Credential] = []
    for token in filter(None, (text.strip() for text in texts)):
        if not (token.isascii() and token.isprintable()):
            raise WrongSettings("GITHUB_TOKEN: expected printable ASCII, found something else in it")
        register_secret(token)
        found.append(Token(token, f"token {len(found) + 1}"))
    key = settings.github_app_private_key.get_secret_value().replace("\\n", "\n")
    for number in filter(None, (text.strip() for text in settings.github_app_installations.split(","))):
        if not number.isdigit():
            raise WrongSettings(f"GITHUB_APP_INSTALLATIONS: expected numbers, found {number[:40]!r}")
        try:
            installation = AppInstallation(api, settings.github_app_id, key, int(number), register_secret)
        except ValueError as error:
            raise WrongSettings(f"GITHUB_APP_PRIVATE_KEY: {error}") from None
        found.append(installation)
    return found


def make_client(
    settings: Settings,
    clock: Clock,
    budget: Budget,
    *,
    transport: Transport | None = None,
    waits: WaitPolicy | None = None,
) -> Client:
    """The client with its pool of tokens. Raises WrongSettings."""
    api = Api(settings.github_api_url)
    pool = TokenPool(credentials(settings, api), clock, side_by_side=settings.requests_per_token)
    return Client(api, pool, transport or HttpTransport(), clock, waits=waits, guard=budget, on_trouble=_say)


def _say(error: GitHubError, wait: float | None) -> None:
    """One line for everything that slows the run down."""
    log = get_logger()
    kind = type(error).__name__
    if isinstance(error, (PrimaryLimit, SecondaryLimit)):
        log.info("GitHub's limit", kind=kind, wait_seconds=round(wait or 0), reason=str(error))
    elif isinstance(error, BadCredentials):
        log.warning("a credential was refused", reason=wrong_setting(error))
    elif wait is not None:
        log.info("asking again", kind=kind, wait_seconds=round(wait, 1), reason=str(error))
